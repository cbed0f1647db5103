//! A virtual processor, as the core that it is bound to sees it.

use super::Partition;
use crate::arch::context::{El1, Fp, Frame};
use crate::arch::gic::VirtualState;
use crate::arch::{timer, vectors};
use crate::console;
use crate::fault::defect;
use core::ops::{Index, IndexMut};
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

/// A virtual processor.
#[repr(C)]
pub struct Vcpu {
    /// First, so that a frame's address is its vCPU's.
    pub frame: Frame,
    /// Its EL1 and EL0 registers while another vCPU's are in the processor.
    pub el1: El1,
    /// Its virtual timer likewise.
    pub timer: timer::Virtual,
    /// Its virtual CPU interface likewise.
    pub interface: VirtualState,
    /// HCR_EL2 while it runs.
    pub hcr: u64,
    /// VMPIDR_EL2: affinity 0.0.0.index.
    pub affinity: u64,
    /// Its partition.
    pub partition: &'static Partition,
    /// Which vCPU of the partition it is.
    pub index: VcpuIndex,
    /// Its place in the scheduler.
    pub entity: sched::Index,
    /// What it does.
    pub run: Run,
    /// Work at EL2.
    pub job: Job,
    /// What was asked of it and is still to be served as its work: [`request::LIFE`], and what of the menu is to be shown.
    pub asked: u32,
    /// The next line of a crash report, if one is to be made.
    pub report: Option<u8>,
    /// The next line of the status of all partitions, if it is to be shown.
    pub status: Option<u8>,
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

/// The vCPUs of a core, by their slots there.
pub struct Vcpus(pub &'static mut [Vcpu]);

impl Vcpus {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The vCPU in a slot; in place, for the shortest paths.
    #[inline(always)]
    pub fn at(&mut self, slot: usize) -> &mut Vcpu {
        match self.0.get_mut(slot) {
            Some(vcpu) => vcpu,
            None => defect("no vCPU in a slot"),
        }
    }
}

// Slots come from the core's own records, never from a guest.
impl Index<usize> for Vcpus {
    type Output = Vcpu;
    #[inline(never)]
    fn index(&self, slot: usize) -> &Vcpu {
        match self.0.get(slot) {
            Some(vcpu) => vcpu,
            None => defect("no vCPU in a slot"),
        }
    }
}

impl IndexMut<usize> for Vcpus {
    #[inline(never)]
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
        (frame.on_interrupt, frame.on_synchronous) = vectors::ways();
        Self {
            frame,
            el1: El1::new(),
            timer: timer::Virtual::default(),
            interface: VirtualState::default(),
            hcr,
            affinity: 1 << 31 | u64::from(index.get()),
            partition,
            index,
            entity,
            run: Run::Off,
            job: Job::None,
            asked: 0,
            report: None,
            status: None,
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
            || self.job != Job::None
            || self.report.is_some()
            || self.status.is_some()
            || console::is_ready() && self.index.get() == 0 && console::has_work(self.partition.index, &self.partition.output)
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
