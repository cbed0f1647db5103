//! Who runs next on a core, until when, and whether that is enough.
//!
//! The crate is policy for *one* core and knows no hardware. The kernel owns the
//! counter, the timer and the context switch; it says what happened and when, and is
//! told whom to run and when to ask again.
//!
//! - [`Core`] chooses: fixed priority, preemptive, first come first served among
//!   equals, with an optional [`Budget`] per entity (a sporadic server).
//! - [`Deadlines`] is a small set of timers with a cached earliest one.
//! - [`rta`] computes worst-case response times on the host, before anything runs.
//!
//! Times are ticks of one monotonic 64-bit counter. Its wrap is ignored: at 1 GHz it
//! is 584 years away. There is no allocation, no floating point, and no division on a
//! path that runs in normal operation.
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

mod deadlines;
mod per_core;
pub mod rta;
mod sporadic;
mod time;

pub use deadlines::{Deadlines, Slot};
pub use per_core::{Core, Index, Params};
pub use sporadic::{Budget, REFILLS};
pub use time::{Ticks, Time};
