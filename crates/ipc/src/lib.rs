//! Calls between the contexts of one core: who waits for whom, on whose time, and until when.
//!
//! A *context* is a vCPU or a thread of a component. A *call* is synchronous and stays on its core: the caller waits, the
//! server runs in its place - on the caller's budget, at the server's ceiling - and replies. A server may call
//! another one meanwhile, so calls make *chains*: the context at the root lends its time, the one at the end runs.
//!
//! The crate is the bookkeeping and knows no registers. The kernel moves the words, asks [`Calls::end`] whom to
//! run when the scheduler has chosen a root, and gives a context what [`Calls::take_fate`] says when it next runs.
//!
//! # What is guaranteed
//!
//! - Every call that is accepted ends exactly once for its caller: by the reply, by one [`CallError`], or because the caller itself
//!   ends or begins anew.
//! - A server has one caller at a time, and replies to that one or to nobody.
//! - A server that loses its caller, overruns its time or ends is never left in the middle of a call: it begins its loop anew
//!   ([`Fate::Unwound`]), and so does everything that it was waiting for.
//! - A chain has no cycle and at most [`DEPTH`] calls; every operation looks at no more than that many contexts, and
//!   [`Calls::next_deadline`] at all of the core.
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

mod calls;
mod context;

pub use calls::Calls;
pub use context::{CallError, Context, DEPTH, Fate, Refusal};
