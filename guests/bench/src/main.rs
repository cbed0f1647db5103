//! Micro-benchmarks of the machine that a guest sees.
//!
//! A small EL1 program that times what a guest pays for: calls, device registers, interrupts
//! and timers. It runs as a guest of Tessera, of any other hypervisor, or on the bare machine,
//! from the same image; see README.md for its arguments, its rows and its output.
//!
//! What every bare-metal guest needs is in `guests/bare`. The logic is in modules that also
//! build and are tested on the host; the modules that need the machine are built for it alone.
#![cfg_attr(target_os = "none", no_std, no_main)]
// On the host nothing but the tests calls the logic.
#![cfg_attr(not(target_os = "none"), allow(dead_code))]

mod args;
mod report;
mod shuffle;
mod spare;
mod table;

#[cfg(target_os = "none")]
mod arch;
#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod loops;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
mod samples;
#[cfg(target_os = "none")]
mod second;
#[cfg(target_os = "none")]
mod storm;

#[cfg(not(target_os = "none"))]
fn main() {}
