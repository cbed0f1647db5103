//! The trace: what happens on each core, in rings that are read from outside (crates/trace).
//!
//! It is off unless the description says how large the rings are. Then every frame's ways into the kernel lead
//! through here; without it they do not, and an exit costs what it costs without a trace.

use crate::arch::context::Frame;
use crate::arch::timer;
use crate::arch::vectors::{self, Quick, Resume};
use crate::exit;
use crate::object::{Partition, State, Vcpu};
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

    /// Notes what happens to the vCPU in a slot.
    #[inline(always)]
    pub fn note_context(&mut self, kind: Kind, slot: usize) {
        if self.trace.is_some() {
            let context = self.vcpus.at(slot).context();
            self.put(kind, context);
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

impl Core {
    /// Changes what a partition does. Only with its `shared` locked.
    #[inline(never)]
    pub fn set_state(&mut self, partition: &Partition, state: State) {
        partition.set_state(state);
        let state = match state {
            State::Off => trace::State::Off,
            State::Loading => trace::State::Loading,
            State::Running => trace::State::Running,
            State::Stopping => trace::State::Stopping,
        };
        self.note(Kind::State, Argument::state(state, partition.index));
    }

    /// Notes that whoever ran must wait for its budget now.
    #[cold]
    #[inline(never)]
    pub fn note_spent(&mut self, ran: sched::Index) {
        if self.policy.is_spent(ran) {
            let context = self.vcpus.at(ran.get()).context();
            self.note(Kind::Budget, context);
        }
    }
}

/// Has a vCPU's exits noted.
pub fn enter(frame: &mut Frame) {
    (frame.on_interrupt, frame.on_synchronous) = vectors::traced_ways();
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

fn back(left: *const Frame, resume: Resume) -> Resume {
    // SAFETY: this entry is over, but for the return.
    let core = unsafe { Core::current() };
    if resume.next != left {
        core.note(Kind::Switch, context(resume.next));
    }
    core.note(Kind::Entry, context(resume.next));
    resume
}

/// An interrupt. All 31 registers are in the frame.
pub extern "C" fn interrupt(frame: *mut Frame) -> Resume {
    left(frame, 0);
    let quick = exit::interrupt::quick(frame);
    // SAFETY: the quick way is over, and the other has not begun.
    let core = unsafe { Core::current() };
    core.note(Kind::Interrupt, Argument::interrupt(core.acknowledged.intid()));
    back(frame, if quick.is_done() { same(frame) } else { exit::interrupt::entry(frame) })
}

fn same(frame: *mut Frame) -> Resume {
    Resume { next: frame, previous: frame }
}

/// A synchronous exception. All 31 registers are in the frame.
pub extern "C" fn synchronous(frame: *mut Frame, esr: u64) -> Resume {
    left(frame, esr);
    let quick = match esr >> 26 {
        0x16 => exit::call::quick(frame, esr),
        0x24 => exit::abort::quick(frame, esr),
        0x18 => exit::sysreg::quick(frame, esr),
        _ => Quick::declined(frame),
    };
    back(frame, if quick.is_done() { same(frame) } else { exit::trap_entry(frame, esr) })
}
