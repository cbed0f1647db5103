//! A virtual processor, as the core that it is bound to sees it.

use super::{Partition, VcpuLink, request};
use crate::arch::context::{El1, Fp, Frame};
use crate::arch::control::{self, Controls, Rare};
use crate::arch::gic::VirtualState;
use crate::arch::{timer, vectors};
use crate::console;
use core::ops::{Index, IndexMut};
use crate::fault::defect;
use crate::vmm::GicWrite;
use manifest::MAX_CONTEXTS_PER_CORE;
use vgic::VcpuIndex;

/// What a vCPU does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Off or parked: nothing of it may run.
    Off,
    /// It waits for an interrupt.
    Waiting,
    /// It runs when it is its turn.
    Ready,
}

/// Long work that vCPU 0 does at EL2 for its partition, in pieces, in its own place, priority and budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// None.
    None,
    /// Puts interrupt controller and devices back to power-on, in the steps of the latter.
    Reset {
        /// Which of these steps.
        step: u8,
    },
    /// Cleans RAM out of the caches: region and offset.
    Clean {
        /// Index of the region.
        region: u16,
        /// Bytes of it that are done.
        offset: u64,
    },
    /// Copies an image: load and offset, and the CRC so far.
    Load {
        /// Index of the load.
        load: u16,
        /// Bytes of it that are done.
        offset: u64,
        /// CRC of them, not inverted.
        crc: u32,
    },
    /// Makes the seed of a loaded device tree, and writes it.
    Seed {
        /// Index of the load.
        load: u16,
        /// Steps of it that are done.
        step: u8,
    },
    /// Starts vCPU 0.
    Start,
}

/// A virtual processor. What every exit needs comes first, then what every switch needs.
#[repr(C, align(64))]
pub struct Vcpu {
    /// First, so that a frame's address is its vCPU's.
    pub frame: Frame,
    /// Its partition.
    pub partition: &'static Partition,
    /// How other cores reach it.
    pub link: Option<&'static VcpuLink>,
    /// The work at EL2 that is to be done in its turn: [`request`] bits.
    pub asked: u32,
    /// Which vCPU of the partition it is.
    pub index: VcpuIndex,
    /// Its place in the scheduler.
    pub entity: sched::Index,
    /// What it does.
    pub run: Run,
    /// Its own controls of EL2.
    pub controls: Controls,
    /// Its virtual timer while another vCPU is in the processor.
    pub timer: timer::Virtual,
    /// Its virtual CPU interface likewise.
    pub interface: VirtualState,
    /// Its EL1 and EL0 registers likewise.
    pub el1: El1,
    /// The work that [`request::JOB`] stands for.
    pub job: Job,
    /// The work that [`request::WRITE`] stands for.
    pub write: GicWrite,
    /// The next line of the crash report that [`request::REPORT`] asks for.
    pub report: u8,
    /// The next line of the status that [`request::STATUS`] asks for.
    pub status: u8,
    /// CNTP_CTL_EL0 as the guest has written it (enable and mask).
    pub physical_control: u64,
    /// CNTP_CVAL_EL0.
    pub physical_compare: u64,
    /// OS lock of the debug architecture.
    pub os_lock: bool,
    /// Its FP registers while another vCPU's are in the processor.
    pub fp: Fp,
}

/// SPSR_EL2 of a vCPU that starts: EL1 with its own stack pointer, all exceptions masked.
const START_STATE: u64 = 0x3c5;

/// The vCPUs of a core, by their slots there. A slot comes from the core's own records, never from a guest.
pub struct Vcpus {
    places: [Option<&'static mut Vcpu>; MAX_CONTEXTS_PER_CORE],
    len: usize,
}

const _: () = assert!(MAX_CONTEXTS_PER_CORE.is_power_of_two());

impl Vcpus {
    /// These, which live as long as the core.
    #[must_use]
    pub fn new(vcpus: &'static mut [Vcpu]) -> Self {
        let len = vcpus.len();
        let mut each = vcpus.iter_mut();
        Self { places: core::array::from_fn(|_| each.next()), len }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The vCPU in a slot.
    #[inline(always)]
    pub fn at(&mut self, slot: usize) -> &mut Vcpu {
        debug_assert!(slot < self.len);
        match &mut self.places[slot % MAX_CONTEXTS_PER_CORE] {
            Some(vcpu) => vcpu,
            None => defect("no vCPU in a slot"),
        }
    }
}

impl Index<usize> for Vcpus {
    type Output = Vcpu;
    #[inline(always)]
    fn index(&self, slot: usize) -> &Vcpu {
        match &self.places[slot % MAX_CONTEXTS_PER_CORE] {
            Some(vcpu) => vcpu,
            None => defect("no vCPU in a slot"),
        }
    }
}

impl IndexMut<usize> for Vcpus {
    #[inline(always)]
    fn index_mut(&mut self, slot: usize) -> &mut Vcpu {
        self.at(slot)
    }
}

impl Vcpu {
    /// A vCPU that is off.
    #[must_use]
    pub fn new(partition: &'static Partition, index: VcpuIndex, entity: sched::Index, hcr: u64, stack: u64) -> Self {
        let mut frame = Frame::new();
        frame.core_stack = stack;
        (frame.on_interrupt, frame.on_synchronous) = vectors::ways(partition.gic);
        Self {
            frame,
            el1: El1::new(),
            timer: timer::Virtual::default(),
            interface: VirtualState::default(),
            controls: Controls { rare: Rare { hcr, vmpidr: 1 << 31 | u64::from(index.get()) }, cptr: control::FP_TRAPS },
            partition,
            link: partition.link(index),
            index,
            entity,
            run: Run::Off,
            job: Job::None,
            write: GicWrite::NONE,
            asked: 0,
            report: 0,
            status: 0,
            physical_control: 0,
            physical_compare: 0,
            os_lock: true,
            fp: Fp::new(),
        }
    }

    /// Its name in the trace.
    #[inline(always)]
    #[must_use]
    pub fn context(&self) -> trace::Argument {
        trace::Argument::context(self.partition.index, self.index.get())
    }

    /// Whether it has work at EL2 to do before it runs, or may not run at all.
    #[inline(always)]
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.run != Run::Ready
            || self.asked != 0
            || console::is_ready() && self.index.get() == 0 && console::has_work(self.partition.index, &self.partition.output)
    }

    /// Gives it long work to do, or none.
    pub fn set_job(&mut self, job: Job) {
        self.asked &= !request::JOB;
        if job != Job::None {
            self.asked |= request::JOB;
        }
        self.job = job;
    }

    /// Puts every register back to its value out of reset, to start at `entry`. It must not be loaded.
    pub fn reset(&mut self, entry: u64, arguments: [u64; 4]) {
        self.frame.x = [0; 31];
        self.frame.x[..4].copy_from_slice(&arguments);
        self.frame.elr = entry;
        self.frame.spsr = START_STATE;
        self.el1 = El1::new();
        self.timer = timer::Virtual::default();
        self.interface = VirtualState::default();
        self.physical_control = 0;
        self.physical_compare = 0;
        self.os_lock = true;
        self.fp.q = [0; 32];
        self.fp.fpcr = 0;
        self.fp.fpsr = 0;
    }
}
