//! Device registers: exactly one load or store of the stated width each. They are volatile accesses, so that a constant
//! offset becomes part of the instruction.

use crate::fault::defect;

/// A block of device registers that the kernel has mapped as device memory.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: usize,
    size: usize,
}

impl Mmio {
    /// Registers at a virtual address.
    ///
    /// # Safety
    ///
    /// `size` bytes from `base` must be mapped as device memory for as long as this or a copy of it
    /// lives, and be registers whose access cannot break memory safety by itself.
    #[must_use]
    pub const unsafe fn new(base: usize, size: usize) -> Self {
        Self { base, size }
    }

    /// The same registers from `offset` on.
    #[must_use]
    pub fn part(self, offset: usize, size: usize) -> Self {
        if offset > self.size || size > self.size - offset {
            defect("registers beyond their block");
        }
        Self {
            base: self.base + offset,
            size,
        }
    }

    /// Size of the block in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        self.size
    }

    #[inline(always)]
    fn at(self, offset: usize, width: usize) -> usize {
        debug_assert!(offset + width <= self.size);
        self.base + offset
    }

    /// Reads a 32-bit register.
    #[inline(always)]
    #[must_use]
    pub fn read32(self, offset: usize) -> u32 {
        // SAFETY: `new` vouched for the block. Offsets are constants of the device's register map.
        unsafe { (self.at(offset, 4) as *const u32).read_volatile() }
    }

    /// Writes a 32-bit register.
    #[inline(always)]
    pub fn write32(self, offset: usize, value: u32) {
        // SAFETY: as for `read32`.
        unsafe { (self.at(offset, 4) as *mut u32).write_volatile(value) }
    }

    /// Reads a 64-bit register.
    #[inline(always)]
    #[must_use]
    pub fn read64(self, offset: usize) -> u64 {
        // SAFETY: as for `read32`.
        unsafe { (self.at(offset, 8) as *const u64).read_volatile() }
    }

    /// Writes a 64-bit register.
    #[inline(always)]
    pub fn write64(self, offset: usize, value: u64) {
        // SAFETY: as for `read32`.
        unsafe { (self.at(offset, 8) as *mut u64).write_volatile(value) }
    }

    /// Writes an 8-bit register.
    #[inline(always)]
    pub fn write8(self, offset: usize, value: u8) {
        // SAFETY: as for `read32`.
        unsafe { (self.at(offset, 1) as *mut u8).write_volatile(value) }
    }
}
