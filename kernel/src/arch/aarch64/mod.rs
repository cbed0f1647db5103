//! AArch64 at EL2, Armv8.0 baseline, no VHE.

pub mod cache;
pub mod context;
pub mod control;
pub mod copy;
pub mod cpu;
pub mod crc;
pub mod debug;
pub mod gic;
pub mod gicv2;
pub mod gicv3;
pub mod inject;
pub mod mmio;
pub mod mmu;
pub mod smc;
pub mod stack;
pub mod start;
pub mod sync;
pub mod timer;
pub mod tlb;
pub mod translate;
pub mod vectors;

/// Reads a system register by its assembler name. Only for registers whose reading has no effect.
macro_rules! mrs {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading this register has no side effect and touches no memory.
        unsafe {
            core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags));
        }
        value
    }};
}

/// Writes a system register by its assembler name.
///
/// The caller vouches for the value, so this expands to a call that must stand in `unsafe`.
macro_rules! msr {
    ($name:literal, $value:expr) => {
        core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) $value, options(nostack, preserves_flags))
    };
}

pub(crate) use {mrs, msr};
