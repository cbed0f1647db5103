//! A system whose description has been checked, with everything that its bundle needs.
//!
//! Made by [`crate::check`] from a [`crate::description::Description`]; images are added by
//! [`crate::layout`]. The default addresses are those of QEMU's `virt` board.

use manifest::{CorePolicy, DeviceKind, Gic, LoadKind, OnFault, RegionKind};

/// Where RAM begins.
pub const RAM: u64 = 0x4000_0000;
/// The distributor, 64 KiB.
pub const GICD: u64 = 0x0800_0000;
/// The GICv2 CPU interface, 8 KiB.
pub const GICC: u64 = 0x0801_0000;
/// The first GICv3 redistributor, 128 KiB for each vCPU.
pub const GICR: u64 = 0x080a_0000;
/// The PL011 and its INTID.
pub const UART: (u64, u16) = (0x0900_0000, 33);
/// The PL031 and its INTID.
pub const RTC: (u64, u16) = (0x0901_0000, 34);
/// The virtio-mmio transports: address, number and size of each.
pub const VIRTIO: (u64, u16, u32) = (0x0a00_0000, 32, 0x200);
/// INTID of the first virtio-mmio transport.
pub const VIRTIO_INTID: u16 = 48;
/// Size of one redistributor.
pub const REDISTRIBUTOR: u64 = 0x2_0000;

/// A checked system.
#[derive(Clone, Debug)]
pub struct System {
    /// Its name.
    pub name: String,
    /// Its cores.
    pub cores: Vec<CorePolicy>,
    /// Its guests in the order in which they are started: the most urgent first.
    pub guests: Vec<Guest>,
    /// Which of them has the keyboard.
    pub focus: usize,
    /// Bytes of records of each core's trace ring, 0 for none.
    pub trace: u32,
}

/// A checked guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// The interrupt controller that it needs.
    pub gic: Gic,
    /// What happens after a fault.
    pub on_fault: OnFault,
    /// Most restarts after faults, 0 for no limit.
    pub max_restarts: u16,
    /// Whether it starts at boot.
    pub autostart: bool,
    /// Number of SPIs.
    pub spis: u16,
    /// Its vCPUs.
    pub vcpus: Vec<Vcpu>,
    /// Its memory.
    pub regions: Vec<Region>,
    /// What is loaded into it.
    pub loads: Vec<Load>,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Where it starts.
    pub entry: u64,
    /// x0 to x3 at the start.
    pub arguments: [u64; 4],
    /// Address of the distributor.
    pub gicd: u64,
    /// Address of the redistributors.
    pub gicr: u64,
    /// Address of the CPU interface.
    pub gicc: u64,
    /// Its command line.
    pub bootargs: String,
    /// Whether its device tree names the virtio-mmio transports.
    pub virtio_in_tree: bool,
}

/// A vCPU.
#[derive(Clone, Copy, Debug)]
pub struct Vcpu {
    /// Its core.
    pub core: u16,
    /// Its priority.
    pub priority: u8,
    /// Its budget and the budget's period in nanoseconds.
    pub budget: Option<(u64, u64)>,
}

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// What it is.
    pub kind: RegionKind,
    /// Guest-physical address.
    pub ipa: u64,
    /// Size.
    pub size: u64,
    /// Physical address on the board, if it matters.
    pub physical: Option<u64>,
}

/// Bytes that are loaded.
#[derive(Clone, Debug)]
pub struct Load {
    /// Name of the member of the bundle, after `guest/NAME/`.
    pub member: String,
    /// What it is.
    pub kind: LoadKind,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Guest-physical address.
    pub ipa: u64,
    /// Bytes in memory.
    pub memory_len: u64,
    /// The interrupt controller that it is for.
    pub gic: Gic,
    /// Offset and length of a seed in it.
    pub seed: Option<(u32, u32)>,
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// What it is.
    pub kind: DeviceKind,
    /// Guest-physical address.
    pub ipa: u64,
    /// Size of its registers.
    pub size: u32,
    /// Its interrupt, or 0.
    pub intid: u16,
}

impl System {
    /// The guests' memory in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let regions = self.guests.iter().flat_map(|g| &g.regions);
        regions.map(|r| r.size).sum()
    }

    /// A guest by name.
    #[must_use]
    pub fn guest(&self, name: &str) -> Option<&Guest> {
        self.guests.iter().find(|g| g.name == name)
    }
}

impl Guest {
    /// The RAM that holds `address`.
    #[must_use]
    pub fn region_at(&self, address: u64) -> Option<&Region> {
        self.regions
            .iter()
            .find(|r| address >= r.ipa && address - r.ipa < r.size)
    }

    /// Its RAM regions.
    pub fn ram(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().filter(|r| r.kind == RegionKind::Ram)
    }

    /// A device of one kind.
    #[must_use]
    pub fn device(&self, kind: DeviceKind) -> Option<&Device> {
        self.devices.iter().find(|d| d.kind == kind)
    }
}
