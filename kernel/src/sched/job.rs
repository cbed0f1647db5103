//! Long work at EL2, a piece at a time.
//!
//! A piece is at most about a thousand instructions; between pieces the core looks for interrupts and for
//! somebody more urgent. The work runs as vCPU 0 of the partition it is for.

use super::Core;
use crate::arch::tlb::Tlb;
use crate::arch::copy as arch_copy;
use crate::arch::{cache, control, timer};
use crate::console;
use crate::memory::guest;
use crate::object::{Crash, Job, Partition, Run, State, Target, request};
use crate::system;
use crate::vmm::Keys;
use core::sync::atomic::Ordering;
use manifest::{DOUBLE_ROUNDS, Load, Seed};

/// Bytes cleared in one piece.
const CLEAR: u64 = 1536;
/// Bytes cleaned out of the caches in one piece.
const CLEAN: u64 = 3072;

impl Core {
    pub(super) fn do_job(&mut self, slot: usize) {
        let partition = self.vcpus[slot].partition;
        let next = match self.vcpus[slot].job {
            Job::None => Job::None,
            Job::Reset { step } => self.reset(partition, step),
            Job::Clean { region, offset } => clean(partition, region, offset),
            Job::Load { load, offset, crc } => match load_piece(partition, load, offset, crc) {
                Ok(job) => job,
                Err(reason) => {
                    let vcpu = &mut self.vcpus[slot];
                    vcpu.set_job(Job::None);
                    vcpu.asked |= request::REPORT;
                    vcpu.report = 0;
                    let crash = Crash {
                        vcpu: 0,
                        reason,
                        pc: 0,
                        esr: 0,
                        far: 0,
                        ipa: partition.loads.get(usize::from(load)).map_or(0, |l| l.ipa.get()),
                        at: timer::now(),
                    };
                    partition.shared.lock().crash = Some(crash);
                    partition.faults.fetch_add(1, Ordering::Relaxed);
                    // The bundle will not mend: it stays off whatever its policy.
                    self.stop(partition, Target::Off);
                    return;
                }
            },
            Job::Seed { load, step } => seed_step(partition, load, step),
            Job::Start => {
                cache::finish();
                let mut shared = partition.shared.lock();
                // A stop that came meanwhile is on its way here.
                if partition.state() != State::Loading {
                    self.vcpus[slot].set_job(Job::None);
                    return;
                }
                partition.starts.fetch_add(1, Ordering::Relaxed);
                let _ = shared.space.vttbr();
                self.set_state(partition, State::Running);
                let vcpu = &mut self.vcpus[slot];
                vcpu.reset(partition.entry, partition.arguments);
                vcpu.run = Run::Ready;
                Job::None
            }
        };
        self.vcpus[slot].set_job(next);
    }

    /// Interrupt controller, devices and power states go back to power-on; translations are forgotten.
    fn reset(&mut self, partition: &'static Partition, step: u8) -> Job {
        let mut shared = partition.shared.lock();
        if step == 0 {
            shared.keys = Keys::new();
            if let Some(uart) = &mut shared.uart {
                uart.reset();
            }
            if let Some(rtc) = &mut shared.rtc {
                rtc.reset();
            }
        }
        // What follows the last of these steps is one of its own.
        if step != u8::MAX {
            let more = shared.vgic().reset_step(step);
            return Job::Reset { step: if more { step + 1 } else { u8::MAX } };
        }
        // SAFETY: no vCPU of the partition is loaded on any core, and none runs here meanwhile.
        unsafe { control::with_space(partition.vttbr, || shared.space.retire(&mut Tlb)) }
        shared.power.reset();
        partition.output.flush();
        match shared.then {
            Target::Restart => {
                self.set_state(partition, State::Loading);
                console::say(|line| line.name(&partition.name).text(&": restart").end());
                Job::Clean { region: 0, offset: 0 }
            }
            Target::Off => {
                self.set_state(partition, State::Off);
                console::say(|line| line.name(&partition.name).text(&": off").end());
                Job::None
            }
        }
    }

    /// Reports a crash, a line at a time.
    pub(super) fn do_report(&mut self, slot: usize) {
        let vcpu = &mut self.vcpus[slot];
        let partition = vcpu.partition;
        let crash = partition.shared.lock().crash;
        let line_number = vcpu.report;
        vcpu.report += 1;
        if line_number > 1 || crash.is_none() {
            vcpu.asked &= !request::REPORT;
        }
        let Some(crash) = crash else {
            return;
        };
        console::say(|line| {
            let line = line.name(&partition.name);
            match line_number {
                0 => line.text(&": fault: ").text(&crash.reason).end(),
                1 => {
                    line.text(&": vcpu ").number(u64::from(crash.vcpu));
                    line.text(&" pc ").hex(crash.pc).text(&" esr ").hex(crash.esr).end();
                }
                _ => {
                    line.text(&": far ").hex(crash.far).text(&" ipa ").hex(crash.ipa);
                    let ms = crash.at / (timer::frequency() / 1000).max(1);
                    line.text(&" at ").number(ms).text(&" ms").end();
                }
            }
        });
    }
}

/// Shows the keys of the menu.
pub(super) fn show_menu() {
    console::say(|line| line.text(&"menu: 1-9 keyboard, s status, r N restart, x N stop, g N start, q quit").end());
}

/// Shows who has the keyboard.
pub(super) fn show_keyboard() {
    if let Some(partition) = system::partitions().get(usize::from(console::focus())) {
        console::say(|line| line.text(&"keyboard: ").name(&partition.name).end());
    }
}

/// Shows the status of all partitions, line `n`: two for each, the second for its last fault. False after the last.
pub(super) fn show_status(n: u8) -> bool {
    let Some(partition) = system::partitions().get(usize::from(n / 2)) else {
        return false;
    };
    if n % 2 != 0 {
        let crash = partition.shared.lock().crash;
        if let Some(crash) = crash {
            console::say(|line| {
                line.text(&"  last fault: ").text(&crash.reason).text(&", pc ").hex(crash.pc);
                line.text(&", esr ").hex(crash.esr).end();
            });
        }
        return true;
    }
    let state = match partition.state() {
        State::Off => ": off, starts ",
        State::Loading => ": loading, starts ",
        State::Running => ": running, starts ",
        State::Stopping => ": stopping, starts ",
    };
    console::say(|line| {
        line.number(u64::from(n / 2) + 1).text(&" ").name(&partition.name);
        line.text(&state).number(u64::from(partition.starts.load(Ordering::Relaxed)));
        line.text(&", faults ").number(u64::from(partition.faults.load(Ordering::Relaxed)));
        line.end();
    });
    true
}

/// Cleans and invalidates a piece of the partition's RAM, so that nothing of the guest's last life comes out of a cache
/// over what is written now.
fn clean(partition: &Partition, region: u16, offset: u64) -> Job {
    let Some(place) = partition.regions.get(usize::from(region)) else {
        return Job::Load { load: 0, offset: 0, crc: !0 };
    };
    let len = CLEAN.min(place.size - offset);
    guest::clean(place, offset, len);
    if offset + len < place.size {
        Job::Clean { region, offset: offset + len }
    } else {
        Job::Clean { region: region + 1, offset: 0 }
    }
}

/// Copies a piece of an image. At its end its CRC must be right.
fn load_piece(partition: &Partition, index: u16, offset: u64, crc: u32) -> Result<Job, &'static str> {
    let Some(load) = partition.loads.get(usize::from(index)) else {
        return Ok(Job::Start);
    };
    let next = Job::Load { load: index + 1, offset: 0, crc: !0 };
    if !manifest::Gic::decode(load.gic).is_some_and(|gic| gic.suits(partition.gic)) {
        return Ok(next);
    }
    let (len, memory_len) = (load.len.get(), load.memory_len.get());
    if offset < len {
        let piece = arch_copy::piece().min(len - offset);
        let crc = copy(partition, load, offset, piece, crc).ok_or("its image lies outside its memory")?;
        if offset + piece == len && !crc != load.crc.get() {
            return Err("its image in the bundle is damaged (CRC)");
        }
        return Ok(Job::Load { load: index, offset: offset + piece, crc });
    }
    if offset < memory_len {
        let piece = CLEAR.min(memory_len - offset);
        guest::zero(partition, load.ipa.get() + offset, piece).ok_or("its image lies outside its memory")?;
        return Ok(Job::Load { load: index, offset: offset + piece, crc });
    }
    Ok(if load.seed_len.get() != 0 { Job::Seed { load: index, step: 0 } } else { next })
}

fn copy(partition: &Partition, load: &Load, offset: u64, len: u64, crc: u32) -> Option<u32> {
    let from = usize::try_from(load.offset.get().checked_add(offset)?).ok()?;
    let bytes = system::bundle().get(from..from.checked_add(len as usize)?)?;
    guest::load(partition, load.ipa.get() + offset, bytes, crc)
}

/// Does a step of the seed that a start of the partition gets in its device tree.
fn seed_step(partition: &Partition, index: u16, step: u8) -> Job {
    let mut shared = partition.shared.lock();
    if step == 0 {
        let start = partition.starts.load(Ordering::Relaxed);
        shared.seed = Seed::begin(&system::seed(), partition.index, start);
    } else if step <= DOUBLE_ROUNDS {
        shared.seed.double_round();
    } else {
        if let Some(load) = partition.loads.get(usize::from(index)) {
            let bytes = shared.seed.bytes();
            let len = (load.seed_len.get() as usize).min(bytes.len());
            let at = load.ipa.get() + u64::from(load.seed_offset.get());
            let _ = guest::write(partition, at, &bytes[..len]);
        }
        return Job::Load { load: index + 1, offset: 0, crc: !0 };
    }
    Job::Seed { load: index, step: step + 1 }
}
