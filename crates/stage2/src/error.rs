//! Why a space refuses an operation. Each refusal leaves every translation as it was.

use crate::address::{Ipa, Pa};

/// A refusal, with the value that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An input address has 32 to 40 bits, and no more than a physical address has.
    #[error("an address space cannot have {0} bits")]
    IpaBits(u8),
    /// A range is not whole pages, or is empty.
    #[error("range at {0:?} of {1:#x} bytes is empty or not whole pages")]
    Misaligned(Ipa, u64),
    /// A physical address is not that of a page.
    #[error("physical address {0:?} is not page-aligned")]
    MisalignedPa(Pa),
    /// A range ends beyond the space.
    #[error("range at {0:?} of {1:#x} bytes ends beyond the address space")]
    BeyondIpa(Ipa, u64),
    /// A range ends beyond the physical addresses of the machine.
    #[error("range at {0:?} of {1:#x} bytes ends beyond physical memory")]
    BeyondPa(Pa, u64),
    /// Something is mapped in the range already, first at this address.
    #[error("{0:?} is mapped already")]
    Overlap(Ipa),
    /// Nothing is mapped at this address of the range.
    #[error("{0:?} is not mapped")]
    NotMapped(Ipa),
    /// Device memory cannot be executed: instruction fetch from it could touch the device.
    #[error("device memory at {0:?} cannot be executable")]
    DeviceExecutable(Ipa),
    /// There is no frame left for a table.
    #[error("no frame is left for a translation table")]
    OutOfTables,
    /// A frame for a table is misaligned or beyond physical memory.
    #[error("{0:?} cannot hold a translation table")]
    BadFrame(Pa),
    /// The block with this address in it would have to be split while the space is live.
    ///
    /// Armv8.0 wants break-before-make for it (Arm ARM D8, "Using break-before-make when updating
    /// translation table entries"): the whole block would be unmapped for a moment, and a vCPU on
    /// another core that touched it then would take an abort that it has not earned. Retire the
    /// space first, or map in pieces what will change in pieces.
    #[error("the block with {0:?} in it cannot be split while the space is live")]
    LiveSplit(Ipa),
}
