//! Loads from emulated devices into every register, each checked.
//!
//! A hypervisor keeps some of a guest's registers in memory and some in the processor, depending
//! on why the guest was left and on who runs next. A load from a device must come out right
//! whichever it was. So this guest fills all registers, does one load, looks at all registers, and
//! that again and again, while a more urgent guest comes in between; see README.md.
//!
//! What every bare-metal guest needs is in `guests/bare`. The logic is in modules that also
//! build and are tested on the host; the modules that need the machine are built for it alone.
#![cfg_attr(target_os = "none", no_std, no_main)]
// On the host nothing but the tests calls the logic.
#![cfg_attr(not(target_os = "none"), allow(dead_code))]

mod args;
mod form;
mod report;

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod devices;
#[cfg(target_os = "none")]
mod probe;
#[cfg(target_os = "none")]
mod run;

#[cfg(not(target_os = "none"))]
fn main() {}
