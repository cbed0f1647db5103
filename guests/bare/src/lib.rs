//! What the bare-metal guests share.
//!
//! A guest of this project is an arm64 Linux `Image` that runs at EL1, at any 4 KiB-aligned
//! address, as a guest of a hypervisor or on the bare machine. This crate has its first
//! instructions and its vectors, learns the board from the device tree, and drives the
//! interrupt controller, the timer and the console. The linker script `bare.ld` and the build
//! script `link.rs` are each guest's own too.
//!
//! A guest defines two functions, with `#[unsafe(no_mangle)]` and the C ABI:
//!
//! - `bare_main(tree: u64) -> !`, called once, interrupts masked, MMU off, with the address of
//!   the device tree or 0;
//! - `bare_interrupt(now: u64)`, called for each interrupt, interrupts masked, with the virtual
//!   counter as the vector's third instruction read it.
//!
//! The logic is in modules that also build and are tested on the host; the modules that need
//! the machine are built for it alone.
#![cfg_attr(not(test), no_std)]

pub mod board;
pub mod histogram;
pub mod paging;
pub mod text;
pub mod time;
pub mod word;

#[cfg(target_os = "none")]
pub mod arch;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(target_os = "none")]
pub mod gic;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
pub mod registers;
#[cfg(target_os = "none")]
pub mod uart;
