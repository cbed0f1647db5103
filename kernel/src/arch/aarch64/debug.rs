//! The self-hosted debug of the loaded guest: software step works, breakpoints do not (CAVEATS.md).

use super::{mrs, msr};

/// Bits of MDSCR_EL1 that a guest has: software step, user access to the debug channel, kernel and monitor debug.
const GUESTS: u64 = 1 | 1 << 12 | 1 << 13 | 1 << 15;

/// Opens the OS lock, which would keep software step from working, and disables every breakpoint and watchpoint, whose state
/// out of reset is unknown: no guest can reach them.
pub fn start() {
    macro_rules! disable {
        ($count:expr; $($n:literal $register:literal)*) => {
            $(if $n <= $count {
                // SAFETY: the register exists; zero disables it.
                unsafe { core::arch::asm!(concat!("msr ", $register, ", xzr"), options(nostack, preserves_flags)) }
            })*
        };
    }
    let features = mrs!("id_aa64dfr0_el1");
    let (breakpoints, watchpoints) = (features >> 12 & 15, features >> 20 & 15);
    disable!(breakpoints; 0 "dbgbcr0_el1" 1 "dbgbcr1_el1" 2 "dbgbcr2_el1" 3 "dbgbcr3_el1" 4 "dbgbcr4_el1" 5 "dbgbcr5_el1"
        6 "dbgbcr6_el1" 7 "dbgbcr7_el1" 8 "dbgbcr8_el1" 9 "dbgbcr9_el1" 10 "dbgbcr10_el1" 11 "dbgbcr11_el1"
        12 "dbgbcr12_el1" 13 "dbgbcr13_el1" 14 "dbgbcr14_el1" 15 "dbgbcr15_el1");
    disable!(watchpoints; 0 "dbgwcr0_el1" 1 "dbgwcr1_el1" 2 "dbgwcr2_el1" 3 "dbgwcr3_el1" 4 "dbgwcr4_el1" 5 "dbgwcr5_el1"
        6 "dbgwcr6_el1" 7 "dbgwcr7_el1" 8 "dbgwcr8_el1" 9 "dbgwcr9_el1" 10 "dbgwcr10_el1" 11 "dbgwcr11_el1"
        12 "dbgwcr12_el1" 13 "dbgwcr13_el1" 14 "dbgwcr14_el1" 15 "dbgwcr15_el1");
    // SAFETY: opens the locks; with no breakpoint enabled only software step follows from it.
    unsafe {
        msr!("oslar_el1", 0u64);
        msr!("osdlr_el1", 0u64);
    }
}

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
