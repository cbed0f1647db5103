//! Device registers: one load or store each.

use crate::board::Address;
use core::arch::asm;

/// A block of device registers. Accesses are single loads and stores with a plain base
/// register, so that a hypervisor that emulates the device gets a valid syndrome.
#[derive(Clone, Copy)]
pub struct Registers(usize);

impl Registers {
    /// The registers at `address`.
    ///
    /// # Safety
    ///
    /// The pages at `address`, as far as offsets are used, are mapped as device memory and
    /// belong to the device that the caller drives; no access changes memory of Rust's.
    pub const unsafe fn new(address: Address) -> Self {
        Self(address.0 as usize)
    }

    /// The address of the register at `offset`.
    pub fn address(self, offset: usize) -> usize {
        self.0 + offset
    }

    /// Reads 32 bits.
    #[inline]
    pub fn read(self, offset: usize) -> u32 {
        let value: u32;
        // SAFETY: by the promise made to `new`.
        unsafe {
            asm!("ldr {0:w}, [{1}]", out(reg) value, in(reg) self.0 + offset, options(nostack));
        }
        value
    }

    /// Reads 64 bits.
    #[inline]
    pub fn read64(self, offset: usize) -> u64 {
        let value: u64;
        // SAFETY: by the promise made to `new`.
        unsafe {
            asm!("ldr {0}, [{1}]", out(reg) value, in(reg) self.0 + offset, options(nostack));
        }
        value
    }

    /// Writes 32 bits.
    #[inline]
    pub fn write(self, offset: usize, value: u32) {
        // SAFETY: by the promise made to `new`.
        unsafe {
            asm!("str {0:w}, [{1}]", in(reg) value, in(reg) self.0 + offset, options(nostack));
        }
    }

    /// Writes 8 bits.
    #[inline]
    pub fn write8(self, offset: usize, value: u8) {
        // SAFETY: by the promise made to `new`.
        unsafe {
            asm!("strb {0:w}, [{1}]", in(reg) u32::from(value), in(reg) self.0 + offset,
                options(nostack));
        }
    }
}
