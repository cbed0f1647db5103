//! A partition: one guest, its address space, its devices, its life.

use crate::arch::gic::Gic;
use crate::arch::sync::SpinLock;
use crate::console::Ring;
use crate::fault::defect;
use crate::system;
use crate::vmm::Keys;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use devices::{Pl011, Pl031};
use manifest::{Load, Name, OnFault, RegionKind};
use stage2::{AddressSpace, Ipa, Pa};
use vgic::{Distributor, VcpuIndex, Vgic};

/// A region of a partition's memory and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// First guest-physical address.
    pub ipa: u64,
    /// Bytes.
    pub size: u64,
    /// First physical address.
    pub pa: Pa,
    /// What it is.
    pub kind: RegionKind,
}

/// Which model answers an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// The distributor.
    Distributor,
    /// The redistributors, 128 KiB for each vCPU.
    Redistributors,
    /// The console.
    Pl011,
    /// The clock.
    Pl031,
    /// Empty virtio transports.
    VirtioEmpty,
}

/// Registers in a partition's address space that a model answers for.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSlot {
    /// First guest-physical address.
    pub ipa: u64,
    /// Bytes.
    pub size: u64,
    /// Who answers.
    pub model: Model,
    /// Its interrupt, 0 for none.
    pub intid: u16,
}

/// What a partition does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing of it runs.
    Off = 0,
    /// Its images are being copied.
    Loading = 1,
    /// It runs.
    Running = 2,
    /// Its vCPUs are being parked, then it is reset.
    Stopping = 3,
}

/// What comes after stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It stays off.
    Off,
    /// It starts again from its pristine images.
    Restart,
}

/// Where a vCPU that is turned on starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Program counter.
    pub entry: u64,
    /// x0.
    pub context: u64,
}

/// How a guest faulted. Kept until the next fault, across restarts.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// Which vCPU.
    pub vcpu: u8,
    /// What it did, in words.
    pub reason: &'static str,
    /// Program counter.
    pub pc: u64,
    /// ESR_EL2.
    pub esr: u64,
    /// FAR_EL2.
    pub far: u64,
    /// The guest-physical address, for aborts.
    pub ipa: u64,
    /// The counter when it happened.
    pub at: u64,
}

/// Bits of [`VcpuLink::requests`].
pub mod request {
    /// The interrupt state has changed.
    pub const ATTENTION: u32 = 1;
    /// Leave the core: the partition stops.
    pub const PARK: u32 = 2;
    /// Start at `Shared::starts`.
    pub const START: u32 = 4;
    /// All vCPUs are parked: vCPU 0 resets the partition.
    pub const RESET: u32 = 8;
    /// There is output or a report to bring to the console.
    pub const CONSOLE: u32 = 16;
    /// Start the partition, which is off.
    pub const LOAD: u32 = 32;
    /// Report the partition's crash.
    pub const REPORT: u32 = 64;
    /// Show the status of all partitions.
    pub const STATUS: u32 = 128;
    /// An unfinished line of output is to leave after a moment.
    pub const FLUSH: u32 = 256;
    /// Show the menu.
    pub const MENU: u32 = 512;
    /// Show who has the keyboard.
    pub const KEYBOARD: u32 = 1024;
    /// A [`Job`](crate::object::Job) is under way.
    pub const JOB: u32 = 2048;
    /// The rest of a write to the interrupt controller is to be done.
    pub const WRITE: u32 = 4096;
    /// Those that begin or end something in a vCPU's life.
    pub const LIFE: u32 = PARK | START | RESET | LOAD;
}

/// How other cores reach a vCPU.
#[derive(Debug)]
pub struct VcpuLink {
    /// Index of its core.
    pub core: u16,
    /// Its place there.
    pub slot: u8,
    /// What others want of it, [`request`] bits; taken by its core.
    pub requests: AtomicU32,
}

impl VcpuLink {
    /// Asks something of a vCPU on another core than this.
    #[inline(always)]
    pub fn ask(&self, what: u32, gic: &mut Gic) {
        let before = self.requests.fetch_or(what, Ordering::AcqRel);
        if before & what != what
            && let Some(target) = system::target(self.core)
        {
            gic.kick(target);
        }
    }
}

/// What all vCPUs of a partition share, behind one lock. What its exits need comes first.
#[repr(C)]
pub struct Shared {
    /// The vCPUs' parts of the interrupt controller.
    pub cpus: &'static mut [vgic::Cpu],
    /// The console.
    pub uart: Option<Pl011>,
    /// The distributor.
    pub distributor: Distributor,
    /// Its address space, whose tables do not change while it lives.
    pub space: AddressSpace,
    /// Which vCPUs are on.
    pub power: psci::Vm,
    /// Keys that the console has no room for yet.
    pub keys: Keys,
    /// The clock.
    pub rtc: Option<Pl031>,
    /// Where vCPUs that are being turned on start.
    pub starts: [Start; manifest::MAX_VCPUS],
    /// vCPUs that still have to be parked while stopping.
    pub to_park: u8,
    /// What comes after stopping.
    pub then: Target,
    /// The seed that is being made for the next start.
    pub seed: manifest::Seed,
    /// The last fault.
    pub crash: Option<Crash>,
}

impl Shared {
    /// A vCPU's part of the interrupt controller.
    #[inline(always)]
    pub fn cpu(&mut self, vcpu: VcpuIndex) -> &mut vgic::Cpu {
        match self.cpus.get_mut(usize::from(vcpu.get())) {
            Some(cpu) => cpu,
            None => defect("no interrupt controller for a vCPU"),
        }
    }

    /// The interrupt controller.
    #[inline(always)]
    pub fn vgic(&mut self) -> Vgic<'_> {
        Vgic::attach(&mut self.distributor, self.cpus)
    }
}

/// A partition. What its exits need comes first.
#[repr(C)]
pub struct Partition {
    /// What its vCPUs share.
    pub shared: SpinLock<Shared>,
    /// Its devices, those first that are accessed most.
    pub devices: &'static [DeviceSlot],
    /// Its vCPUs.
    pub vcpus: &'static [VcpuLink],
    /// Its index in the manifest.
    pub index: u8,
    /// Its name.
    pub name: Name,
    /// VTTBR_EL2: its VMID and translation tables.
    pub vttbr: u64,
    /// Its memory.
    pub regions: &'static [Placed],
    /// What is copied into it before it starts.
    pub loads: &'static [Load],
    /// Where vCPU 0 starts.
    pub entry: u64,
    /// x0 to x3 there.
    pub arguments: [u64; 4],
    /// Its interrupt controller's version.
    pub gic: manifest::Gic,
    /// What a fault does.
    pub on_fault: OnFault,
    /// Most restarts after faults; 0 for no limit.
    pub max_restarts: u16,
    /// [`State`].
    state: AtomicU8,
    /// Times it has been started.
    pub starts: AtomicU32,
    /// Times it has faulted.
    pub faults: AtomicU16,
    /// Its output on the way to the serial port.
    pub output: Ring,
}

impl Partition {
    /// What it does now.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            1 => State::Loading,
            2 => State::Running,
            3 => State::Stopping,
            _ => State::Off,
        }
    }

    /// Changes what it does. Only with `shared` locked.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// The region that holds all of `[ipa, ipa + len)`.
    #[must_use]
    pub fn region(&self, ipa: Ipa, len: u64) -> Option<&Placed> {
        let ipa = ipa.get();
        self.regions
            .iter()
            .find(|r| ipa >= r.ipa && ipa - r.ipa < r.size && len <= r.size - (ipa - r.ipa))
    }

    /// The device at a guest-physical address.
    #[inline(always)]
    #[must_use]
    pub fn device(&self, ipa: u64) -> Option<&DeviceSlot> {
        // A loop in so many words, for the compiler to leave it in its place.
        for device in self.devices {
            if ipa.wrapping_sub(device.ipa) < device.size {
                return Some(device);
            }
        }
        None
    }

    /// The link of a vCPU.
    #[must_use]
    pub fn link(&self, vcpu: VcpuIndex) -> Option<&VcpuLink> {
        self.vcpus.get(usize::from(vcpu.get()))
    }

    /// A partition that is off.
    #[allow(clippy::too_many_arguments, reason = "made in one place, from a manifest record")]
    #[must_use]
    pub fn new(
        index: u8,
        record: &manifest::Partition,
        gic: manifest::Gic,
        vttbr: u64,
        regions: &'static [Placed],
        loads: &'static [Load],
        devices: &'static [DeviceSlot],
        vcpus: &'static [VcpuLink],
        shared: Shared,
    ) -> Self {
        Self {
            index,
            name: record.name,
            vttbr,
            regions,
            loads,
            entry: record.entry.get(),
            arguments: core::array::from_fn(|i| record.arguments[i].get()),
            gic,
            on_fault: OnFault::decode(record.on_fault).unwrap_or(OnFault::Stop),
            max_restarts: record.max_restarts.get(),
            devices,
            vcpus,
            shared: SpinLock::new(shared),
            state: AtomicU8::new(State::Off as u8),
            starts: AtomicU32::new(0),
            faults: AtomicU16::new(0),
            output: Ring::new(),
        }
    }
}
