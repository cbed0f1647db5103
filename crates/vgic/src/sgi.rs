//! Software-generated interrupts: `ICC_SGI1R_EL1` and its kin (GICv3), GICD_SGIR (GICv2).

use crate::id::{VcpuIndex, VcpuSet};
use crate::vgic::{Spot, Vgic};

/// The register with which a GICv3 guest sent an SGI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiRegister {
    /// `ICC_SGI0R_EL1`: group 0.
    Sgi0,
    /// `ICC_SGI1R_EL1`: group 1.
    Sgi1,
    /// `ICC_ASGI1R_EL1`: group 1 of the other security state; with a single one, group 0.
    Asgi1,
}

impl Vgic<'_> {
    /// A trapped write of `value` to an SGI register, by `from` (IHI 0069, 12.2.18 and following).
    ///
    /// A target gets the SGI if it has it configured in the group of the register.
    #[inline]
    pub fn send_sgi(&mut self, from: VcpuIndex, register: SgiRegister, value: u64) -> VcpuSet {
        const AFFINITY3_2_1: u64 = 0x00ff_00ff_00ff_0000;
        const RANGE: u64 = 0xf << 44;
        const ROUTING_MODE: u64 = 1 << 40;
        let present = 1u32.wrapping_shl(self.cpus.len() as u32).wrapping_sub(1);
        let targets = if value & ROUTING_MODE != 0 {
            present & !VcpuSet::only(from).bits()
        } else if value & (AFFINITY3_2_1 | RANGE) == 0 {
            present & (value as u32 & 0xffff)
        } else {
            0
        };
        let intid = (value >> 24) as u16 & 15;
        let mask = 1u32.wrapping_shl(u32::from(intid));
        let group1 = matches!(register, SgiRegister::Sgi1);
        let mut kicks = VcpuSet::EMPTY;
        for target in VcpuSet::from_bits(targets) {
            let Some(block) = self.block(target.get(), 0) else {
                continue;
            };
            if (block.group1 & mask != 0) == group1 {
                kicks |= self.set_one_pending(Spot::of(target.get(), intid));
            }
        }
        kicks
    }

    /// A write to GICD_SGIR by `from` (IHI 0048, 4.3.15). NSATT is ignored: there is one security state.
    pub(crate) fn send_sgi_v2(&mut self, from: u8, value: u32) -> VcpuSet {
        let present = 1u32.wrapping_shl(self.cpus.len() as u32).wrapping_sub(1);
        let own = 1u32.wrapping_shl(u32::from(from));
        let targets = match value >> 24 & 3 {
            0 => value >> 16 & 0xff,
            1 => !own,
            2 => own,
            _ => 0,
        };
        let mut kicks = VcpuSet::EMPTY;
        for target in VcpuSet::from_bits(targets & present) {
            kicks |= self.add_sgi_sources(target.get(), value as u16 & 15, own as u8);
        }
        kicks
    }

    /// Makes a GICv2 SGI of `target` pending from each of `sources`.
    pub(crate) fn add_sgi_sources(&mut self, target: u8, intid: u16, sources: u8) -> VcpuSet {
        if sources == 0 {
            return VcpuSet::EMPTY;
        }
        let Some(lists) = self.lists_mut(target) else {
            return VcpuSet::EMPTY;
        };
        lists.set_sources(intid, lists.sources(intid) | sources);
        self.set_one_pending(Spot::of(target, intid))
    }

    /// Makes a GICv2 SGI of `target` not pending from each of `sources`.
    pub(crate) fn remove_sgi_sources(&mut self, target: u8, intid: u16, sources: u8) -> VcpuSet {
        let intid = intid & 15;
        let mask = 1u32.wrapping_shl(u32::from(intid));
        let Some((block, lists)) = self.pair(0, target) else {
            return VcpuSet::EMPTY;
        };
        let rest = lists.sources(intid) & !sources;
        lists.set_sources(intid, rest);
        if rest == 0 {
            block.latch &= !mask;
        }
        let current = 1u8.wrapping_shl(u32::from(lists.current(intid)));
        let drop = if sources & current == 0 {
            0
        } else {
            block.held & block.held_latch & mask
        };
        block.drop |= drop;
        self.update(target, 0, drop, mask)
    }

    /// The vCPUs from which a GICv2 SGI of `target` is pending.
    pub(crate) fn sgi_sources(&self, target: u8, intid: u16) -> u8 {
        let Some(cpu) = self.cpus.get(usize::from(target)) else {
            return 0;
        };
        let intid = intid & 15;
        let mask = 1u32.wrapping_shl(u32::from(intid));
        let held = if cpu.block.held_pending & mask == 0 {
            0
        } else {
            1u8.wrapping_shl(u32::from(cpu.lists.current(intid)))
        };
        cpu.lists.sources(intid) | held
    }
}
