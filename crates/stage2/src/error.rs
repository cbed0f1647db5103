//! Why a space refuses an operation. Each refusal leaves every translation as it was.

use crate::address::{Ipa, Pa};

/// A refusal, with the value that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An input address has 32 to 40 bits, and no more than a physical address has.
    #[error("an address space cannot have {} bits", u64::from(*.0))]
    IpaBits(u8),
    /// A range is not whole pages, or is empty.
    #[error("range at {at:#x} of {1:#x} bytes is empty or not whole pages", at = .0.get())]
    Misaligned(Ipa, u64),
    /// A physical address is not that of a page.
    #[error("physical address {:#x} is not page-aligned", .0.get())]
    MisalignedPa(Pa),
    /// A range ends beyond the space.
    #[error("range at {at:#x} of {1:#x} bytes ends beyond the address space", at = .0.get())]
    BeyondIpa(Ipa, u64),
    /// A range ends beyond the physical addresses of the machine.
    #[error("range at {at:#x} of {1:#x} bytes ends beyond physical memory", at = .0.get())]
    BeyondPa(Pa, u64),
    /// Something is mapped in the range already, first at this address.
    #[error("{:#x} is mapped already", .0.get())]
    Overlap(Ipa),
    /// Nothing is mapped at this address of the range.
    #[error("{:#x} is not mapped", .0.get())]
    NotMapped(Ipa),
    /// Device memory cannot be executed: instruction fetch from it could touch the device.
    #[error("device memory at {:#x} cannot be executable", .0.get())]
    DeviceExecutable(Ipa),
    /// There is no frame left for a table.
    #[error("no frame is left for a translation table")]
    OutOfTables,
    /// A frame for a table is misaligned or beyond physical memory.
    #[error("{:#x} cannot hold a translation table", .0.get())]
    BadFrame(Pa),
    /// The block with this address in it would have to be split while the space is live.
    ///
    /// Armv8.0 wants break-before-make for it (Arm ARM D8, "Using break-before-make when updating
    /// translation table entries"): the whole block would be unmapped for a moment, and a vCPU on
    /// another core that touched it then would take an abort that it has not earned. Retire the
    /// space first, or map in pieces what will change in pieces.
    #[error("the block with {:#x} in it cannot be split while the space is live", .0.get())]
    LiveSplit(Ipa),
}
