//! EL2's own controls: what a guest traps on, and where its memory is.
//!
//! Most are written when a core starts; those that belong to a vCPU, when it is loaded.

use super::{cpu, debug, mrs, msr};
use arm_sysregs::el2::registers::{CnthctlEl2, CptrEl2, HcrEl2, MdcrEl2};

/// HCR_EL2 of every guest: stage 2 on; interrupts and SErrors to EL2; EL1 is AArch64; SMC, identification
/// registers, auxiliary control and implementation-defined registers trap, and where they exist the registers of limited ordering and of error records; invalidation by set
/// and way also cleans; a walk of the guest's tables must not touch a device.
const GUEST: HcrEl2 = HcrEl2::VM
    .union(HcrEl2::SWIO)
    .union(HcrEl2::FMO)
    .union(HcrEl2::IMO)
    .union(HcrEl2::AMO)
    .union(HcrEl2::RW)
    .union(HcrEl2::TSC)
    .union(HcrEl2::TID3)
    .union(HcrEl2::TACR)
    .union(HcrEl2::TIDCP)
    .union(HcrEl2::PTW)
    .union(HcrEl2::TLOR)
    .union(HcrEl2::TERR);

/// HCR_EL2 of a guest, whose WFI traps where another could run.
#[must_use]
pub fn guest_traps(trap_wait: bool) -> u64 {
    if trap_wait { GUEST | HcrEl2::TWI } else { GUEST }.bits()
}

/// CPTR_EL2 of a context whose FP registers are in the processor: SVE, SME, trace and activity monitors trap. The bits above
/// FP are RES1 or RES0 where absent.
pub const FP_ALLOWED: u64 = CptrEl2::RES1.union(CptrEl2::TZ).union(CptrEl2::TSM).union(CptrEl2::TAM).bits() | 1 << 20;
/// CPTR_EL2 of any other: the first use of FP traps.
pub const FP_TRAPS: u64 = FP_ALLOWED | CptrEl2::TFP.bits();

/// Sets the controls that are the same for every context, once on each core.
///
/// # Safety
///
/// The vectors and a stack for them must be in place; no guest may have run yet.
pub unsafe fn start(vtcr: u64) {
    let counters = (mrs!("id_aa64dfr0_el1") >> 8) & 15;
    let counters = if counters == 0 || counters == 15 {
        0
    } else {
        // SAFETY: the PMU exists, so PMCR_EL0 does; reading it has no effect.
        mrs!("pmcr_el0") >> 11 & 31
    };
    let debug = MdcrEl2::TDA | MdcrEl2::TDOSA | MdcrEl2::TDRA | MdcrEl2::TPM | MdcrEl2::TPMCR | MdcrEl2::TPMS | MdcrEl2::TTRF;
    // EL1 may read the physical counter; its physical timer traps (E2H = 0: EL1PCTEN is bit 0, EL1PCEN bit 1).
    let timers = CnthctlEl2::EL0PCTEN;
    // SAFETY: as the caller vouches; every value keeps guests at EL1 and EL0 behind stage 2.
    unsafe {
        msr!("vtcr_el2", vtcr);
        msr!("mdcr_el2", debug.bits() | counters);
        msr!("cnthctl_el2", timers.bits());
        msr!("cntvoff_el2", 0u64);
        msr!("hstr_el2", 0u64);
        msr!("cptr_el2", FP_TRAPS);
        msr!("vpidr_el2", cpu::midr());
        msr!("cntv_ctl_el0", 0u64);
        msr!("cntp_ctl_el0", 0u64);
        msr!("cnthp_ctl_el2", 0u64);
    }
    debug::start();
    cpu::isb();
}

/// A context's own controls.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Controls {
    /// Those that seldom differ.
    pub rare: Rare,
    /// CPTR_EL2: [`FP_ALLOWED`] or [`FP_TRAPS`].
    pub cptr: u64,
}

/// Controls in which most contexts of a core are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Rare {
    /// HCR_EL2: a value of [`guest_traps`].
    pub hcr: u64,
    /// VMPIDR_EL2.
    pub vmpidr: u64,
}

impl Rare {
    /// What the processor has.
    #[must_use]
    pub fn now() -> Self {
        Self { hcr: mrs!("hcr_el2"), vmpidr: mrs!("vmpidr_el2") }
    }
}

impl Controls {
    /// Makes them, and the address space of `vttbr`, the processor's, which has `before`. Takes effect at the exception return.
    ///
    /// # Safety
    ///
    /// They must be those of the context whose registers are being loaded.
    #[inline(always)]
    pub unsafe fn load(&self, vttbr: u64, before: Rare) {
        // SAFETY: as the caller vouches.
        unsafe {
            if self.rare != before {
                msr!("hcr_el2", self.rare.hcr);
                msr!("vmpidr_el2", self.rare.vmpidr);
            }
            msr!("vttbr_el2", vttbr);
            msr!("cptr_el2", self.cptr);
        }
    }
}

/// Lets the kernel itself, and the loaded context, use the FP registers from now on.
pub fn allow_fp() {
    // SAFETY: only decides whether FP traps; the kernel uses it to save and load the registers.
    unsafe { msr!("cptr_el2", FP_ALLOWED) }
    cpu::isb();
}

/// Width of physical addresses in bits, at most 48.
#[must_use]
pub fn physical_bits() -> u8 {
    match mrs!("id_aa64mmfr0_el1") & 15 {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

/// ID_AA64MMFR0_EL1.PARange, at most 5 (48 bits).
#[must_use]
pub fn physical_range() -> u8 {
    (mrs!("id_aa64mmfr0_el1") & 15).min(5) as u8
}

/// Forgets every translation of every guest on this core, once when it starts: what a TLB holds out of reset is unknown.
pub fn forget_all_guest_translations() {
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            "dsb nshst", "tlbi alle1", "dsb nsh", "isb",
            options(nostack, preserves_flags)
        );
    }
}

/// Runs `f` while another guest's address space is the one that TLB maintenance applies to.
///
/// # Safety
///
/// No guest runs on this core meanwhile, and `vttbr` is a valid VTTBR_EL2.
pub unsafe fn with_space(vttbr: u64, f: impl FnOnce()) {
    let before = mrs!("vttbr_el2");
    // SAFETY: EL2 does not translate by VTTBR_EL2; it is put back before any guest runs.
    unsafe {
        msr!("vttbr_el2", vttbr);
        cpu::isb();
        f();
        msr!("vttbr_el2", before);
        cpu::isb();
    }
}

/// ID_AA64*_EL1 values of this core, by CRm and op2 of S3_0_C0_Cx_y; zero for those not listed.
#[must_use]
pub fn identification(crm: u8, op2: u8) -> u64 {
    // Read as octal: CRm, then op2.
    match crm << 3 | op2 {
        0o40 => mrs!("id_aa64pfr0_el1"),
        0o41 => mrs!("id_aa64pfr1_el1"),
        0o50 => mrs!("id_aa64dfr0_el1"),
        0o60 => mrs!("id_aa64isar0_el1"),
        0o61 => mrs!("id_aa64isar1_el1"),
        0o70 => mrs!("id_aa64mmfr0_el1"),
        0o71 => mrs!("id_aa64mmfr1_el1"),
        0o72 => mrs!("s3_0_c0_c7_2"),
        0o10 => mrs!("id_pfr0_el1"),
        0o11 => mrs!("id_pfr1_el1"),
        0o12 => mrs!("id_dfr0_el1"),
        0o14 => mrs!("id_mmfr0_el1"),
        0o15 => mrs!("id_mmfr1_el1"),
        0o16 => mrs!("id_mmfr2_el1"),
        0o17 => mrs!("id_mmfr3_el1"),
        0o20 => mrs!("id_isar0_el1"),
        0o21 => mrs!("id_isar1_el1"),
        0o22 => mrs!("id_isar2_el1"),
        0o23 => mrs!("id_isar3_el1"),
        0o24 => mrs!("id_isar4_el1"),
        0o25 => mrs!("id_isar5_el1"),
        0o26 => mrs!("id_mmfr4_el1"),
        0o30 => mrs!("mvfr0_el1"),
        0o31 => mrs!("mvfr1_el1"),
        0o32 => mrs!("mvfr2_el1"),
        _ => 0,
    }
}
