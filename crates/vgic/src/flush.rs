//! Between memory and the list registers: after the guest ran (`sync`), before it runs (`flush`), and when a
//! vCPU is switched (`save`, `load`).
//!
//! With full list registers the plan is: what is pending in them is always more urgent than what waits
//! outside, and at least one pending interrupt is always among them, if any waits. So the guest sees interrupts
//! in priority order, and the "no pending" maintenance interrupt - on only while something waits - is never
//! raised at once. To that end the least urgent pending one is evicted for a more urgent one, and if all
//! list registers are active the least urgent active one is spilled to memory. Ends of spilled ones are counted by the
//! hardware (EOIcount) while the guest uses EOImode 0, and trapped (DIR) while it uses EOImode 1.

use crate::block::Bits;
use crate::hold::Ready;
use crate::id::{IntId, VcpuIndex, VcpuSet};
use crate::interface::{CpuInterface, Groups, Maintenance};
use crate::list_register::ListRegister;
use crate::vgic::{Spot, Vgic};

impl Vgic<'_> {
    /// Takes back what the guest ended since the last flush, and revises what others changed.
    ///
    /// Call it when the guest stopped for a physical interrupt that is going to be injected, for a
    /// maintenance interrupt or for a kick; `flush` does it too where it is due. The other vCPUs that come back
    /// must be kicked: an SPI may have become ready for one of them.
    #[inline]
    pub fn sync<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        let Some(lists) = self.lists(vcpu.get()) else {
            return kicks;
        };
        if !lists.loaded {
            return if (lists.dirty | lists.again) & lists.used != 0 {
                self.fold_parked(vcpu, hw)
            } else {
                kicks
            };
        }
        if lists.dirty | lists.again | lists.release | lists.eoi != 0
            || lists.maintenance.not_present()
        {
            return self.sync_all(vcpu, hw);
        }
        if lists.used != 0 {
            for slot in Bits(hw.empty() & lists.used) {
                kicks |= self.ended(vcpu.get(), slot, hw);
            }
        }
        kicks.without(vcpu)
    }

    /// Takes all that a vCPU that is switched out has in list registers back into memory.
    #[inline(never)]
    fn fold_parked<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        let used = self.lists(vcpu.get()).map_or(0, |lists| lists.used);
        for slot in Bits(used) {
            let lr = self.lists(vcpu.get()).map(|lists| lists.parked(slot));
            kicks |= self.fold(vcpu.get(), slot, lr.unwrap_or(ListRegister::EMPTY), hw);
        }
        self.dist.dirty = self.dist.dirty.without(vcpu);
        kicks.without(vcpu)
    }

    /// All that `sync` may have to do.
    #[inline(never)]
    fn sync_all<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        let index = vcpu.get();
        let Some(lists) = self.lists(index) else {
            return kicks;
        };
        let (used, eoi, dirty, again) = (lists.used, lists.eoi, lists.dirty, lists.again);
        if lists.maintenance.not_present() {
            kicks |= self.end_counted(index, hw);
        }
        if used != 0 {
            let mut done = hw.empty() & used;
            if eoi != 0 {
                done |= hw.ended() & eoi;
                for slot in Bits(done & eoi) {
                    // Else its maintenance interrupt would stay.
                    hw.write(slot as usize, ListRegister::EMPTY);
                }
            }
            let mut revise = dirty;
            for slot in Bits(again & used & !dirty) {
                if self.rearm(index, slot, hw) {
                    done &= !1u32.wrapping_shl(slot);
                } else {
                    revise |= 1u32.wrapping_shl(slot);
                }
            }
            for slot in Bits(done) {
                kicks |= self.ended(index, slot, hw);
            }
            for slot in Bits(revise & used & !done) {
                kicks |= self.revise(index, slot, hw);
            }
        }
        self.dist.dirty = self.dist.dirty.without(vcpu);
        let Some(lists) = self.lists_mut(index) else {
            return kicks;
        };
        lists.again = 0;
        if lists.release != 0 {
            self.release(index, hw);
        }
        kicks.without(vcpu)
    }

    /// Puts the most urgent ready interrupts of a loaded vCPU into its list registers.
    ///
    /// Call it before each return to the guest that follows another call; with nothing to do it touches no
    /// list register. The other vCPUs that come back must be kicked.
    #[inline]
    pub fn flush<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        let kicks = self.flush_any(vcpu, hw);
        if let Some(lists) = self.lists_mut(vcpu.get()) {
            lists.look_again();
        }
        kicks
    }

    fn flush_any<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        let Some(lists) = self.lists(vcpu.get()) else {
            return VcpuSet::EMPTY;
        };
        let simple = lists.maintenance.is_off();
        if simple && lists.is_quiet() {
            return VcpuSet::EMPTY;
        }
        let only_again = simple && lists.dirty | lists.release == 0 && !lists.is_waiting();
        if only_again && self.rearm_all(vcpu.get(), hw) {
            return VcpuSet::EMPTY;
        }
        self.flush_all(vcpu, hw)
    }

    /// What `flush` has to do when something waits.
    #[inline(never)]
    fn flush_all<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        let groups = self.dist.groups;
        let all = all_slots(hw);
        let Some(lists) = self.lists(vcpu.get()) else {
            return VcpuSet::EMPTY;
        };
        if !lists.loaded {
            return VcpuSet::EMPTY;
        }
        if !lists.is_simple() {
            return self.flush_hard(vcpu, hw);
        }
        // Only ready interrupts, and while there are free list registers the most urgent goes first.
        while let Some(lists) = self.lists_mut(vcpu.get()) {
            let free = all & !lists.used;
            if free == 0 {
                return self.flush_hard(vcpu, hw);
            }
            let Some(ready) = lists.take_best(groups) else {
                break;
            };
            self.put_pending(vcpu.get(), ready, free.trailing_zeros(), hw);
        }
        VcpuSet::EMPTY
    }

    /// All that `flush` may have to do.
    #[inline(never)]
    fn flush_hard<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        let kicks = match self.lists(vcpu.get()) {
            Some(lists) if lists.dirty | lists.again | lists.release != 0 => {
                self.sync_all(vcpu, hw)
            }
            _ => VcpuSet::EMPTY,
        };
        (kicks | self.fill(vcpu.get(), hw)).without(vcpu)
    }

    /// [`sync`](Vgic::sync) and [`flush`](Vgic::flush) in one, for a kick or a maintenance interrupt: the same in
    /// effect, and shorter when interrupts that the list registers hold only became pending once more, like SGIs.
    #[inline]
    pub fn serve<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        if self.quick_serve(vcpu, hw) {
            return VcpuSet::EMPTY;
        }
        self.serve_all(vcpu, hw)
    }

    /// The first of two steps of [`serve`](Vgic::serve): what others changed. `None` if there is nothing of that; then
    /// [`flush`](Vgic::flush) is the second.
    #[inline]
    pub fn serve_changes<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        hw: &mut H,
    ) -> Option<VcpuSet> {
        let lists = self.lists(vcpu.get())?;
        (lists.loaded && lists.dirty | lists.release != 0).then(|| self.sync_all(vcpu, hw))
    }

    /// Sets pending again what needs no more than that; whether this was all.
    #[inline]
    fn rearm_all<H: CpuInterface>(&mut self, vcpu: u8, hw: &mut H) -> bool {
        let Some(lists) = self.lists_mut(vcpu) else {
            return true;
        };
        let again = core::mem::take(&mut lists.again);
        let mut rest = 0;
        for slot in Bits(again) {
            if !self.rearm(vcpu, slot, hw) {
                rest |= 1u32.wrapping_shl(slot);
            }
        }
        if let Some(lists) = self.lists_mut(vcpu) {
            lists.again = rest;
        }
        rest == 0
    }

    #[inline(never)]
    fn serve_all<H: CpuInterface>(&mut self, vcpu: VcpuIndex, hw: &mut H) -> VcpuSet {
        self.sync(vcpu, hw) | self.flush(vcpu, hw)
    }

    /// Deactivates the spilled interrupts that the guest ended: the hardware counted them, and an EOI is
    /// always that of the most urgent active one.
    fn end_counted<H: CpuInterface>(&mut self, vcpu: u8, hw: &mut H) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        let count = hw.eoi_count();
        if count == 0 {
            return kicks;
        }
        hw.clear_eoi_count();
        // The counter has five bits.
        for _ in 0..count & 31 {
            let Some((_, intid)) = self.lists(vcpu).and_then(|lists| lists.best_spilled()) else {
                break;
            };
            kicks |= self.end_spilled(vcpu, intid, hw);
        }
        kicks
    }

    /// Deactivates an interrupt that is active on `vcpu` and in no list register.
    pub(crate) fn end_spilled<H: CpuInterface>(
        &mut self,
        vcpu: u8,
        intid: u16,
        hw: &mut H,
    ) -> VcpuSet {
        let Spot { word, bit, .. } = Spot::of(vcpu, intid);
        let mask = 1u32.wrapping_shl(bit);
        let Some((block, lists)) = self.pair(word, vcpu) else {
            return VcpuSet::EMPTY;
        };
        lists.remove_spilled(block.active_level(bit), intid);
        block.active &= !mask;
        if block.link_here() & mask != 0 {
            block.linked &= !mask;
            hw.deactivate_physical(IntId::known(block.pintid(bit)));
        }
        block.link_waits &= !mask;
        self.refresh(vcpu, word, mask)
    }

    /// Deactivates the physical interrupts that software has released.
    #[cold]
    fn release<H: CpuInterface>(&mut self, vcpu: u8, hw: &mut H) {
        let Some(lists) = self.lists_mut(vcpu) else {
            return;
        };
        let words = core::mem::take(&mut lists.release);
        for word in Bits(words) {
            let Some(block) = self.block_mut(vcpu, word as u8) else {
                continue;
            };
            let due = core::mem::take(&mut block.release) & block.linked;
            block.linked &= !due;
            block.link_waits &= !due;
            for bit in Bits(due) {
                hw.deactivate_physical(IntId::known(block.pintid(bit)));
            }
        }
    }

    /// Fills the list registers: first with spilled active interrupts, then with ready ones.
    #[inline]
    fn fill<H: CpuInterface>(&mut self, vcpu: u8, hw: &mut H) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        let groups = self.dist.groups;
        let all = all_slots(hw);
        while let Some(lists) = self.lists(vcpu) {
            let Some((_, intid)) = lists.best_spilled() else {
                break;
            };
            let free = all & !lists.used;
            // The last one is for a ready interrupt, if there is any.
            if free == 0 || free & free.wrapping_sub(1) == 0 && lists.has_ready(groups) {
                break;
            }
            self.put_active(vcpu, intid, free.trailing_zeros(), hw);
        }
        while let Some(lists) = self.lists_mut(vcpu) {
            let Some(ready) = lists.best(groups) else {
                break;
            };
            let free = all & !lists.used;
            let slot = if free != 0 {
                free.trailing_zeros()
            } else {
                let Some(slot) = self.victim(vcpu, ready, hw) else {
                    break;
                };
                kicks |= self.fold(vcpu, slot, hw.read(slot as usize), hw);
                slot
            };
            let Some(lists) = self.lists_mut(vcpu) else {
                break;
            };
            lists.remove_ready(ready.group1, ready.level, ready.intid);
            self.put_pending(vcpu, ready, slot, hw);
        }
        kicks |= self.demote(vcpu, groups, hw);
        self.set_maintenance(vcpu, groups, hw);
        kicks
    }

    /// Takes the pending half out of "active and pending" list registers if something waits outside: at the end
    /// of the active half it would be pending without having been compared.
    #[inline]
    fn demote<H: CpuInterface>(&mut self, vcpu: u8, groups: Groups, hw: &mut H) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        let Some(lists) = self.lists(vcpu) else {
            return kicks;
        };
        if lists.both == 0 || !lists.has_ready(groups) {
            return kicks;
        }
        for slot in Bits(lists.both) {
            let lr = hw.read(slot as usize);
            if lr.is_pending() && lr.is_active() {
                kicks |= self.fold(vcpu, slot, lr, hw);
                self.put_active(vcpu, lr.intid(), slot, hw);
            }
        }
        kicks
    }

    /// The list register to empty for a ready interrupt when all are in use, if it deserves one.
    #[cold]
    fn victim<H: CpuInterface>(&self, vcpu: u8, ready: Ready, hw: &H) -> Option<u32> {
        let used = self.lists(vcpu)?.used;
        // The least urgent pending and the least urgent active one.
        let (mut pending, mut active) = (0, 0);
        for slot in Bits(used) {
            let lr = hw.read(slot as usize);
            let candidate = urgency(lr.priority() >> 3, lr.intid()) | slot;
            if lr.is_active() {
                active = candidate.max(active);
            } else if lr.is_pending() {
                pending = candidate.max(pending);
            } else {
                return Some(slot);
            }
        }
        let worst = if pending == 0 { active } else { pending };
        if worst == 0 || pending != 0 && urgency(ready.level, ready.intid) | 15 >= worst {
            return None;
        }
        Some(worst & 15)
    }

    /// Switches on the maintenance that what was left outside needs.
    fn set_maintenance<H: CpuInterface>(&mut self, vcpu: u8, groups: Groups, hw: &mut H) {
        let Some(lists) = self.lists_mut(vcpu) else {
            return;
        };
        let spilled = lists.has_spilled();
        let wanted = Maintenance::new(lists.has_ready(groups), spilled);
        if wanted != lists.maintenance {
            if spilled && !lists.maintenance.not_present() {
                // What was counted before is not the end of an interrupt spilled now.
                hw.clear_eoi_count();
            }
            lists.set_maintenance(wanted);
            hw.set_maintenance(wanted);
        }
    }

    /// Switches a vCPU out: takes all that its list registers hold back into memory, and switches maintenance off. When
    /// there is no upkeep under way, [`Cpu::quick_save`](crate::Cpu::quick_save) puts them by as they are instead.
    ///
    /// Returns the other vCPUs to kick, and whether the physical interrupt of `timer`, a private one, is active on behalf of
    /// the vCPU. Whoever kicks a vCPU that is switched out has its core call [`sync`](Vgic::sync), as for one that is loaded.
    #[inline(never)]
    pub fn save<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        timer: IntId,
        hw: &mut H,
    ) -> (VcpuSet, bool) {
        let index = vcpu.get();
        let mut kicks = self.sync(vcpu, hw);
        let used = self.lists(index).map_or(0, |lists| lists.used);
        for slot in Bits(used) {
            let lr = hw.read(slot as usize);
            kicks |= self.fold(index, slot, lr, hw);
            hw.write(slot as usize, ListRegister::EMPTY);
        }
        if let Some(lists) = self.lists_mut(index) {
            lists.loaded = false;
            lists.reading = 0;
            if !lists.maintenance.is_off() {
                lists.set_maintenance(Maintenance::OFF);
                hw.set_maintenance(Maintenance::OFF);
            }
        }
        (kicks.without(vcpu), self.hw_in_flight(vcpu, timer))
    }

    /// Switches a vCPU in, and serves it. The list registers must be empty and maintenance off, as `save` and
    /// reset leave them.
    ///
    /// `timer` is the private interrupt of the vCPU's timer, linked to the physical one of the same number. If the timer ran
    /// out meanwhile (`due`) that would come as soon as the vCPU runs; it is delivered here instead. Returns the other
    /// vCPUs to kick, and whether the physical interrupt is now active on behalf of the vCPU.
    /// When nothing has happened meanwhile, [`Cpu::quick_load`](crate::Cpu::quick_load) does the same in less.
    #[inline(never)]
    pub fn load<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        timer: IntId,
        due: bool,
        hw: &mut H,
    ) -> (VcpuSet, bool) {
        let Some(cpu) = self.cpus.get_mut(usize::from(vcpu.get())) else {
            return (VcpuSet::EMPTY, false);
        };
        let before = cpu.parked_in_flight(timer);
        cpu.lists.loaded = true;
        hw.put(cpu.lists.used, &cpu.lists.parked);
        let mut kicks = self.serve(vcpu, hw);
        if due && !before {
            kicks |= self.deliver_hw(vcpu, timer, timer, hw);
            return (kicks, true);
        }
        // Serving may have released it.
        (kicks, before && self.hw_in_flight(vcpu, timer))
    }

    /// Whether an interrupt is there for which a WFI would return, once it is flushed.
    ///
    /// `below` is the priority that it must be better than: the lower of the priority mask and the running
    /// priority; `groups` are those that the guest has enabled at its CPU interface. Call it after `serve` or
    /// `sync`; `hw` is only read if the vCPU is loaded.
    pub fn has_deliverable<H: CpuInterface>(
        &self,
        vcpu: VcpuIndex,
        below: u8,
        groups: Groups,
        hw: &H,
    ) -> bool {
        let Some(lists) = self.lists(vcpu.get()) else {
            return false;
        };
        let open = Groups::from_bits(groups.bits() & self.dist.groups.bits());
        if let Some(ready) = lists.best(open)
            && ready.level.wrapping_shl(3) < below
        {
            return true;
        }
        Bits(lists.used).any(|slot| {
            let lr = if lists.loaded {
                hw.read(slot as usize)
            } else {
                lists.parked(slot)
            };
            let group = if lr.is_group1() {
                Groups::GROUP1
            } else {
                Groups::GROUP0
            };
            lr.is_pending() && !lr.is_active() && lr.priority() < below && groups.contains(group)
        })
    }

    /// A trapped write of `intid` to `ICC_DIR_EL1` or `GICV_DIR` by the loaded vCPU.
    ///
    /// An SPI may be deactivated by another vCPU than the one that acknowledged it. What is not active is
    /// left as it is.
    pub fn deactivate<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        intid: IntId,
        hw: &mut H,
    ) -> VcpuSet {
        let Some(spot) = self.spot(vcpu, intid) else {
            return VcpuSet::EMPTY;
        };
        let Spot { home, word, bit } = spot;
        let mask = spot.mask();
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        let (owner, slot) = (block.owner(bit), u32::from(block.slot(bit)));
        if block.held & mask == 0 {
            if block.active & mask == 0 {
                return VcpuSet::EMPTY;
            }
            return self.end_spilled(owner, intid.get(), hw).without(vcpu);
        }
        block.end |= mask;
        block.start &= !mask;
        if owner != vcpu.get() {
            return self.mark_dirty(home, word, mask).without(vcpu);
        }
        let kicks = self.revise(owner, slot, hw);
        if self.lists(owner).is_some_and(|lists| lists.dirty == 0) {
            self.dist.dirty = self.dist.dirty.without(vcpu);
        }
        kicks.without(vcpu)
    }
}

/// A number that is lower for a more urgent interrupt, and never 0; its low four bits are free.
#[inline]
fn urgency(level: u8, intid: u16) -> u32 {
    1 << 31 | u32::from(level).wrapping_shl(16) | u32::from(intid).wrapping_shl(4)
}

/// A bit for each list register.
#[inline]
fn all_slots<H: CpuInterface>(hw: &H) -> u32 {
    match hw.list_registers() {
        count @ 1..=15 => 1u32.wrapping_shl(count as u32).wrapping_sub(1),
        _ => 0xffff,
    }
}
