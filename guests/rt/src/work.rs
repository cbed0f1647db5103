//! The instructions that are this guest's own: its work, and how it misbehaves when told to.

use bare::arch;
use core::arch::asm;

/// Instructions of one round of [`work`].
pub const WORK_INSTRUCTIONS: u64 = 4;

/// The work: `rounds` rounds of a dependent computation, [`WORK_INSTRUCTIONS`] each.
#[inline(never)]
pub fn work(rounds: u64) {
    if rounds == 0 {
        return;
    }
    // SAFETY: registers only.
    unsafe {
        asm!(
            "2: add {value}, {value}, {left}",
            "eor {value}, {value}, {value}, ror #7",
            "subs {left}, {left}, #1",
            "b.ne 2b",
            value = inout(reg) rounds => _,
            left = inout(reg) rounds => _,
            options(nomem, nostack),
        );
    }
}

/// Spins with interrupts masked, for ever.
pub fn loop_masked() -> ! {
    arch::disable_interrupts();
    loop {
        work(u64::MAX);
    }
}

/// Executes an undefined instruction.
pub fn undefined_instruction() {
    // SAFETY: traps to the vectors, which do not come back.
    unsafe { asm!("udf #0x7e5", options(nostack)) };
}
