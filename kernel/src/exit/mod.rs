//! Exits: one file per cause.
//!
//! The entry code calls one of four functions with the interrupted frame: `interrupt::entry`,
//! `call::entry` (HVC, which needs few registers), `serror::entry`, and [`trap_entry`] for
//! everything else. A handler changes the guest's registers or the core's state and ends with
//! [`Core::leave`]. No value here that a guest controls can stop the kernel.

pub mod abort;
pub mod call;
pub mod fp;
pub mod interrupt;
pub mod serror;
pub mod sysreg;
pub mod undefined;
pub mod wait;

use crate::arch::context::Frame;
use crate::arch::vectors::Resume;
use crate::sched::Core;
use exit::Exit;

/// A synchronous exception that is not HVC. All 31 registers are in the frame.
pub extern "C" fn trap_entry(frame: *mut Frame, esr: u64) -> Resume {
    // SAFETY: once per entry.
    let core = unsafe { Core::current() };
    core.begin(frame);
    match exit::decode(esr) {
        Exit::DataAbort(abort) => abort::data(core, esr, abort),
        Exit::Sysreg(access) => sysreg::access(core, access),
        Exit::Wait { event } => wait::wait(core, event),
        Exit::FloatingPoint => fp::first_use(core),
        Exit::Smc(immediate) => call::smc(core, immediate),
        Exit::InstructionAbort(abort) => abort::instruction(core, esr, abort),
        Exit::Hvc(_) | Exit::Other(_) => core.fault("an exception that is not supported", esr, 0),
    }
    core.leave()
}

/// The guest goes on after the instruction that trapped.
#[inline(always)]
pub fn skip() {
    crate::arch::cpu::set_guest_pc(crate::arch::cpu::guest_pc().wrapping_add(4));
}
