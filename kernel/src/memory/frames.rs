//! RAM that is still free while the kernel boots. Nothing is ever given back.

/// Physical addresses from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Range {
    /// `len` bytes from `start` on, as far as the address space goes.
    #[must_use]
    pub const fn new(start: u64, len: u64) -> Self {
        Self {
            start,
            end: start.saturating_add(len),
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has no byte in common with `other`.
    #[must_use]
    pub const fn is_apart(&self, other: &Self) -> bool {
        self.end <= other.start || other.end <= self.start
    }
}

/// A few ranges of RAM, kept in order of address.
#[derive(Clone, Debug)]
pub struct Frames {
    free: [Range; Self::MOST],
    count: usize,
}

impl Frames {
    /// Ranges that can be kept. A board has a few banks and a few reservations in each.
    pub const MOST: usize = 32;

    /// No RAM.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            free: [Range { start: 0, end: 0 }; Self::MOST],
            count: 0,
        }
    }

    /// The free ranges.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.free[..self.count]
    }

    /// Adds a bank of RAM. Ranges beyond [`Self::MOST`] are not used.
    pub fn add(&mut self, range: Range) {
        if range.len() == 0 || self.count == Self::MOST {
            return;
        }
        let at = self.ranges().partition_point(|r| r.start < range.start);
        self.free.copy_within(at..self.count, at + 1);
        self.free[at] = range;
        self.count += 1;
    }

    /// Takes out what is used already.
    pub fn reserve(&mut self, used: Range) {
        if used.len() == 0 {
            return;
        }
        let before = self.clone();
        self.count = 0;
        for range in before.ranges() {
            if range.is_apart(&used) {
                self.add(*range);
            } else {
                self.add(Range { start: range.start, end: used.start.min(range.end).max(range.start) });
                self.add(Range { start: used.end.max(range.start).min(range.end), end: range.end });
            }
        }
    }

    /// Takes `len` bytes aligned to `align`, from the lowest range that has them.
    pub fn take(&mut self, len: u64, align: u64) -> Option<Range> {
        let found = self.ranges().iter().find_map(|range| {
            let start = range.start.checked_next_multiple_of(align)?;
            let end = start.checked_add(len)?;
            (end <= range.end).then_some(Range { start, end })
        })?;
        self.reserve(found);
        Some(found)
    }

    /// Takes exactly `range` if all of it is free.
    pub fn take_at(&mut self, range: Range) -> bool {
        let free = self
            .ranges()
            .iter()
            .any(|r| r.start <= range.start && range.end <= r.end);
        if free {
            self.reserve(range);
        }
        free
    }

    /// The largest range that is left, in bytes.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.ranges().iter().map(Range::len).max().unwrap_or(0)
    }
}
