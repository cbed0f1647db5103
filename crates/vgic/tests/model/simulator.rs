//! A virtual CPU interface as the hardware has it: list registers, EOIcount, maintenance conditions, and the
//! guest's side of it (acknowledge, EOI, deactivate).

use tessera_vgic::{CpuInterface, IntId, ListRegister, ListRegisters, Maintenance, Was};

/// The physical interrupts that are active: private ones per core, then the shared ones.
#[derive(Default)]
pub struct Physical {
    active: Vec<(usize, u16)>,
}

impl Physical {
    fn key(core: usize, pintid: u16) -> (usize, u16) {
        if pintid < 32 {
            (core, pintid)
        } else {
            (usize::MAX, pintid)
        }
    }

    pub fn is_active(&self, core: usize, pintid: u16) -> bool {
        self.active.contains(&Physical::key(core, pintid))
    }

    pub fn activate(&mut self, core: usize, pintid: u16) {
        assert!(
            !self.is_active(core, pintid),
            "physical interrupt {pintid} is active already"
        );
        self.active.push(Physical::key(core, pintid));
    }

    pub fn deactivate(&mut self, core: usize, pintid: u16) {
        let key = Physical::key(core, pintid);
        let at = self.active.iter().position(|&entry| entry == key);
        let at = at.unwrap_or_else(|| panic!("physical interrupt {pintid} is deactivated twice"));
        self.active.swap_remove(at);
    }

    pub fn count(&self) -> usize {
        self.active.len()
    }
}

/// One core's list registers and what goes with them.
pub struct Core {
    pub number: usize,
    pub count: usize,
    pub lrs: [ListRegister; 16],
    pub eoi_count: u32,
    pub maintenance: Maintenance,
    /// Reads and writes of list registers and of their status registers.
    pub touched: std::cell::Cell<usize>,
}

impl Core {
    pub fn new(number: usize, count: usize) -> Core {
        Core {
            number,
            count,
            lrs: [ListRegister::EMPTY; 16],
            eoi_count: 0,
            maintenance: Maintenance::default(),
            touched: std::cell::Cell::new(0),
        }
    }

    fn in_use(&self) -> &[ListRegister] {
        &self.lrs[..self.count]
    }

    fn eisr(&self) -> u32 {
        let ended = |lr: &ListRegister| lr.is_invalid() && lr.has_eoi();
        (0..)
            .zip(self.in_use())
            .filter(|(_, lr)| ended(lr))
            .map(|(i, _)| 1 << i)
            .sum()
    }

    /// Whether the maintenance interrupt is asserted.
    pub fn maintenance_asserted(&self) -> bool {
        let pending = self
            .in_use()
            .iter()
            .any(|lr| lr.is_pending() && !lr.is_active());
        self.eisr() != 0
            || self.maintenance.no_pending() && !pending
            || self.maintenance.not_present() && self.eoi_count != 0
    }
}

/// The interface for one call, with the physical distributor behind it.
pub struct Hw<'a> {
    pub core: &'a mut Core,
    pub physical: &'a mut Physical,
}

impl ListRegisters for Hw<'_> {
    const PARKED: u32 = 0xffff;

    fn take(&mut self, used: u32, into: &mut [ListRegister; 16]) {
        for slot in (0..self.core.count).filter(|slot| used & 1 << slot != 0) {
            self.core.touched.set(self.core.touched.get() + 1);
            into[slot] = std::mem::replace(&mut self.core.lrs[slot], ListRegister::EMPTY);
        }
    }

    fn put(&mut self, used: u32, from: &[ListRegister; 16]) {
        assert!(
            self.core
                .lrs
                .iter()
                .all(|lr| lr.is_invalid() && !lr.has_eoi()),
            "not empty before a load"
        );
        for slot in (0..self.core.count).filter(|slot| used & 1 << slot != 0) {
            self.write(slot, from[slot]);
        }
    }
}

impl CpuInterface for Hw<'_> {
    fn list_registers(&self) -> usize {
        self.core.count
    }

    fn read(&self, index: usize) -> ListRegister {
        self.core.touched.set(self.core.touched.get() + 1);
        self.core.in_use()[index]
    }

    fn write(&mut self, index: usize, value: ListRegister) {
        self.core.touched.set(self.core.touched.get() + 1);
        assert!(index < self.core.count);
        if let Some(physical) = value.physical()
            && !value.is_invalid()
        {
            assert!(
                !value.is_pending() || !value.is_active(),
                "pending and active with HW=1"
            );
            assert!(
                self.physical.is_active(self.core.number, physical.get()),
                "HW=1 without a physical one"
            );
        }
        if !value.is_invalid() {
            for (other, lr) in self.core.in_use().iter().enumerate() {
                assert!(
                    other == index || lr.is_invalid() || lr.intid() != value.intid(),
                    "one INTID in two list registers"
                );
            }
        }
        self.core.lrs[index] = value;
    }

    fn make_pending(&mut self, index: usize, was: Was) -> bool {
        let now = self.read(index);
        let (mask, value) = was.v3();
        let fits = now.to_v3() & mask == value;
        let (mask, value) = was.v2();
        if now.intid() >= 16 || !matches!(was, Was::Ended(_)) {
            assert_eq!(now.to_v2() & mask == value, fits, "{now:?} as {was:?}");
        }
        if fits {
            self.write(index, ListRegister::from_v3(now.to_v3() | 1 << 62));
        }
        fits
    }
    fn empty(&self) -> u32 {
        self.core.touched.set(self.core.touched.get() + 1);
        let empty = |lr: &ListRegister| lr.is_invalid() && !lr.has_eoi();
        (0..)
            .zip(self.core.in_use())
            .filter(|(_, lr)| empty(lr))
            .map(|(i, _)| 1 << i)
            .sum()
    }

    fn ended(&self) -> u32 {
        self.core.touched.set(self.core.touched.get() + 1);
        self.core.eisr()
    }

    fn eoi_count(&self) -> u32 {
        self.core.eoi_count
    }

    fn clear_eoi_count(&mut self) {
        self.core.eoi_count = 0;
    }

    fn set_maintenance(&mut self, maintenance: Maintenance) {
        assert_ne!(
            self.core.maintenance, maintenance,
            "written though it does not differ"
        );
        self.core.maintenance = maintenance;
    }

    fn deactivate_physical(&mut self, pintid: IntId) {
        self.physical.deactivate(self.core.number, pintid.get());
    }
}

/// An acknowledged interrupt that the guest has not finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Handling {
    pub intid: u16,
    pub source: u8,
    pub priority: u8,
}

/// The part of a CPU interface that moves with the vCPU: mask, active priorities, EOImode.
pub struct Guest {
    pub priority_mask: u8,
    pub eoi_mode_1: bool,
    /// Not yet priority-dropped, most urgent last.
    pub running: Vec<Handling>,
    /// Priority-dropped and not yet deactivated (EOImode 1).
    pub dropped: Vec<Handling>,
}

impl Guest {
    pub fn running_priority(&self) -> u8 {
        self.running
            .last()
            .map_or(0xff, |handling| handling.priority)
    }

    /// Only interrupts of a priority below this are signalled.
    pub fn below(&self) -> u8 {
        self.priority_mask.min(self.running_priority())
    }

    /// `IAR`: the most urgent pending interrupt, if it may be signalled.
    pub fn acknowledge(&mut self, core: &mut Core) -> Option<Handling> {
        let count = core.count;
        let best = core.lrs[..count]
            .iter_mut()
            .filter(|lr| lr.is_pending() && !lr.is_active())
            .min_by_key(|lr| lr.priority())?;
        if best.priority() >= self.below() {
            return None;
        }
        let handling = Handling {
            intid: best.intid(),
            source: best.source(),
            priority: best.priority(),
        };
        *best = best.acknowledged();
        self.running.push(handling);
        Some(handling)
    }

    /// `EOIR` for the most urgent running interrupt. With EOImode 0 it deactivates, too.
    pub fn end(&mut self, core: &mut Core, physical: &mut Physical) -> Option<Handling> {
        let handling = self.running.pop()?;
        if self.eoi_mode_1 {
            self.dropped.push(handling);
        } else {
            deactivate(handling, core, physical);
        }
        Some(handling)
    }
}

/// What the hardware does for `DIR` that is not trapped, and for `EOIR` in EOImode 0.
pub fn deactivate(handling: Handling, core: &mut Core, physical: &mut Physical) {
    let count = core.count;
    let number = core.number;
    let found = core.lrs[..count].iter_mut().find(|lr| {
        lr.is_active() && lr.intid() == handling.intid && lr.source() == handling.source
    });
    match found {
        Some(lr) => {
            if let Some(pintid) = lr.physical() {
                physical.deactivate(number, pintid.get());
            }
            *lr = lr.deactivated();
        }
        None => core.eoi_count = (core.eoi_count + 1) & 31,
    }
}
