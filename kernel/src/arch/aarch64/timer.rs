//! The generic timers: the counter, EL2's own physical timer, and the guest's virtual timer.

use super::{mrs, msr};

/// The EL1 virtual timer's interrupt.
pub const EL1_VIRTUAL: u32 = 27;
/// The EL1 physical timer's interrupt, which guests see emulated.
pub const EL1_PHYSICAL: u32 = 30;

/// Timer control: enabled.
pub const ENABLE: u64 = 1;
/// Timer control: interrupt masked.
pub const MASK: u64 = 2;

/// Frequency of the counter in hertz.
#[must_use]
pub fn frequency() -> u64 {
    mrs!("cntfrq_el0") & 0xffff_ffff
}

/// The counter now. Guests see the same value (CNTVOFF_EL2 = 0).
#[inline(always)]
#[must_use]
pub fn now() -> u64 {
    super::cpu::isb();
    mrs!("cntpct_el0")
}

/// Arms EL2's own timer.
#[inline(always)]
pub fn set_alarm(at: u64) {
    // SAFETY: the timer only raises an interrupt, which the kernel handles.
    unsafe {
        // Enabled only with the new value.
        msr!("cnthp_cval_el2", at);
        super::cpu::isb();
        msr!("cnthp_ctl_el2", ENABLE);
    }
}

/// Disarms EL2's own timer.
#[inline(always)]
pub fn clear_alarm() {
    // SAFETY: as for `set_alarm`.
    unsafe { core::arch::asm!("msr cnthp_ctl_el2, xzr", options(nostack, preserves_flags)) }
}

/// Whether the loaded guest's virtual timer has run out (CNTV_CTL_EL0.ISTATUS).
#[inline(always)]
#[must_use]
pub fn virtual_is_due() -> bool {
    mrs!("cntv_ctl_el0") & 1 << 2 != 0
}

/// The guest's virtual timer: control and compare value.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Virtual {
    /// CNTV_CTL_EL0.
    pub control: u64,
    /// CNTV_CVAL_EL0.
    pub compare: u64,
}

impl Virtual {
    /// Takes the timer out of the processor and stops it there.
    #[inline(always)]
    #[must_use]
    pub fn save() -> Self {
        let saved = Self {
            control: mrs!("cntv_ctl_el0"),
            compare: mrs!("cntv_cval_el0"),
        };
        // SAFETY: stopping a timer.
        unsafe { core::arch::asm!("msr cntv_ctl_el0, xzr", options(nostack, preserves_flags)) }
        saved
    }

    /// Puts it back.
    #[inline(always)]
    pub fn load(self) {
        // SAFETY: the timer only raises an interrupt, which the kernel handles for the guest that is loaded.
        unsafe {
            // Enabled only with the new value.
            msr!("cntv_cval_el0", self.compare);
            super::cpu::isb();
            msr!("cntv_ctl_el0", self.control);
        }
    }

    /// When it will raise its interrupt, if it is enabled and not masked.
    #[inline(always)]
    #[must_use]
    pub fn deadline(self) -> Option<u64> {
        (self.control & (ENABLE | MASK) == ENABLE).then_some(self.compare)
    }
}
