//! The first use of FP or SIMD since another vCPU had the registers. The instruction is executed again.

use crate::sched::Core;

/// Gives the FP registers to the vCPU that was interrupted.
#[inline(never)]
pub fn first_use(core: &mut Core) {
    core.give_fp();
}
