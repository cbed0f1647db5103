//! A physical interrupt that stands for a virtual one of the vCPU that is loaded here.

use crate::id::{IntId, VcpuIndex, VcpuSet};
use crate::interface::CpuInterface;
use crate::vgic::Vgic;

impl Vgic<'_> {
    /// [`sync`](Vgic::sync), [`inject_hw`](Vgic::inject_hw) and [`flush`](Vgic::flush) in one. Where it came before and
    /// nothing else happened, [`quick_hw`](Vgic::quick_hw) does the same in a few instructions.
    #[inline(never)]
    pub fn deliver_hw<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        intid: IntId,
        pintid: IntId,
        hw: &mut H,
    ) -> VcpuSet {
        let kicks = self.sync(vcpu, hw);
        kicks | self.inject_hw(vcpu, intid, pintid).without(vcpu) | self.flush(vcpu, hw)
    }
}
