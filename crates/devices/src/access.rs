//! How an access of any size and offset meets a bank of 32-bit registers on the APB.
//!
//! The peripheral bus is 32 bits wide and moves whole registers. A narrow read gets its lanes of
//! the register. A narrow write is taken when it begins where the register begins, with zeroes
//! above (a byte stored to a UART's data register is what much early console code does); elsewhere
//! it is ignored, as the bus carries no strobes. An access that is wider than a register, or that
//! would leave its register, is read as zero and not written.

/// Bytes of a peripheral's register block.
const BLOCK: u64 = 0x1000;

/// The last four bits of the identification registers' offset (0xFE0 to 0xFFC), in words.
const ID_BASE: u32 = 0xFE0;

/// The register that a read meets, and where in it.
#[derive(Clone, Copy)]
pub struct Lanes {
    /// Offset of the register, a multiple of four below 0x1000.
    pub register: u32,
    shift: u32,
    mask: u32,
}

impl Lanes {
    /// The lanes that an access of `size` bytes at `offset` meets; `None` when it is none that the
    /// bus could make.
    #[inline]
    pub const fn new(offset: u64, size: u8) -> Option<Self> {
        if offset >= BLOCK {
            return None;
        }
        let offset = offset as u32;
        let lane = offset & 3;
        let mask = match (size, lane) {
            (4, 0) => u32::MAX,
            (2, 0 | 2) => 0xFFFF,
            (1, _) => 0xFF,
            _ => return None,
        };
        Some(Self {
            register: offset & !3,
            shift: lane.wrapping_mul(8),
            mask,
        })
    }

    /// These lanes of a register's value.
    #[inline]
    pub const fn read(self, value: u32) -> u64 {
        (value.wrapping_shr(self.shift) & self.mask) as u64
    }

    /// The value that a write puts on the bus; `None` when it does not begin at the register.
    #[inline]
    pub const fn write(self, value: u64) -> Option<u32> {
        if self.shift == 0 {
            Some(value as u32 & self.mask)
        } else {
            None
        }
    }
}

/// A PrimeCell identification register: PeriphID0 to 3 at 0xFE0, PCellID0 to 3 at 0xFF0. One byte
/// each of `id`, the lowest first; zero for any other offset.
#[inline]
pub const fn prime_cell_id(register: u32, id: u64) -> u32 {
    match register.checked_sub(ID_BASE) {
        Some(offset) => (id.wrapping_shr(offset.wrapping_mul(2)) & 0xFF) as u32,
        None => 0,
    }
}
