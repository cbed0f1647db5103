//! The journal: joins what the engine counted of an event with what is known around it - the
//! cause from QEMU's log, the phase, the contexts - and writes the binary log.

use crate::arguments::Arguments;
use crate::context::{ContextId, UNKNOWN};
use crate::decode::Class;
use crate::event::Ended;
use crate::log::{Acknowledged, Log, Said, Taken};
use crate::phase::{PhaseId, Phases, Totals};
use crate::record::{self, Event, Record, Switch};
use crate::vectors::{Origin, Vector};
use std::io::{self, Write};
use std::path::PathBuf;

/// What is known when an event begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Begin {
    at: u64,
    phase: PhaseId,
    left: ContextId,
    taken: Option<Taken>,
}

/// QEMU's log, opened when it is first needed.
#[derive(Debug)]
enum Source {
    None,
    Closed(PathBuf, usize),
    Open(Box<Log>),
}

/// The journal.
#[derive(Debug)]
pub struct Journal<W: Write> {
    source: Source,
    phases: Phases,
    events: Option<W>,
    phases_only: bool,
    /// Addresses in records are from here.
    base: u64,
    /// The first failure to write.
    failed: Option<io::Error>,
}

impl<W: Write> Journal<W> {
    /// The journal of a machine with so many cores; `events` is the file of the argument.
    pub fn new(arguments: &Arguments, cores: usize, events: Option<W>) -> Self {
        let source = arguments.log.clone();
        let mut journal = Self {
            source: source.map_or(Source::None, |path| Source::Closed(path, cores)),
            phases: Phases::default(),
            events,
            phases_only: arguments.phases_only,
            base: arguments.el2.as_ref().map_or(0, |el2| el2.start),
            failed: None,
        };
        journal.put(&record::header());
        journal
    }

    /// What QEMU's log says by now; nothing when there is none.
    pub fn said(&mut self) -> Option<&mut Said> {
        if let Source::Closed(path, cores) = &self.source {
            self.source = match Log::open(path, *cores) {
                Ok(log) => Source::Open(Box::new(log)),
                Err(error) => {
                    eprintln!("meter: {}: {error}; causes are unknown", path.display());
                    Source::None
                }
            };
        }
        match &mut self.source {
            Source::Open(log) => Some(log.read()),
            _ => None,
        }
    }

    /// An event begins on a core that comes from a context.
    pub fn begin(&mut self, core: usize, left: ContextId, totals: Totals) -> Begin {
        Begin {
            at: totals.all(),
            phase: self.phases.event(),
            left,
            taken: self.said().and_then(|said| said.begin(core)),
        }
    }

    /// An event has ended: its record, if it is wanted. Where it returns to is not in it yet.
    pub fn end(&mut self, core: usize, begin: &Begin, ended: &Ended) -> Option<Event> {
        let acknowledged = self.said().map(|said| said.acknowledged(core));
        let wanted = self.events.is_some() && (begin.phase != 0 || !self.phases_only);
        wanted.then(|| {
            event(
                self.base,
                core,
                begin,
                ended,
                acknowledged.unwrap_or_default(),
            )
        })
    }

    /// A core is about to execute a marker.
    pub fn marker(&mut self, core: usize, phase: PhaseId, totals: Totals) {
        if let Some(span) = self.phases.marker(core, phase, totals) {
            self.write(&Record::Span(span));
        }
    }

    /// Another context runs on a core.
    pub fn switch(&mut self, core: usize, from: ContextId, to: ContextId, totals: Totals) {
        let phase = self.phases.current();
        if phase != 0 || !self.phases_only {
            self.write(&Record::Switch(Switch {
                core,
                phase,
                from,
                to,
                at: totals.all(),
            }));
        }
    }

    /// Writes a record.
    pub fn write(&mut self, record: &Record) {
        self.put(&record.write());
    }

    /// The machine ends. Says what could not be written.
    ///
    /// # Errors
    ///
    /// The first failure to write.
    pub fn finish(&mut self, totals: Totals) -> io::Result<()> {
        if let Some(span) = self.phases.cut(totals) {
            self.write(&Record::Span(span));
        }
        self.write(&Record::Totals(totals));
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.events.as_mut().map_or(Ok(()), Write::flush)
    }

    fn put(&mut self, bytes: &[u8]) {
        let written = self.events.as_mut().map(|events| events.write_all(bytes));
        if let Some(Err(error)) = written {
            self.failed.get_or_insert(error);
        }
    }
}

fn event(
    base: u64,
    core: usize,
    begin: &Begin,
    ended: &Ended,
    acknowledged: Acknowledged,
) -> Event {
    let (vector, from_aarch32) = match ended.origin {
        Origin::Lower(vector) => (Some(vector), false),
        Origin::Lower32(vector) => (Some(vector), true),
        Origin::Wake | Origin::Boot => (None, false),
    };
    // An idle core that goes on has taken no exception.
    let taken = begin.taken.filter(|_| vector.is_some()).unwrap_or_default();
    // QEMU writes an old syndrome for interrupts.
    let sync = matches!(vector, Some(Vector::Sync | Vector::SError));
    let classes = [
        Class::Isb,
        Class::Dsb,
        Class::Tlbi,
        Class::Msr,
        Class::Mrs,
        Class::Eret,
    ];
    Event {
        core,
        vector: match vector {
            Some(Vector::Sync) => 0,
            Some(Vector::Irq) => 1,
            Some(Vector::Fiq) => 2,
            Some(Vector::SError) => 3,
            None if ended.origin == Origin::Wake => 4,
            None => 5,
        },
        from_aarch32,
        phase: begin.phase,
        left: begin.left,
        returned: UNKNOWN,
        mark: ended.mark.map_or(0, |mark| mark + 1),
        instructions: ended.instructions,
        longest: ended.longest,
        longest_from: ended.longest_from.wrapping_sub(base),
        code_lines: ended.code_lines,
        data_lines: ended.data_lines,
        operations: classes.map(|class| ended.classes[class as usize]),
        esr: taken.esr.filter(|_| sync),
        interrupt: acknowledged.first,
        acknowledges: acknowledged.count,
        far: taken.far,
        elr: taken.elr.unwrap_or(0),
        at: begin.at,
        nested: ended.nested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Ended = Ended {
        origin: Origin::Lower(Vector::Sync),
        mark: Some(0),
        instructions: 9,
        nested: 0,
        longest: 7,
        longest_from: 0x1010,
        classes: [0; Class::COUNT],
        code_lines: 0,
        data_lines: 0,
    };

    fn totals(below: u64, el2: u64) -> Totals {
        Totals { below, el2 }
    }

    fn journal(words: &[&str]) -> Journal<Vec<u8>> {
        let words = ["el2=0x1000-0x2000", "events=x"].iter().chain(words);
        let arguments = Arguments::parse(words.copied(), |_| unreachable!()).unwrap();
        Journal::new(&arguments, 2, Some(Vec::new()))
    }

    fn records(mut journal: Journal<Vec<u8>>, end: Totals) -> Vec<Record> {
        journal.finish(end).unwrap();
        Record::read_all(&journal.events.unwrap()).unwrap()
    }

    #[test]
    fn an_event_is_in_the_phase_that_it_began_in_even_when_it_ends_in_another() {
        let mut journal = journal(&[]);
        let outside = journal.begin(0, 1, totals(5, 5));
        journal.marker(1, 3, totals(20, 10));
        let inside = journal.begin(1, 2, totals(30, 12));
        let first = journal.end(0, &outside, &EVENT).unwrap();
        journal.write(&Record::Event(first.clone()));
        journal.marker(0, 4, totals(40, 20));
        let second = journal.end(1, &inside, &EVENT).unwrap();
        assert_eq!((first.phase, first.at, first.left), (0, 10, 1));
        assert_eq!((second.phase, second.at, second.left), (3, 42, 2));
        assert_eq!((second.mark, second.longest_from), (1, 0x10));

        let records = records(journal, totals(50, 30));
        assert_eq!(records[0], Record::Event(first));
        let spans: Vec<_> = records[1..3]
            .iter()
            .map(|record| match record {
                Record::Span(span) => (span.phase, span.core, span.below, span.el2, span.events),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(spans, [(3, 1, 19, 10, 1), (4, 0, 9, 10, 0)]);
        assert_eq!(records[3], Record::Totals(totals(50, 30)));
        assert!(matches!(records[2], Record::Span(span) if span.cut));
    }

    #[test]
    fn record_phases_leaves_out_what_is_in_none() {
        let mut journal = journal(&["record=phases", "context=a:1-2", "timeline=on"]);
        let outside = journal.begin(0, 0, totals(1, 0));
        assert_eq!(journal.end(0, &outside, &EVENT), None);
        journal.switch(0, 0, 1, totals(2, 0));
        journal.marker(0, 1, totals(3, 0));
        let inside = journal.begin(0, 0, totals(4, 0));
        assert!(journal.end(0, &inside, &EVENT).is_some());
        journal.switch(0, 1, 2, totals(5, 0));
        let records = records(journal, totals(6, 0));
        let switch = Switch {
            core: 0,
            phase: 1,
            from: 1,
            to: 2,
            at: 5,
        };
        assert_eq!(records.len(), 3);
        assert_eq!(records[0], Record::Switch(switch));
    }

    #[test]
    fn an_interrupt_has_no_syndrome_and_an_idle_core_no_cause() {
        let taken = Taken {
            esr: Some(0x9389_0045),
            far: None,
            elr: Some(0x1234),
        };
        let begin = Begin {
            taken: Some(taken),
            ..Begin::default()
        };
        let acknowledged = Acknowledged {
            first: Some(27),
            count: 2,
        };
        let record = |origin| {
            let ended = Ended { origin, ..EVENT };
            let event = event(0, 0, &begin, &ended, acknowledged);
            assert_eq!((event.interrupt, event.acknowledges), (Some(27), 2));
            (event.vector, event.from_aarch32, event.esr, event.elr)
        };
        let esr = taken.esr;
        assert_eq!(record(EVENT.origin), (0, false, esr, 0x1234));
        let sync32 = Origin::Lower32(Vector::Sync);
        assert_eq!(record(sync32), (0, true, esr, 0x1234));
        let irq = Origin::Lower(Vector::Irq);
        assert_eq!(record(irq), (1, false, None, 0x1234));
        assert_eq!(record(Origin::Wake), (4, false, None, 0));
        assert_eq!(record(Origin::Boot), (5, false, None, 0));
    }

    #[test]
    fn without_the_file_nothing_is_recorded() {
        let arguments = Arguments::parse(["el2=0x1000-0x2000"], |_| unreachable!()).unwrap();
        let mut journal = Journal::<Vec<u8>>::new(&arguments, 1, None);
        let begin = journal.begin(0, 0, Totals::default());
        assert_eq!(journal.end(0, &begin, &EVENT), None);
        journal.finish(Totals::default()).unwrap();
    }
}
