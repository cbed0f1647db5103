//! The processor architecture: the only code with `asm!` and system registers.

pub mod aarch64;
pub use aarch64::*;
