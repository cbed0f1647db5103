//! The way of one interrupt into a list register and back.
//!
//! `put` moves an interrupt from a ready set, or from the spilled active ones, into a list register; `fold`
//! takes it back with whatever the hardware made of it and applies what was requested meanwhile. Which end of
//! an interrupt the kernel hears of is decided here:
//!
//! - A linked one deactivates its physical interrupt without an exit (HW=1).
//! - A level-sensitive one asks for maintenance (EOI=1), so that its line is looked at again.
//! - One that became pending again while active is "active and pending" in the list register if that says the
//!   whole truth; else - linked, GICv2 SGI from another source, priority changed, disabled - it asks for
//!   maintenance too, and what is pending waits in memory. It does so, too, while other interrupts wait: once
//!   ended it could be less urgent than they are, and nobody would notice.

use crate::block::{Block, assign};
use crate::cpu::Lists;
use crate::id::{IntId, VcpuSet};
use crate::interface::{CpuInterface, Groups};
use crate::list_register::ListRegister;
use crate::vgic::{Spot, Vgic};

impl Vgic<'_> {
    /// Puts an interrupt that is ready for `vcpu` or spilled active on it into the empty list register `slot`.
    #[inline]
    pub(crate) fn put<H: CpuInterface>(&mut self, vcpu: u8, intid: u16, slot: u32, hw: &mut H) {
        let groups = self.dist.groups;
        let Spot { word, bit, .. } = Spot::of(vcpu, intid);
        let Some((block, lists)) = self.pair(word, vcpu) else {
            return;
        };
        let lr = if block.active & 1u32.wrapping_shl(bit) == 0 {
            pending_register(block, lists, intid, bit)
        } else {
            active_register(block, lists, intid, bit, vcpu, groups)
        };
        let mask = 1u32.wrapping_shl(bit);
        block.held |= mask;
        assign(&mut block.held_pending, mask, lr.is_pending());
        assign(&mut block.held_eoi, mask, lr.has_eoi());
        assign(&mut block.held_physical, mask, lr.is_hardware());
        block.set_place(bit, vcpu, slot as u8);
        let slot_mask = 1u32.wrapping_shl(slot);
        lists.set_slot(slot, intid);
        lists.used |= slot_mask;
        assign(&mut lists.eoi, slot_mask, lr.has_eoi());
        assign(
            &mut lists.both,
            slot_mask,
            lr.is_pending() && lr.is_active(),
        );
        hw.write(slot as usize, lr);
    }

    /// Takes back the interrupt of list register `slot`, which the guest has ended.
    #[inline]
    pub(crate) fn ended<H: CpuInterface>(&mut self, vcpu: u8, slot: u32, hw: &mut H) -> VcpuSet {
        let Some(intid) = self.lists(vcpu).map(|lists| lists.slot(slot)) else {
            return VcpuSet::EMPTY;
        };
        let Spot { word, bit, .. } = Spot::of(vcpu, intid);
        let mask = 1u32.wrapping_shl(bit);
        let Some((block, lists)) = self.pair(word, vcpu) else {
            return VcpuSet::EMPTY;
        };
        let unusual = block.pending_outside()
            | block.drop
            | block.end
            | block.start
            | block.link_waits
            | block.linked & !block.held_physical;
        if unusual & mask != 0 {
            return self.fold(vcpu, slot, ListRegister::EMPTY, hw);
        }
        block.held &= !mask;
        block.held_pending &= !mask;
        block.held_latch &= !mask;
        block.held_physical &= !mask;
        block.held_eoi &= !mask;
        block.linked &= !mask;
        block.active &= !mask;
        let slot_mask = 1u32.wrapping_shl(slot);
        lists.used &= !slot_mask;
        lists.eoi &= !slot_mask;
        lists.both &= !slot_mask;
        lists.dirty &= !slot_mask;
        VcpuSet::EMPTY
    }

    /// Takes the interrupt of list register `slot`, which the hardware left as `lr`, back into memory.
    ///
    /// The list register itself is not written. vCPUs other than `vcpu` may come back if an SPI moved.
    #[inline(never)]
    pub(crate) fn fold<H: CpuInterface>(
        &mut self,
        vcpu: u8,
        slot: u32,
        lr: ListRegister,
        hw: &mut H,
    ) -> VcpuSet {
        let v2 = self.is_v2();
        let Some(intid) = self.lists(vcpu).map(|lists| lists.slot(slot)) else {
            return VcpuSet::EMPTY;
        };
        let Spot { word, bit, .. } = Spot::of(vcpu, intid);
        let mask = 1u32.wrapping_shl(bit);
        let Some((block, lists)) = self.pair(word, vcpu) else {
            return VcpuSet::EMPTY;
        };
        let slot_mask = 1u32.wrapping_shl(slot);
        lists.used &= !slot_mask;
        lists.eoi &= !slot_mask;
        lists.both &= !slot_mask;
        lists.dirty &= !slot_mask;

        let dropped = lr.is_pending() && block.drop & mask != 0;
        let pending = lr.is_pending() && !dropped;
        let ended = lr.is_active() && block.end & mask != 0;
        let mut active = lr.is_active() && !ended;
        let gone = lr.is_invalid() || ended || dropped && !lr.is_active();
        if gone && block.link_here() & mask != 0 {
            block.linked &= !mask;
            // The hardware has deactivated the physical interrupt only if it did the virtual one.
            if !lr.is_invalid() || block.held_physical & mask == 0 {
                hw.deactivate_physical(IntId::known(block.pintid(bit)));
            }
        }
        if pending && block.held_latch & mask != 0 {
            block.latch |= mask;
            if v2 && intid < 16 {
                let sources = lists.sources(intid) | 1u8.wrapping_shl(u32::from(lr.source()));
                lists.set_sources(intid, sources);
            }
        }
        if active {
            block.activate(bit, lr.priority() >> 3, lr.is_group1());
        } else if block.start & mask != 0 {
            active = true;
            block.link_waits |= block.linked & mask;
            block.activate(bit, block.ready_level(bit), block.group1 & mask != 0);
        }
        if active {
            lists.insert_spilled(block.active_level(bit), intid);
        } else {
            block.active &= !mask;
            block.link_waits &= !mask;
        }
        block.held &= !mask;
        block.held_pending &= !mask;
        block.held_latch &= !mask;
        block.held_eoi &= !mask;
        block.held_physical &= !mask;
        block.drop &= !mask;
        block.end &= !mask;
        block.start &= !mask;
        let unlatched = block.linked & !block.latch & mask != 0;
        let kicks = self.refresh(vcpu, word, mask);
        if unlatched {
            kicks | self.settle(vcpu, vcpu, word, mask)
        } else {
            kicks
        }
    }

    /// Revises a list register whose interrupt was changed: leaves it if that changes nothing, else takes it
    /// back for the next flush to place anew.
    pub(crate) fn revise<H: CpuInterface>(&mut self, vcpu: u8, slot: u32, hw: &mut H) -> VcpuSet {
        let lr = hw.read(slot as usize);
        let Some(intid) = self.lists(vcpu).map(|lists| lists.slot(slot)) else {
            return VcpuSet::EMPTY;
        };
        let Spot { word, bit, .. } = Spot::of(vcpu, intid);
        let mask = 1u32.wrapping_shl(bit);
        let Some((block, lists)) = self.pair(word, vcpu) else {
            return VcpuSet::EMPTY;
        };
        // The common case: a device lowered its line while the guest handled its interrupt.
        let requested = (block.drop | block.end | block.start) & mask != 0;
        let fits = if block.held_physical & mask != 0 {
            (block.pending_outside() | block.link_waits) & mask == 0
        } else {
            (block.level | block.latch) & !block.held_eoi & mask == 0
        };
        if lr.is_active() && !lr.is_pending() && fits && !requested {
            block.activate(bit, lr.priority() >> 3, lr.is_group1());
            block.held_pending &= !mask;
            block.held_latch &= !mask;
            lists.dirty &= !1u32.wrapping_shl(slot);
            return VcpuSet::EMPTY;
        }
        let kicks = self.fold(vcpu, slot, lr, hw);
        hw.write(slot as usize, ListRegister::EMPTY);
        kicks
    }
}

/// Takes a ready interrupt out of its ready set, and what is pending of it out of memory.
#[inline]
fn pending_register(block: &mut Block, lists: &mut Lists, intid: u16, bit: u32) -> ListRegister {
    let mask = 1u32.wrapping_shl(bit);
    let (level, group1) = (block.ready_level(bit), block.group1 & mask != 0);
    lists.remove_ready(group1, level, intid);
    block.queued &= !mask;
    block.held_latch |= block.latch & mask;
    block.latch &= !mask;
    let mut lr = ListRegister::new(intid, level.wrapping_shl(3), group1).with_pending();
    // A line that is high, too, must be looked at again at the end.
    if block.live_link() & !block.pending_outside() & mask != 0 {
        return lr.with_physical(block.pintid(bit));
    }
    let mut eoi = block.level & mask != 0;
    let sources = lists.sources(intid);
    if sources != 0 {
        let source = sources.trailing_zeros() as u8;
        lr = lr.with_source(source);
        lists.set_current(intid, source);
        if leave_sources(block, lists, intid, mask, source) {
            eoi = true;
        }
    }
    if eoi { lr.with_eoi() } else { lr }
}

/// Takes an active interrupt out of the spilled set, with what is pending of it if the list register can say so.
fn active_register(
    block: &mut Block,
    lists: &mut Lists,
    intid: u16,
    bit: u32,
    vcpu: u8,
    groups: Groups,
) -> ListRegister {
    let mask = 1u32.wrapping_shl(bit);
    let (level, group1) = (block.active_level(bit), block.active_group1 & mask != 0);
    lists.remove_spilled(level, intid);
    let source = lists.current(intid);
    let lr = ListRegister::new(intid, level.wrapping_shl(3), group1)
        .with_active()
        .with_source(source);
    let outside = block.pending_outside() & mask != 0;
    if block.link_here() & mask != 0 {
        return if outside {
            lr.with_eoi()
        } else {
            lr.with_physical(block.pintid(bit))
        };
    }
    if block.level & mask != 0 {
        return lr.with_eoi();
    }
    if !outside {
        return lr;
    }
    let group = if group1 {
        Groups::GROUP1
    } else {
        Groups::GROUP0
    };
    let sources = lists.sources(intid);
    let same = !lists.has_ready(groups)
        && block.linked & mask == 0
        && block.enabled & block.routed & mask != 0
        && block.target(bit) == vcpu
        && block.ready_level(bit) == level
        && (block.group1 & mask != 0) == group1
        && groups.contains(group)
        && (sources == 0 || sources & 1u8.wrapping_shl(u32::from(source)) != 0);
    if !same {
        return lr.with_eoi();
    }
    block.held_latch |= mask;
    block.latch &= !mask;
    if sources != 0 && leave_sources(block, lists, intid, mask, source) {
        lr.with_pending().with_eoi()
    } else {
        lr.with_pending()
    }
}

/// Takes `source` out of the sources of a GICv2 SGI; whether others remain, which then stay latched.
fn leave_sources(block: &mut Block, lists: &mut Lists, intid: u16, mask: u32, source: u8) -> bool {
    let rest = lists.sources(intid) & !1u8.wrapping_shl(u32::from(source));
    lists.set_sources(intid, rest);
    assign(&mut block.latch, mask, rest != 0);
    rest != 0
}
