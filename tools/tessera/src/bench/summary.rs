//! What the real-time guest says of itself once a second (`guests/rt/README.md`).

use regex::Regex;
use std::sync::LazyLock;

static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"rt: (?:done, )?(\d+) s, (\d+) wake-ups, missed (\d+), lateness min (\d+) p50 (\d+) p99 (\d+) p999 (\d+) max (\d+) ns").ok()
});

static BUCKET: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"rt: bucket (\d+)\.\.(\d+) ns (\d+)").ok());

/// The final histogram's buckets in a console's lines: from, to, how many.
#[must_use]
pub fn buckets(lines: &[String]) -> Vec<[u64; 3]> {
    let bucket = |line: &String| {
        let found = BUCKET.as_ref()?.captures(line)?;
        let number = |i: usize| found.get(i)?.as_str().parse().ok();
        Some([number(1)?, number(2)?, number(3)?])
    };
    lines.iter().filter_map(bucket).collect()
}

/// A summary line. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Seconds since its start.
    pub seconds: u64,
    /// Timer interrupts that it has taken.
    pub wake_ups: u64,
    /// Deadlines that it has missed.
    pub missed: u64,
    /// The smallest lateness.
    pub min: u64,
    /// The median of its lateness.
    pub median: u64,
    /// 99 of 100 were not later.
    pub p99: u64,
    /// 999 of 1000 were not later.
    pub p999: u64,
    /// The greatest lateness since its start.
    pub max: u64,
}

impl Summary {
    /// Reads a console line.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let found = LINE.as_ref()?.captures(line)?;
        let number = |i: usize| found.get(i)?.as_str().parse().ok();
        Some(Self {
            seconds: number(1)?,
            wake_ups: number(2)?,
            missed: number(3)?,
            min: number(4)?,
            median: number(5)?,
            p99: number(6)?,
            p999: number(7)?,
            max: number(8)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_from_its_line_and_from_nothing_else() {
        let line = "[rt] rt: 12 s, 12000 wake-ups, missed 3, lateness min 96 p50 128 p99 240 p999 400 max 912 ns, last max 240 ns";
        let expected = Summary {
            seconds: 12,
            wake_ups: 12000,
            missed: 3,
            min: 96,
            median: 128,
            p99: 240,
            p999: 400,
            max: 912,
        };
        assert_eq!(Summary::read(line), Some(expected));
        assert_eq!(
            Summary::read("[rt] rt: start, period 1000000 ns, work 200000 ns, 50000 loops"),
            None
        );
    }

    #[test]
    fn buckets_are_read_with_both_ends() {
        let lines = ["rt: end of histogram", "[rt] rt: bucket 96..97 ns 411\r"];
        assert_eq!(buckets(&lines.map(String::from)), [[96, 97, 411]]);
    }
}
