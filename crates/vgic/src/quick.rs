//! The shortest ways: what guests do all the time, where it comes down to a few words of memory or to one list register.
//!
//! Each of these has the effect of the general call, or declines and has changed nothing; then the general call is due.

use crate::id::{FIRST_SPI, IntId, VcpuIndex};
use crate::interface::{CpuInterface, Was};
use crate::map::BitRegister;
use crate::vgic::Vgic;

/// The one target and the INTID of an SGI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneSgi {
    /// Who gets it.
    pub target: VcpuIndex,
    /// 0 to 15.
    pub intid: u8,
}

impl OneSgi {
    /// What a write of `value` to `ICC_SGI1R_EL1` sends, if it names one vCPU (IHI 0069, 12.2.20).
    #[inline(always)]
    #[must_use]
    pub const fn from_value(value: u64) -> Option<OneSgi> {
        const INTID: u64 = 0xf << 24;
        let list = value & 0xffff;
        if value & !(INTID | 0xffff) != 0 || !list.is_power_of_two() {
            return None;
        }
        Some(OneSgi {
            target: VcpuIndex::new(list.trailing_zeros() as u8),
            intid: (value >> 24) as u8,
        })
    }
}

/// Registers of the distributor with a bit for each interrupt, by their offset in units of 128 bytes.
const SET_ENABLE: u32 = 2;
const CLEAR_ENABLE: u32 = 3;
const SET_PENDING: u32 = 4;

impl Vgic<'_> {
    /// Reads a word of the distributor that says how SPIs are configured; `offset` is a multiple of four.
    #[inline(always)]
    pub fn quick_read(&self, offset: u32) -> Option<u32> {
        let (register, word) = BitRegister::at(offset)?;
        if !self.has_block(word) {
            return None;
        }
        let block = self.dist.spis.get(usize::from(word.wrapping_sub(1)))?;
        match register {
            BitRegister::Group => Some(block.group1),
            BitRegister::SetEnable | BitRegister::ClearEnable => Some(block.enabled),
            _ => None,
        }
    }

    /// Enables or disables SPIs of which none is pending, or makes one pending that a list register of `vcpu`, which is loaded
    /// here, has held, undisturbed, since it came last; `offset` is a multiple of four. Whether it did.
    #[inline(always)]
    pub fn quick_write<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        offset: u32,
        value: u32,
        hw: &mut H,
    ) -> bool {
        let register = offset >> 7;
        if !matches!(register, SET_ENABLE | CLEAR_ENABLE | SET_PENDING) {
            return false;
        }
        let word = (offset >> 2 & 0x1f) as u8;
        if !self.has_block(word) {
            return false;
        }
        let (Some(block), Some(cpu)) = (
            self.dist.spis.get_mut(usize::from(word.wrapping_sub(1))),
            self.cpus.get_mut(usize::from(vcpu.get())),
        ) else {
            return false;
        };
        if register == SET_PENDING {
            let bit = value.trailing_zeros();
            let done = value.is_power_of_two()
                && block.express & !block.linked & value != 0
                && block.owner(bit) == vcpu.get()
                && !cpu.lists.needs_upkeep()
                && cpu.lists.again == 0
                && hw.make_pending(usize::from(block.slot(bit)), Was::Inactive);
            if done {
                cpu.lists.reading = 0;
            }
            return done;
        }
        // What is pending would have to move, or may be in a list register.
        if (block.pending_outside() | block.queued | block.held_pending) & value != 0 {
            return false;
        }
        cpu.lists.reading = 0;
        if register == SET_ENABLE {
            block.enabled |= value;
        } else {
            block.enabled &= !value;
        }
        true
    }

    /// Sends an SGI of group 1 that its target's list register has held, undisturbed, since it came last. Whether it did; a
    /// target other than `from` must be kicked then.
    #[inline(always)]
    pub fn quick_sgi<H: CpuInterface>(&mut self, from: VcpuIndex, sgi: OneSgi, hw: &mut H) -> bool {
        let Some(cpu) = self.cpus.get_mut(usize::from(sgi.target.get())) else {
            return false;
        };
        let (block, lists) = (&mut cpu.block, &mut cpu.lists);
        let bit = u32::from(sgi.intid);
        let mask = 1u32.wrapping_shl(bit);
        if block.express & block.group1 & mask == 0 {
            return false;
        }
        let slot = u32::from(block.slot(bit));
        if sgi.target != from {
            block.latch |= mask;
            lists.again |= 1u32.wrapping_shl(slot);
            return true;
        }
        if lists.needs_upkeep() || lists.again != 0 {
            return false;
        }
        hw.make_pending(slot as usize, Was::Inactive)
    }

    /// [`deliver_hw`](Vgic::deliver_hw) of a private interrupt of `vcpu`, which is loaded here, if its list register has held
    /// it since it came last. It came again, so the guest has ended it. Whether that was all.
    #[inline(always)]
    pub fn quick_hw<H: CpuInterface>(&mut self, vcpu: VcpuIndex, intid: IntId, hw: &mut H) -> bool {
        let Some(cpu) = self.cpus.get_mut(usize::from(vcpu.get())) else {
            return false;
        };
        let bit = u32::from(intid.get() & 31);
        cpu.block.express & 1u32.wrapping_shl(bit) != 0
            && !cpu.lists.needs_upkeep()
            && cpu.lists.again == 0
            && hw.make_pending(usize::from(cpu.block.slot(bit)), Was::Ended(intid))
    }

    /// [`serve`](Vgic::serve), when nothing is to be done or an SGI or PPI of one list register came again. Whether that was
    /// all.
    #[inline(always)]
    pub fn quick_serve<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> bool {
        let Some(cpu) = self.cpus.get_mut(usize::from(vcpu.get())) else {
            return true;
        };
        let (block, lists) = (&mut cpu.block, &mut cpu.lists);
        if lists.needs_upkeep() {
            return false;
        }
        let again = lists.again;
        if again == 0 {
            return true;
        }
        let slot = again.trailing_zeros();
        let intid = lists.slot(slot);
        let mask = 1u32.wrapping_shl(u32::from(intid));
        let done = again.is_power_of_two()
            && intid < FIRST_SPI
            && block.express & block.latch & !block.linked & mask != 0
            && hw.make_pending(slot as usize, Was::Inactive);
        if done {
            lists.again = 0;
            block.latch &= !mask;
        }
        done
    }
}
