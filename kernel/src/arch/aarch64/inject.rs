//! Makes the loaded guest take a synchronous exception at its EL1.

use super::{cpu, mrs, msr};

/// Enters the guest's vector at `offset` with `esr`, and with `far` if it is an abort.
pub fn synchronous(esr: u64, far: Option<u64>, offset: u64) {
    let vector = mrs!("vbar_el1").wrapping_add(offset);
    let (pc, state) = (cpu::guest_pc(), cpu::guest_state());
    let ssbs = mrs!("sctlr_el1") >> 44 & 1;
    // SAFETY: EL1 registers of the loaded guest, as the processor itself would set them; the state selects EL1.
    unsafe {
        msr!("esr_el1", esr);
        if let Some(far) = far {
            msr!("far_el1", far);
        }
        msr!("elr_el1", pc);
        msr!("spsr_el1", state);
        // EL1 with its own stack pointer, all masked; DIT stays, SSBS is as SCTLR_EL1.DSSBS says. PAN and the like are absent from
        // the machine that guests see.
        cpu::set_guest_state(0x3c5 | state & 1 << 24 | ssbs << 12);
    }
    cpu::set_guest_pc(vector);
}
