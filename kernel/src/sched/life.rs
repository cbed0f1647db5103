//! The life of a partition: stop, reset, load, start, fault.
//!
//! Stopping takes every vCPU off its core, wherever it is; the last one to leave makes vCPU 0 reset the
//! partition. Nobody waits: each step is a request to a core or a piece of work. Other partitions run on.

use super::{Core, Timer};
use crate::arch::{cpu, smc, timer};
use crate::console::{self, Command};
use crate::object::{Crash, Job, Partition, Run, Start, State, Target, request};
use crate::system;
use core::sync::atomic::Ordering;
use manifest::OnFault;
use sched::Time;

impl Core {
    /// Starts every partition that starts by itself and has its vCPU 0 here.
    pub fn begin_all(&mut self) {
        for slot in 0..self.vcpus.len() {
            let vcpu = &self.vcpus[slot];
            if vcpu.index.get() == 0 && vcpu.partition.state() == State::Loading {
                self.begin_load(slot, false);
            }
        }
        self.serve_requests();
    }

    /// Stops a partition, to stay off or to start again. Does nothing if it is off already.
    #[inline(never)]
    pub fn stop(&mut self, partition: &'static Partition, then: Target) {
        {
            let mut shared = partition.shared.lock();
            match partition.state() {
                State::Off => return,
                State::Stopping => {
                    // Staying off wins: a guest cannot talk the operator, or its own policy, out of it.
                    if then == Target::Off {
                        shared.then = then;
                    }
                    return;
                }
                State::Loading | State::Running => {}
            }
            shared.then = then;
            shared.to_park = partition.vcpus.len() as u8;
            self.set_state(partition, State::Stopping);
        }
        self.request_all(partition, request::PARK);
    }

    /// Starts a partition that is off.
    #[inline(never)]
    pub fn start(&mut self, partition: &'static Partition) {
        {
            let _shared = partition.shared.lock();
            if partition.state() != State::Off {
                return;
            }
            self.set_state(partition, State::Loading);
        }
        self.request_first(partition, request::LOAD);
    }

    /// A vCPU leaves its core. Its physical timer interrupt, if in flight, ends with the next vCPU that is loaded.
    pub(super) fn park(&mut self, slot: usize) {
        self.vcpus[slot].run = Run::Off;
        self.vcpus[slot].set_job(Job::None);
        self.vcpus[slot].asked &= !request::WRITE;
        self.discard(slot);
        let vcpu = &mut self.vcpus[slot];
        let (partition, entity, index) = (vcpu.partition, vcpu.entity, vcpu.index);
        self.policy.reset(entity, Time(timer::now()));
        self.again = true;
        let last = {
            let mut shared = partition.shared.lock();
            let _ = index;
            shared.to_park = shared.to_park.saturating_sub(1);
            shared.to_park == 0
        };
        if last {
            self.request_first(partition, request::RESET);
        }
    }

    /// All vCPUs are parked: vCPU 0 begins the reset, as its own work.
    pub(super) fn begin_reset(&mut self, slot: usize) {
        self.vcpus[slot].set_job(Job::Reset { step: 0 });
        self.wake_for_work(slot);
    }

    /// Begins to load the partition's images; at a restart its RAM is first cleaned out of the caches.
    pub(super) fn begin_load(&mut self, slot: usize, again: bool) {
        self.vcpus[slot].set_job(if again {
            Job::Clean { region: 0, offset: 0 }
        } else {
            Job::Load { load: 0, offset: 0, crc: !0 }
        });
        self.wake_for_work(slot);
    }

    /// A vCPU that PSCI CPU_ON has named begins.
    pub(super) fn start_secondary(&mut self, slot: usize) {
        let partition = self.vcpus[slot].partition;
        let index = self.vcpus[slot].index;
        let start = {
            let mut shared = partition.shared.lock();
            let wanted = shared.power.state(index.get()) == psci::Affinity::OnPending;
            if partition.state() != State::Running || !wanted {
                return;
            }
            shared.power.cpu_started(index.get());
            shared.starts.get(usize::from(index.get())).copied().unwrap_or_default()
        };
        self.discard(slot);
        let vcpu = &mut self.vcpus[slot];
        vcpu.reset(start.entry, [start.context, 0, 0, 0]);
        vcpu.run = Run::Ready;
        self.wake_for_work(slot);
    }

    /// The loaded vCPU turns itself off.
    pub fn cpu_off(&mut self) {
        let slot = self.slot();
        self.vcpus[slot].run = Run::Off;
        self.discard(slot);
        let entity = self.vcpus[slot].entity;
        self.policy.block(entity, Time(timer::now()));
        self.again = true;
    }

    /// The loaded vCPU comes back from a power-down state at `start`: at once if `ready`, else with the next interrupt. Its
    /// interrupt controller and timers are in a power domain that stays on, as PSCI wants of those that can wake it.
    pub fn restart_vcpu(&mut self, start: Start, ready: bool) {
        let slot = self.slot();
        self.unload();
        self.interrupted = core::ptr::null_mut();
        let vcpu = &mut self.vcpus[slot];
        let (virtual_timer, interface) = (vcpu.timer, vcpu.interface.clone());
        let physical = (vcpu.physical_control, vcpu.physical_compare);
        vcpu.reset(start.entry, [start.context, 0, 0, 0]);
        (vcpu.timer, vcpu.interface) = (virtual_timer, interface);
        (vcpu.physical_control, vcpu.physical_compare) = physical;
        self.take_fp(slot);
        self.again = true;
        if !ready {
            let vcpu = &mut self.vcpus[slot];
            vcpu.run = Run::Waiting;
            let (entity, wakes) = (vcpu.entity, vcpu.timer.deadline());
            self.set_timer(slot, Timer::Virtual, wakes);
            self.policy.block(entity, Time(timer::now()));
        }
    }

    /// The loaded guest has done what is not supported: its partition ends, alone.
    pub fn fault(&mut self, reason: &'static str, esr: u64, ipa: u64) {
        let crash = Crash {
            vcpu: self.vcpu().index.get(),
            reason,
            pc: cpu::guest_pc(),
            esr,
            far: cpu::fault_address(),
            ipa,
            at: timer::now(),
        };
        let partition = self.partition();
        self.fault_of(partition, crash);
    }

    /// An SError that a vCPU has caused was found when it left the core.
    #[cold]
    pub(super) fn late_serror(&mut self, slot: usize) {
        let vcpu = &self.vcpus[slot];
        let (partition, crash) = (
            vcpu.partition,
            Crash {
                vcpu: vcpu.index.get(),
                reason: "an asynchronous external abort (SError)",
                pc: 0,
                esr: 0,
                far: 0,
                ipa: 0,
                at: timer::now(),
            },
        );
        self.fault_of(partition, crash);
    }

    /// A partition ends because of `crash`.
    pub(super) fn fault_of(&mut self, partition: &'static Partition, crash: Crash) {
        partition.shared.lock().crash = Some(crash);
        let faults = partition.faults.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let again = partition.on_fault == OnFault::Restart
            && (partition.max_restarts == 0 || faults <= partition.max_restarts);
        self.request_first(partition, request::REPORT);
        self.stop(partition, if again { Target::Restart } else { Target::Off });
    }

    /// Takes a key from the port, or if there is none lets those go on who wait for room.
    #[inline(never)]
    pub fn take_keys(&mut self) {
        match console::take_key() {
            Some(key) => self.command(key),
            None => crate::vmm::console_has_room(self),
        }
    }

    /// Does what a key on the console asks.
    pub fn command(&mut self, key: console::Key) {
        match key {
            console::Key::Input(byte) => {
                if let Some(partition) = system::partitions().get(usize::from(console::focus())) {
                    crate::vmm::input(self, partition, byte);
                }
            }
            console::Key::Menu => self.show(request::MENU),
            console::Key::Status => self.show(request::STATUS),
            console::Key::Moved => self.show(request::KEYBOARD),
            console::Key::Do(command, n) => {
                let Some(partition) = system::partitions().get(usize::from(n)) else {
                    return;
                };
                match command {
                    Command::Start => self.start(partition),
                    Command::Stop => self.stop(partition, Target::Off),
                    Command::Restart if partition.state() == State::Off => self.start(partition),
                    Command::Restart => self.stop(partition, Target::Restart),
                }
            }
            console::Key::Quit => {
                console::say(|line| line.text(&"powering off").end());
                console::drain_all();
                smc::system_off();
            }
            console::Key::Nothing => {}
        }
    }

    /// Has something shown on the console, as work of the partition that has the keyboard.
    fn show(&mut self, what: u32) {
        if let Some(partition) = system::partitions().get(usize::from(console::focus())) {
            self.request_first(partition, what);
        }
    }
}
