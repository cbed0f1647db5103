//! One vCPU's part of the interrupt controller: its private interrupts, its ready sets, its list registers.

use crate::block::Block;
use crate::interface::{Groups, Maintenance};
use crate::ready::PrioritySet;

/// One vCPU's memory. Plain memory without pointers; all zero is what [`Cpu::new`] makes, so an array of them can lie
/// in `.bss`. [`Vgic::new`](crate::Vgic::new) gives it its reset state.
pub struct Cpu {
    /// SGIs and PPIs.
    pub(crate) block: Block,
    pub(crate) lists: Lists,
}

impl Cpu {
    /// Memory for one vCPU.
    pub const fn new() -> Cpu {
        Cpu {
            block: Block::new(),
            lists: Lists::new(),
        }
    }
}

impl Default for Cpu {
    fn default() -> Cpu {
        Cpu::new()
    }
}

/// Which interrupts wait for a vCPU, and which ones its list registers hold.
pub(crate) struct Lists {
    /// List registers in use, a bit each.
    pub(crate) used: u32,
    /// List registers in use that raise maintenance at their end.
    pub(crate) eoi: u32,
    /// List registers that were written active and pending.
    pub(crate) both: u32,
    /// List registers whose interrupt somebody changed: the next sync reads and revises them.
    pub(crate) dirty: u32,
    /// Blocks (0 private, 1.. SPIs) with physical interrupts that this vCPU's core must deactivate.
    pub(crate) release: u32,
    /// The last read that asked for a retry, 0 for none.
    pub(crate) reading: u32,
    /// Between `load` and `save`.
    pub(crate) loaded: bool,
    /// GICR_WAKER.ProcessorSleep.
    pub(crate) asleep: bool,
    /// As the hardware has it.
    pub(crate) maintenance: Maintenance,
    /// The INTID in each list register in use.
    pub(crate) slots: [u16; 16],
    /// GICv2: the vCPUs from which each SGI is pending in memory. 0 on GICv3.
    pub(crate) sgi_sources: [u8; 16],
    /// GICv2: the vCPU that sent the SGI that is held or active. 0 on GICv3.
    pub(crate) sgi_current: [u8; 16],
    /// Pending, enabled, not active, not held: by group.
    pub(crate) ready: [PrioritySet; 2],
    /// Active here, but in no list register.
    pub(crate) spilled: PrioritySet,
}

impl Lists {
    pub(crate) const fn new() -> Lists {
        Lists {
            used: 0,
            eoi: 0,
            both: 0,
            dirty: 0,
            release: 0,
            reading: 0,
            loaded: false,
            asleep: false,
            maintenance: Maintenance {
                no_pending: false,
                not_present: false,
                trap_dir: false,
            },
            slots: [0; 16],
            sgi_sources: [0; 16],
            sgi_current: [0; 16],
            ready: [PrioritySet::new(), PrioritySet::new()],
            spilled: PrioritySet::new(),
        }
    }

    /// The ready set of one group.
    #[inline]
    pub(crate) fn ready_mut(&mut self, group1: bool) -> &mut PrioritySet {
        let [group0, group_1] = &mut self.ready;
        if group1 { group_1 } else { group0 }
    }

    /// The levels of the ready interrupts in `groups`, for each group.
    #[inline]
    pub(crate) fn ready_levels(&self, groups: Groups) -> (u32, u32) {
        let [group0, group1] = &self.ready;
        let levels0 = if groups.contains(Groups::GROUP0) {
            group0.levels()
        } else {
            0
        };
        let levels1 = if groups.contains(Groups::GROUP1) {
            group1.levels()
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

    /// The most urgent ready interrupt in `groups`: its level and INTID. Group 0 wins a tie.
    #[inline]
    pub(crate) fn best(&self, groups: Groups) -> Option<(u8, u16)> {
        let (levels0, levels1) = self.ready_levels(groups);
        if levels0 | levels1 == 0 {
            return None;
        }
        let [group0, group1] = &self.ready;
        if levels0.trailing_zeros() <= levels1.trailing_zeros() {
            group0.best()
        } else {
            group1.best()
        }
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

    /// Empties everything; list registers must not be in use.
    pub(crate) fn reset(&mut self) {
        self.used = 0;
        self.eoi = 0;
        self.both = 0;
        self.dirty = 0;
        self.release = 0;
        self.reading = 0;
        self.loaded = false;
        self.asleep = true;
        self.maintenance = Maintenance::default();
        self.sgi_sources = [0; 16];
        self.sgi_current = [0; 16];
        for set in &mut self.ready {
            set.clear();
        }
        self.spilled.clear();
    }
}
