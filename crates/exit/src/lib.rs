//! Decodes why a guest stopped running.
//!
//! The syndrome of an exception taken to EL2 becomes a typed [`Exit`]; a load or store whose
//! syndrome says nothing is decoded from its instruction ([`instruction::decode`]). Everything here is a pure
//! function of numbers that a guest can choose, and none of them can make it fail in another way
//! than by `None` or [`Exit::Other`].
//!
//! Source: Arm ARM (DDI 0487), D24.2.40 "ESR_EL2", and C4 for instruction encodings.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod instruction;
mod syndrome;
mod sysreg;

pub use syndrome::{Abort, Access, Exit, FaultKind, decode};
pub use sysreg::{Sysreg, SysregAccess};
