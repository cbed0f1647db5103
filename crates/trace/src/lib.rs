//! The kernel's trace ring: what is written into it, and how it is read.
//!
//! Each core has a ring of its own, so nobody waits for anybody. The kernel puts a [`Record`] of two
//! words into it whenever something happens that a picture of the system needs; when the ring is
//! full the oldest is overwritten. A debugger, or QEMU, takes the ring out of the machine's memory, and
//! [`Trace`] reads it there.
//!
//! # Format, version 1
//!
//! All numbers are little-endian. A [`Header`] of 64 bytes, then `capacity` records of 16:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 2 | [`VERSION`] |
//! | 10 | 2 | the core |
//! | 12 | 4 | capacity in records, a power of two |
//! | 16 | 8 | frequency of the counter in Hz |
//! | 24 | 8 | how many records have ever been written; the next goes to slot `written % capacity` |
//! | 32 | 32 | zero |
//!
//! The first word of a record has the time in its low 56 bits, in ticks of the counter, and the
//! [`Kind`] above them. The second is its [`Argument`].
//!
//! A record is written first and counted afterwards, without a barrier: the core that writes it is the
//! only one that ever looks while it runs. Whoever reads the ring of a machine that was stopped
//! anywhere finds at most one slot half written, and that is the one that comes next.
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

mod argument;
mod header;
mod kind;
mod read;
mod record;
mod ring;

pub use argument::Argument;
pub use header::{HEADER_LEN, Header, MAGIC, VERSION};
pub use kind::{Kind, State};
pub use read::{Records, Trace};
pub use record::{RECORD_LEN, Record, TIME};
pub use ring::{Ring, size, words};

/// Why something is not a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than it needs.
    #[error("a trace ring of {need} bytes does not fit in {have}")]
    Short {
        /// Bytes that there are.
        have: usize,
        /// Bytes that there must be.
        need: usize,
    },
    /// It does not begin with [`MAGIC`].
    #[error("there is no trace ring")]
    Magic,
    /// Another version of the format.
    #[error("the trace ring has version {found}, this reads version {VERSION}")]
    Version {
        /// The version found.
        found: u16,
    },
    /// The capacity is not a power of two.
    #[error("a trace ring cannot have {found} slots, only a power of two")]
    Capacity {
        /// The number of slots found.
        found: usize,
    },
    /// The frequency of the counter is zero.
    #[error("the trace ring does not say how fast its counter is")]
    Frequency,
}
