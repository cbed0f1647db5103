//! Which vCPU's registers are in the processor. They stay there until another vCPU's are needed,
//! also while the kernel works or idles.

use super::{Core, NOBODY, Timer};
use crate::arch::gic::Gic;
use crate::arch::vectors::{self, Resume};
use crate::arch::{control, cpu, timer};
use crate::object::{Partition, Run};
use sched::Time;
use vgic::{IntId, VcpuSet};

/// The virtual timer's interrupt, for guest and host alike.
pub const VIRTUAL_TIMER: IntId = IntId::ppi(timer::EL1_VIRTUAL as u8);

impl Core {
    /// Makes another vCPU than the loaded one, which does not wait, run at once, if the list registers of both can be moved as they are. If it
    /// returns, [`switch`](Core::switch) is due. `now` is the counter.
    #[inline(always)]
    pub(super) fn quick_switch(&mut self, slot: usize, now: u64) {
        let Gic::V3(gic) = &mut self.gic else { return };
        if cpu::late_serror_pending() {
            return;
        }
        let vcpu = self.vcpus.at(self.loaded);
        let mut shared = vcpu.partition.shared.enter();
        let Some(was_in_flight) = shared.cpu(vcpu.index).quick_save(VIRTUAL_TIMER, gic) else { return };
        drop(shared);
        vcpu.el1.save();
        vcpu.timer = timer::Virtual::save();
        gic.save_simple(&mut vcpu.interface);
        let before = vcpu.controls.rare;

        let vcpu = self.vcpus.at(slot);
        let partition = vcpu.partition;
        // A timer that ran out meanwhile would interrupt at once: that exit is spared.
        let due = vcpu.timer.deadline().is_some_and(|at| at <= now);
        let mut shared = partition.shared.enter();
        let Some(in_flight) = shared.cpu(vcpu.index).quick_load(VIRTUAL_TIMER, due, gic) else {
            self.loaded = NOBODY;
            self.timer_active = was_in_flight;
            return;
        };
        drop(shared);
        // SAFETY: what was in the processor has been stored, and these belong to one vCPU.
        unsafe {
            vcpu.el1.load();
            vcpu.controls.load(partition.vttbr, before);
        }
        gic.load_simple(&vcpu.interface);
        // The physical interrupt is active exactly while the loaded vCPU's virtual one is in flight.
        if in_flight != was_in_flight {
            gic.set_active(timer::EL1_VIRTUAL, in_flight);
        }
        self.timer_active = in_flight;
        vcpu.timer.load();
        self.loaded = slot;
        let next = &raw const vcpu.frame;
        self.set_alarm();
        let previous = core::mem::replace(&mut self.interrupted, core::ptr::null_mut());
        // SAFETY: the frame is that of the vCPU that is loaded now, and nobody's work at EL2 is left unfinished.
        unsafe { vectors::resume(Resume { next, previous }) }
    }

    /// Makes another vCPU than the loaded one the one that runs at the exception return. `now` is the counter.
    #[inline(never)]
    pub(super) fn switch(&mut self, slot: usize, now: u64) {
        let before = self.loaded;
        let (kicked, controls) = if before == NOBODY {
            (VcpuSet::EMPTY, control::Rare::now())
        } else {
            (self.store(before), self.vcpus[before].controls.rare)
        };
        let vcpu = self.vcpus.at(slot);
        let partition = vcpu.partition;
        // SAFETY: what was in the processor has been stored, and these belong to one vCPU.
        unsafe {
            vcpu.el1.load();
            vcpu.controls.load(partition.vttbr, controls);
        }
        self.gic.load_virtual(&vcpu.interface);
        let due = vcpu.timer.deadline().is_some_and(|at| at <= now);
        let (others, in_flight) = {
            let mut shared = partition.shared.lock();
            match shared.cpu(vcpu.index).quick_load(VIRTUAL_TIMER, due, &mut self.gic) {
                Some(in_flight) => (VcpuSet::EMPTY, in_flight),
                None => shared.vgic().load(vcpu.index, VIRTUAL_TIMER, due, &mut self.gic),
            }
        };
        if self.timer_active != in_flight {
            self.timer_active = in_flight;
            self.gic.set_active(timer::EL1_VIRTUAL, in_flight);
        }
        vcpu.timer.load();
        self.loaded = slot;
        if kicked.bits() | others.bits() != 0 {
            self.deliver_both(before, kicked, partition, others);
        }
    }

    #[inline(never)]
    fn deliver_both(&mut self, before: usize, kicked: VcpuSet, partition: &Partition, others: VcpuSet) {
        if !kicked.is_empty() {
            self.deliver(self.vcpus[before].partition, kicked);
        }
        self.deliver(partition, others);
    }

    /// Takes the loaded vCPU out of the processor, to be reset: only its timer, its virtual interface and its interrupts are
    /// kept.
    #[inline(never)]
    pub(super) fn unload(&mut self) {
        let slot = core::mem::replace(&mut self.loaded, NOBODY);
        if slot == NOBODY {
            return;
        }
        let vcpu = self.vcpus.at(slot);
        let partition = vcpu.partition;
        vcpu.timer = timer::Virtual::save();
        let (kicked, in_flight) = partition.shared.lock().vgic().save(vcpu.index, VIRTUAL_TIMER, &mut self.gic);
        self.gic.save_virtual(&mut vcpu.interface);
        self.timer_active = in_flight;
        if cpu::take_late_serror() {
            self.late_serror(slot);
        }
        self.deliver(partition, kicked);
    }

    /// Stores the registers of the vCPU in `slot`, which is the loaded one, except those that the entry code stores; returns the other vCPUs of its partition to kick.
    fn store(&mut self, slot: usize) -> VcpuSet {
        let vcpu = self.vcpus.at(slot);
        vcpu.el1.save();
        vcpu.timer = timer::Virtual::save();
        let (kicked, in_flight) = {
            let mut shared = vcpu.partition.shared.lock();
            match shared.cpu(vcpu.index).quick_save(VIRTUAL_TIMER, &mut self.gic) {
                Some(in_flight) => (VcpuSet::EMPTY, in_flight),
                None => shared.vgic().save(vcpu.index, VIRTUAL_TIMER, &mut self.gic),
            }
        };
        self.gic.save_virtual(&mut vcpu.interface);
        // Only one that waits must be woken by its timer, and what is in flight already needs no second wake-up.
        if vcpu.run == Run::Waiting
            && !in_flight
            && let Some(at) = vcpu.timer.deadline()
        {
            self.deadlines.set(Timer::Virtual.slot(slot), Time(at));
        }
        self.timer_active = in_flight;
        if cpu::take_late_serror() {
            self.late_serror(slot);
        }
        kicked
    }

    /// Drops the loaded vCPU: nothing of it is kept but its interrupt controller's state.
    pub(super) fn discard(&mut self, slot: usize) {
        if self.loaded == slot {
            self.unload();
        }
        // It may also be the one that was interrupted though another has been loaded since.
        if core::ptr::eq(self.interrupted, &raw const self.vcpus[slot].frame) {
            self.interrupted = core::ptr::null_mut();
        }
        self.take_fp(slot);
        for timer in [Timer::Virtual, Timer::Physical, Timer::Alarm] {
            self.set_timer(slot, timer, None);
        }
    }

    /// The interrupts of a vCPU have changed, or its list registers need upkeep. A loaded one gets new list registers; one
    /// that is not gives those back whose interrupts were changed.
    pub fn refresh(&mut self, slot: usize) {
        let vcpu = &self.vcpus[slot];
        let (partition, index) = (vcpu.partition, vcpu.index);
        let kicked = {
            let mut shared = partition.shared.lock();
            let mut vgic = shared.vgic();
            if self.loaded == slot {
                vgic.serve(index, &mut self.gic)
            } else {
                vgic.sync(index, &mut self.gic)
            }
        };
        self.ask(partition, kicked.without(index));
    }

    /// The virtual timer has interrupted: it is the loaded vCPU's. The physical interrupt stays active until the
    /// guest ends the virtual one.
    #[inline(always)]
    pub fn virtual_timer_fired(&mut self) {
        if !timer::virtual_is_due() {
            // A late one of the vCPU that was here before.
            self.timer_active = false;
            self.gic.set_active(timer::EL1_VIRTUAL, false);
            return;
        }
        let slot = self.slot();
        let vcpu = &mut self.vcpus[slot];
        let (partition, index) = (vcpu.partition, vcpu.index);
        self.timer_active = true;
        let kicked = {
            let mut shared = partition.shared.lock();
            let mut vgic = shared.vgic();
            vgic.deliver_hw(index, VIRTUAL_TIMER, VIRTUAL_TIMER, &mut self.gic)
        };
        if !kicked.is_empty() {
            self.deliver(partition, kicked);
        }
    }

    /// Whether a vCPU is loaded.
    #[must_use]
    pub fn has_loaded(&self) -> bool {
        self.loaded != NOBODY
    }

    /// The loaded vCPU has used FP while another's registers, or nobody's, were there.
    pub fn give_fp(&mut self) {
        control::allow_fp();
        let slot = self.slot();
        let owner = self.fp_owner;
        if owner != NOBODY {
            self.vcpus[owner].fp.save();
            self.take_fp(owner);
        }
        self.fp_owner = slot;
        let vcpu = &mut self.vcpus[slot];
        vcpu.controls.cptr = control::FP_ALLOWED;
        // SAFETY: the former owner's state has just been stored.
        unsafe { vcpu.fp.load() }
    }

    /// If the FP registers are this vCPU's, they are void now.
    pub(super) fn take_fp(&mut self, slot: usize) {
        if self.fp_owner == slot {
            self.fp_owner = NOBODY;
            self.vcpus[slot].controls.cptr = control::FP_TRAPS;
        }
    }
}
