//! Stage-2 descriptors (Arm ARM D8, "Translation table descriptor formats").
//!
//! | bits | field | here |
//! | --- | --- | --- |
//! | 0 | valid | |
//! | 1 | table (levels 1 and 2) or page (level 3), not block | |
//! | 5:2 | MemAttr | 0b1111 Normal Write-Back, or 0b0001 Device-nGnRE |
//! | 7:6 | S2AP | 0b01 read, 0b11 read and write |
//! | 9:8 | SH | 0b11 Inner Shareable for Normal; ignored for Device |
//! | 10 | AF | 1: there is no access-flag fault |
//! | 47:12 | output or next table address | |
//! | 54 | XN | 1: not executable at EL1 and EL0 (bit 53 is zero) |

use crate::address::Pa;
use crate::level::Level;

const VALID: u64 = 1 << 0;
const TABLE_OR_PAGE: u64 = 1 << 1;
const MEMATTR: u64 = 0xF << 2;
const MEMATTR_NORMAL_WB: u64 = 0xF << 2;
const MEMATTR_DEVICE_NGNRE: u64 = 0x1 << 2;
const S2AP_READ: u64 = 1 << 6;
const S2AP_WRITE: u64 = 1 << 7;
const SH_INNER: u64 = 3 << 8;
const AF: u64 = 1 << 10;
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;
const XN: u64 = 1 << 54;

/// What kind of memory a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Normal, Write-Back, Inner Shareable.
    Normal,
    /// Device-nGnRE. Never executable.
    Device,
}

/// What may be done with a mapping. Reading always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// May be written.
    pub write: bool,
    /// May be executed, at EL1 and EL0.
    pub execute: bool,
}

impl Rights {
    /// Read.
    pub const R: Self = Self::new(false, false);
    /// Read and write.
    pub const RW: Self = Self::new(true, false);
    /// Read and execute.
    pub const RX: Self = Self::new(false, true);
    /// Read, write and execute.
    pub const RWX: Self = Self::new(true, true);

    /// These rights.
    pub const fn new(write: bool, execute: bool) -> Self {
        Self { write, execute }
    }
}

/// The contents of a block or page descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub pa: Pa,
    pub kind: Kind,
    pub rights: Rights,
}

/// A descriptor, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {
    /// A translation fault. Never cached in a TLB.
    Invalid,
    /// The table of the next level.
    Table(Pa),
    /// A block, or a page at level 3.
    Leaf(Leaf),
}

impl Descriptor {
    /// The entry that faults.
    pub const INVALID: u64 = 0;

    /// Reads an entry of a table of `level`. Only entries that this crate wrote are ever read.
    #[inline]
    pub const fn decode(entry: u64, level: Level) -> Self {
        if entry & VALID == 0 {
            return Self::Invalid;
        }
        let not_block = entry & TABLE_OR_PAGE != 0;
        let page_level = matches!(level, Level::Three);
        let pa = Pa::new(entry & ADDRESS);
        if not_block && !page_level {
            return Self::Table(pa);
        }
        if !not_block && page_level {
            // Reserved: faults like an invalid entry.
            return Self::Invalid;
        }
        Self::Leaf(Leaf {
            pa,
            kind: if entry & MEMATTR == MEMATTR_NORMAL_WB {
                Kind::Normal
            } else {
                Kind::Device
            },
            rights: Rights::new(entry & S2AP_WRITE != 0, entry & XN == 0),
        })
    }

    /// The entry that leads to the next level's table.
    #[inline]
    pub const fn table(table: Pa) -> u64 {
        (table.get() & ADDRESS) | TABLE_OR_PAGE | VALID
    }

    /// The entry of a block or, at level 3, of a page.
    #[inline]
    pub const fn leaf(leaf: Leaf, level: Level) -> u64 {
        let Leaf { pa, kind, rights } = leaf;
        let mut entry = (pa.get() & ADDRESS) | AF | S2AP_READ | VALID;
        entry |= match kind {
            Kind::Normal => MEMATTR_NORMAL_WB | SH_INNER,
            Kind::Device => MEMATTR_DEVICE_NGNRE,
        };
        if matches!(level, Level::Three) {
            entry |= TABLE_OR_PAGE;
        }
        if rights.write {
            entry |= S2AP_WRITE;
        }
        if !rights.execute {
            entry |= XN;
        }
        entry
    }
}
