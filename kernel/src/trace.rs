//! The trace: what happens on each core, in rings that are read from outside (crates/trace).
//!
//! It is off unless the description says how large the rings are. Then every frame's ways into the kernel lead
//! through here; without it they do not, and an exit costs what it costs without a trace.

use crate::arch::context::Frame;
use crate::arch::timer;
use crate::arch::vectors::{self, Resume};
use crate::exit;
use crate::object::Vcpu;
use crate::sched::Core;
use trace::{Argument, Kind};

impl Core {
    /// Notes what happens, if there is a trace.
    #[inline(always)]
    pub fn note(&mut self, kind: Kind, argument: Argument) {
        if self.trace.is_some() {
            self.put(kind, argument);
        }
    }

    #[cold]
    #[inline(never)]
    fn put(&mut self, kind: Kind, argument: Argument) {
        if let Some(ring) = &mut self.trace {
            ring.put(timer::now(), kind, argument);
        }
    }
}

/// Has a vCPU's exits noted.
pub fn enter(frame: &mut Frame) {
    frame.on_interrupt = interrupt as *const () as u64;
    frame.on_synchronous = vectors::traced();
}

/// The context of a frame.
fn context(frame: *const Frame) -> Argument {
    // SAFETY: every frame that the entry code and the scheduler name is the first field of a vCPU that lives for ever.
    let vcpu = unsafe { &*frame.cast::<Vcpu>() };
    Argument::context(vcpu.partition.index, vcpu.index.get())
}

fn left(frame: *const Frame, esr: u64) {
    let Argument(context) = context(frame);
    // SAFETY: nothing else of this entry uses the core yet.
    let core = unsafe { Core::current() };
    core.note(Kind::Exit, Argument(context | esr & 0xffff_ffff));
}

fn back(resume: Resume) -> Resume {
    // SAFETY: this entry is over, but for the return.
    let core = unsafe { Core::current() };
    core.note(Kind::Entry, context(resume.next));
    resume
}

extern "C" fn interrupt(frame: *mut Frame) -> Resume {
    left(frame, 0);
    back(exit::interrupt::entry(frame))
}

/// All 31 registers are in the frame.
pub extern "C" fn synchronous(frame: *mut Frame, esr: u64) -> Resume {
    left(frame, esr);
    let quick = match esr >> 26 {
        0x16 => exit::call::entry(frame, esr),
        0x24 => exit::abort::quick(frame, esr),
        0x18 => exit::sysreg::quick(frame, esr),
        _ => Resume::declined(frame),
    };
    back(if quick.next.is_null() { exit::trap_entry(frame, esr) } else { quick })
}
