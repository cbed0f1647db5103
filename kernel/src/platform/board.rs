//! What the kernel needs to know of a board.

use super::uart::UartKind;
use crate::memory::{Frames, Range};

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
    /// RAM, as the memory nodes give it, as far as the kernel reaches.
    pub ram: Frames,
    /// Bytes of RAM that lie beyond the kernel's reach.
    pub beyond: u64,
    /// What of the RAM is used already: reservations, the tree itself, the bundle.
    pub reserved: Frames,
    /// What of the RAM must not be mapped: pages that hold a reservation with `no-map`.
    pub hidden: Frames,
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
    /// Whether the firmware takes PSCI calls by SMC.
    pub has_psci: bool,
    /// Random bytes from the boot loader, to derive the guests' seeds from; `None` if it gave none.
    pub seed: Option<[u64; 4]>,
}

impl Board {
    /// A board of which nothing is known but the usual interrupts.
    #[must_use]
    #[inline(never)]
    pub const fn new() -> Self {
        const NONE: Range = Range { start: 0, end: 0 };
        Self {
            ram: Frames::new(),
            beyond: 0,
            reserved: Frames::new(),
            hidden: Frames::new(),
            cores: [0; MOST_CORES],
            core_count: 0,
            gic: GicAddresses::V3 {
                distributor: NONE,
                redistributors: [NONE; 4],
            },
            uart: None,
            bundle: None,
            timer: 26,
            maintenance: 25,
            has_psci: false,
            seed: None,
        }
    }
}

/// Why a board cannot be used. [`BoardError::reason`] has the words in the same order.
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
    /// The tree has more ranges of RAM, or more reservations in it, than are kept.
    TooManyRanges,
}

impl BoardError {
    /// Why, in words, and a number to say after them.
    #[must_use]
    pub const fn reason(&self) -> (&'static str, Option<u64>) {
        const WORDS: [&str; 6] = [
            "x0 holds no device tree: boot with a loader that passes one (QEMU -kernel, U-Boot booti)",
            "the device tree has no usable memory node: nothing can be placed",
            "the device tree has no enabled GICv2 (arm,gic-400, arm,cortex-a15-gic) or GICv3 (arm,gic-v3)",
            "the device tree's GICv2 has no GICH and GICV registers: guests cannot get interrupts. On QEMU virt, add virtualization=on",
            "the device tree lists no enabled core",
            "the device tree has more memory reservations, or banks of RAM, than the kernel keeps: ",
        ];
        let number = if matches!(self, Self::TooManyRanges) {
            Some(Frames::MOST as u64)
        } else {
            None
        };
        (WORDS[*self as usize], number)
    }
}
