//! The self-hosted debug of the loaded guest: software step works, breakpoints do not (CAVEATS.md).

use super::{mrs, msr};

/// Bits of MDSCR_EL1 that a guest has: software step, user access to the debug channel, kernel and monitor debug.
const GUESTS: u64 = 1 | 1 << 12 | 1 << 13 | 1 << 15;

/// MDSCR_EL1.
#[must_use]
pub fn monitor_control() -> u64 {
    mrs!("mdscr_el1") & GUESTS
}

/// Writes MDSCR_EL1.
pub fn set_monitor_control(value: u64) {
    // SAFETY: it governs debug exceptions at the guest's EL1 and EL0 only.
    unsafe { msr!("mdscr_el1", value & GUESTS) }
}
