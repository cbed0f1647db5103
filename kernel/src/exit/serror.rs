//! An SError while a guest ran: an asynchronous external abort. It is the guest's, whose accesses these are.

use crate::arch::context::Frame;
use crate::arch::vectors::Resume;
use crate::sched::Core;

/// An SError while a guest ran.
pub extern "C" fn entry(frame: *mut Frame, esr: u64) -> Resume {
    // SAFETY: once per entry.
    let core = unsafe { Core::current() };
    core.begin(frame);
    core.fault("an asynchronous external abort (SError)", esr, 0);
    core.leave()
}
