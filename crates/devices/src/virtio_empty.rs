//! A virtio-mmio transport with no device behind it.
//!
//! Virtio 1.2, section 4.2.2: a driver reads MagicValue and Version, then DeviceID; zero there
//! means that the slot is empty, and the driver must leave it silently. QEMU's `virt` machine has
//! 32 such slots, and software probes all of them. Like that machine the slot says Version 1 (its
//! transports are legacy ones unless asked otherwise) and answers VendorID; every other register
//! reads as zero, and writes are ignored. The registers take 32-bit accesses only (section
//! 4.2.2.2).

/// A bank of empty slots, any number of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioEmpty;

impl VirtioEmpty {
    /// Bytes from one slot to the next on QEMU's `virt` machine.
    pub const STRIDE: u64 = 0x200;

    const MAGIC_VALUE: u64 = 0x000;
    const VERSION: u64 = 0x004;
    const VENDOR_ID: u64 = 0x00C;

    /// Reads a register; `offset` counts from the start of the bank.
    #[inline]
    pub const fn read(&self, offset: u64, size: u8) -> u64 {
        if size != 4 {
            return 0;
        }
        match offset & (Self::STRIDE - 1) {
            Self::MAGIC_VALUE => 0x7472_6976, // "virt"
            Self::VERSION => 1,
            Self::VENDOR_ID => 0x554D_4551, // "QEMU"
            _ => 0,
        }
    }

    /// Writes a register: without effect.
    #[inline]
    pub const fn write(&mut self, _offset: u64, _size: u8, _value: u64) {}

    /// The interrupt line: never raised.
    #[inline]
    pub const fn irq(&self) -> bool {
        false
    }

    /// Back to power-on: there is nothing to restore.
    #[inline]
    pub const fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_probe_finds_the_transport_and_no_device() {
        let bank = VirtioEmpty;
        for slot in 0..32 {
            let base = slot * VirtioEmpty::STRIDE;
            assert_eq!(bank.read(base, 4), u64::from(u32::from_le_bytes(*b"virt")));
            assert_eq!(bank.read(base + 4, 4), 1);
            assert_eq!(bank.read(base + 8, 4), 0);
            assert_eq!(
                bank.read(base + 12, 4),
                u64::from(u32::from_le_bytes(*b"QEMU"))
            );
        }
    }

    proptest! {
        #[test]
        fn everything_else_reads_as_zero(offset in 0_u64..0x4000, size: u8, value: u64) {
            let mut bank = VirtioEmpty;
            bank.write(offset, size, value);
            bank.reset();
            let known = size == 4 && [0, 4, 12].contains(&(offset % 0x200));
            prop_assert_eq!(bank.read(offset, size) == 0, !known);
            prop_assert!(!bank.irq());
        }
    }
}
