//! Cache maintenance by address (Arm ARM D7.5): what a guest reads before its own caches are on, or executes,
//! must be in memory, not only in EL2's cache.

use super::mrs;
use core::arch::asm;

/// The smallest data cache line in bytes (CTR_EL0.DminLine).
#[must_use]
pub fn line() -> usize {
    4 << (mrs!("ctr_el0") >> 16 & 15)
}

/// Cleans and invalidates `[start, start + len)` to the point of coherency. No barrier: see [`finish`].
pub fn clean_invalidate(start: usize, len: usize, line: usize) {
    let mut at = start & !(line - 1);
    while at < start + len {
        // SAFETY: cleaning and invalidating loses nothing; the range is mapped.
        unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) }
        at += line;
    }
}

/// Cleans `[start, start + len)` to the point of coherency. No barrier.
pub fn clean(start: usize, len: usize, line: usize) {
    let mut at = start & !(line - 1);
    while at < start + len {
        // SAFETY: cleaning loses nothing; the range is mapped.
        unsafe { asm!("dc cvac, {}", in(reg) at, options(nostack, preserves_flags)) }
        at += line;
    }
}

/// Completes earlier maintenance and makes every core of the inner domain forget its instructions.
pub fn finish() {
    // SAFETY: barriers and an invalidation of clean caches.
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) }
}
