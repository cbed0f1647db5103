//! Exceptions that the kernel makes happen in a guest, as the hardware it sees would
//! (Arm ARM D1.10.2, "Exception vectors"; AArch64.TakeException).

use crate::arch::{cpu, inject};

/// Undefined instruction: the guest used what its machine does not have.
/// `esr` is the trap's, whose bit 25 says how long the instruction is.
pub fn undefined(esr: u64) {
    // Exception class 0.
    take(esr & 1 << 25, None);
}

/// Synchronous external abort: nothing answers at that address.
pub fn external_abort(data: bool, write: bool, virtual_address: u64) {
    let from_el0 = cpu::guest_state() & 0xf == 0;
    // Data or instruction abort, from a lower or the same level; DFSC 0x10.
    let class = match (data, from_el0) {
        (true, true) => 0x24,
        (true, false) => 0x25,
        (false, true) => 0x20,
        (false, false) => 0x21u64,
    };
    let write = u64::from(data && write) << 6;
    take(class << 26 | 1 << 25 | write | 0x10, Some(virtual_address));
}

fn take(esr: u64, far: Option<u64>) {
    let state = cpu::guest_state();
    // Vector offset: current level with SP_EL0 or SP_EL1, lower level AArch64 or AArch32.
    let offset = match state & 0x1f {
        0b00100 => 0x000,
        0b00101 => 0x200,
        0b00000 => 0x400,
        _ => 0x600,
    };
    inject::synchronous(esr, far, offset);
}
