//! The shortest way: a physical interrupt straight into a free list register.
//!
//! On a pinned core this is what an interrupt costs at EL2, so the ready sets are passed by when they have no
//! part in it: nothing waits, nothing is spilled, a list register is free.

use crate::id::{IntId, VcpuIndex, VcpuSet};
use crate::interface::{CpuInterface, Groups, Was};
use crate::list_register::ListRegister;
use crate::vgic::Vgic;

impl Vgic<'_> {
    /// [`sync`](Vgic::sync), [`inject_hw`](Vgic::inject_hw) and [`flush`](Vgic::flush) in one, for the vCPU that is loaded
    /// here: the same in effect, and much shorter when the list registers are not full.
    #[inline(never)]
    pub fn deliver_hw<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        intid: IntId,
        pintid: IntId,
        hw: &mut H,
    ) -> VcpuSet {
        if self.repeat_hw(vcpu, intid, pintid, hw) {
            return VcpuSet::EMPTY;
        }
        self.deliver_new(vcpu, intid, pintid, hw)
    }

    /// The same for one that has no list register, or that was disturbed in it.
    #[inline]
    fn deliver_new<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        intid: IntId,
        pintid: IntId,
        hw: &mut H,
    ) -> VcpuSet {
        let kicks = self.sync(vcpu, hw);
        if self.place_hw(vcpu, intid, pintid, hw) {
            return kicks;
        }
        kicks | self.inject_hw(vcpu, intid, pintid).without(vcpu) | self.flush(vcpu, hw)
    }

    /// If its list register has held it since it came last, only sets the pending bit there. It came again, so
    /// the guest has ended it, and nobody needs to be told.
    #[inline(always)]
    fn repeat_hw<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        intid: IntId,
        pintid: IntId,
        hw: &mut H,
    ) -> bool {
        let (word, bit) = ((intid.get() >> 5) as u8, u32::from(intid.get() & 31));
        let Some((block, lists)) = self.pair(word, vcpu.get()) else {
            return false;
        };
        if block.express & 1u32.wrapping_shl(bit) == 0
            || !lists.is_quiet()
            || block.owner(bit) != vcpu.get()
        {
            return false;
        }
        hw.make_pending(usize::from(block.slot(bit)), Was::Ended(pintid))
    }

    /// Writes it into a list register, if that is all there is to do.
    #[inline]
    fn place_hw<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        intid: IntId,
        pintid: IntId,
        hw: &mut H,
    ) -> bool {
        let groups = self.dist.groups;
        let Some(spot) = self.spot(vcpu, intid) else {
            return false;
        };
        let Some((block, lists)) = self.pair(spot.word, vcpu.get()) else {
            return false;
        };
        let (mask, bit) = (spot.mask(), spot.bit);
        let slot = (!lists.used).trailing_zeros();
        let group1 = block.group1 & mask != 0;
        let group = if group1 {
            Groups::GROUP1
        } else {
            Groups::GROUP0
        };
        let busy = block.active | block.held | block.linked | block.pending_outside();
        let plain = block.enabled & block.routed & !busy & mask != 0
            && block.target(bit) == vcpu.get()
            && (spot.word != 0 || bit >= 16)
            && groups.contains(group)
            && lists.is_quiet()
            && lists.loaded
            && lists.maintenance.is_off()
            && (slot as usize) < hw.list_registers();
        if !plain {
            return false;
        }
        let level = block.ready_level(bit);
        let lr = ListRegister::new(intid.get(), level.wrapping_shl(3), group1).with_pending();
        block.express |= mask;
        block.held |= mask;
        block.held_pending |= mask;
        block.held_latch |= mask;
        block.held_physical |= mask;
        block.linked |= mask;
        block.set_pintid(bit, pintid.get());
        block.set_place(bit, vcpu.get(), slot as u8);
        lists.set_slot(slot, intid.get());
        lists.used |= 1u32.wrapping_shl(slot);
        hw.write(slot as usize, lr.with_physical(pintid.get()));
        true
    }
}
