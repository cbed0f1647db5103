//! The stack pointer that the interrupted guest was using.

use super::{cpu, mrs, msr};

/// Adds to it.
pub fn add(by: i64) {
    if cpu::guest_state() & 1 == 0 {
        let value = mrs!("sp_el0").wrapping_add_signed(by);
        // SAFETY: a stack pointer of the guest, which only it uses.
        unsafe { msr!("sp_el0", value) }
    } else {
        let value = mrs!("sp_el1").wrapping_add_signed(by);
        // SAFETY: as above.
        unsafe { msr!("sp_el1", value) }
    }
}
