//! Which vCPU's registers are in the processor. They stay there until another vCPU's are needed,
//! also while the kernel works or idles.

use super::{Core, NOBODY, Timer};
use crate::arch::{cpu, timer};
use crate::object::{Partition, Run};
use sched::Time;
use vgic::{IntId, VcpuSet};

/// The virtual timer's interrupt, for guest and host alike.
pub const VIRTUAL_TIMER: IntId = IntId::ppi(timer::EL1_VIRTUAL as u8);

impl Core {
    /// Makes another vCPU than the loaded one the one that runs at the exception return. `now` is the counter.
    #[inline(always)]
    pub(super) fn switch(&mut self, slot: usize, now: u64) {
        let before = self.loaded;
        let kicked = if before == NOBODY { VcpuSet::EMPTY } else { self.store(before) };
        let allow_fp = self.fp_owner == slot;
        let vcpu = self.vcpus.at(slot);
        let partition = vcpu.partition;
        // SAFETY: what was in the processor has been stored, and these belong to one vCPU.
        unsafe {
            vcpu.el1.load();
            self.controls.guest(vcpu.hcr, partition.vttbr, vcpu.affinity);
        }
        self.controls.allow_fp(allow_fp);
        self.gic.load_virtual(&vcpu.interface);
        // From here on the processor's own timer says when.
        if self.deadlines.is_set(Timer::Virtual.slot(slot)) {
            self.deadlines.clear(Timer::Virtual.slot(slot));
        }
        // A timer that ran out meanwhile would interrupt at once: that exit is spared.
        let due = vcpu.timer.deadline().is_some_and(|at| at <= now);
        let (others, in_flight) = {
            let mut shared = partition.shared.enter();
            match shared.cpu(vcpu.index).quick_load(VIRTUAL_TIMER, due, &mut self.gic) {
                Some(in_flight) => (VcpuSet::EMPTY, in_flight),
                None => shared.vgic().load(vcpu.index, VIRTUAL_TIMER, due, &mut self.gic),
            }
        };
        // The physical interrupt is active exactly while the loaded vCPU's virtual one is in flight.
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
    #[inline(always)]
    fn store(&mut self, slot: usize) -> VcpuSet {
        let vcpu = self.vcpus.at(slot);
        vcpu.el1.save();
        vcpu.timer = timer::Virtual::save();
        let (kicked, in_flight) = {
            let mut shared = vcpu.partition.shared.enter();
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
        if self.fp_owner == slot {
            self.fp_owner = NOBODY;
        }
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
        self.deliver(partition, kicked.without(index));
    }

    /// The virtual timer has interrupted: it is the loaded vCPU's. The physical interrupt stays active until the
    /// guest ends the virtual one.
    #[inline(always)]
    pub fn virtual_timer_fired(&mut self) {
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
        let slot = self.slot();
        self.controls.allow_fp(true);
        let owner = core::mem::replace(&mut self.fp_owner, slot);
        if owner == slot {
            return;
        }
        if owner != NOBODY {
            self.vcpus[owner].fp.save();
        }
        // SAFETY: the former owner's state has just been stored.
        unsafe { self.vcpus[slot].fp.load() }
    }
}
