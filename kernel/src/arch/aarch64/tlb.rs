//! Barriers and invalidations for stage-2 tables, one instruction each; `crates/stage2` knows the sequences.

use core::arch::asm;
use stage2::{Ipa, Maintenance};

/// The processor's maintenance instructions. They reach the VMID in VTTBR_EL2.
pub struct Tlb;

macro_rules! instruction {
    ($($text:literal),+) => {
        // SAFETY: barriers, and invalidations of what can be read again from the tables.
        unsafe { asm!($($text),+, options(nostack, preserves_flags)) }
    };
}

impl Maintenance for Tlb {
    fn dsb_ishst(&mut self) {
        instruction!("dsb ishst");
    }
    fn dsb_ish(&mut self) {
        instruction!("dsb ish");
    }
    fn isb(&mut self) {
        instruction!("isb");
    }
    fn tlbi_ipa(&mut self, ipa: Ipa) {
        let page = ipa.get() >> 12;
        // SAFETY: as above.
        unsafe { asm!("tlbi ipas2e1is, {}", in(reg) page, options(nostack, preserves_flags)) }
    }
    fn tlbi_vmalle1is(&mut self) {
        instruction!("tlbi vmalle1is");
    }
    fn tlbi_vmalls12e1is(&mut self) {
        instruction!("tlbi vmalls12e1is");
    }
}
