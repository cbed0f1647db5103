//! What the guest prints: fixed forms that a program can read. Each line begins `rt: `.

use crate::task::Task;
use bare::histogram::{Bucket, Histogram};
use bare::text::Line;

/// `rt: 12 s, 12000 wake-ups, missed 0, lateness min 96 p50 128 p99 240 p999 400 max 912 ns,
/// last max 240 ns`, on one line. All but the last are over the whole run.
pub fn summary(line: &mut Line, seconds: u64, task: &Task, recent_max: u64) {
    line.text("rt: ").number(seconds).text(" s, ");
    totals(line, &task.lateness, task.missed());
    line.text(", last max ").number(recent_max).text(" ns");
}

/// `rt: done, 12 s, 12000 wake-ups, ...`, the same fields, then the mean and the releases.
pub fn done(line: &mut Line, seconds: u64, lateness: &Histogram, missed: u64, released: u64) {
    line.text("rt: done, ").number(seconds).text(" s, ");
    totals(line, lateness, missed);
    let mean = lateness.sum().checked_div(lateness.count()).unwrap_or(0);
    line.text(", mean ").number(mean).text(" ns, ");
    line.number(released).text(" releases");
}

/// `rt: bucket 96..97 ns 4711`.
pub fn bucket(line: &mut Line, bucket: Bucket) {
    line.text("rt: bucket ").number(bucket.low).text("..");
    line.number(bucket.high)
        .text(" ns ")
        .number(bucket.count.into());
}

fn totals(line: &mut Line, lateness: &Histogram, missed: u64) {
    let [p50, p99, p999] = lateness.permilles([500, 990, 999]);
    line.number(lateness.count())
        .text(" wake-ups, missed ")
        .number(missed);
    line.text(", lateness min ").number(lateness.min());
    line.text(" p50 ").number(p50);
    line.text(" p99 ").number(p99);
    line.text(" p999 ").number(p999);
    line.text(" max ").number(lateness.max()).text(" ns");
}

#[cfg(test)]
mod tests {
    use super::*;
    use bare::time::{Clock, Ticks};

    fn shown(write: impl FnOnce(&mut Line)) -> String {
        let mut line = Line::new();
        write(&mut line);
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_summary_has_its_fixed_form() {
        let task = Task::new();
        task.start(Ticks(0), Ticks(62_500), Clock::new(62_500_000).scale());
        let mut due = Ticks(0);
        for late in [1, 2, 3] {
            due = task.release(Ticks(due.0 + late));
            task.complete(task.job().unwrap());
        }
        let recent = task.take_recent_max();
        assert_eq!(
            shown(|line| summary(line, 12, &task, recent)),
            "rt: 12 s, 3 wake-ups, missed 0, lateness min 16 p50 32 p99 48 p999 48 max 48 ns, \
             last max 48 ns"
        );
        assert_eq!(
            shown(|line| done(line, 12, &task.lateness, task.missed(), task.released())),
            "rt: done, 12 s, 3 wake-ups, missed 0, lateness min 16 p50 32 p99 48 p999 48 max 48 \
             ns, mean 32 ns, 3 releases"
        );
    }

    #[test]
    fn a_bucket_has_its_fixed_form() {
        let of = Bucket {
            low: 64,
            high: 65,
            count: 9,
        };
        assert_eq!(shown(|line| bucket(line, of)), "rt: bucket 64..65 ns 9");
    }

    #[test]
    fn a_run_without_wake_ups_has_a_mean() {
        let text = shown(|line| done(line, 0, &Histogram::new(), 0, 0));
        assert!(text.ends_with("max 0 ns, mean 0 ns, 0 releases"), "{text}");
    }
}
