//! Which vCPU's registers are in the processor. They stay there until another vCPU's are needed,
//! also while the kernel works or idles.

use super::{Core, Timer};
use crate::arch::{cpu, timer};
use crate::object::Run;
use manifest::CorePolicy;
use sched::Time;
use vgic::IntId;

/// The virtual timer's interrupt, for guest and host alike.
pub const VIRTUAL_TIMER: IntId = IntId::ppi(timer::EL1_VIRTUAL as u8);

impl Core {
    /// Makes a vCPU the one that runs at the exception return.
    #[unsafe(link_section = ".text.hot")]
    #[inline(never)]
    pub(super) fn load(&mut self, slot: usize, now: u64) {
        if self.loaded == Some(slot) {
            return;
        }
        self.unload();
        let shared_core = self.kind == CorePolicy::Shared;
        let Self { vcpus, gic, controls, deadlines, .. } = self;
        let vcpu = &mut vcpus[slot];
        let (partition, index, timer) = (vcpu.partition, vcpu.index, vcpu.timer);
        // SAFETY: `unload` has stored what was in the processor, and these belong to one vCPU.
        unsafe {
            vcpu.el1.load();
            controls.guest(partition.vttbr, vcpu.affinity(), shared_core);
        }
        controls.allow_fp(self.fp_owner == Some(slot));
        gic.load_virtual(&vcpu.interface);
        gic.enable_virtual(true);
        // From here on the processor's own timer says when.
        deadlines.clear(Timer::Virtual.slot(slot));
        let (kicked, in_flight) = {
            let mut shared = partition.shared.lock();
            let mut vgic = shared.vgic();
            // A timer that ran out meanwhile would interrupt at once: that exit is spared.
            let due = timer.deadline().is_some_and(|at| at <= now);
            vgic.load(index, VIRTUAL_TIMER, due, gic)
        };
        // The physical interrupt is active exactly while the loaded vCPU's virtual one is in flight.
        if self.timer_active != in_flight {
            self.timer_active = in_flight;
            gic.set_active(timer::EL1_VIRTUAL, in_flight);
        }
        timer.load();
        self.loaded = Some(slot);
        if !kicked.is_empty() {
            self.deliver(partition, kicked);
        }
    }

    /// Stores the loaded vCPU's registers, except those that the entry code stores.
    #[unsafe(link_section = ".text.hot")]
    pub(super) fn unload(&mut self) {
        let Some(slot) = self.loaded.take() else {
            return;
        };
        let Self { vcpus, gic, deadlines, .. } = self;
        let vcpu = &mut vcpus[slot];
        let (partition, index) = (vcpu.partition, vcpu.index);
        vcpu.el1.save();
        vcpu.timer = timer::Virtual::save();
        let (kicked, in_flight) = {
            let mut shared = partition.shared.lock();
            let mut vgic = shared.vgic();
            let kicked = vgic.save(index, gic);
            (kicked, vgic.hw_in_flight(index, VIRTUAL_TIMER))
        };
        gic.save_virtual(&mut vcpu.interface);
        // What is in flight already needs no second wake-up.
        if !in_flight
            && vcpu.run != Run::Off
            && let Some(at) = vcpu.timer.deadline()
        {
            deadlines.set(Timer::Virtual.slot(slot), Time(at));
        }
        self.timer_active = in_flight;
        if cpu::take_late_serror() {
            self.late_serror(slot);
        }
        if !kicked.is_empty() {
            self.deliver(partition, kicked);
        }
    }

    /// Drops the loaded vCPU: nothing of it is kept but its interrupt controller's state.
    pub(super) fn discard(&mut self, slot: usize) {
        if self.loaded == Some(slot) {
            self.unload();
        }
        // It may also be the one that was interrupted though another has been loaded since.
        if core::ptr::eq(self.interrupted, &raw const self.vcpus[slot].frame) {
            self.interrupted = core::ptr::null_mut();
        }
        if self.fp_owner == Some(slot) {
            self.fp_owner = None;
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
            if self.loaded == Some(slot) {
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
        self.loaded.is_some()
    }

    /// The loaded vCPU has used FP while another's registers, or nobody's, were there.
    pub fn give_fp(&mut self) {
        let slot = self.slot();
        self.controls.allow_fp(true);
        if self.fp_owner == Some(slot) {
            return;
        }
        if let Some(owner) = self.fp_owner.replace(slot) {
            self.vcpus[owner].fp.save();
        }
        // SAFETY: the former owner's state has just been stored.
        unsafe { self.vcpus[slot].fp.load() }
    }
}
