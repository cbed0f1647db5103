//! Phases: spans of a run that software in the machine names by executing a marker.
//!
//! The marker is `movz xzr, #N, lsl #48` (Arm ARM C6.2, MOVZ with Rd = 31): it writes to the zero
//! register, so it does nothing on any core, needs no privilege and traps nowhere; compilers do
//! not make it. N other than 0 begins phase N and ends the one before; 0 ends it. There is one
//! phase for the whole machine.

use crate::record::Span;

/// The number of a phase; 0 is none.
pub type PhaseId = u16;

/// The phase that an instruction marks.
pub fn marker(opcode: u32) -> Option<PhaseId> {
    (opcode & 0xFFE0_001F == 0xD2E0_001F).then_some((opcode >> 5) as u16)
}

/// Instructions that the cores of the machine have executed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Below EL2.
    pub below: u64,
    /// At EL2.
    pub el2: u64,
}

impl Totals {
    /// At all levels.
    pub fn all(self) -> u64 {
        self.below + self.el2
    }
}

/// A span under way.
#[derive(Debug)]
struct UnderWay {
    phase: PhaseId,
    core: usize,
    begin: Totals,
    events: u64,
}

/// The phase under way.
#[derive(Debug, Default)]
pub struct Phases {
    under_way: Option<UnderWay>,
}

impl Phases {
    /// The phase under way; 0 when there is none.
    pub fn current(&self) -> PhaseId {
        self.under_way.as_ref().map_or(0, |span| span.phase)
    }

    /// An event begins; returns the phase that it begins in.
    pub fn event(&mut self) -> PhaseId {
        if let Some(span) = &mut self.under_way {
            span.events += 1;
        }
        self.current()
    }

    /// A core is about to execute a marker, and `totals` was executed before it. Neither the
    /// marker that begins a span nor the one that ends it is in it. Returns the span that ends.
    pub fn marker(&mut self, core: usize, phase: PhaseId, totals: Totals) -> Option<Span> {
        let ended = self.end(totals, true);
        let begin = Totals {
            below: totals.below + 1,
            ..totals
        };
        self.under_way = (phase != 0).then_some(UnderWay {
            phase,
            core,
            begin,
            events: 0,
        });
        ended
    }

    /// The machine ends: the span that has no end.
    pub fn cut(&mut self, totals: Totals) -> Option<Span> {
        self.end(totals, false)
    }

    fn end(&mut self, totals: Totals, whole: bool) -> Option<Span> {
        self.under_way.take().map(|span| Span {
            core: span.core,
            phase: span.phase,
            at: span.begin.all(),
            below: totals.below.saturating_sub(span.begin.below),
            el2: totals.el2.saturating_sub(span.begin.el2),
            events: span.events,
            cut: !whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_marker_is_a_marker() {
        assert_eq!(marker(0xD2E0_001F), Some(0));
        assert_eq!(marker(0xD2E0_003F), Some(1));
        assert_eq!(marker(0xD2FF_FFFF), Some(0xFFFF));
        // To x30, shifted by 32, movk, 32 bits.
        for opcode in [0xD2E0_003E, 0xD2C0_003F, 0xF2E0_003F, 0x52E0_003F] {
            assert_eq!(marker(opcode), None, "{opcode:#x}");
        }
    }

    #[test]
    fn neither_marker_is_in_its_span() {
        let mut phases = Phases::default();
        assert_eq!(phases.marker(1, 7, Totals { below: 10, el2: 5 }), None);
        assert_eq!(phases.event(), 7);
        // The marker was the eleventh instruction below EL2; then 9 more.
        let span = phases.marker(0, 0, Totals { below: 20, el2: 8 }).unwrap();
        let expected = Span {
            core: 1,
            phase: 7,
            at: 16,
            below: 9,
            el2: 3,
            events: 1,
            cut: false,
        };
        assert_eq!(span, expected);
        assert_eq!(phases.event(), 0);
    }

    proptest! {
        #[test]
        fn spans_and_markers_and_the_rest_are_all_that_was_executed(
            steps in proptest::collection::vec((0u16..3, 0u64..50, 0u64..50, 0u64..4), 1..60),
        ) {
            let mut phases = Phases::default();
            let mut totals = Totals::default();
            let (mut spans, mut outside, mut events) = (Vec::new(), Totals::default(), 0);
            for (phase, below, el2, begun) in &steps {
                spans.extend(phases.marker(0, *phase, totals));
                totals.below += 1 + below;
                totals.el2 += el2;
                for _ in 0..*begun {
                    prop_assert_eq!(phases.event(), *phase);
                }
                if *phase == 0 {
                    outside.below += below;
                    outside.el2 += el2;
                } else {
                    events += begun;
                }
            }
            spans.extend(phases.cut(totals));
            let below: u64 = spans.iter().map(|span| span.below).sum();
            let el2: u64 = spans.iter().map(|span| span.el2).sum();
            prop_assert_eq!(below + outside.below + steps.len() as u64, totals.below);
            prop_assert_eq!(el2 + outside.el2, totals.el2);
            prop_assert_eq!(spans.iter().map(|span| span.events).sum::<u64>(), events);
            let begun = steps.iter().filter(|(phase, ..)| *phase != 0).count();
            prop_assert_eq!(spans.len(), begun);
        }
    }
}
