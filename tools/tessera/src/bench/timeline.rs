//! Who ran when on each core, out of the plugin's log: a picture of some milliseconds.

use crate::bench::record::{Entry, Log};
use crate::bench::report::{Setting, Span, Timeline};

/// The row of the guest `bench` whose timeline is shown.
const TIMER_WFI: u16 = 21;
/// What a core that sleeps does.
const IDLE: &str = "idle";

/// Some events of the guest `bench` beside the guest `spin`: it waits, is woken, and waits again.
#[must_use]
pub fn of_bench(log: &Log, setting: &Setting) -> Option<Timeline> {
    let span = log.spans.iter().find(|s| s.phase == TIMER_WFI)?;
    // From the third wake-up on, so that it is one of many.
    let entries: Vec<&Entry> = log
        .entries
        .iter()
        .filter(|e| e.phase == TIMER_WFI)
        .collect();
    let first = entries
        .get(4)
        .map_or(span.at, |e| e.at.saturating_sub(2_000));
    let window = (first, first + 50_000);
    Some(Timeline {
        title: "a guest is woken by its timer while another one runs".into(),
        setting: setting.clone(),
        cores: cores(log, &["bench", "spin"], window),
    })
}

/// Some milliseconds of the real-time guest beside Linux under load, from the middle of the run.
#[must_use]
pub fn of_phone(log: &Log, setting: &Setting) -> Option<Timeline> {
    let end = log.entries.last()?.at;
    // Late enough that Linux is up, early enough that `rt` still runs.
    let middle = end / 2;
    let entries = log.entries.iter().filter(|e| e.at >= middle);
    let first = entries.map(|e| e.at).next()?;
    Some(Timeline {
        title: "a 1 ms real-time guest beside Linux under load".into(),
        setting: setting.clone(),
        cores: cores(log, &["rt", "linux"], (first, first + 5_000_000)),
    })
}

/// Spans in a window, one row for each core.
#[must_use]
pub fn cores(log: &Log, names: &[&str], (from, to): (u64, u64)) -> Vec<Vec<Span>> {
    let count = log
        .entries
        .iter()
        .map(|e| e.core)
        .max()
        .map_or(0, |c| c + 1);
    let rows = (0..count).map(|core| {
        let mut row = Vec::new();
        let mut who = IDLE;
        let mut since = from;
        for entry in log.entries.iter().filter(|e| e.core == core) {
            let end = entry.at + entry.instructions;
            let before = entry.at.clamp(from, to);
            push(&mut row, from, since, before, who);
            push(&mut row, from, before, end.clamp(from, to), "EL2");
            since = end.clamp(from, to);
            who = match entry.returned {
                0 => IDLE,
                n => names.get(usize::from(n) - 1).copied().unwrap_or("?"),
            };
        }
        push(&mut row, from, since, to, who);
        row
    });
    rows.collect()
}

/// Adds a stretch, or makes the last one longer.
fn push(row: &mut Vec<Span>, zero: u64, from: u64, to: u64, who: &str) {
    if to <= from {
        return;
    }
    match row.last_mut() {
        Some(last) if last.who == who => last.to = to - zero,
        _ => row.push(Span {
            from: from - zero,
            to: to - zero,
            who: who.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::Vector;

    fn entry(at: u64, instructions: u64, returned: u16) -> Entry {
        Entry {
            core: 0,
            vector: Vector::Irq,
            phase: 0,
            left: 0,
            returned,
            mark: 0,
            instructions,
            masked: 0,
            code_lines: 0,
            data_lines: 0,
            operations: [0; 6],
            esr: None,
            interrupt: None,
            elr: 0,
            at,
        }
    }

    #[test]
    fn a_core_is_covered_without_gaps_inside_the_window() {
        let log = Log {
            entries: vec![entry(50, 10, 2), entry(100, 20, 1), entry(300, 10, 2)],
            ..Log::default()
        };
        let rows = cores(&log, &["bench", "spin"], (90, 200));
        let row: Vec<_> = rows[0]
            .iter()
            .map(|s| (s.from, s.to, s.who.as_str()))
            .collect();
        assert_eq!(row, [(0, 10, "spin"), (10, 30, "EL2"), (30, 110, "bench")]);
    }
}
