//! One event at EL2, while it is under way and when it has ended.

use crate::counts::{MarkId, OperationId, Stretch};
use crate::decode::Class;
use crate::lines::Lines;
use crate::vectors::Origin;

/// An event under way.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) mark: Option<MarkId>,
    pub(crate) instructions: u64,
    /// Exceptions within exceptions; 1 is the event itself.
    pub(crate) depth: u32,
    pub(crate) nested: u64,
    pub(crate) longest: Stretch,
    pub(crate) operations: Vec<OperationId>,
    pub(crate) classes: [u64; Class::COUNT],
    pub(crate) lines: Option<Lines>,
}

/// An event that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What it began with.
    pub origin: Origin,
    /// The first mark that was executed.
    pub mark: Option<MarkId>,
    /// Its instructions.
    pub instructions: u64,
    /// Exceptions taken at EL2 in it.
    pub nested: u64,
    /// Instructions of its longest masked stretch.
    pub longest: u64,
    /// Where that began.
    pub longest_from: u64,
    /// Instructions by class: the index is [`Class`] as a number.
    pub classes: [u64; Class::COUNT],
    /// Cache lines of code; 0 when they are not counted.
    pub code_lines: u64,
    /// Cache lines of data.
    pub data_lines: u64,
}

impl Event {
    /// What there is to say of it when it ends.
    pub(crate) fn ended(&self, origin: Origin) -> Ended {
        Ended {
            origin,
            mark: self.mark,
            instructions: self.instructions,
            nested: self.nested,
            longest: self.longest.instructions,
            longest_from: self.longest.from,
            classes: self.classes,
            code_lines: self.lines.as_ref().map_or(0, Lines::code),
            data_lines: self.lines.as_ref().map_or(0, Lines::data),
        }
    }
}
