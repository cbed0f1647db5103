//! A physical interrupt. Every one comes to EL2 first.

use super::interrupted;
use crate::arch::context::Frame;
use crate::arch::vectors::Resume;
use crate::arch::gic::{self, Acknowledged};
use crate::arch::{cpu, timer};
use crate::console;
use crate::object::request;
use crate::sched::{Core, VIRTUAL_TIMER};
use crate::system;
use trace::{Argument, Kind};

/// An interrupt while a guest ran.
#[unsafe(link_section = ".text.hot")]
pub extern "C" fn entry(frame: *mut Frame) -> Resume {
    // SAFETY: once per entry, and of the core only the interrupt controller and a flag are used beside the vCPU.
    let (core, vcpu) = unsafe { (Core::current(), interrupted(frame)) };
    let interrupt = core.gic.acknowledge_any();
    if interrupt.0 != timer::EL1_VIRTUAL {
        return serve(frame, interrupt);
    }
    core.gic.drop_priority(interrupt);
    core.timer_active = true;
    core.note(Kind::Interrupt, Argument::interrupt(interrupt.0));
    let done = vcpu.partition.shared.enter().vgic().quick_hw(vcpu.index, VIRTUAL_TIMER, &mut core.gic);
    if done { Resume::same(frame) } else { timer_fired(frame) }
}

#[inline(never)]
fn timer_fired(frame: *mut Frame) -> Resume {
    // SAFETY: once per entry.
    let core = unsafe { Core::current() };
    core.begin(frame);
    core.virtual_timer_fired();
    core.leave()
}

#[unsafe(link_section = ".text.hot")]
#[inline(never)]
fn serve(frame: *mut Frame, interrupt: Acknowledged) -> Resume {
    // SAFETY: once per entry.
    let core = unsafe { Core::current() };
    core.begin(frame);
    core.note(Kind::Interrupt, Argument::interrupt(interrupt.intid()));
    if interrupt.0 == core.own.timer {
        core.gic.complete(interrupt);
        return core.expire();
    }
    if interrupt.is_interrupt() {
        other(core, interrupt);
    }
    core.leave()
}

/// Takes the most urgent pending interrupt.
#[inline(never)]
pub fn take(core: &mut Core) {
    let Some(interrupt) = core.gic.acknowledge() else {
        return;
    };
    if interrupt.intid() == timer::EL1_VIRTUAL && core.has_loaded() {
        core.gic.drop_priority(interrupt);
        core.virtual_timer_fired();
        core.wake(core.slot());
    } else {
        other(core, interrupt);
    }
}

/// Any but the loaded vCPU's timer.
#[inline(never)]
fn other(core: &mut Core, interrupt: Acknowledged) {
    let intid = interrupt.intid();
    core.gic.complete(interrupt);
    if intid == core.own.timer {
        core.look_at_deadlines();
    } else if intid == gic::KICK {
        // The requests were written before the interrupt was sent: read them after it was acknowledged.
        cpu::dsb();
        core.serve_requests();
    } else if intid == core.own.maintenance {
        if core.has_loaded() {
            core.refresh(core.slot());
        }
    } else if Some(intid) == core.own.console {
        console::attend();
        if let Some(partition) = system::partitions().get(usize::from(console::focus())) {
            core.request_first(partition, request::CONSOLE);
        }
    } else if intid != timer::EL1_VIRTUAL {
        // Nobody's: it must not come again.
        core.gic.disable(intid);
    }
}
