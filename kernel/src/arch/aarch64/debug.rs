//! The self-hosted debug of the loaded guest: software step works, breakpoints do not (CAVEATS.md).

use super::{mrs, msr};

/// Bits of MDSCR_EL1 that a guest has: software step, user access to the debug channel, kernel and monitor debug.
const GUESTS: u64 = 1 | 1 << 12 | 1 << 13 | 1 << 15;

/// Opens the OS lock, which would keep software step from working, and disables every breakpoint and watchpoint, whose state
/// out of reset is unknown: no guest can reach them.
pub fn start() {
    // Jumps into a list of sixteen, to the last that exists: N of them are there if the field says N - 1.
    macro_rules! disable {
        ($last:expr, $($register:literal)*) => {
            // SAFETY: the registers exist; zero disables each.
            unsafe {
                core::arch::asm!(
                    "adr {at}, 2f - 4", "sub {at}, {at}, {last}, lsl #2", "br {at}",
                    $(concat!("msr ", $register, "_el1, xzr"),)*
                    "2:",
                    at = out(reg) _, last = in(reg) $last, options(nostack, preserves_flags)
                )
            }
        };
    }
    let features = mrs!("id_aa64dfr0_el1");
    disable!(features >> 12 & 15, "dbgbcr15" "dbgbcr14" "dbgbcr13" "dbgbcr12" "dbgbcr11" "dbgbcr10" "dbgbcr9" "dbgbcr8"
        "dbgbcr7" "dbgbcr6" "dbgbcr5" "dbgbcr4" "dbgbcr3" "dbgbcr2" "dbgbcr1" "dbgbcr0");
    disable!(features >> 20 & 15, "dbgwcr15" "dbgwcr14" "dbgwcr13" "dbgwcr12" "dbgwcr11" "dbgwcr10" "dbgwcr9" "dbgwcr8"
        "dbgwcr7" "dbgwcr6" "dbgwcr5" "dbgwcr4" "dbgwcr3" "dbgwcr2" "dbgwcr1" "dbgwcr0");
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
