//! Addresses and the numbers that go with them, each its own type.

/// An intermediate physical address: what a guest or a component takes for physical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipa(u64);

impl Ipa {
    /// Any number is an address; whether something is there is for the tables to say.
    #[inline]
    pub const fn new(address: u64) -> Self {
        Self(address)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A physical address of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pa(u64);

impl Pa {
    /// Any number is an address.
    #[inline]
    pub const fn new(address: u64) -> Self {
        Self(address)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A virtual machine identifier, 1 to 255: the tag of one space's entries in the TLBs. Zero is the
/// kernel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vmid(u8);

impl Vmid {
    /// The VMID with this number; `None` for zero.
    #[inline]
    pub const fn new(number: u8) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// How many bits a physical address has, as ID_AA64MMFR0_EL1.PARange and VTCR_EL2.PS encode it.
///
/// A system whose cores differ takes the least of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PaRange {
    /// 32 bits.
    Bits32 = 0,
    /// 36 bits.
    Bits36 = 1,
    /// 40 bits.
    Bits40 = 2,
    /// 42 bits.
    Bits42 = 3,
    /// 44 bits.
    Bits44 = 4,
    /// 48 bits, and the most that a 4 KiB granule reaches in Armv8.0.
    Bits48 = 5,
}

impl PaRange {
    /// From the value of ID_AA64MMFR0_EL1 (PARange is its bits 3:0). More than 48 bits are taken as
    /// 48.
    pub const fn from_mmfr0(id_aa64mmfr0: u64) -> Self {
        match id_aa64mmfr0 & 0xF {
            0 => Self::Bits32,
            1 => Self::Bits36,
            2 => Self::Bits40,
            3 => Self::Bits42,
            4 => Self::Bits44,
            _ => Self::Bits48,
        }
    }

    /// The number of bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Bits32 => 32,
            Self::Bits36 => 36,
            Self::Bits40 => 40,
            Self::Bits42 => 42,
            Self::Bits44 => 44,
            Self::Bits48 => 48,
        }
    }
}
