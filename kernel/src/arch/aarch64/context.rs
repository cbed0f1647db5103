//! The registers of a context: what is stored when another one runs.

use core::arch::global_asm;

/// General-purpose registers, program counter and state: what every entry touches.
#[derive(Clone)]
#[repr(C)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Program counter (ELR_EL2). Stale while the context is the one interrupted last.
    pub elr: u64,
    /// Processor state (SPSR_EL2). Stale likewise.
    pub spsr: u64,
    /// Where an interrupt goes.
    pub on_interrupt: u64,
    /// Top of the core's stack, where the entry goes on.
    pub core_stack: u64,
    /// Where a synchronous exception goes.
    pub on_synchronous: u64,
}

impl Frame {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            x: [0; 31],
            elr: 0,
            spsr: 0,
            on_interrupt: 0,
            core_stack: 0,
            on_synchronous: 0,
        }
    }

    /// Register `n`, where 31 reads as zero.
    #[must_use]
    pub fn get(&self, n: u8) -> u64 {
        self.x.get(usize::from(n)).copied().unwrap_or(0)
    }

    /// Writes register `n`, where 31 is discarded.
    pub fn set(&mut self, n: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(n)) {
            *x = value;
        }
    }
}

/// The registers of EL1 and EL0 that belong to a guest and stay in the processor until another
/// guest's are needed. The order is that of the assembly below.
#[derive(Clone)]
#[repr(C)]
pub struct El1 {
    pub sctlr: u64,
    pub cpacr: u64,
    pub ttbr0: u64,
    pub ttbr1: u64,
    pub tcr: u64,
    pub mair: u64,
    pub amair: u64,
    pub esr: u64,
    pub far: u64,
    pub afsr0: u64,
    pub afsr1: u64,
    pub vbar: u64,
    pub contextidr: u64,
    pub par: u64,
    pub tpidr_el0: u64,
    pub tpidrro_el0: u64,
    pub tpidr_el1: u64,
    pub sp_el0: u64,
    pub sp_el1: u64,
    pub elr: u64,
    pub spsr: u64,
    pub cntkctl: u64,
    pub csselr: u64,
    pub mdscr: u64,
}

impl El1 {
    /// The values out of reset: MMU and caches off, little-endian (Arm ARM, the registers' reset values).
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sctlr: 0x30d0_0800,
            cpacr: 0,
            ttbr0: 0,
            ttbr1: 0,
            tcr: 0,
            mair: 0,
            amair: 0,
            esr: 0,
            far: 0,
            afsr0: 0,
            afsr1: 0,
            vbar: 0,
            contextidr: 0,
            par: 0,
            tpidr_el0: 0,
            tpidrro_el0: 0,
            tpidr_el1: 0,
            sp_el0: 0,
            sp_el1: 0,
            elr: 0,
            spsr: 0,
            cntkctl: 0,
            csselr: 0,
            mdscr: 0,
        }
    }

    /// Stores the processor's values here.
    #[inline(always)]
    pub fn save(&mut self) {
        // SAFETY: the routine only reads registers and writes the 192 bytes of `self`; it changes the registers that are named.
        unsafe {
            core::arch::asm!(
                "bl {save}", save = sym el1_save, in("x15") self, out("x16") _, out("x17") _, out("x30") _,
                options(nostack, preserves_flags)
            );
        }
    }

    /// Loads these values into the processor; they take effect at the exception return.
    ///
    /// # Safety
    ///
    /// The context whose registers are overwritten must have been saved, or never run again.
    #[inline(always)]
    pub unsafe fn load(&self) {
        // SAFETY: EL1 and EL0 registers do not affect execution at EL2 (E2H = 0). The routine changes the registers that are named.
        unsafe {
            core::arch::asm!(
                "bl {load}", load = sym el1_load, in("x15") self, out("x16") _, out("x17") _, out("x30") _,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// The FP and SIMD registers, which follow their user lazily.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Fp {
    /// q0 to q31.
    pub q: [u128; 32],
    /// FPCR.
    pub fpcr: u64,
    /// FPSR.
    pub fpsr: u64,
}

impl Fp {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            q: [0; 32],
            fpcr: 0,
            fpsr: 0,
        }
    }

    /// Stores the processor's FP state. CPTR_EL2.TFP must be clear.
    pub fn save(&mut self) {
        // SAFETY: reads FP registers and writes the 528 bytes of `self`.
        unsafe { fp_save(self) }
    }

    /// Loads this FP state. CPTR_EL2.TFP must be clear.
    ///
    /// # Safety
    ///
    /// The state that is overwritten must have been saved or be void.
    pub unsafe fn load(&self) {
        // SAFETY: the kernel itself is built without FP, so only guests see these registers.
        unsafe { fp_load(self) }
    }
}

unsafe extern "C" {
    fn el1_save();
    fn el1_load();
    fn fp_save(to: *mut Fp);
    fn fp_load(from: *const Fp);
}

global_asm!(
    r#"
    .macro save_pair first, second, at
    mrs     x16, \first
    mrs     x17, \second
    stp     x16, x17, [x15, #\at]
    .endm
    .macro load_pair first, second, at
    ldp     x16, x17, [x15, #\at]
    msr     \first, x16
    msr     \second, x17
    .endm
    .macro each_pair what
    \what   sctlr_el1, cpacr_el1, 0
    \what   ttbr0_el1, ttbr1_el1, 16
    \what   tcr_el1, mair_el1, 32
    \what   amair_el1, esr_el1, 48
    \what   far_el1, afsr0_el1, 64
    \what   afsr1_el1, vbar_el1, 80
    \what   contextidr_el1, par_el1, 96
    \what   tpidr_el0, tpidrro_el0, 112
    \what   tpidr_el1, sp_el0, 128
    \what   sp_el1, elr_el1, 144
    \what   spsr_el1, cntkctl_el1, 160
    \what   csselr_el1, mdscr_el1, 176
    .endm

    .section .text.low, "ax"
    .global el1_save
el1_save:
    each_pair save_pair
    ret
    .global el1_load
el1_load:
    each_pair load_pair
    ret

    .section .text.low, "ax"
    .arch_extension fp
    .macro each_q what
    \what   q0, q1, [x0, #0]
    \what   q2, q3, [x0, #32]
    \what   q4, q5, [x0, #64]
    \what   q6, q7, [x0, #96]
    \what   q8, q9, [x0, #128]
    \what   q10, q11, [x0, #160]
    \what   q12, q13, [x0, #192]
    \what   q14, q15, [x0, #224]
    \what   q16, q17, [x0, #256]
    \what   q18, q19, [x0, #288]
    \what   q20, q21, [x0, #320]
    \what   q22, q23, [x0, #352]
    \what   q24, q25, [x0, #384]
    \what   q26, q27, [x0, #416]
    \what   q28, q29, [x0, #448]
    \what   q30, q31, [x0, #480]
    .endm
    .global fp_save
fp_save:
    each_q stp
    mrs     x1, fpcr
    mrs     x2, fpsr
    str     x1, [x0, #512]
    str     x2, [x0, #520]
    ret
    .global fp_load
fp_load:
    each_q ldp
    ldr     x1, [x0, #512]
    ldr     x2, [x0, #520]
    msr     fpcr, x1
    msr     fpsr, x2
    ret
    .arch_extension nofp
    .text
    "#
);

const _: () = assert!(size_of::<El1>() == 192);
