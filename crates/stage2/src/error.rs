//! Why a space refuses an operation. Each refusal leaves every translation as it was.

use crate::address::{Ipa, Pa};
use core::fmt;

/// A refusal, with the value that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An input address has 32 to 40 bits, and no more than a physical address has.
    IpaBits(u64),
    /// A range is not whole pages, or is empty.
    Misaligned(Ipa, u64),
    /// A physical address is not that of a page.
    MisalignedPa(Pa),
    /// A range ends beyond the space.
    BeyondIpa(Ipa, u64),
    /// A range ends beyond the physical addresses of the machine.
    BeyondPa(Pa, u64),
    /// Something is mapped in the range already, first at this address.
    Overlap(Ipa),
    /// Nothing is mapped at this address of the range.
    NotMapped(Ipa),
    /// Device memory cannot be executed: instruction fetch from it could touch the device.
    DeviceExecutable(Ipa),
    /// There is no frame left for a table.
    OutOfTables,
    /// A frame for a table is misaligned or beyond physical memory.
    BadFrame(Pa),
    /// The block with this address in it would have to be split while the space is live.
    ///
    /// Armv8.0 wants break-before-make for it (Arm ARM D8, "Using break-before-make when updating
    /// translation table entries"): the whole block would be unmapped for a moment, and a vCPU on
    /// another core that touched it then would take an abort that it has not earned. Retire the
    /// space first, or map in pieces what will change in pieces.
    LiveSplit(Ipa),
}

impl Error {
    /// Why, in words. What they are said of is in [`Error::numbers`].
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::IpaBits(_) => "an address space cannot have so many bits",
            Self::Misaligned(..) => "the range is empty or not whole pages",
            Self::MisalignedPa(_) => "the physical address is not page-aligned",
            Self::BeyondIpa(..) => "the range ends beyond the address space",
            Self::BeyondPa(..) => "the range ends beyond physical memory",
            Self::Overlap(_) => "the address is mapped already",
            Self::NotMapped(_) => "the address is not mapped",
            Self::DeviceExecutable(_) => "device memory cannot be executable",
            Self::OutOfTables => "no frame is left for a translation table",
            Self::BadFrame(_) => "the frame cannot hold a translation table",
            Self::LiveSplit(_) => {
                "the block with the address in it cannot be split while the space is live"
            }
        }
    }

    /// The value that caused it - an address, or for [`Error::IpaBits`] a number of bits - and the size in bytes of a range
    /// that begins there.
    pub const fn numbers(&self) -> (Option<u64>, Option<u64>) {
        match *self {
            Self::IpaBits(bits) => (Some(bits), None),
            Self::Misaligned(at, size) | Self::BeyondIpa(at, size) => (Some(at.get()), Some(size)),
            Self::BeyondPa(at, size) => (Some(at.get()), Some(size)),
            Self::MisalignedPa(at) | Self::BadFrame(at) => (Some(at.get()), None),
            Self::Overlap(at)
            | Self::NotMapped(at)
            | Self::DeviceExecutable(at)
            | Self::LiveSplit(at) => (Some(at.get()), None),
            Self::OutOfTables => (None, None),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())?;
        let (at, size) = self.numbers();
        if let Some(at) = at {
            write!(f, ": {at:#x}")?;
        }
        if let Some(size) = size {
            write!(f, ", {size:#x} bytes")?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}
