//! The boards that QEMU makes for us.

use clap::ValueEnum;
use manifest::Gic;

/// A board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// QEMU's `virt` with GICv3.
    #[default]
    #[value(name = "virt-gicv3")]
    VirtGicv3,
    /// QEMU's `virt` with GICv2.
    #[value(name = "virt-gicv2")]
    VirtGicv2,
    /// QEMU's `xlnx-zcu102`: four Cortex-A53, GIC-400, Cadence UART.
    #[value(name = "zcu102")]
    Zcu102,
}

/// Memory for the kernel and the bundle, beside the guests' own.
const OVERHEAD: u64 = 128 << 20;

impl Board {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VirtGicv3 => "virt-gicv3",
            Self::VirtGicv2 => "virt-gicv2",
            Self::Zcu102 => "zcu102",
        }
    }

    /// Its interrupt controller.
    #[must_use]
    pub fn gic(self) -> Gic {
        match self {
            Self::VirtGicv3 => Gic::V3,
            Self::VirtGicv2 | Self::Zcu102 => Gic::V2,
        }
    }

    /// How many cores it can have.
    #[must_use]
    pub fn cores(self) -> usize {
        match self {
            Self::VirtGicv3 => manifest::MAX_CORES,
            Self::VirtGicv2 => 8,
            Self::Zcu102 => 4,
        }
    }

    /// How much memory it can have.
    #[must_use]
    pub fn memory(self) -> u64 {
        match self {
            Self::VirtGicv3 | Self::VirtGicv2 => 8 << 30,
            Self::Zcu102 => 2 << 30,
        }
    }

    /// The memory for guests that have `guests` bytes, in MiB; what the bundle needs twice is in
    /// it: as it was loaded, and where it is copied to.
    #[must_use]
    pub fn size_for(self, guests: u64, bundle: u64) -> u64 {
        match self {
            Self::Zcu102 => self.memory() >> 20,
            _ => (guests + OVERHEAD + bundle).div_ceil(64 << 20) * 64,
        }
    }
}
