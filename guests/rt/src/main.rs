//! The reference real-time guest.
//!
//! A small EL1 program that does what a real-time stack does: a task released by the virtual
//! timer every period, with a given amount of computation, that counts how late it is woken
//! and which deadlines it misses. It runs as a guest of Tessera, of any other hypervisor, or
//! on the bare machine, from the same image; see README.md for its arguments and output.
//!
//! What every bare-metal guest needs is in `guests/bare`. The logic is in modules that also build and are tested on the host; the modules that need
//! the machine are built for it alone.
#![cfg_attr(target_os = "none", no_std, no_main)]
// On the host nothing but the tests calls the logic.
#![cfg_attr(not(target_os = "none"), allow(dead_code))]

mod args;
mod report;
mod task;

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod run;
#[cfg(target_os = "none")]
mod work;

/// The task, shared by the timer's handler and the task level.
#[cfg(target_os = "none")]
static TASK: task::Task = task::Task::new();

#[cfg(not(target_os = "none"))]
fn main() {}
