//! What the kernel needs to know of a board.

use super::uart::UartKind;
use crate::memory::Range;

/// Cores that the kernel uses of a board; more are left off.
pub const MOST_CORES: usize = manifest::MAX_CORES;

/// Where the interrupt controller is.
#[derive(Clone, Copy, Debug)]
pub enum GicAddresses {
    /// GICv2: distributor, CPU interface, hypervisor control, virtual CPU interface.
    V2 {
        /// GICD.
        distributor: Range,
        /// GICC, adjusted so that its second page follows the first (see `tree`).
        interface: Range,
        /// GICH.
        hypervisor: Range,
        /// GICV, adjusted likewise.
        guest: Range,
    },
    /// GICv3: distributor and regions of redistributors.
    V3 {
        /// GICD.
        distributor: Range,
        /// GICR regions.
        redistributors: [Range; 4],
    },
}

/// A board.
#[derive(Clone, Debug)]
pub struct Board {
    /// RAM, as the memory nodes give it.
    pub ram: [Range; 8],
    /// What in it is used already: reservations, the tree itself, the bundle.
    pub reserved: [Range; 16],
    /// Affinities of the cores that the tree enables, the boot core's among them.
    pub cores: [u64; MOST_CORES],
    /// How many.
    pub core_count: usize,
    /// The interrupt controller.
    pub gic: GicAddresses,
    /// The serial port: registers, kind, interrupt.
    pub uart: Option<(Range, UartKind, u32)>,
    /// The bundle, as an initrd.
    pub bundle: Option<Range>,
    /// The interrupt of EL2's physical timer.
    pub timer: u32,
    /// The maintenance interrupt of the virtual CPU interface.
    pub maintenance: u32,
    /// Random bytes from the boot loader, to derive the guests' seeds from; `None` if it gave none.
    pub seed: Option<[u64; 4]>,
}

/// Why a board cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardError {
    /// x0 does not point at a device tree.
    NoTree,
    /// The tree has no memory node.
    NoMemory,
    /// The tree has no GICv2 or GICv3 that is enabled.
    NoGic,
    /// The GICv2 has no virtualization extensions in the tree.
    NoVirtualInterface,
    /// The tree lists no core that is enabled.
    NoCores,
}

impl core::fmt::Display for BoardError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoTree => "x0 holds no device tree: boot with a loader that passes one (QEMU -kernel, U-Boot booti)",
            Self::NoMemory => "the device tree has no usable memory node: nothing can be placed",
            Self::NoGic => "the device tree has no enabled GICv2 (arm,gic-400, arm,cortex-a15-gic) or GICv3 (arm,gic-v3)",
            Self::NoVirtualInterface => "the device tree's GICv2 has no GICH and GICV registers: guests cannot get interrupts. On QEMU virt, add virtualization=on",
            Self::NoCores => "the device tree lists no enabled core",
        })
    }
}
