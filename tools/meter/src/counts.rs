//! What is counted over a whole run: distributions, maxima and sums, by the cause of an event.

use crate::distribution::Distribution;
use crate::vectors::Origin;
use std::collections::BTreeMap;

/// The index of a mark in the arguments.
pub type MarkId = u16;
/// The index of an operation in the plugin's table.
pub type OperationId = u16;

/// A run of instructions with interrupts masked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Its length in instructions.
    pub instructions: u64,
    /// The address of its first instruction.
    pub from: u64,
    /// The address of its last.
    pub to: u64,
    /// The marks executed in it, in order, the first 32.
    pub path: Vec<MarkId>,
}

impl Stretch {
    /// Keeps the longer of the two.
    pub(crate) fn keep_longer(&mut self, other: &Self) {
        if other.instructions > self.instructions {
            self.clone_from(other);
        }
    }
}

/// A cause of events.
pub type Cause = (Origin, Option<MarkId>);

/// What was counted for one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions per event.
    pub instructions: Distribution,
    /// Cache lines of code and data per event, when they are counted.
    pub lines: Distribution,
    /// Those of code alone.
    pub code_lines: Distribution,
    /// Those of data alone.
    pub data_lines: Distribution,
    /// The longest masked stretch.
    pub longest: Stretch,
    /// Executions per operation.
    pub operations: BTreeMap<OperationId, u64>,
}

/// What was counted on one core, or on several after [`Results::merge`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// Instructions at EL2.
    pub instructions: u64,
    /// By cause.
    pub causes: BTreeMap<Cause, Counts>,
    /// Exceptions taken at EL2.
    pub nested: u64,
    /// Events that ended in another exception from a lower level, without an ERET seen. Not 0
    /// means that the plugin was told wrong addresses.
    pub lost: u64,
    /// Events under way at the end.
    pub unfinished: u64,
}

impl Results {
    /// Adds what another core counted.
    pub fn merge(&mut self, other: &Self) {
        self.instructions += other.instructions;
        self.nested += other.nested;
        self.lost += other.lost;
        self.unfinished += other.unfinished;
        for (cause, counts) in &other.causes {
            let into = self.causes.entry(*cause).or_default();
            into.instructions.merge(&counts.instructions);
            into.lines.merge(&counts.lines);
            into.code_lines.merge(&counts.code_lines);
            into.data_lines.merge(&counts.data_lines);
            into.longest.keep_longer(&counts.longest);
            for (operation, count) in &counts.operations {
                *into.operations.entry(*operation).or_default() += count;
            }
        }
    }
}
