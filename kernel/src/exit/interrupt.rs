//! A physical interrupt. Every one comes to EL2 first.

use super::interrupted;
use crate::arch::context::Frame;
use crate::arch::vectors::{Quick, Resume};
use crate::arch::gic::{self, Acknowledged};
use crate::arch::{cpu, timer};
use crate::console;
use crate::object::request;
use crate::sched::{Core, VIRTUAL_TIMER};
use crate::system;

/// An interrupt while a guest ran. (On a GICv3 the entry code does this in fewer instructions, unless there is a trace.)
pub extern "C" fn quick(frame: *mut Frame) -> Quick {
    // SAFETY: once per entry.
    let core = unsafe { Core::current() };
    let interrupt = core.gic.acknowledge_any();
    core.acknowledged = interrupt;
    if interrupt.0 != timer::EL1_VIRTUAL {
        return Quick::declined(frame);
    }
    core.gic.drop_priority(interrupt);
    own_timer(frame, core)
}

/// What [`quick`] has acknowledged and declined.
pub extern "C" fn entry(frame: *mut Frame) -> Resume {
    // SAFETY: `quick` is over.
    let core = unsafe { Core::current() };
    let interrupt = core.acknowledged;
    if interrupt.0 == timer::EL1_VIRTUAL {
        return timer_fired(frame, core);
    }
    if interrupt.0 == core.own.timer {
        timer::clear_alarm();
        cpu::isb();
        core.gic.complete(interrupt);
        return alarm(frame, core);
    }
    other(frame, core, interrupt)
}

/// The virtual timer of the guest that ran; the priority has been dropped.
#[unsafe(link_section = ".text.hot")]
#[inline(never)]
pub extern "C" fn own_timer(frame: *mut Frame, core: &mut Core) -> Quick {
    // SAFETY: the entry code's frame; of the core only the interrupt controller and a flag are used beside the vCPU.
    let vcpu = unsafe { interrupted(frame) };
    core.timer_active = true;
    // Not so if the interrupt is a late one of the vCPU that was here before.
    if timer::virtual_is_due() && vcpu.partition.shared.enter().vgic().quick_hw(vcpu.index, VIRTUAL_TIMER, &mut core.gic) {
        Quick::done(frame)
    } else {
        Quick::declined(frame)
    }
}

/// The same where it needs more.
pub extern "C" fn timer_fired(frame: *mut Frame, core: &mut Core) -> Resume {
    core.begin(frame);
    core.virtual_timer_fired();
    core.leave()
}

/// EL2's timer; it is off, and the interrupt is over.
#[unsafe(link_section = ".text.hot")]
#[inline(never)]
pub extern "C" fn alarm(frame: *mut Frame, core: &mut Core) -> Resume {
    core.begin(frame);
    core.expire()
}

/// Another core asks for something; the interrupt is over.
#[unsafe(link_section = ".text.hot")]
pub extern "C" fn kicked(frame: *mut Frame, core: &mut Core) -> Quick {
    // The requests were written before the interrupt was sent: read them after it was acknowledged.
    cpu::dsb();
    // SAFETY: the entry code's frame; of the core only the interrupt controller is used beside the vCPU.
    let vcpu = unsafe { interrupted(frame) };
    if core.serve_loaded(vcpu) { Quick::done(frame) } else { Quick::declined(frame) }
}

/// The same where it needs more.
pub extern "C" fn requested(frame: *mut Frame, core: &mut Core) -> Resume {
    core.begin(frame);
    core.serve_requests();
    core.leave()
}

/// Any other, or none.
pub extern "C" fn other(frame: *mut Frame, core: &mut Core, interrupt: Acknowledged) -> Resume {
    core.begin(frame);
    if interrupt.is_interrupt() {
        serve(core, interrupt);
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
        serve(core, interrupt);
    }
}

/// Any but the loaded vCPU's timer.
#[inline(never)]
fn serve(core: &mut Core, interrupt: Acknowledged) {
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
