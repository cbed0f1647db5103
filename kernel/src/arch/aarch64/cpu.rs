//! The core as a whole: identity, waiting, pending interrupts, barriers.

use super::{mrs, msr};
use core::arch::asm;

/// The exception level of this code: 1, 2 or 3.
#[must_use]
pub fn exception_level() -> u64 {
    mrs!("CurrentEL") >> 2 & 3
}

/// Affinity of this core, MPIDR_EL1 without the U, MT and RES1 bits.
#[must_use]
pub fn affinity() -> u64 {
    mrs!("mpidr_el1") & 0xff_00ff_ffff
}

/// MIDR_EL1: which core this is.
#[must_use]
pub fn midr() -> u64 {
    mrs!("midr_el1")
}

/// Whether an interrupt waits for EL2 (ISR_EL1, the I and F bits). EL2 runs masked and asks here between steps.
#[inline(always)]
#[must_use]
pub fn interrupt_pending() -> bool {
    mrs!("isr_el1") & 0xc0 != 0
}

/// Whether an SError waits for EL2. What the context that ran last has posted is waited for first.
#[inline(always)]
#[must_use]
pub fn late_serror_pending() -> bool {
    dsb();
    isb();
    mrs!("isr_el1") & 0x100 != 0
}

/// [`late_serror_pending`], and takes it if so.
#[must_use]
pub fn take_late_serror() -> bool {
    if !late_serror_pending() {
        return false;
    }
    // SAFETY: unmasks SError for a moment; the vector at 0x380 only returns, and what it changes is put back.
    unsafe {
        asm!(
            "mrs {pc}, elr_el2", "mrs {state}, spsr_el2", "msr daifclr, #4", "isb", "msr daifset, #4",
            "msr elr_el2, {pc}", "msr spsr_el2, {state}",
            pc = out(reg) _, state = out(reg) _, options(nostack, preserves_flags)
        );
    }
    true
}

/// Waits for an interrupt; returns at once if one is pending, masked or not.
pub fn wait_for_interrupt() {
    // SAFETY: waiting has no effect on memory; the barrier makes earlier writes visible first.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) }
}

/// Waits for an event; for spin loops.
#[inline(always)]
pub fn wait_for_event() {
    // SAFETY: waiting has no effect on memory.
    unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) }
}

/// Lets another hardware thread go first; for loops that wait for another core.
pub fn yield_now() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) }
}

/// Waits until a halfword has a value: another core will store it.
#[inline(always)]
pub fn wait_until_equal(word: &core::sync::atomic::AtomicU16, value: u16) {
    // SAFETY: only loads the halfword. The exclusive load arms the monitor that the other core's store clears.
    unsafe {
        asm!(
            "2: ldaxrh {seen:w}, [{word}]", "cmp {seen:w}, {value:w}", "b.eq 3f", "wfe", "b 2b", "3: clrex",
            seen = out(reg) _, word = in(reg) word, value = in(reg) u32::from(value), options(nostack)
        );
    }
}

/// Synchronises the context: earlier system-register writes take effect now.
#[inline(always)]
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) }
}

/// Orders everything before against everything after, for the whole system.
#[inline(always)]
pub fn dsb() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
}

/// The pointer this core keeps for itself (TPIDR_EL2).
#[inline(always)]
#[must_use]
pub fn own_pointer() -> usize {
    mrs!("tpidr_el2") as usize
}

/// Sets the pointer this core keeps for itself.
pub fn set_own_pointer(value: usize) {
    // SAFETY: TPIDR_EL2 is free for software and affects nothing by itself.
    unsafe { msr!("tpidr_el2", value as u64) }
}

/// Stops this core for ever.
pub fn halt() -> ! {
    loop {
        wait_for_event();
    }
}

/// The program counter of the guest that was interrupted (ELR_EL2).
#[inline(always)]
#[must_use]
pub fn guest_pc() -> u64 {
    mrs!("elr_el2")
}

/// Changes the program counter of the guest that was interrupted.
#[inline(always)]
pub fn set_guest_pc(value: u64) {
    // SAFETY: ELR_EL2 is only used by the return to a guest, which may run at any of its addresses.
    unsafe { msr!("elr_el2", value) }
}

/// The processor state of the guest that was interrupted (SPSR_EL2).
#[must_use]
pub fn guest_state() -> u64 {
    mrs!("spsr_el2")
}

/// Changes the processor state of the guest that was interrupted.
///
/// # Safety
///
/// `value` must select EL1 or EL0: it is where the exception return goes.
pub unsafe fn set_guest_state(value: u64) {
    // SAFETY: the caller vouches for the level.
    unsafe { msr!("spsr_el2", value) }
}

/// FAR_EL2: the virtual address of the last abort.
#[must_use]
pub fn fault_address() -> u64 {
    mrs!("far_el2")
}

/// HPFAR_EL2 as a guest-physical page address.
#[must_use]
pub fn fault_page() -> u64 {
    (mrs!("hpfar_el2") & 0xfff_ffff_fff0) << 8
}
