//! One vCPU's part of the interrupt controller: its private interrupts, its ready sets, its list registers.

use crate::block::Block;
use crate::hold::Ready;
use crate::id::IntId;
use crate::interface::{Groups, ListRegisters, Maintenance};
use crate::list_register::ListRegister;
use crate::ready::{Levels, PrioritySet};

/// One vCPU's memory. Plain memory without pointers; all zero is what [`Cpu::new`] makes, so an array of them can lie
/// in `.bss`. [`Vgic::new`](crate::Vgic::new) gives it its reset state.
#[repr(C)]
pub struct Cpu {
    pub(crate) lists: Lists,
    /// SGIs and PPIs.
    pub(crate) block: Block,
}

impl Cpu {
    /// Memory for one vCPU.
    pub const fn new() -> Cpu {
        // As a constant, so that it is cleared memory and not code that stores each field.
        const NEW: Cpu = Cpu {
            block: Block::new(),
            lists: Lists::new(),
        };
        NEW
    }
}

impl Cpu {
    /// Whether a physical interrupt is active on behalf of the private interrupt `intid`, while the vCPU is switched out.
    #[inline(always)]
    pub(crate) fn parked_in_flight(&self, intid: IntId) -> bool {
        let bit = u32::from(intid.get() & 31);
        let mask = 1u32.wrapping_shl(bit);
        if self.block.linked & mask == 0 {
            return false;
        }
        // The hardware has deactivated it at the end of the virtual one.
        let by_hardware = self.block.held & self.block.held_physical & mask != 0;
        !(by_hardware
            && self
                .lists
                .parked(u32::from(self.block.slot(bit)))
                .is_invalid())
    }

    /// Switches a vCPU out whose list registers need nothing at once: they are put by as they are. Returns whether the physical
    /// interrupt of `timer` is active on its behalf. `None`: [`Vgic::save`](crate::Vgic::save) is due, and nothing has been done.
    #[inline(always)]
    pub fn quick_save<H: ListRegisters>(&mut self, timer: IntId, hw: &mut H) -> Option<bool> {
        let lists = &mut self.lists;
        // What waits, what asks for maintenance at its end and what others have changed can be seen to when it comes back.
        let must = lists.needs_upkeep() && (lists.release != 0 || !lists.maintenance.is_off());
        if must || lists.used & !H::PARKED != 0 {
            return None;
        }
        lists.loaded = false;
        hw.take(lists.used, &mut lists.parked);
        Some(self.parked_in_flight(timer))
    }

    /// [`Vgic::load`](crate::Vgic::load) of a vCPU for which nothing has happened meanwhile but that its timer may have run
    /// out; whether the physical interrupt of `timer` is active on its behalf now. `None`: that call is due, and nothing has
    /// been done.
    #[inline(always)]
    pub fn quick_load<H: ListRegisters>(
        &mut self,
        timer: IntId,
        due: bool,
        hw: &mut H,
    ) -> Option<bool> {
        let (block, lists) = (&self.block, &mut self.lists);
        if lists.needs_upkeep() || lists.again | lists.used & !H::PARKED != 0 {
            return None;
        }
        let bit = u32::from(timer.get() & 31);
        let mask = 1u32.wrapping_shl(bit);
        let mut in_flight = false;
        if block.express & block.linked & mask != 0 {
            // Its list register has held it since it came last. The hardware has deactivated it at the end of the virtual
            // one; it becomes pending where it is.
            let lr = lists.parked.get_mut(usize::from(block.slot(bit) & 15))?;
            if due {
                if lr.is_invalid() {
                    *lr = lr.with_pending();
                }
                in_flight = true;
            } else {
                in_flight = !lr.is_invalid();
            }
        } else if due || block.linked & mask != 0 {
            return None;
        }
        lists.loaded = true;
        hw.put(lists.used, &lists.parked);
        Some(in_flight)
    }
}

impl Default for Cpu {
    fn default() -> Cpu {
        Cpu::new()
    }
}

/// Which interrupts wait for a vCPU, and which ones its list registers hold. What is looked at each time is in front.
#[repr(C, align(64))]
pub(crate) struct Lists {
    /// Something of `eoi`, `dirty`, `release`, `maintenance` or a ready or spilled interrupt may be there: see
    /// [`needs_upkeep`](Lists::needs_upkeep).
    upkeep: bool,
    /// Between `load` and `save`. If it is not, the list registers in use are those of `parked`.
    pub(crate) loaded: bool,
    /// As the hardware has it.
    pub(crate) maintenance: Maintenance,
    /// GICR_WAKER.ProcessorSleep.
    pub(crate) asleep: bool,
    /// List registers in use, a bit each.
    pub(crate) used: u32,
    /// List registers in use that raise maintenance at their end.
    pub(crate) eoi: u32,
    /// List registers whose interrupt somebody changed: the next sync reads and revises them.
    pub(crate) dirty: u32,
    /// List registers whose interrupt became pending once more: the next sync sets it pending there.
    pub(crate) again: u32,
    /// Blocks (0 private, 1.. SPIs) with physical interrupts that this vCPU's core must deactivate.
    pub(crate) release: u32,
    /// The levels of the ready interrupts of each group.
    ready_levels: [Levels; 2],
    /// The levels of the spilled ones.
    spilled_levels: Levels,
    /// List registers that were written active and pending.
    pub(crate) both: u32,
    /// The last read that asked for a retry, 0 for none.
    pub(crate) reading: u32,
    /// The INTID in each list register in use.
    pub(crate) slots: [u16; 16],
    /// GICv2: the vCPUs from which each SGI is pending in memory. 0 on GICv3.
    pub(crate) sgi_sources: [u8; 16],
    /// GICv2: the vCPU that sent the SGI that is held or active. 0 on GICv3.
    pub(crate) sgi_current: [u8; 16],
    /// Pending, enabled, not active, not held: by group.
    ready: [PrioritySet; 2],
    /// Active here, but in no list register.
    spilled: PrioritySet,
    /// The list registers in use while the vCPU is switched out.
    pub(crate) parked: [ListRegister; 16],
}

impl Lists {
    pub(crate) const fn new() -> Lists {
        Lists {
            upkeep: false,
            used: 0,
            eoi: 0,
            dirty: 0,
            again: 0,
            release: 0,
            ready_levels: [0; 2],
            spilled_levels: 0,
            both: 0,
            reading: 0,
            loaded: false,
            maintenance: Maintenance::OFF,
            asleep: false,
            slots: [0; 16],
            sgi_sources: [0; 16],
            sgi_current: [0; 16],
            ready: [PrioritySet::new(), PrioritySet::new()],
            spilled: PrioritySet::new(),
            parked: [ListRegister::EMPTY; 16],
        }
    }

    #[inline]
    pub(crate) fn ready_mut(&mut self, group1: bool) -> (&mut PrioritySet, &mut Levels) {
        self.upkeep = true;
        let ([set0, set1], [levels0, levels1]) = (&mut self.ready, &mut self.ready_levels);
        if group1 {
            (set1, levels1)
        } else {
            (set0, levels0)
        }
    }

    #[inline]
    pub(crate) fn remove_ready(&mut self, group1: bool, level: u8, intid: u16) {
        let (set, levels) = self.ready_mut(group1);
        set.remove(levels, level, intid);
    }

    /// The levels of the ready interrupts in `groups`, for each group.
    #[inline]
    fn ready_levels(&self, groups: Groups) -> (Levels, Levels) {
        let [group0, group1] = self.ready_levels;
        let levels0 = if groups.contains(Groups::GROUP0) {
            group0
        } else {
            0
        };
        let levels1 = if groups.contains(Groups::GROUP1) {
            group1
        } else {
            0
        };
        (levels0, levels1)
    }

    #[inline]
    pub(crate) fn has_ready(&self, groups: Groups) -> bool {
        let (levels0, levels1) = self.ready_levels(groups);
        levels0 | levels1 != 0
    }

    /// The most urgent ready interrupt in `groups`. Group 0 wins a tie.
    #[inline]
    pub(crate) fn best(&self, groups: Groups) -> Option<Ready> {
        let (levels0, levels1) = self.ready_levels(groups);
        let [group0, group1] = &self.ready;
        let in_group1 = levels0.trailing_zeros() > levels1.trailing_zeros();
        let (level, intid) = if in_group1 {
            group1.best(levels1)?
        } else {
            group0.best(levels0)?
        };
        Some(Ready {
            intid,
            level,
            group1: in_group1,
        })
    }

    /// Takes it out of its set.
    #[inline]
    pub(crate) fn take_best(&mut self, groups: Groups) -> Option<Ready> {
        let ready = self.best(groups)?;
        self.remove_ready(ready.group1, ready.level, ready.intid);
        Some(ready)
    }

    #[inline]
    pub(crate) fn has_spilled(&self) -> bool {
        self.spilled_levels != 0
    }

    #[inline]
    pub(crate) fn insert_spilled(&mut self, level: u8, intid: u16) {
        self.upkeep = true;
        self.spilled.insert(&mut self.spilled_levels, level, intid);
    }

    #[inline]
    pub(crate) fn remove_spilled(&mut self, level: u8, intid: u16) {
        self.spilled.remove(&mut self.spilled_levels, level, intid);
    }

    /// The most urgent spilled interrupt.
    #[inline]
    pub(crate) fn best_spilled(&self) -> Option<(u8, u16)> {
        self.spilled.best(self.spilled_levels)
    }

    /// Something waits in memory, ready or spilled, whatever the groups.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        let [levels0, levels1] = self.ready_levels;
        levels0 | levels1 | self.spilled_levels != 0
    }

    /// Whether anything but `again` may have to be cared for.
    #[inline(always)]
    pub(crate) fn needs_upkeep(&self) -> bool {
        debug_assert!(self.upkeep || !self.has_upkeep());
        self.upkeep
    }

    fn has_upkeep(&self) -> bool {
        self.is_waiting() || self.dirty | self.release | self.eoi != 0 || !self.maintenance.is_off()
    }

    /// To be called where something was cared for: looks whether anything is left.
    #[inline]
    pub(crate) fn look_again(&mut self) {
        self.upkeep = self.has_upkeep();
    }

    /// Somebody changed the interrupts of the list registers in `slots`.
    #[inline]
    pub(crate) fn mark_dirty(&mut self, slots: u32) {
        self.dirty |= slots;
        self.upkeep = true;
    }

    /// Physical interrupts of `block` are to be deactivated.
    #[inline]
    pub(crate) fn mark_release(&mut self, block: u8) {
        self.release |= 1u32.wrapping_shl(u32::from(block));
        self.upkeep = true;
    }

    /// The list registers in `slots` raise maintenance at their end.
    #[inline]
    pub(crate) fn mark_eoi(&mut self, slots: u32) {
        self.eoi |= slots;
        self.upkeep = true;
    }

    /// The hardware's maintenance enables are these now.
    #[inline]
    pub(crate) fn set_maintenance(&mut self, maintenance: Maintenance) {
        self.maintenance = maintenance;
        self.upkeep = true;
    }

    /// Nothing waits, and nobody changed anything.
    #[inline(always)]
    pub(crate) fn is_quiet(&self) -> bool {
        !self.is_waiting() && self.dirty | self.again | self.release == 0
    }

    /// Nothing but ready interrupts is to be cared for.
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        self.dirty | self.again | self.release | self.spilled_levels == 0
            && self.maintenance.is_off()
    }

    /// List register `slot` is in use no more.
    #[inline]
    pub(crate) fn free(&mut self, slot: u32) {
        let keep = !1u32.wrapping_shl(slot);
        self.used &= keep;
        self.eoi &= keep;
        self.both &= keep;
        self.dirty &= keep;
        self.again &= keep;
    }

    /// List register `slot` of a vCPU that is switched out.
    #[inline]
    pub(crate) fn parked(&self, slot: u32) -> ListRegister {
        self.parked
            .get((slot & 15) as usize)
            .copied()
            .unwrap_or(ListRegister::EMPTY)
    }

    /// The INTID in list register `slot`.
    #[inline]
    pub(crate) fn slot(&self, slot: u32) -> u16 {
        self.slots.get((slot & 15) as usize).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn set_slot(&mut self, slot: u32, intid: u16) {
        if let Some(entry) = self.slots.get_mut((slot & 15) as usize) {
            *entry = intid;
        }
    }

    /// GICv2: the sources of a pending SGI; 0 for any other interrupt.
    #[inline]
    pub(crate) fn sources(&self, intid: u16) -> u8 {
        self.sgi_sources
            .get(usize::from(intid))
            .copied()
            .unwrap_or(0)
    }

    #[inline]
    pub(crate) fn set_sources(&mut self, intid: u16, sources: u8) {
        if let Some(entry) = self.sgi_sources.get_mut(usize::from(intid)) {
            *entry = sources;
        }
    }

    /// GICv2: the source of the SGI that is held or active; 0 for any other interrupt.
    #[inline]
    pub(crate) fn current(&self, intid: u16) -> u8 {
        self.sgi_current
            .get(usize::from(intid))
            .copied()
            .unwrap_or(0)
    }

    #[inline]
    pub(crate) fn set_current(&mut self, intid: u16, source: u8) {
        if let Some(entry) = self.sgi_current.get_mut(usize::from(intid)) {
            *entry = source;
        }
    }

    /// Empties everything but what belongs to private interrupts; list registers must not be in use.
    pub(crate) fn reset(&mut self) {
        self.upkeep = false;
        self.used = 0;
        self.eoi = 0;
        self.dirty = 0;
        self.again = 0;
        self.release = 0;
        self.both = 0;
        self.loaded = false;
        self.maintenance = Maintenance::OFF;
        for (set, levels) in self.ready.iter_mut().zip(&mut self.ready_levels) {
            set.clear(levels);
        }
        self.spilled.clear(&mut self.spilled_levels);
    }
}
