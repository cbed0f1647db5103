//! What the guest prints: fixed forms that a program can read. Each line begins `bench: `.

use crate::spare::MOST;
use crate::table::Row;
use bare::histogram::Histogram;
use bare::text::Line;
use bare::time::Nanos;

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A loop: its iterations, and how long all of them took.
    Loop(u64, Nanos),
    /// Samples, which are in the histogram.
    Samples,
    /// A storm that came in order, so often.
    Kept(u64),
    /// An order that was wrong, or an interrupt that came too early.
    Broken(Broken),
    /// Something that was waited for did not come, after so many that did.
    TimedOut(u64),
    /// The machine does not have it.
    NotPossible(&'static str),
}

/// What was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// The repetition or the sample, from 1.
    pub at: u64,
    /// Of a storm: how urgent the interrupts were that came, in the order in which they came;
    /// 0 is the most urgent.
    pub order: Order,
}

/// See [`Broken`].
pub type Order = [Option<u8>; MOST];

/// `bench: row 3 psci_version loop 1000 total 41000 ns` and the other forms, as README.md has
/// them. `histogram` is what the samples are in.
pub fn row(line: &mut Line, row: Row, outcome: Outcome, histogram: &Histogram) {
    line.text("bench: row ").number(row.number().into());
    line.text(" ").text(row.name()).text(" ");
    match outcome {
        Outcome::Loop(iterations, total) => {
            line.text("loop ").number(iterations);
            line.text(" total ").number(total.0).text(" ns");
        }
        Outcome::Samples => samples(line, histogram),
        Outcome::Kept(times) => _ = line.number(times).text(" kept"),
        Outcome::Broken(Broken { at, order }) => {
            line.text("broken at ").number(at);
            if order != [None; MOST] {
                line.text(", order");
            }
            for rank in order.iter().flatten() {
                line.text(" ").number((*rank).into());
            }
        }
        Outcome::TimedOut(after) => _ = line.text("timed out after ").number(after),
        Outcome::NotPossible(reason) => _ = line.text("not possible: ").text(reason),
    }
}

fn samples(line: &mut Line, histogram: &Histogram) {
    let [p50, p99, p999] = histogram.permilles([500, 990, 999]);
    line.text("samples ").number(histogram.count());
    line.text(" min ").number(histogram.min());
    line.text(" p50 ").number(p50);
    line.text(" p99 ").number(p99);
    line.text(" p999 ").number(p999);
    line.text(" max ").number(histogram.max()).text(" ns");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(of: Row, outcome: Outcome, values: &[u64]) -> String {
        let histogram = Histogram::new();
        for value in values {
            histogram.record(*value);
        }
        let mut line = Line::new();
        row(&mut line, of, outcome, &histogram);
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_outcome_has_its_fixed_form() {
        assert_eq!(
            shown(Row::PsciVersion, Outcome::Loop(1000, Nanos(41_000)), &[]),
            "bench: row 3 psci_version loop 1000 total 41000 ns"
        );
        assert_eq!(
            shown(Row::Timer, Outcome::Samples, &[16, 32, 48]),
            "bench: row 20 timer samples 3 min 16 p50 32 p99 48 p999 48 max 48 ns"
        );
        assert_eq!(
            shown(Row::Storm, Outcome::Kept(20), &[]),
            "bench: row 30 storm 20 kept"
        );
        let mut order = [None; MOST];
        let early = Broken { at: 3, order };
        assert_eq!(
            shown(Row::Timer, Outcome::Broken(early), &[]),
            "bench: row 20 timer broken at 3"
        );
        order[..3].copy_from_slice(&[Some(0), Some(2), Some(1)]);
        let disorder = Broken { at: 3, order };
        assert_eq!(
            shown(Row::Storm, Outcome::Broken(disorder), &[]),
            "bench: row 30 storm broken at 3, order 0 2 1"
        );
        assert_eq!(
            shown(Row::SgiSelf, Outcome::TimedOut(5), &[]),
            "bench: row 10 sgi_self timed out after 5"
        );
        assert_eq!(
            shown(
                Row::Hypercall,
                Outcome::NotPossible("the tree's conduit is smc"),
                &[]
            ),
            "bench: row 2 hypercall not possible: the tree's conduit is smc"
        );
    }
}
