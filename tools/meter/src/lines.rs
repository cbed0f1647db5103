//! The cache lines that an event touches: distinct lines of 64 bytes, the size in the cores that
//! Tessera runs on.

use std::collections::BTreeSet;

/// Bytes of a line, as a shift.
const SHIFT: u32 = 6;

/// The lines of one event.
#[derive(Debug, Default)]
pub struct Lines {
    code: BTreeSet<u64>,
    data: BTreeSet<u64>,
    /// The line of the last instruction: most follow in the same.
    last: Option<u64>,
}

impl Lines {
    /// An instruction is fetched.
    pub fn fetch(&mut self, address: u64) {
        let line = address >> SHIFT;
        if self.last != Some(line) {
            self.last = Some(line);
            self.code.insert(line);
        }
    }

    /// Memory is read or written.
    pub fn access(&mut self, address: u64) {
        self.data.insert(address >> SHIFT);
    }

    /// Lines of code.
    pub fn code(&self) -> u64 {
        self.code.len() as u64
    }

    /// Lines of data.
    pub fn data(&self) -> u64 {
        self.data.len() as u64
    }

    /// Lines of either: one that is both - constants between functions - is one.
    pub fn both(&self) -> u64 {
        self.code.union(&self.data).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_counted_once_however_it_is_touched() {
        let mut lines = Lines::default();
        for address in [0x1000, 0x1004, 0x1040, 0x103C, 0x1000] {
            lines.fetch(address);
        }
        for address in [0x1040, 0x107F, 0x2000] {
            lines.access(address);
        }
        assert_eq!((lines.code(), lines.data(), lines.both()), (2, 2, 3));
    }
}
