//! PSCI and SMCCC as a guest sees them, by HVC and by SMC alike.
//!
//! PSCI 1.1 (DEN0022; sections are those of issue F) and SMCCC 1.1 (DEN0028) for one virtual
//! machine of up to 16 vCPUs. The crate decides what a call does; the caller, which owns the vCPUs,
//! carries the [`Action`] out. Every check is made before anything changes, and no call can fail
//! after.
//!
//! The guest's topology is flat: vCPU `n` has `MPIDR_EL1.Aff0 = n`, and Aff1 to Aff3 are zero.
//!
//! # What `x0` holds afterwards
//!
//! The answer of an SMC32 function is a signed 32-bit number. It is written to `x0` sign-extended
//! to 64 bits, so that a caller that looks at `w0` and one that looks at `x0` read the same number.
//! That is also how an unknown function identifier must be answered (DEN0028, "Unknown Function
//! Identifier"): -1 in either width. No other register changes.
//!
//! # Why the decoder is our own
//!
//! The `arm-psci` crate decodes arguments before it is known whether the function is implemented,
//! so that an optional function with odd arguments would be answered INVALID_PARAMETERS in place of
//! NOT_SUPPORTED. It also knows only the extended form of CPU_SUSPEND's `power_state`, and the
//! machine that guests see has the original one. It serves the tests as an independent source of
//! numbers.
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

mod function;
mod power_state;
mod query;
mod vm;

pub use function::{Error, Function};
pub use power_state::PowerState;
pub use query::{Firmware, Workaround, Workarounds, quick};
pub use vm::{Action, Affinity, EntryAddress, EntryPoint, Resume, Vm, VmError};
