//! What single events cost at EL2: rows of the report, out of a log of the guest `bench`.
//!
//! The guest marks each of its rows as a phase, so an entry to EL2 is known by its phase, its vector
//! and who ran before and after. In a loop one operation may enter EL2 several times - an SGI to
//! oneself is a write and an interrupt - and all entries of one operation count together: an operation
//! begins where the loop's first entry comes again.

use crate::bench::record::{Entry, Log, Vector};
use crate::bench::report::{Counts, Event, Operations, Setting};
use crate::bench::rows::{Outcome, Row};
use std::collections::BTreeMap;

/// The context of the guest that measures.
pub const BENCH: u16 = 1;
/// The context of the guest beside it.
pub const SPIN: u16 = 2;

/// Loop rows: number, event, what happens.
const LOOPS: [(u16, &str, &str); 11] = [
    (2, "hypercall", "call that nobody implements (HVC)"),
    (3, "psci_version", "PSCI_VERSION"),
    (4, "gicd_read", "read of a distributor register"),
    (5, "gicd_write", "write that enables an interrupt"),
    (6, "gicd_disable", "write that disables an interrupt"),
    (7, "uart_read", "read of a UART register"),
    (8, "uart_write", "write to a UART register"),
    (9, "sysreg", "read of an ID register"),
    (10, "sgi_self", "SGI to oneself: write, interrupt, end"),
    (
        11,
        "spi_self",
        "SPI made pending by oneself: write, interrupt, end",
    ),
    (12, "eoi", "acknowledge and end of an SGI"),
];

/// The number of the row whose rounds each have a phase of their own.
const EOI: u16 = 12;
const TIMER: u16 = 20;
const TIMER_WFI: u16 = 21;
const SGI_OTHER: u16 = 22;
const SGI_OTHER_WFI: u16 = 23;
const SGI_WRITE: u16 = 24;

/// Exception classes (Arm ARM, ESR_EL2.EC).
const WFI: u32 = 0x01;
const FP: u32 = 0x07;

/// One entry that is an event by itself: its name, what happens, which entries they are.
struct Single {
    name: &'static str,
    title: &'static str,
    fits: fn(&Entry) -> bool,
}

const SINGLES: [Single; 9] = [
    Single {
        name: "interrupt",
        title: "timer interrupt for the guest that runs",
        fits: |e| e.phase == TIMER && e.vector == Vector::Irq && within(e),
    },
    Single {
        name: "interrupt_wfi",
        title: "timer interrupt for the guest that waits in WFI on its own core",
        fits: |e| e.phase == TIMER_WFI && e.vector == Vector::Irq && within(e),
    },
    Single {
        name: "preempt",
        title: "timer interrupt while another guest runs, to the first instruction of the woken one",
        fits: |e| {
            e.phase == TIMER_WFI && e.vector == Vector::Irq && (e.left, e.returned) == (SPIN, BENCH)
        },
    },
    Single {
        name: "block",
        title: "WFI of a guest, to the first instruction of the next one",
        fits: |e| e.phase == TIMER_WFI && e.class() == Some(WFI) && e.returned == SPIN,
    },
    Single {
        name: "idle",
        title: "WFI of the only guest, until the core sleeps",
        fits: |e| e.phase == TIMER_WFI && e.class() == Some(WFI) && e.returned != SPIN,
    },
    Single {
        name: "wake",
        title: "timer interrupt while the core sleeps, to the first instruction of the woken guest",
        fits: |e| e.phase == TIMER_WFI && e.vector == Vector::Wake && e.returned == BENCH,
    },
    Single {
        name: "ipi_send",
        title: "SGI to another core: the sender",
        fits: |e| e.phase == SGI_WRITE && e.core == 0 && e.vector == Vector::Synchronous,
    },
    Single {
        name: "ipi_receive",
        title: "SGI from another core: the receiver, which runs",
        fits: |e| e.phase == SGI_OTHER && e.core == 1 && e.vector == Vector::Irq,
    },
    Single {
        name: "ipi_receive_wfi",
        title: "SGI from another core: the receiver, which waits in WFI",
        fits: |e| e.phase == SGI_OTHER_WFI && e.core == 1 && e.vector == Vector::Irq,
    },
];

fn within(entry: &Entry) -> bool {
    (entry.left, entry.returned) == (BENCH, BENCH)
}

/// The events of a run of the guest `bench`, or why one of them cannot be told.
pub fn of_bench(
    log: &Log,
    rows: &BTreeMap<u16, Row>,
    setting: &Setting,
) -> Vec<Result<Event, String>> {
    let mut events = Vec::new();
    for (number, name, title) in LOOPS {
        let Some(Outcome::Loop { rounds, .. }) = rows.get(&number).map(|r| &r.outcome) else {
            continue;
        };
        let event = operations(log, number, *rounds).map(|groups| Event {
            fp: "untouched".into(),
            ..row(name, title, setting, &groups)
        });
        events.push(event.map_err(|why| format!("{name}: {why}")));
    }
    for single in &SINGLES {
        let fitting = log.entries.iter().filter(|e| (single.fits)(e));
        let groups: Vec<Vec<&Entry>> = fitting.map(|e| vec![e]).collect();
        if !groups.is_empty() {
            let fp = if single.name == "preempt" {
                "lazy: see fp_first_use"
            } else {
                "untouched"
            };
            events.push(Ok(Event {
                fp: fp.into(),
                ..row(single.name, single.title, setting, &groups)
            }));
        }
    }
    events
}

/// The traps of a guest's first use of FP and SIMD after another one's, in any log; none if there
/// were none.
#[must_use]
pub fn first_use_of_fp(log: &Log, setting: &Setting) -> Option<Event> {
    let traps = log.entries.iter().filter(|e| e.class() == Some(FP));
    let groups: Vec<Vec<&Entry>> = traps.map(|e| vec![e]).collect();
    let title = "first use of FP after another guest's: both register files";
    (!groups.is_empty()).then(|| Event {
        fp: "the price itself".into(),
        ..row("fp_first_use", title, setting, &groups)
    })
}

/// The entries of a loop's operations, operation by operation.
fn operations(log: &Log, phase: u16, rounds: u64) -> Result<Vec<Vec<&Entry>>, String> {
    let entries: Vec<&Entry> = log.entries.iter().filter(|e| e.phase == phase).collect();
    let spans: Vec<_> = log.spans.iter().filter(|s| s.phase == phase).collect();
    let spanned: u64 = spans.iter().map(|s| s.el2).sum();
    let counted: u64 = entries.iter().map(|e| e.instructions).sum();
    if spanned != counted {
        return Err(format!(
            "{spanned} instructions at EL2 in its phase, {counted} in the phase's events"
        ));
    }
    let groups = if phase == EOI {
        let ends = spans.iter().skip(1).map(|s| s.at).chain([u64::MAX]);
        let between = |from: u64, to: u64| {
            let inside = entries.iter().filter(|e| (from..to).contains(&e.at));
            inside.copied().collect::<Vec<_>>()
        };
        spans
            .iter()
            .zip(ends)
            .map(|(s, end)| between(s.at, end))
            .collect()
    } else {
        grouped(&entries)
    };
    if groups.is_empty() {
        // Nothing of it enters EL2.
        return Ok(vec![Vec::new(); usize::try_from(rounds).unwrap_or(0)]);
    }
    if groups.len() as u64 != rounds {
        return Err(format!("{} operations in {rounds} rounds", groups.len()));
    }
    Ok(groups)
}

/// Cuts a loop's entries where its first one comes again.
fn grouped<'a>(entries: &[&'a Entry]) -> Vec<Vec<&'a Entry>> {
    let mut groups: Vec<Vec<&Entry>> = Vec::new();
    let Some(first) = entries.first() else {
        return groups;
    };
    for entry in entries {
        let again = (entry.vector, entry.elr) == (first.vector, first.elr);
        match groups.last_mut() {
            Some(last) if !again => last.push(entry),
            _ => groups.push(vec![entry]),
        }
    }
    groups
}

/// A row of the report, of operations with all their entries.
fn row(name: &str, title: &str, setting: &Setting, groups: &[Vec<&Entry>]) -> Event {
    let sums = |field: fn(&Entry) -> u64| -> Vec<u64> {
        let one = |group: &Vec<&Entry>| group.iter().map(|e| field(e)).sum();
        groups.iter().map(one).collect()
    };
    let instructions = Counts::of(sums(|e| e.instructions));
    let entries = Counts::of(groups.iter().map(|g| g.len() as u64).collect());
    let all = groups.iter().flatten();
    Event {
        name: name.into(),
        title: title.into(),
        setting: setting.clone(),
        entries: entries.median,
        masked: all.map(|e| e.masked).max().unwrap_or(0),
        code_lines: Counts::of(sums(|e| e.code_lines)),
        data_lines: Counts::of(sums(|e| e.data_lines)),
        operations: median_operations(groups, instructions.median),
        instructions,
        ..Event::default()
    }
}

/// Expensive instructions of the first operation that has the median of instructions.
fn median_operations(groups: &[Vec<&Entry>], median: u64) -> Operations {
    let total = |g: &Vec<&Entry>| g.iter().map(|e| e.instructions).sum::<u64>();
    let Some(group) = groups.iter().find(|g| total(g) == median) else {
        return Operations::default();
    };
    let sum = |i: usize| group.iter().filter_map(|e| e.operations.get(i)).sum();
    Operations {
        isb: sum(0),
        dsb: sum(1),
        tlbi: sum(2),
        msr: sum(3),
        mrs: sum(4),
        eret: sum(5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::Span;

    /// An entry of a phase: vector, where it returns to, instructions.
    fn entry(phase: u16, vector: Vector, elr: u64, instructions: u64) -> Entry {
        Entry {
            core: 0,
            vector,
            phase,
            left: BENCH,
            returned: BENCH,
            mark: 0,
            instructions,
            masked: instructions,
            code_lines: 2,
            data_lines: 1,
            operations: [0, 0, 0, 1, 0, 1],
            esr: None,
            interrupt: None,
            elr,
            at: 0,
        }
    }

    fn log(phase: u16, entries: Vec<Entry>) -> Log {
        let el2 = entries.iter().map(|e| e.instructions).sum();
        Log {
            entries,
            spans: vec![Span {
                phase,
                others: 0,
                el2,
                at: 0,
                cut: false,
            }],
            ..Log::default()
        }
    }

    fn rows(number: u16, rounds: u64) -> BTreeMap<u16, Row> {
        let outcome = Outcome::Loop { rounds, total: 0 };
        let name = String::new();
        BTreeMap::from([(
            number,
            Row {
                number,
                name,
                outcome,
            },
        )])
    }

    fn all(log: &Log, rows: &BTreeMap<u16, Row>) -> Vec<Result<Event, String>> {
        of_bench(log, rows, &Setting::default())
    }

    #[test]
    fn all_entries_of_one_operation_count_together() {
        let write = || entry(10, Vector::Synchronous, 0x100, 150);
        let interrupt = |at| entry(10, Vector::Irq, at, 100);
        let entries = vec![
            write(),
            interrupt(0x104),
            write(),
            interrupt(0x108),
            write(),
        ];
        let events = all(&log(10, entries), &rows(10, 3));
        let event = events[0].as_ref().unwrap();
        assert_eq!((event.name.as_str(), event.entries), ("sgi_self", 2));
        let (counts, operations) = (&event.instructions, &event.operations);
        assert_eq!((counts.count, counts.min, counts.median), (3, 150, 250));
        assert_eq!((operations.msr, operations.eret), (2, 2));
        assert_eq!(event.code_lines.median, 4);
    }

    #[test]
    fn a_loop_that_never_enters_el2_costs_nothing() {
        let events = all(&log(2, Vec::new()), &rows(2, 10));
        let event = events[0].as_ref().unwrap();
        assert_eq!((event.entries, event.instructions.count), (0, 10));
        assert_eq!(event.instructions.max, 0);
    }

    #[test]
    fn what_does_not_add_up_is_no_row() {
        let one = || entry(2, Vector::Synchronous, 0x100, 50);
        let mut torn = log(2, vec![one(), one()]);
        torn.spans[0].el2 += 1;
        assert!(all(&torn, &rows(2, 2))[0].is_err());
        assert!(all(&log(2, vec![one()]), &rows(2, 2))[0].is_err());
    }

    #[test]
    fn an_interrupt_is_named_by_who_ran_before_and_after() {
        let irq = |phase, left| Entry {
            left,
            ..entry(phase, Vector::Irq, 0, 100)
        };
        let wait = Entry {
            esr: Some(WFI << 26),
            returned: SPIN,
            ..entry(TIMER_WFI, Vector::Synchronous, 0, 300)
        };
        let entries = vec![
            irq(TIMER, BENCH),
            irq(TIMER_WFI, SPIN),
            wait,
            entry(TIMER_WFI, Vector::Wake, 0, 900),
            irq(0, SPIN),
        ];
        let names: Vec<String> = all(&log(0, entries), &BTreeMap::new())
            .into_iter()
            .map(|e| e.unwrap().name)
            .collect();
        assert_eq!(names, ["interrupt", "preempt", "block", "wake"]);
    }
}
