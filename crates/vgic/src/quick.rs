//! The shortest ways: what guests do all the time, where it comes down to a few words of memory or to one list register.
//!
//! Each of these has the effect of the general call, or declines and has changed nothing; then the general call is due.

use crate::id::VcpuIndex;
use crate::interface::CpuInterface;
use crate::registers::BitRegister;
use crate::vgic::{Spot, Vgic};

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

    /// Enables or disables SPIs of which none is pending; `offset` is a multiple of four. Whether it did.
    #[inline(always)]
    pub fn quick_write(&mut self, vcpu: VcpuIndex, offset: u32, value: u32) -> bool {
        let on = match offset >> 7 {
            2 => true,
            3 => false,
            _ => return false,
        };
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
        // What is pending would have to move, or may be in a list register.
        if (block.pending_outside() | block.queued | block.held_pending) & value != 0 {
            return false;
        }
        cpu.lists.reading = 0;
        if on {
            block.enabled |= value;
        } else {
            block.enabled &= !value;
        }
        true
    }

    /// Sends an SGI of group 1 that its target's list register has held, undisturbed, since it came last. Whether it did; a
    /// target other than `from` must be kicked then.
    #[inline(always)]
    pub fn quick_sgi<H: CpuInterface>(
        &mut self,
        from: VcpuIndex,
        sgi: OneSgi,
        hw: &mut H,
    ) -> bool {
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
        if !lists.is_quiet() {
            return false;
        }
        let lr = hw.read(slot as usize);
        if !lr.is_active() {
            hw.write(slot as usize, lr.with_pending());
        }
        !lr.is_active()
    }

    /// [`serve`](Vgic::serve), when nothing is to be done or the interrupt of one list register came again. Whether that was all.
    #[inline(always)]
    pub fn quick_serve<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> bool {
        let Some(lists) = self.lists(vcpu.get()) else {
            return true;
        };
        if lists.dirty | lists.release | lists.eoi != 0
            || lists.is_waiting()
            || !lists.maintenance.is_off()
        {
            return false;
        }
        let again = lists.again;
        if again == 0 {
            return true;
        }
        let slot = again.trailing_zeros();
        let Spot { word, bit, .. } = Spot::of(vcpu.get(), lists.slot(slot));
        let Some((block, lists)) = self.pair(word, vcpu.get()) else {
            return true;
        };
        let mask = 1u32.wrapping_shl(bit);
        if !again.is_power_of_two() || block.express & block.latch & !block.linked & mask == 0 {
            return false;
        }
        let lr = hw.read(slot as usize);
        if lr.is_active() {
            return false;
        }
        lists.again = 0;
        block.latch &= !mask;
        hw.write(slot as usize, lr.with_pending());
        true
    }
}
