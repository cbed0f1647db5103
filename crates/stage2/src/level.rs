//! The levels of a walk with the 4 KiB granule (Arm ARM D8, "VMSAv8-64 translation using the 4KB
//! granule").

use crate::address::Ipa;

/// A level of the walk. A deeper one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Where walks start. An entry covers 1 GiB.
    One,
    /// An entry covers 2 MiB.
    Two,
    /// Pages of 4 KiB.
    Three,
}

impl Level {
    /// How many bytes one entry covers.
    #[inline]
    pub const fn span(self) -> u64 {
        match self {
            Self::One => 1 << 30,
            Self::Two => 1 << 21,
            Self::Three => 1 << 12,
        }
    }

    /// The level below, if there is one.
    #[inline]
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::One => Some(Self::Two),
            Self::Two => Some(Self::Three),
            Self::Three => None,
        }
    }

    /// The index of an address in a table of this level. At level 1 the index runs through
    /// concatenated tables: it is below 1024 for an address of 40 bits, and the caller keeps longer
    /// ones away.
    #[inline]
    pub(crate) const fn index(self, ipa: Ipa) -> usize {
        (match self {
            Self::One => ipa.get() >> 30,
            Self::Two => (ipa.get() >> 21) & 0x1FF,
            Self::Three => (ipa.get() >> 12) & 0x1FF,
        }) as usize
    }

    /// The part of an address below what this level's index selects.
    #[inline]
    pub(crate) const fn offset(self, address: u64) -> u64 {
        address & self.span().wrapping_sub(1)
    }
}
