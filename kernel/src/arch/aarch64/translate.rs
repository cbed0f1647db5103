//! Asks the MMU what a guest's virtual address means.

use super::{cpu, mrs};
use core::arch::asm;

/// Translates a virtual address of the loaded guest, as its EL1 would read it, to a
/// guest-physical address; `None` if its own tables do not map it.
#[must_use]
pub fn guest_virtual(va: u64) -> Option<u64> {
    let saved = mrs!("par_el1");
    // SAFETY: the instruction only writes PAR_EL1, which is the guest's and put back below.
    unsafe { asm!("at s1e1r, {}", in(reg) va, options(nostack, preserves_flags)) }
    cpu::isb();
    let par = mrs!("par_el1");
    // SAFETY: the guest's own value.
    unsafe { super::msr!("par_el1", saved) }
    (par & 1 == 0).then_some(par & 0xffff_ffff_f000 | va & 0xfff)
}
