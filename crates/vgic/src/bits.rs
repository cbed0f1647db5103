//! The harder half of the registers with a bit per interrupt: reads of a state that may be in list registers, and writes
//! that make interrupts active or end that (IHI 0048, 4.3; IHI 0069, 12.9).

use crate::block::Bits;
use crate::id::{VcpuIndex, VcpuSet};
use crate::vgic::{Spot, Vgic, intid_of};

impl Vgic<'_> {
    /// Sees to it that the state of the held interrupts of `mask` is known; gives the vCPUs to wait for. `key` is a number for
    /// the register that `vcpu` reads, so that a repeated read is recognised.
    ///
    /// The first read of a register marks the list registers that it depends on. When the same read comes again, and all
    /// of them have been revised since, what is known is recent enough, even though the interrupts
    /// are held again.
    pub(crate) fn observe(&mut self, vcpu: u8, key: u32, spot: Spot, mask: u32) -> VcpuSet {
        let Spot { home, word, .. } = spot;
        let mut waiting = VcpuSet::EMPTY;
        let Some((block, lists)) = self.block(home, word).zip(self.lists(vcpu)) else {
            return waiting;
        };
        let unknown = block.held & mask;
        if lists.reading == key {
            for bit in Bits(unknown) {
                let owner = block.owner(bit);
                let marked = self.lists(owner).map_or(0, |lists| lists.dirty);
                if marked & 1u32.wrapping_shl(u32::from(block.slot(bit))) != 0 {
                    waiting = waiting.with(VcpuIndex::new(owner));
                }
            }
        } else {
            waiting = self.mark_dirty(home, word, unknown);
        }
        // With nobody to wait for, the read is done.
        if let Some(lists) = self.lists_mut(vcpu) {
            lists.reading = if waiting.is_empty() { 0 } else { key };
        }
        waiting
    }

    /// Makes the interrupts of `mask`, which are neither active nor in a list register, active on the vCPUs that they go to.
    #[inline]
    pub(crate) fn activate(&mut self, home: u8, word: u8, mask: u32) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        // Before `active` is set, while the ready sets are as the state says.
        self.unqueue(home, word, mask);
        for bit in Bits(mask) {
            let Some(block) = self.block_mut(home, word) else {
                continue;
            };
            let target = if block.routed & 1u32.wrapping_shl(bit) != 0 {
                block.target(bit)
            } else {
                0
            };
            block.start(bit);
            let level = block.active_level(bit);
            block.set_place(bit, target, 0);
            if let Some(lists) = self.lists_mut(target) {
                lists.insert_spilled(level, intid_of(word, bit));
            }
            kicks |= VcpuSet::only(VcpuIndex::new(target));
        }
        kicks
    }

    /// Ends the active state of the interrupts of `mask`, which are in no list register.
    #[inline]
    pub(crate) fn deactivate_spilled(
        &mut self,
        accessor: u8,
        home: u8,
        word: u8,
        mask: u32,
    ) -> VcpuSet {
        for bit in Bits(mask) {
            let Some(owner) = self.block(home, word).map(|block| block.owner(bit)) else {
                continue;
            };
            let Some((block, lists)) = self.pair(word, owner) else {
                continue;
            };
            lists.remove_spilled(block.active_level(bit), intid_of(word, bit));
        }
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        let released = block.link_here() & mask;
        block.active &= !mask;
        block.release |= released;
        block.link_waits &= !mask;
        if released == 0 {
            return VcpuSet::EMPTY;
        }
        self.release_on(if word == 0 { home } else { accessor }, word)
    }
}
