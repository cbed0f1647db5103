//! Translation table descriptors, stage 1 of EL1: an identity map.
//!
//! Arm ARM D8.3, 4 KiB granule, 39-bit addresses: level 1 of 512 entries of 1 GiB, level 2 of
//! 512 entries of 2 MiB. A 1 GiB block is used where it fits. Entries are only ever added, so
//! nothing has to be invalidated.

use crate::board::Address;

/// The bits of an address that is translated.
pub const ADDRESS_BITS: u32 = 39;
/// Tables of level 2 there is room for.
const LEVEL2_TABLES: usize = 8;

const BLOCK_2M: u64 = 1 << 21;
const BLOCK_1G: u64 = 1 << 30;

const VALID_BLOCK: u64 = 0b01;
const VALID_TABLE: u64 = 0b11;
const ACCESS_FLAG: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
const TABLE_ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

/// MAIR_EL1: attribute 0 is Normal, write-back, allocating; attribute 1 is Device-nGnRE.
pub const MAIR: u64 = 0x04FF;

/// What is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Normal memory, readable, writable, executable: one image, no loader.
    Memory,
    /// Device registers, never executed.
    Device,
}

impl Kind {
    fn bits(self) -> u64 {
        VALID_BLOCK
            | ACCESS_FLAG
            | UXN
            | match self {
                Self::Memory => INNER_SHAREABLE,
                Self::Device => PXN | 1 << 2,
            }
    }
}

/// One table of either level.
#[repr(C, align(4096))]
#[derive(Clone, Copy)]
pub struct Table([u64; 512]);

/// The level 1 table and the level 2 tables below it.
#[repr(C)]
pub struct Tables {
    level1: Table,
    level2: [Table; LEVEL2_TABLES],
    used: usize,
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

impl Tables {
    /// Tables that map nothing.
    pub const fn new() -> Self {
        Self {
            level1: Table([0; 512]),
            level2: [Table([0; 512]); LEVEL2_TABLES],
            used: 0,
        }
    }

    /// Maps `size` bytes from `start` to themselves, in whole blocks of 2 MiB. A block that is
    /// mapped stays as it is. Returns false when some of it could not be mapped: it is beyond
    /// 39 bits, or the tables are used up.
    pub fn map(&mut self, start: Address, size: u64, kind: Kind) -> bool {
        let mut address = start.0 & !(BLOCK_2M - 1);
        let Some(end) = start.0.checked_add(size) else {
            return false;
        };
        if end > 1 << ADDRESS_BITS {
            return false;
        }
        while address < end {
            let whole = address.is_multiple_of(BLOCK_1G) && end - address >= BLOCK_1G;
            let Some(entry) = self.level1.0.get_mut((address / BLOCK_1G) as usize) else {
                return false;
            };
            if *entry == 0 && whole {
                *entry = address | kind.bits();
            } else if *entry == 0 {
                let Some(table) = self.level2.get(self.used) else {
                    return false;
                };
                // The tables are mapped one to one, so their address is physical.
                *entry = &raw const *table as u64 & TABLE_ADDRESS | VALID_TABLE;
                self.used += 1;
            }
            if *entry & VALID_TABLE == VALID_BLOCK {
                address = (address / BLOCK_1G + 1) * BLOCK_1G;
                continue;
            }
            let table = *entry & TABLE_ADDRESS;
            let below = self
                .level2
                .iter_mut()
                .find(|below| &raw const **below as u64 & TABLE_ADDRESS == table);
            let block = below.and_then(|below| {
                let index = (address / BLOCK_2M % 512) as usize;
                below.0.get_mut(index)
            });
            let Some(block) = block else { return false };
            if *block == 0 {
                *block = address | kind.bits();
            }
            address += BLOCK_2M;
        }
        true
    }

    /// The address of the level 1 table, for TTBR0_EL1.
    pub fn root(&self) -> u64 {
        &raw const self.level1 as u64
    }

    /// What the tables say of an address: the output address and kind, walked as the
    /// hardware does.
    #[cfg(test)]
    fn walk(&self, address: u64) -> Option<(u64, Kind)> {
        let entry = self.level1.0[(address / BLOCK_1G) as usize];
        let (entry, size) = match entry & 0b11 {
            0b01 => (entry, BLOCK_1G),
            0b11 => {
                let below = self.level2.iter().find(|below| {
                    &raw const **below as u64 & TABLE_ADDRESS == entry & TABLE_ADDRESS
                })?;
                (below.0[(address / BLOCK_2M % 512) as usize], BLOCK_2M)
            }
            _ => return None,
        };
        if entry & 0b11 != 0b01 {
            return None;
        }
        let kind = [Kind::Memory, Kind::Device]
            .into_iter()
            .find(|kind| kind.bits() == entry & !(TABLE_ADDRESS))?;
        Some(((entry & TABLE_ADDRESS) + address % size, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Box<Tables> {
        Box::new(Tables::new())
    }

    #[test]
    fn nothing_is_mapped_at_first() {
        assert_eq!(tables().walk(0x4020_0000), None);
    }

    #[test]
    fn a_map_is_one_to_one_in_whole_blocks() {
        let mut tables = tables();
        assert!(tables.map(Address(0x4008_0000), 0x10_0000, Kind::Memory));
        assert_eq!(tables.walk(0x4008_1234), Some((0x4008_1234, Kind::Memory)));
        assert_eq!(tables.walk(0x401F_FFFF), Some((0x401F_FFFF, Kind::Memory)));
        assert_eq!(tables.walk(0x4020_0000), None);
        assert_eq!(tables.walk(0x3FFF_FFFF), None);
    }

    #[test]
    fn a_region_that_crosses_a_block_is_mapped_whole() {
        let mut tables = tables();
        assert!(tables.map(Address(0x401F_F000), 0x2000, Kind::Memory));
        assert_eq!(tables.walk(0x4020_0FFF), Some((0x4020_0FFF, Kind::Memory)));
    }

    #[test]
    fn whole_gigabytes_need_no_table() {
        let mut tables = tables();
        assert!(tables.map(Address(0x4000_0000), 3 << 30, Kind::Memory));
        assert_eq!(tables.used, 0);
        assert_eq!(tables.walk(0xFFFF_FFFF), Some((0xFFFF_FFFF, Kind::Memory)));
        assert_eq!(tables.walk(0x1_0000_0000), None);
    }

    #[test]
    fn memory_is_added_around_what_is_mapped() {
        let mut tables = tables();
        assert!(tables.map(Address(0x4020_0000), 1, Kind::Memory));
        assert!(tables.map(Address(0x4000_0000), 1 << 30, Kind::Memory));
        for address in [0x4000_0000, 0x4020_0000, 0x7FFF_FFFF] {
            assert_eq!(tables.walk(address), Some((address, Kind::Memory)));
        }
    }

    #[test]
    fn devices_and_memory_share_a_gigabyte() {
        let mut tables = tables();
        assert!(tables.map(Address(0x0800_0000), 0x100_0000, Kind::Device));
        assert!(tables.map(Address(0x0A00_0000), 0x20_0000, Kind::Memory));
        assert_eq!(tables.used, 1);
        assert_eq!(tables.walk(0x080A_0000), Some((0x080A_0000, Kind::Device)));
        assert_eq!(tables.walk(0x0A00_0000), Some((0x0A00_0000, Kind::Memory)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut tables = tables();
        assert!(!tables.map(Address(1 << ADDRESS_BITS), 1, Kind::Device));
        assert!(!tables.map(Address(u64::MAX), 2, Kind::Device));
        for table in 0..LEVEL2_TABLES as u64 {
            assert!(tables.map(Address(table << 30), 1, Kind::Device));
        }
        assert!(!tables.map(Address((LEVEL2_TABLES as u64) << 30), 1, Kind::Device));
    }
}
