//! A core: what runs on it and when. The policy is `crates/sched`; this is its hands.
//!
//! Everything in a [`Core`] belongs to one physical core and is touched by no other; others leave
//! requests in a vCPU's link and send an interrupt. Handlers change state and, where that may
//! change who should run, set `again`; [`Core::leave`] then chooses.

mod job;
mod life;
mod switch;

pub use switch::VIRTUAL_TIMER;

use crate::arch::context::Frame;
use crate::arch::gic::{Acknowledged, Gic};
use crate::arch::vectors::Resume;
use crate::arch::{cpu, timer};
use crate::object::{Partition, Run, State, Vcpu, Vcpus, request};
use crate::{console, exit, vmm};
use core::sync::atomic::Ordering;
use manifest::MAX_CONTEXTS_PER_CORE;
use sched::{Deadlines, Slot, Time};
use trace::{Argument, Kind};
use vgic::VcpuSet;

/// The timers of a vCPU; each has a slot in the core's deadlines.
#[derive(Clone, Copy)]
pub enum Timer {
    /// Its virtual timer, while another vCPU is loaded.
    Virtual = 0,
    /// Its emulated physical timer.
    Physical = 1,
    /// Its partition's unfinished line of output.
    Flush = 2,
    /// Its partition's clock alarm.
    Alarm = 3,
}

const TIMERS: usize = 4;

/// No slot.
const NOBODY: usize = usize::MAX;

impl Timer {
    /// Its place in the deadlines, for the vCPU in `slot` of its core.
    fn slot(self, slot: usize) -> Slot {
        Slot((slot * TIMERS + self as usize) as u8)
    }
}

/// A line of output without an end leaves after this many milliseconds.
const FLUSH_AFTER_MS: u64 = 20;

/// One physical core. What its shortest exits need comes first.
#[repr(C)]
pub struct Core {
    /// Its interrupt controller and virtual interface.
    pub gic: Gic,
    /// The virtual timer's physical interrupt is active because the loaded vCPU's virtual one is in flight.
    pub timer_active: bool,
    /// Who should run may have changed.
    pub again: bool,
    /// A deadline has changed since EL2's timer was armed.
    rearm: bool,
    /// Whether [`quick_switch`](Core::quick_switch) is for this machine, and nothing is to be noted.
    quick: bool,
    /// What happened, if that is to be kept.
    pub trace: Option<trace::Ring<'static>>,
    /// Whose general-purpose registers are: the frame that was interrupted. Null if they are void.
    interrupted: *mut Frame,
    /// Whose EL1 registers, timer and list registers are in the processor.
    loaded: usize,
    /// What was acknowledged last, where the entry code does not do it.
    pub acknowledged: Acknowledged,
    /// Interrupt numbers of the kernel's own: timer, maintenance, console.
    pub own: OwnInterrupts,
    /// The vCPUs that are bound to this core.
    pub vcpus: Vcpus,
    /// Whose FP registers are.
    fp_owner: usize,
    /// Its index in the description.
    pub index: u16,
    /// Who is to run.
    pub policy: sched::Core<MAX_CONTEXTS_PER_CORE>,
    /// When who is to wake.
    pub deadlines: Deadlines<{ MAX_CONTEXTS_PER_CORE * TIMERS }>,
}

/// The kernel's own interrupts.
#[derive(Clone, Copy, Debug)]
pub struct OwnInterrupts {
    /// EL2's physical timer.
    pub timer: u32,
    /// The virtual interface's maintenance interrupt.
    pub maintenance: u32,
    /// The serial port, on the core that has it.
    pub console: Option<u32>,
}

impl Core {
    /// A core with nothing loaded.
    #[must_use]
    pub fn new(
        index: u16,
        gic: Gic,
        policy: sched::Core<MAX_CONTEXTS_PER_CORE>,
        vcpus: &'static mut [Vcpu],
        own: OwnInterrupts,
    ) -> Self {
        Self {
            index,
            gic,
            policy,
            deadlines: Deadlines::new(),
            vcpus: Vcpus::new(vcpus),
            loaded: NOBODY,
            fp_owner: NOBODY,
            interrupted: core::ptr::null_mut(),
            again: true,
            rearm: false,
            quick: false,
            acknowledged: Acknowledged(0),
            timer_active: false,
            own,
            trace: None,
        }
    }

    /// Where what happens is to be kept, if it is.
    pub fn set_trace(&mut self, trace: Option<trace::Ring<'static>>) {
        self.quick = trace.is_none() && matches!(&self.gic, Gic::V3(gic) if gic.is_simple());
        self.trace = trace;
    }

    /// This core.
    ///
    /// # Safety
    ///
    /// Only once in each entry to EL2, whose handler owns the core until it returns.
    #[inline(always)]
    pub unsafe fn current() -> &'static mut Self {
        // SAFETY: `boot` set the pointer to this core's `Core`, which lives for ever.
        unsafe { &mut *(cpu::own_pointer() as *mut Self) }
    }

    /// Begins the handling of an exit: the loaded vCPU's registers are in `frame` and in the processor.
    #[inline(always)]
    pub fn begin(&mut self, frame: *mut Frame) {
        self.interrupted = frame;
    }

    /// The loaded vCPU's slot. Exits come from a loaded vCPU.
    pub fn slot(&self) -> usize {
        self.loaded
    }

    /// The vCPU that was interrupted.
    #[inline]
    pub fn vcpu(&mut self) -> &mut Vcpu {
        let slot = self.slot();
        &mut self.vcpus[slot]
    }

    /// Its partition.
    #[inline]
    pub fn partition(&mut self) -> &'static Partition {
        self.vcpu().partition
    }

    /// Makes `leave` choose again.
    pub fn reschedule(&mut self) {
        self.again = true;
    }

    /// Ends the handling of an exit: says what runs now.
    #[inline(never)]
    pub fn leave(&mut self) -> Resume {
        if self.again {
            return self.choose(timer::now());
        }
        if self.rearm {
            self.rearm();
        }
        Resume {
            next: self.interrupted,
            previous: self.interrupted,
        }
    }

    /// Chooses who runs, and does the work at EL2 of whoever's turn it is, until a guest is to run. `now` is the counter.
    #[inline(never)]
    pub fn choose(&mut self, mut now: u64) -> Resume {
        loop {
            self.again = false;
            let ran = self.policy.running();
            let chosen = self.policy.pick(Time(now));
            if self.trace.is_some()
                && let Some(ran) = ran
            {
                self.note_spent(ran);
            }
            if let Some(index) = chosen {
                let slot = index.get();
                if !self.vcpus.at(slot).has_work() {
                    // What led here must not add to a switch.
                    if (self.loaded == slot || !cpu::interrupt_pending()) && self.load(slot, now) {
                        return self.resume();
                    }
                } else {
                    self.rearm();
                    if !cpu::interrupt_pending() {
                        self.work(slot);
                    }
                }
            } else {
                self.rearm();
                if console::kernel_has_work() {
                    console::work();
                } else {
                    self.note(Kind::Idle, Argument::NONE);
                    cpu::wait_for_interrupt();
                }
            }
            if cpu::interrupt_pending() {
                exit::interrupt::take(self);
            }
            now = timer::now();
        }
    }

    /// Has the registers of a vCPU, which the policy has chosen, in the processor. Whether it may go on; if not, the choice is
    /// to be made anew. `now` is the counter.
    #[inline(never)]
    fn load(&mut self, slot: usize, now: u64) -> bool {
        if self.loaded != slot {
            if self.quick && self.has_loaded() && self.vcpus.at(self.loaded).run != Run::Waiting {
                self.exchange(slot, now);
            }
            self.switch(slot, now);
        }
        !self.again
    }

    /// Goes on with another vCPU than the loaded one, which does not wait, if that is [`quick`](Core::quick_switch).
    #[unsafe(link_section = ".text.hot")]
    #[inline(never)]
    fn exchange(&mut self, slot: usize, now: u64) {
        self.quick_switch(slot, now);
    }

    /// Goes on with the loaded vCPU.
    fn resume(&mut self) -> Resume {
        self.set_alarm();
        let previous = core::mem::replace(&mut self.interrupted, core::ptr::null_mut());
        Resume { next: &raw const self.vcpu().frame, previous }
    }

    /// Does a piece of the work at EL2 that a vCPU has.
    #[inline(never)]
    fn work(&mut self, slot: usize) {
        let vcpu = &mut self.vcpus[slot];
        let partition = vcpu.partition;
        let asked = vcpu.asked;
        if asked & request::REPORT != 0 {
            self.do_report(slot);
        } else if asked & request::LIFE != 0 {
            self.live(slot);
        } else if asked & request::ATTENTION != 0 {
            let index = vcpu.index;
            let changes = partition.shared.lock().vgic().serve_changes(index, &mut self.gic);
            match changes {
                Some(kicked) => self.ask(partition, kicked),
                None => {
                    self.vcpus[slot].asked &= !request::ATTENTION;
                    self.refresh(slot);
                }
            }
        } else if asked & request::WRITE != 0 {
            vmm::gic_write_piece(self, slot);
        } else if asked & request::JOB != 0 {
            self.do_job(slot);
        } else if asked & request::MENU != 0 {
            vcpu.asked &= !request::MENU;
            job::show_menu();
        } else if asked & request::KEYBOARD != 0 {
            vcpu.asked &= !request::KEYBOARD;
            job::show_keyboard();
        } else if asked & request::STATUS != 0 {
            if job::show_status(vcpu.status) {
                vcpu.status += 1;
            } else {
                vcpu.asked &= !request::STATUS;
            }
        } else if vcpu.index.get() == 0 && console::has_work(partition.index, &partition.output) {
            if console::has_input() && console::focus() == partition.index {
                self.take_keys();
            } else {
                let characters = console::work();
                self.note(Kind::Console, Argument::console(characters, partition.index));
                self.room_for_output(partition);
            }
        } else if vcpu.run != Run::Ready {
            // It was woken for work only, and there is none left.
            let entity = vcpu.entity;
            self.policy.block(entity, Time(timer::now()));
        }
    }

    /// Arms EL2's timer for the next deadline.
    #[inline(always)]
    fn set_alarm(&mut self) {
        self.rearm = false;
        let next = self.deadlines.earliest().min(self.policy.expected());
        if next == Time::NEVER {
            timer::clear_alarm();
        } else {
            timer::set_alarm(next.0);
        }
    }

    /// The same, for the rarer ways.
    #[inline(never)]
    fn rearm(&mut self) {
        self.set_alarm();
    }

    /// EL2's timer has fired while a guest ran: wakes whoever's deadline has come, and chooses.
    #[inline(always)]
    pub fn expire(&mut self) -> Resume {
        let now = timer::now();
        let Some(which) = self.deadlines.expire(Time(now)) else {
            return self.choose(now);
        };
        // Mostly the virtual timer of one vCPU that waits for nothing else and is more urgent than what runs.
        let slot = usize::from(which.0) / TIMERS % MAX_CONTEXTS_PER_CORE;
        if usize::from(which.0) % TIMERS == Timer::Virtual as usize
            && self.deadlines.earliest().0 > now
            && self.quick
        {
            let vcpu = self.vcpus.at(slot);
            // An entity's index is its slot.
            if vcpu.run == Run::Waiting && self.policy.preempt(sched::Index::new(slot as u8), Time(now)) {
                vcpu.run = Run::Ready;
                if !vcpu.has_work() && !cpu::interrupt_pending() {
                    self.exchange(slot, now);
                }
                return self.choose(now);
            }
        }
        self.expire_all(which, now)
    }

    /// The same for any timer, of which `first` is due.
    #[inline(never)]
    fn expire_all(&mut self, first: Slot, now: u64) -> Resume {
        self.expired(usize::from(first.0) / TIMERS, first.0, now);
        self.due(now);
        self.choose(now)
    }

    /// EL2's timer has fired while EL2 worked or waited.
    #[inline(never)]
    pub fn look_at_deadlines(&mut self) {
        timer::clear_alarm();
        self.due(timer::now());
        self.again = true;
    }

    /// Wakes whoever's deadline has come. `now` is the counter.
    #[inline(never)]
    fn due(&mut self, now: u64) {
        while let Some(Slot(which)) = self.deadlines.expire(Time(now)) {
            self.expired(usize::from(which) / TIMERS, which, now);
        }
    }

    /// A timer has run out.
    #[inline(never)]
    fn expired(&mut self, slot: usize, which: u8, now: u64) {
        match usize::from(which) % TIMERS {
            0 => self.wake_at(slot, now),
            1 => exit::sysreg::physical_timer_fired(self, slot),
            2 => {
                self.vcpus[slot].partition.output.flush();
                self.wake_for_work(slot);
            }
            _ => vmm::clock_alarm(self, slot, now),
        }
    }

    /// Sets or clears one of a vCPU's timers.
    #[inline(never)]
    pub fn set_timer(&mut self, slot: usize, timer: Timer, at: Option<u64>) {
        let which = timer.slot(slot);
        match at {
            Some(at) => {
                self.deadlines.set(which, Time(at));
            }
            None => self.deadlines.clear(which),
        }
        self.rearm = true;
    }

    /// A vCPU that waits goes on.
    #[inline(never)]
    pub fn wake(&mut self, slot: usize) {
        self.wake_at(slot, timer::now());
    }

    /// The same; `now` is the counter.
    #[inline(never)]
    fn wake_at(&mut self, slot: usize, now: u64) {
        let vcpu = self.vcpus.at(slot);
        if vcpu.run == Run::Waiting {
            vcpu.run = Run::Ready;
            self.policy.wake(vcpu.entity, Time(now));
            // From here on the processor's own timer says when.
            self.deadlines.clear(Timer::Virtual.slot(slot));
            self.note_context(Kind::Wake, slot);
            self.again = true;
        }
    }

    /// A vCPU's turn is wanted for work at EL2, whether it runs or not.
    pub fn wake_for_work(&mut self, slot: usize) {
        let entity = self.vcpus[slot].entity;
        self.policy.wake(entity, Time(timer::now()));
        self.again = true;
    }

    /// The loaded vCPU waits for an interrupt.
    pub fn wait(&mut self) {
        let slot = self.slot();
        self.vcpus[slot].run = Run::Waiting;
        let entity = self.vcpus[slot].entity;
        self.policy.block(entity, Time(timer::now()));
        self.again = true;
    }

    /// Makes the vCPUs of `set` look at their interrupts, wherever they are.
    #[inline(never)]
    pub fn deliver(&mut self, partition: &Partition, set: VcpuSet) {
        for vcpu in set {
            match partition.link(vcpu) {
                Some(link) if link.core == self.index => self.attend(usize::from(link.slot)),
                Some(link) => self.request(link.core, link.slot, partition, vcpu.get(), request::ATTENTION),
                None => {}
            }
        }
    }

    /// The same of vCPUs on other cores: two of one guest never share one.
    pub fn ask(&mut self, partition: &Partition, set: VcpuSet) {
        for vcpu in set {
            if let Some(link) = partition.link(vcpu) {
                link.ask(request::ATTENTION, &mut self.gic);
            }
        }
    }

    /// A vCPU of this core has other interrupts than before. What a loaded one has in its list registers is revised before
    /// it runs again, as its work: what led here must not add to it.
    fn attend(&mut self, slot: usize) {
        if self.loaded == slot {
            let vcpu = &self.vcpus[slot];
            let (partition, index) = (vcpu.partition, vcpu.index);
            if !partition.shared.lock().vgic().quick_serve(index, &mut self.gic) {
                self.vcpus[slot].asked |= request::ATTENTION;
                self.again = true;
            }
        } else {
            self.refresh(slot);
        }
        self.wake(slot);
    }

    /// Asks something of a vCPU, on whichever core it is.
    #[inline(never)]
    pub fn request(&mut self, core: u16, slot: u8, partition: &Partition, vcpu: u8, what: u32) {
        if core == self.index {
            self.serve(usize::from(slot), what);
        } else if let Some(link) = partition.vcpus.get(usize::from(vcpu)) {
            link.ask(what, &mut self.gic);
        }
    }

    /// Asks something of a partition's vCPU 0.
    pub fn request_first(&mut self, partition: &Partition, what: u32) {
        if let Some(link) = partition.vcpus.first() {
            self.request(link.core, link.slot, partition, 0, what);
        }
    }

    /// Asks something of every vCPU of a partition.
    pub fn request_all(&mut self, partition: &Partition, what: u32) {
        for (vcpu, link) in partition.vcpus.iter().enumerate() {
            self.request(link.core, link.slot, partition, vcpu as u8, what);
        }
    }

    /// Another core has kicked this one: serves the requests to its vCPUs.
    #[inline(never)]
    pub fn serve_requests(&mut self) {
        for slot in 0..self.vcpus.len() {
            let Some(link) = self.vcpus[slot].link else {
                continue;
            };
            let what = link.requests.swap(0, Ordering::AcqRel);
            if what != 0 {
                self.serve(slot, what);
            }
        }
    }

    /// The request to the loaded vCPU, which was interrupted, if that is to get one more interrupt of a kind that it has had
    /// before. Whether that was all there is to serve.
    #[inline(always)]
    pub fn serve_loaded(&mut self, vcpu: &mut Vcpu) -> bool {
        let Some(link) = vcpu.link else {
            return false;
        };
        let just = link.requests.compare_exchange(request::ATTENTION, 0, Ordering::AcqRel, Ordering::Relaxed);
        if just.is_err() {
            return false;
        }
        let done = vcpu.partition.shared.enter().vgic().quick_serve(vcpu.index, &mut self.gic);
        if !done {
            link.requests.fetch_or(request::ATTENTION, Ordering::Relaxed);
        }
        done && self.vcpus.len() == 1
    }

    /// Notes what is asked of a vCPU. All that takes long is its own work, in its place and at its priority.
    #[inline(never)]
    fn serve(&mut self, slot: usize, what: u32) {
        if what & !(request::FLUSH | request::ATTENTION) != 0 {
            let vcpu = &mut self.vcpus[slot];
            vcpu.asked |= what & (request::LIFE | request::MENU | request::KEYBOARD | request::REPORT | request::STATUS);
            if what & request::REPORT != 0 {
                vcpu.report = 0;
            }
            if what & request::STATUS != 0 {
                vcpu.status = 0;
            }
            self.wake_for_work(slot);
        }
        if what & request::FLUSH != 0 {
            self.flush_later(slot);
        }
        if what & request::ATTENTION != 0 {
            self.attend(slot);
        }
    }

    /// Serves one request that begins or ends something in a vCPU's life.
    fn live(&mut self, slot: usize) {
        let vcpu = &mut self.vcpus[slot];
        let asked = vcpu.asked & request::LIFE;
        // The lowest bit first: a vCPU leaves its core before anything else is done to it.
        let one = asked & asked.wrapping_neg();
        vcpu.asked &= !one;
        match one {
            request::PARK => self.park(slot),
            request::RESET => self.begin_reset(slot),
            request::LOAD if vcpu.partition.state() == State::Loading => {
                // RAM that has been used before is first cleaned out of the caches.
                let again = vcpu.partition.starts.load(Ordering::Relaxed) != 0;
                self.begin_load(slot, again);
            }
            request::START => self.start_secondary(slot),
            _ => {}
        }
    }

    /// After output has left: the guest's UART has room again, and a prompt that is left gets its timer.
    fn room_for_output(&mut self, partition: &'static Partition) {
        let kicked = {
            let mut shared = partition.shared.lock();
            vmm::output_room(&mut shared, partition)
        };
        self.deliver(partition, kicked);
    }

    /// An unfinished line leaves after a moment if nothing follows.
    fn flush_later(&mut self, slot: usize) {
        let at = timer::now() + timer::frequency() / 1000 * FLUSH_AFTER_MS;
        self.set_timer(slot, Timer::Flush, Some(at));
    }
}
