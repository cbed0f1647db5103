//! Memory for the kernel's own objects and tables, all of it handed out while the kernel boots.
//!
//! There is no heap: an object that is made here lives for ever, and the arena is gone when the
//! first guest starts.

use super::Range;
use crate::arch::{copy, mmu};
use crate::fault::defect;
use stage2::Pa;

/// A block of RAM, filled from below.
pub struct Arena {
    next: u64,
    end: u64,
    start: u64,
}

/// A board runs out of kernel memory only with a description that `check` would have refused, before any guest runs.
#[cold]
#[inline(never)]
fn exhausted() -> ! {
    defect("its memory does not suffice for this system, which has too many partitions, vCPUs or regions")
}

impl Arena {
    /// Size of the block in bytes.
    pub const SIZE: u64 = 2 << 20;

    /// Takes over a block of RAM.
    ///
    /// # Safety
    ///
    /// The window shows it, and nothing else uses it.
    #[must_use]
    pub unsafe fn new(range: Range) -> Self {
        Self {
            start: range.start,
            next: range.start,
            end: range.end,
        }
    }

    /// Bytes handed out.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.next - self.start
    }

    /// `len` bytes aligned to `align`, a power of two.
    #[inline(never)]
    fn take(&mut self, len: u64, align: u64) -> Pa {
        let at = (self.next + align - 1) & !(align - 1);
        if at + len > self.end {
            exhausted();
        }
        self.next = at + len;
        Pa::new(at)
    }

    /// `count` contiguous zeroed frames of 4 KiB, aligned to their size.
    #[inline(never)]
    pub fn frames(&mut self, count: usize) -> Pa {
        let len = count as u64 * 4096;
        let pa = self.take(len, len.next_power_of_two());
        // SAFETY: just taken; the window shows it.
        unsafe { copy::clear(mmu::window(pa) as *mut u8, len as usize) }
        pa
    }

    /// `count` objects that live for ever, each made by `make`.
    pub fn slice<T>(&mut self, count: usize, mut make: impl FnMut(usize) -> T) -> &'static mut [T] {
        let mut room = self.room(count);
        for index in 0..count {
            room.push(make(index));
        }
        room.all()
    }

    /// Room for up to `most` objects whose making needs the arena too.
    pub fn room<T>(&mut self, most: usize) -> Room<T> {
        let pa = self.take((size_of::<T>() * most) as u64, align_of::<T>().max(64) as u64);
        Room { first: mmu::window(pa) as *mut T, count: 0, most }
    }

    /// A stack of `len` bytes with a frame below it that the caller unmaps: (guard, top).
    pub fn stack(&mut self, len: u64) -> (Pa, usize) {
        let guard = self.take(4096 + len, 4096);
        (guard, mmu::window(guard) + 4096 + len as usize)
    }
}

/// Room in the arena for objects that live for ever.
pub struct Room<T> {
    first: *mut T,
    count: usize,
    most: usize,
}

impl<T: 'static> Room<T> {
    /// Puts the next object in its place.
    pub fn push(&mut self, object: T) {
        if self.count >= self.most {
            exhausted();
        }
        // SAFETY: inside what `Arena::room` has taken, which is aligned, shown by the window and nobody else's.
        unsafe { self.first.add(self.count).write(object) }
        self.count += 1;
    }

    /// All that have been put there.
    #[must_use]
    pub fn all(self) -> &'static mut [T] {
        // SAFETY: so many have been written; the room is consumed, so nobody else has them.
        unsafe { core::slice::from_raw_parts_mut(self.first, self.count) }
    }
}
