//! Exits: one file per cause.
//!
//! The entry code calls one of these functions with the interrupted frame: those of `interrupt`, `serror::entry`, and
//! [`trap_entry`] for everything else; but before that the `quick` functions of `abort`, `call`, `interrupt` and `sysreg` do what
//! guests do most, or decline. A full handler changes the guest's registers or the core's state and ends with
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
use crate::arch::cpu;
use crate::arch::vectors::Resume;
use crate::object::Vcpu;
use crate::sched::Core;
use exit::Exit;

/// The vCPU that was interrupted.
///
/// # Safety
///
/// `frame` is what the entry code gave, and no other reference to that vCPU is in use.
#[inline(always)]
unsafe fn interrupted<'a>(frame: *mut Frame) -> &'a mut Vcpu {
    // SAFETY: SP_EL2 pointed to the frame of the loaded vCPU, which is the first field of a `Vcpu` that lives for ever.
    unsafe { &mut *frame.cast::<Vcpu>() }
}

/// Whether a quick entry may use general register `n`: x19-x29 are not in the frame.
#[inline(always)]
fn is_saved(n: u8) -> bool {
    n.wrapping_sub(19) > 10
}

/// Whether the guest simply goes on after an instruction that trapped: AArch64, no software step.
#[inline(always)]
fn is_plain_state() -> bool {
    cpu::guest_state() & (STEP | AARCH32) == 0
}

/// [`skip`] where [`is_plain_state`].
#[inline(always)]
fn skip_plain() {
    cpu::set_guest_pc(cpu::guest_pc().wrapping_add(4));
}

/// A synchronous exception that has no quick way. All 31 registers are in the frame.
pub extern "C" fn trap_entry(frame: *mut Frame, esr: u64) -> Resume {
    // SAFETY: once per entry.
    let core = unsafe { Core::current() };
    core.begin(frame);
    match exit::decode(esr) {
        Exit::DataAbort(abort) => abort::data(core, esr, abort),
        Exit::Sysreg(access) => sysreg::access(core, esr, access),
        Exit::Wait { event } => wait::wait(core, esr, event),
        Exit::FloatingPoint => fp::first_use(core),
        Exit::Smc(immediate) => call::smc(core, esr, immediate),
        Exit::InstructionAbort(abort) => abort::instruction(core, esr, abort),
        Exit::Undefined => undefined::undefined(esr),
        Exit::Hvc(immediate) => call::call(core, immediate),
        Exit::Other(_) => core.fault("an exception that is not supported", esr, 0),
    }
    core.leave()
}

/// The guest goes on after the instruction that trapped, which is as long as bit 25 of the syndrome says.
pub fn skip(esr: u64) {
    let length = if esr & 1 << 25 != 0 { 4 } else { 2 };
    cpu::set_guest_pc(cpu::guest_pc().wrapping_add(length));
    let state = cpu::guest_state();
    // A step that was under way is over; an IT block of AArch32 moves on.
    if state & (STEP | AARCH32) != 0 {
        let state = if state & AARCH32 != 0 { after_it(state) } else { state };
        // SAFETY: the level that was interrupted.
        unsafe { cpu::set_guest_state(state & !STEP) }
    }
}

/// SPSR_EL2: AArch32 (M[4]).
pub const AARCH32: u64 = 1 << 4;
/// SPSR_EL2: software step.
const STEP: u64 = 1 << 21;

/// SPSR_EL2 with the IT bits advanced (Arm ARM, AArch32.ITAdvance): bits 15:10 are IT[7:2], 26:25 IT[1:0].
fn after_it(state: u64) -> u64 {
    let it = (state >> 10 & 0x3f) << 2 | state >> 25 & 3;
    let it = if it & 7 == 0 { 0 } else { it & 0xe0 | it << 1 & 0x1f };
    state & !(0x3f << 10 | 3 << 25) | (it >> 2) << 10 | (it & 3) << 25
}
