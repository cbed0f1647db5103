//! A fair spin lock.
//!
//! Tickets give first-come-first-served order, both counters in one word. The wait arms the exclusive monitor on the number being served
//! and then waits for an event: the owner's release is a store to it, which clears the monitor and so is
//! the event (Arm ARM D1.6.1). Under one host thread per machine, as with QEMU's instruction counting, a
//! spin without WFE or YIELD would burn billions of instructions.
//!
//! Lock order, outermost first: a partition's `Shared`, then the console's `Output`. A lock is
//! never held while waiting for another core, and never taken twice.

use super::cpu;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// A value behind a ticket lock. EL2 runs with interrupts masked, so holding it cannot be interrupted.
#[repr(C)]
pub struct SpinLock<T> {
    /// The ticket that is served in the lower half, the next to be drawn in the upper half.
    tickets: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives access to one core at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// Access to the value; releases the lock when dropped.
pub struct Guard<'a, T> {
    lock: &'a SpinLock<T>,
}

/// One ticket drawn.
const DRAWN: u32 = 1 << 16;

impl<T> SpinLock<T> {
    /// An open lock.
    pub const fn new(value: T) -> Self {
        Self {
            tickets: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for its turn.
    #[inline(never)]
    pub fn lock(&self) -> Guard<'_, T> {
        self.enter()
    }

    /// [`SpinLock::lock`] in place, for the shortest paths.
    #[inline(always)]
    pub fn enter(&self) -> Guard<'_, T> {
        let tickets = self.tickets.fetch_add(DRAWN, Ordering::Acquire);
        if tickets != tickets.rotate_right(16) {
            cpu::wait_until_equal(self.serving(), (tickets >> 16) as u16);
        }
        Guard { lock: self }
    }

    /// Takes the lock only if it is free.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        let free = self.tickets.load(Ordering::Relaxed) >> 16;
        let free = free << 16 | free;
        self.tickets
            .compare_exchange(free, free.wrapping_add(DRAWN), Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Guard { lock: self })
    }

    /// Opens the lock whoever holds it. Only for a kernel that is about to stop.
    pub fn force_unlock(&self) {
        let next = self.tickets.load(Ordering::Relaxed) >> 16;
        self.serving().store(next as u16, Ordering::Release);
    }

    #[inline(always)]
    fn serving(&self) -> &AtomicU16 {
        // SAFETY: the lower half of the word comes first (little-endian). A halfword and the word around it are each accessed
        // whole (Arm ARM B2.2.1), by instructions that the compiler keeps as they are.
        unsafe { &*self.tickets.as_ptr().cast::<AtomicU16>() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        let serving = self.lock.serving();
        serving.store(serving.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this guard's ticket is the one being served, so no other reference exists.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`.
        unsafe { &mut *self.lock.value.get() }
    }
}
