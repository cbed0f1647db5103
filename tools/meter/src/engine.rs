//! The counting itself: a state machine per core, fed each instruction that the core executes
//! at EL2.
//!
//! - An *event* begins with the first instruction of a vector for a lower exception level and
//!   ends with ERET, both counted. Its *cause* is the vector, and the first mark executed after
//!   it. An exception taken at EL2 itself is part of the event it interrupts; its ERET does not
//!   end the event.
//! - WFI at EL2 ends an event too. What follows it is an event of its own, named `wake`: it is
//!   not the fault of the exception that left the core idle.
//! - What runs before the first ERET of a core is the event `boot`.
//! - A *masked stretch* is a run of instructions without a place where an interrupt could have
//!   been taken or noticed: it ends with ERET, WFI, and the polls of [`Flow::Poll`], which are
//!   counted to it, and an interrupt taken at EL2 begins another.

use crate::counts::{MarkId, OperationId, Results, Stretch};
use crate::decode::{Class, Flow};
use crate::event::{Ended, Event};
use crate::lines::Lines;
use crate::vectors::{Entry, Origin, Vector};

/// An instruction of the hypervisor, as it was translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its address, as the hypervisor is linked.
    pub address: u64,
    /// Whether a vector begins here.
    pub entry: Entry,
    /// What it does to the flow.
    pub flow: Flow,
    /// The mark that is here.
    pub mark: Option<MarkId>,
    /// The operation that is counted.
    pub operation: Option<OperationId>,
    /// Its class.
    pub class: Option<Class>,
}

/// The marks that are kept of one stretch.
const LONGEST_PATH: usize = 32;

/// One core.
#[derive(Debug)]
pub struct Core {
    results: Results,
    /// What the event under way began with; nothing while a lower level runs.
    origin: Option<Origin>,
    event: Event,
    stretch: Stretch,
    lines: bool,
}

impl Core {
    /// A core that has executed nothing. `lines` counts cache lines.
    pub fn new(lines: bool) -> Self {
        Self {
            results: Results::default(),
            origin: None,
            event: Event::default(),
            stretch: Stretch::default(),
            lines,
        }
    }

    /// Whether an event begins with this instruction, which is the next to be executed.
    pub fn begins(&self, instruction: &Instruction) -> bool {
        // Nothing is counted yet of an event `wake`: it begins when the core goes on.
        matches!(instruction.entry, Entry::Lower(_))
            || self.origin.is_none()
            || self.event.instructions == 0
    }

    /// Instructions at EL2 so far.
    pub fn instructions(&self) -> u64 {
        self.results.instructions
    }

    /// The core executes an instruction at EL2; returns the event that ends with it.
    pub fn execute(&mut self, instruction: &Instruction) -> Option<Ended> {
        match (instruction.entry, self.origin) {
            (Entry::Lower(origin), under_way) => {
                if under_way.is_some() {
                    self.results.lost += 1;
                }
                self.begin(origin);
            }
            (Entry::Current(vector), Some(_)) => {
                self.event.depth += 1;
                self.event.nested += 1;
                self.results.nested += 1;
                // An interrupt is taken where it was let in; anything else was not waited for.
                if matches!(vector, Vector::Irq | Vector::Fiq) {
                    self.end_stretch();
                }
            }
            (_, None) => self.begin(Origin::Boot),
            _ => {}
        }

        self.results.instructions += 1;
        self.event.instructions += 1;
        if self.stretch.instructions == 0 {
            self.stretch.from = instruction.address;
        }
        self.stretch.instructions += 1;
        self.stretch.to = instruction.address;
        if let Some(mark) = instruction.mark {
            self.event.mark.get_or_insert(mark);
            if self.stretch.path.len() < LONGEST_PATH {
                self.stretch.path.push(mark);
            }
        }
        if let Some(operation) = instruction.operation {
            self.event.operations.push(operation);
        }
        if let Some(class) = instruction.class {
            self.event.classes[class as usize] += 1;
        }
        if let Some(lines) = &mut self.event.lines {
            lines.fetch(instruction.address);
        }

        match instruction.flow {
            Flow::Plain => None,
            Flow::Poll => {
                self.end_stretch();
                None
            }
            Flow::Wait => {
                let ended = self.end_event();
                self.begin(Origin::Wake);
                ended
            }
            Flow::Return => {
                self.end_stretch();
                self.event.depth -= 1;
                match self.event.depth {
                    0 => self.end_event(),
                    _ => None,
                }
            }
        }
    }

    /// The instruction under way accesses memory that is not a device's.
    pub fn access(&mut self, address: u64) {
        if let (Some(_), Some(lines)) = (self.origin, &mut self.event.lines) {
            lines.access(address);
        }
    }

    /// What was counted; an event under way is `unfinished`.
    pub fn results(&self) -> Results {
        let mut results = self.results.clone();
        // A core that waits for something to do has nothing unfinished.
        results.unfinished += u64::from(self.origin.is_some() && self.event.instructions > 0);
        results
    }

    fn begin(&mut self, origin: Origin) {
        self.origin = Some(origin);
        self.event = Event {
            depth: 1,
            lines: self.lines.then(Lines::default),
            operations: std::mem::take(&mut self.event.operations),
            ..Event::default()
        };
        self.event.operations.clear();
        self.stretch = Stretch::default();
    }

    fn end_stretch(&mut self) {
        self.event.longest.keep_longer(&self.stretch);
        self.stretch.instructions = 0;
        self.stretch.path.clear();
    }

    fn end_event(&mut self) -> Option<Ended> {
        self.end_stretch();
        let origin = self.origin.take()?;
        let counts = self
            .results
            .causes
            .entry((origin, self.event.mark))
            .or_default();
        counts.instructions.add(self.event.instructions);
        counts.longest.keep_longer(&self.event.longest);
        for operation in &self.event.operations {
            *counts.operations.entry(*operation).or_default() += 1;
        }
        if let Some(lines) = &self.event.lines {
            counts.lines.add(lines.both());
            counts.code_lines.add(lines.code());
            counts.data_lines.add(lines.data());
        }
        Some(self.event.ended(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Cause;
    use proptest::prelude::*;

    const SYNC: Origin = Origin::Lower(Vector::Sync);
    const IRQ: Origin = Origin::Lower(Vector::Irq);

    fn plain(address: u64) -> Instruction {
        Instruction {
            address,
            entry: Entry::Not,
            flow: Flow::Plain,
            mark: None,
            operation: None,
            class: None,
        }
    }

    fn vector(offset: u64) -> Instruction {
        Instruction {
            entry: Entry::at(offset),
            ..plain(offset)
        }
    }

    fn with(flow: Flow, address: u64) -> Instruction {
        Instruction {
            flow,
            ..plain(address)
        }
    }

    fn marked(mark: MarkId, address: u64) -> Instruction {
        Instruction {
            mark: Some(mark),
            ..plain(address)
        }
    }

    fn run(instructions: &[Instruction]) -> Results {
        let mut core = Core::new(false);
        for instruction in instructions {
            core.execute(instruction);
        }
        core.results()
    }

    fn lengths(results: &Results, cause: Cause) -> Vec<(u64, u64)> {
        results
            .causes
            .get(&cause)
            .map_or(Vec::new(), |counts| counts.instructions.values().collect())
    }

    #[test]
    fn an_event_is_from_the_vector_to_eret_both_counted() {
        let results = run(&[
            plain(0),
            with(Flow::Return, 4),
            vector(0x400),
            plain(0x404),
            with(Flow::Return, 0x408),
            vector(0x480),
            with(Flow::Return, 0x484),
        ]);
        assert_eq!(lengths(&results, (Origin::Boot, None)), [(2, 1)]);
        assert_eq!(lengths(&results, (SYNC, None)), [(3, 1)]);
        assert_eq!(lengths(&results, (IRQ, None)), [(2, 1)]);
        assert_eq!(
            (results.instructions, results.lost, results.unfinished),
            (7, 0, 0)
        );
    }

    #[test]
    fn the_first_mark_after_the_vector_names_the_cause() {
        let results = run(&[
            vector(0x400),
            marked(5, 0x1000),
            marked(2, 0x2000),
            with(Flow::Return, 0x2004),
            vector(0x400),
            with(Flow::Return, 0x404),
        ]);
        assert_eq!(lengths(&results, (SYNC, Some(5))), [(4, 1)]);
        assert_eq!(lengths(&results, (SYNC, None)), [(2, 1)]);
        assert_eq!(results.causes[&(SYNC, Some(5))].longest.path, [5, 2]);
    }

    #[test]
    fn an_exception_at_el2_is_part_of_the_event_that_it_interrupts() {
        let results = run(&[
            vector(0x400),
            plain(0x404),
            vector(0x280),
            with(Flow::Return, 0x284),
            plain(0x408),
            with(Flow::Return, 0x40C),
        ]);
        assert_eq!(lengths(&results, (SYNC, None)), [(6, 1)]);
        assert_eq!((results.nested, results.lost), (1, 0));
        assert_eq!(results.causes[&(SYNC, None)].longest.instructions, 2);
    }

    #[test]
    fn a_poll_ends_a_stretch_and_not_the_event() {
        let results = run(&[
            vector(0x400),
            plain(0x404),
            with(Flow::Poll, 0x408),
            plain(0x40C),
            plain(0x410),
            marked(1, 0x414),
            with(Flow::Return, 0x418),
        ]);
        let counts = &results.causes[&(SYNC, Some(1))];
        assert_eq!(counts.instructions.max(), 7);
        let expected = Stretch {
            instructions: 4,
            from: 0x40C,
            to: 0x418,
            path: vec![1],
        };
        assert_eq!(counts.longest, expected);
    }

    #[test]
    fn idle_time_is_an_event_of_its_own() {
        let results = run(&[
            vector(0x400),
            with(Flow::Wait, 0x404),
            plain(0x408),
            with(Flow::Wait, 0x40C),
            marked(3, 0x410),
            plain(0x414),
            with(Flow::Return, 0x418),
        ]);
        assert_eq!(lengths(&results, (SYNC, None)), [(2, 1)]);
        assert_eq!(lengths(&results, (Origin::Wake, None)), [(2, 1)]);
        assert_eq!(lengths(&results, (Origin::Wake, Some(3))), [(3, 1)]);
        assert_eq!(results.unfinished, 0);
    }

    #[test]
    fn a_core_that_waits_has_nothing_unfinished_and_one_that_runs_has() {
        assert_eq!(run(&[vector(0x400), with(Flow::Wait, 0x404)]).unfinished, 0);
        assert_eq!(run(&[vector(0x400)]).unfinished, 1);
    }

    #[test]
    fn an_event_without_eret_is_lost_and_said_so() {
        let results = run(&[vector(0x400), vector(0x480), with(Flow::Return, 0x484)]);
        assert_eq!(results.lost, 1);
        assert_eq!(lengths(&results, (SYNC, None)), []);
        assert_eq!(lengths(&results, (IRQ, None)), [(2, 1)]);
    }

    #[test]
    fn operations_are_counted_for_the_cause_of_their_event() {
        let operation = |id| Instruction {
            operation: Some(id),
            ..plain(0x404)
        };
        let results = run(&[
            vector(0x400),
            operation(7),
            operation(7),
            with(Flow::Return, 0x408),
            vector(0x480),
            operation(1),
            with(Flow::Return, 0x484),
        ]);
        assert_eq!(results.causes[&(SYNC, None)].operations, [(7, 2)].into());
        assert_eq!(results.causes[&(IRQ, None)].operations, [(1, 1)].into());
    }

    #[test]
    fn lines_of_code_and_data_are_counted_once_per_event() {
        let mut core = Core::new(true);
        for _ in 0..2 {
            core.execute(&vector(0x400));
            core.access(0x9000);
            core.access(0x903F);
            core.access(0x9040);
            core.execute(&plain(0x404));
            core.execute(&with(Flow::Return, 0x440));
            // The guest's own accesses are not the event's.
            core.access(0xA000);
        }
        let counts = core.results().causes[&(SYNC, None)].clone();
        assert_eq!(counts.lines.values().collect::<Vec<_>>(), [(4, 2)]);
        assert_eq!(counts.code_lines.values().collect::<Vec<_>>(), [(2, 2)]);
        assert_eq!(counts.data_lines.values().collect::<Vec<_>>(), [(2, 2)]);
    }

    #[test]
    fn an_event_that_ends_says_what_was_in_it() {
        let mut core = Core::new(true);
        let program = [
            vector(0x400),
            with(Flow::Poll, 0x404),
            marked(4, 0x440),
            vector(0x200),
            with(Flow::Return, 0x204),
        ];
        for instruction in &program {
            assert_eq!(core.execute(instruction), None);
        }
        core.access(0x443);
        let eret = Instruction {
            class: Some(Class::Eret),
            ..with(Flow::Return, 0x444)
        };
        let ended = core.execute(&eret).unwrap();
        let mut classes = [0; Class::COUNT];
        classes[Class::Eret as usize] = 1;
        let expected = Ended {
            origin: SYNC,
            mark: Some(4),
            instructions: 6,
            nested: 1,
            longest: 3,
            longest_from: 0x440,
            classes,
            code_lines: 3,
            data_lines: 1,
        };
        assert_eq!(ended, expected);
    }

    #[test]
    fn an_event_begins_when_its_first_instruction_is_executed() {
        let mut core = Core::new(false);
        let mut begun = Vec::new();
        for instruction in [
            plain(0),
            with(Flow::Return, 4),
            vector(0x400),
            plain(0x404),
            with(Flow::Wait, 0x408),
            plain(0x40C),
            vector(0x280),
            with(Flow::Return, 0x284),
            with(Flow::Return, 0x410),
            vector(0x480),
        ] {
            if core.begins(&instruction) {
                begun.push(instruction.address);
            }
            core.execute(&instruction);
        }
        assert_eq!(begun, [0, 0x400, 0x40C, 0x480]);
    }

    #[test]
    fn a_path_keeps_its_first_marks() {
        let mut program = vec![vector(0x400)];
        program.extend((0..100).map(|mark| marked(mark, 0x404)));
        program.push(with(Flow::Return, 0x408));
        let results = run(&program);
        let path = &results.causes[&(SYNC, Some(0))].longest.path;
        assert_eq!(*path, (0..32).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn every_instruction_is_in_one_event(
            program in proptest::collection::vec(0u8..8, 0..300),
            cut in 0usize..300,
        ) {
            let instructions: Vec<_> = program
                .iter()
                .map(|kind| match kind {
                    0 => vector(0x400),
                    1 => vector(0x480),
                    2 => vector(0x280),
                    3 => with(Flow::Return, 0x500),
                    4 => with(Flow::Poll, 0x504),
                    5 => with(Flow::Wait, 0x508),
                    6 => marked(1, 0x50C),
                    _ => plain(0x510),
                })
                .collect();
            let whole = run(&instructions);
            let counted: u64 = whole.causes.values().map(|counts| counts.instructions.total()).sum();
            prop_assert_eq!(whole.instructions, instructions.len() as u64);
            prop_assert!(counted <= whole.instructions);
            if whole.lost == 0 && whole.unfinished == 0 {
                prop_assert_eq!(counted, whole.instructions);
            }
            for counts in whole.causes.values() {
                prop_assert!(counts.longest.instructions <= counts.instructions.max());
                prop_assert!(counts.longest.instructions > 0);
            }
            // Two cores together count what each counts.
            let cut = cut.min(instructions.len());
            let mut merged = run(&instructions[..cut]);
            let second = run(&instructions[cut..]);
            let sum = merged.instructions + second.instructions;
            merged.merge(&second);
            prop_assert_eq!(merged.instructions, sum);
        }
    }
}
