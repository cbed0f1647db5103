//! Stage-2 tables over the arena's frames.

use super::Arena;
use crate::arch::mmu;
use stage2::{Pa, Tables};

impl Tables for Arena {
    fn allocate(&mut self, frames: usize) -> Option<Pa> {
        Some(self.frames(frames))
    }

    fn entry(&self, table: Pa, index: usize) -> u64 {
        // SAFETY: `table` came from `allocate`, and the index is below its entries.
        unsafe { (mmu::window(table) as *const u64).add(index).read_volatile() }
    }

    fn set_entry(&mut self, table: Pa, index: usize, value: u64) {
        // SAFETY: as for `entry`; a single store.
        unsafe { (mmu::window(table) as *mut u64).add(index).write_volatile(value) }
    }
}
