//! The way of one interrupt into a list register and back.
//!
//! `put_pending` and `put_active` move an interrupt from a ready set, or from the spilled active ones, into a list
//! register; `fold` takes it back with whatever the hardware made of it and applies what was requested meanwhile. Which end of
//! an interrupt the kernel hears of is decided here:
//!
//! - A linked one deactivates its physical interrupt without an exit (HW=1).
//! - A level-sensitive one whose line is high asks for maintenance (EOI=1), so that the line is looked at again.
//! - One that became pending again while active is "active and pending" in the list register if that says the
//!   whole truth; else - linked, GICv2 SGI from another source, priority changed, disabled - it asks for
//!   maintenance too, and what is pending waits in memory. It does so, too, while other interrupts wait: once
//!   ended it could be less urgent than they are, and nobody would notice.

use crate::block::{Block, assign};
use crate::cpu::Lists;
use crate::id::{IntId, VcpuSet};
use crate::interface::{CpuInterface, Groups, group_of};
use crate::list_register::ListRegister;
use crate::vgic::{Spot, Vgic};

impl Vgic<'_> {
    /// Puts a ready interrupt, which the caller has taken out of the ready set of `group1` at `level`, into the empty
    /// list register `slot`.
    #[inline]
    pub(crate) fn put_pending<H: CpuInterface>(
        &mut self,
        vcpu: u8,
        ready: Ready,
        slot: u32,
        hw: &mut H,
    ) {
        let Ready {
            intid,
            level,
            group1,
        } = ready;
        let Spot { word, bit, .. } = Spot::of(vcpu, intid);
        let Some((block, lists)) = self.pair(word, vcpu) else {
            return;
        };
        let mask = 1u32.wrapping_shl(bit);
        let mut lr = ListRegister::new(intid, level.wrapping_shl(3), group1).with_pending();
        let latched = block.latch & mask;
        block.queued &= !mask;
        block.latch &= !mask;
        block.held_latch |= latched;
        // A linked one whose line is high, too, must have the line looked at again at its end.
        let physical = block.live_link() & !block.pending_outside() & mask != 0;
        let mut eoi = !physical && (block.level & block.line | block.linked) & mask != 0;
        if physical {
            lr = lr.with_physical(block.pintid(bit));
        }
        let mut has_source = false;
        if intid < 16 {
            let sources = lists.sources(intid);
            if sources != 0 {
                has_source = true;
                let source = sources.trailing_zeros() as u8;
                lists.set_current(intid, source);
                lr = lr.with_source(source);
                eoi |= leave_sources(block, lists, intid, mask, source);
            }
        }
        if !eoi && !has_source {
            block.express |= latched;
        }
        if eoi {
            lr = lr.with_eoi();
        }
        seat(block, lists, vcpu, slot, lr);
        hw.write(slot as usize, lr);
    }

    /// Puts an interrupt that is spilled active on `vcpu` into the empty list register `slot`.
    #[inline(never)]
    pub(crate) fn put_active<H: CpuInterface>(
        &mut self,
        vcpu: u8,
        intid: u16,
        slot: u32,
        hw: &mut H,
    ) {
        let groups = self.dist.groups;
        let Spot { word, bit, .. } = Spot::of(vcpu, intid);
        let Some((block, lists)) = self.pair(word, vcpu) else {
            return;
        };
        let lr = active_register(block, lists, intid, bit, vcpu, groups);
        seat(block, lists, vcpu, slot, lr);
        hw.write(slot as usize, lr);
    }

    /// The block of the interrupt in list register `slot`, and the lists of `vcpu`.
    #[inline(never)]
    fn seated(&mut self, vcpu: u8, slot: u32) -> Option<(&mut Block, &mut Lists)> {
        let intid = self.lists(vcpu)?.slot(slot);
        self.pair((intid >> 5) as u8, vcpu)
    }

    /// Makes the interrupt of a list register pending there again, if that is all that happened to it: it was
    /// latched. The hardware may meanwhile have ended it, or made it active, or neither; setting the pending
    /// bit is right in each case.
    #[inline]
    pub(crate) fn rearm<H: CpuInterface>(&mut self, vcpu: u8, slot: u32, hw: &mut H) -> bool {
        let groups = self.dist.groups;
        let Some((block, lists)) = self.seated(vcpu, slot) else {
            return false;
        };
        let intid = lists.slot(slot);
        let bit = u32::from(intid & 31);
        let mask = 1u32.wrapping_shl(bit);
        let lr = hw.read(slot as usize);
        let unusual = block.level
            | block.linked
            | block.drop
            | block.end
            | block.start
            | block.held_eoi
            | !(block.enabled & block.routed & block.latch);
        let sources = lists.sources(intid);
        let same = unusual & mask == 0
            && block.target(bit) == vcpu
            && block.ready_level(bit) == lr.priority() >> 3
            && (block.group1 & mask != 0) == lr.is_group1()
            && groups.contains(group_of(lr.is_group1()))
            && (sources == 0 || sources == 1u8.wrapping_shl(u32::from(lr.source())))
            && !lists.is_waiting();
        if !same {
            return false;
        }
        lists.set_sources(intid, 0);
        block.latch &= !mask;
        block.held_pending |= mask;
        block.held_latch |= mask;
        if lr.is_active() {
            block.activate(bit, lr.priority() >> 3, lr.is_group1());
            block.express &= !mask;
            lists.both |= 1u32.wrapping_shl(slot);
        } else {
            block.active &= !mask;
            lists.both &= !1u32.wrapping_shl(slot);
        }
        if !lr.is_pending() {
            hw.write(slot as usize, lr.with_pending());
        }
        true
    }

    /// Takes back the interrupt of list register `slot`, which the guest has ended.
    #[inline]
    pub(crate) fn ended<H: CpuInterface>(&mut self, vcpu: u8, slot: u32, hw: &mut H) -> VcpuSet {
        let Some((block, lists)) = self.seated(vcpu, slot) else {
            return VcpuSet::EMPTY;
        };
        let intid = lists.slot(slot);
        let bit = u32::from(intid & 31);
        let mask = 1u32.wrapping_shl(bit);
        let unusual = block.pending_outside()
            | block.drop
            | block.end
            | block.start
            | block.link_waits
            | block.linked & !block.held_physical;
        if unusual & mask != 0 {
            return self.fold(vcpu, slot, ListRegister::EMPTY, hw);
        }
        block.let_go(mask);
        block.linked &= !mask;
        block.active &= !mask;
        lists.free(slot);
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
        let Some((block, lists)) = self.seated(vcpu, slot) else {
            return VcpuSet::EMPTY;
        };
        let intid = lists.slot(slot);
        let Spot { word, bit, .. } = Spot::of(vcpu, intid);
        let mask = 1u32.wrapping_shl(bit);
        lists.free(slot);

        let dropped = lr.is_pending() && block.drop & mask != 0;
        let pending = lr.is_pending() && !dropped;
        let ended = lr.is_active() && block.end & mask != 0;
        let mut active = lr.is_active() && !ended;
        let gone = lr.is_invalid() || ended || dropped && !lr.is_active();
        if gone && block.link_here() & mask != 0 {
            block.linked &= !mask;
            // The hardware has deactivated the physical interrupt only if it did the virtual one.
            let ours = word != 0 || lists.loaded;
            if ours && (!lr.is_invalid() || block.held_physical & mask == 0) {
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
            block.start(bit);
        }
        if active {
            lists.insert_spilled(block.active_level(bit), intid);
        } else {
            block.active &= !mask;
            block.link_waits &= !mask;
        }
        block.start &= !mask;
        block.end &= !mask;
        block.drop &= !mask;
        block.let_go(mask);
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
        let Some((block, lists)) = self.seated(vcpu, slot) else {
            return VcpuSet::EMPTY;
        };
        let intid = lists.slot(slot);
        let bit = u32::from(intid & 31);
        let mask = 1u32.wrapping_shl(bit);
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
            lists.again &= !1u32.wrapping_shl(slot);
            block.express &= !mask;
            return VcpuSet::EMPTY;
        }
        let kicks = self.fold(vcpu, slot, lr, hw);
        hw.write(slot as usize, ListRegister::EMPTY);
        kicks
    }
}

/// An interrupt at the head of a ready set.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) intid: u16,
    pub(crate) level: u8,
    pub(crate) group1: bool,
}

/// Notes that list register `slot` of `vcpu` holds an interrupt that none did, as `lr` says.
#[inline(never)]
fn seat(block: &mut Block, lists: &mut Lists, vcpu: u8, slot: u32, lr: ListRegister) {
    let intid = lr.intid();
    let bit = u32::from(intid & 31);
    let (mask, slot_mask) = (1u32.wrapping_shl(bit), 1u32.wrapping_shl(slot));
    block.held |= mask;
    if lr.is_pending() {
        block.held_pending |= mask;
        if lr.is_active() {
            lists.both |= slot_mask;
        }
    }
    if lr.is_hardware() {
        block.held_physical |= mask;
    } else if lr.has_eoi() {
        block.held_eoi |= mask;
        lists.mark_eoi(slot_mask);
    }
    block.set_place(bit, vcpu, slot as u8);
    lists.set_slot(slot, intid);
    lists.used |= slot_mask;
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
    let group = group_of(group1);
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
