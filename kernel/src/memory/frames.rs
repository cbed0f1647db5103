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

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The pages of 4 KiB that it touches.
    #[must_use]
    pub const fn whole_pages(&self) -> Self {
        Self { start: self.start & !0xfff, end: self.end.saturating_add(0xfff) & !0xfff }
    }
}

/// A few ranges of RAM, in no order.
#[derive(Clone, Debug)]
pub struct Frames {
    list: [Range; Self::MOST],
    count: usize,
    full: bool,
}

impl Frames {
    /// Ranges that can be kept. A board has a few banks and a few reservations in each.
    pub const MOST: usize = 64;

    /// No RAM.
    #[must_use]
    #[inline(always)]
    pub const fn new() -> Self {
        Self {
            list: [Range { start: 0, end: 0 }; Self::MOST],
            count: 0,
            full: false,
        }
    }

    /// The ranges.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        self.list.get(..self.count).unwrap_or(&[])
    }

    /// Whether there was a range too many: it is not among them.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Adds a range, if it is not empty.
    #[inline(never)]
    pub fn add(&mut self, range: Range) {
        if range.len() == 0 {
            return;
        }
        match self.list.get_mut(self.count) {
            Some(place) => {
                *place = range;
                self.count += 1;
            }
            None => self.full = true,
        }
    }

    /// Takes out what is used already.
    #[inline(never)]
    pub fn reserve(&mut self, used: Range) {
        if used.len() == 0 {
            return;
        }
        let mut at = 0;
        while let Some(&range) = self.ranges().get(at) {
            if range.is_apart(&used) {
                at += 1;
                continue;
            }
            // What is left of it goes to the end; the last comes here and is looked at next.
            self.count -= 1;
            self.list[at] = self.list[self.count];
            self.add(Range { end: used.start, ..range });
            self.add(Range { start: used.end, ..range });
        }
    }

    /// Takes `len` bytes aligned to `align`, from the lowest range that has them.
    #[inline(never)]
    pub fn take(&mut self, len: u64, align: u64) -> Option<Range> {
        let mut found: Option<Range> = None;
        for range in self.ranges() {
            if let Some(start) = range.start.checked_next_multiple_of(align)
                && let Some(end) = start.checked_add(len)
                && end <= range.end
                && found.is_none_or(|found| start < found.start)
            {
                found = Some(Range { start, end });
            }
        }
        self.reserve(found?);
        found
    }

    /// Whether all of `range` is in one of the ranges.
    #[must_use]
    #[inline(never)]
    pub fn contains(&self, range: &Range) -> bool {
        self.ranges().iter().any(|r| r.contains(range))
    }

    /// Takes exactly `range` if all of it is free.
    pub fn take_at(&mut self, range: Range) -> bool {
        let free = self.contains(&range);
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
