//! Stage-2 translation tables: the address spaces of guests and of EL0 components.
//!
//! Armv8.0, VMSAv8-64 (Arm ARM DDI 0487, chapter D8): 4 KiB granule, an input address of 32 to 40
//! bits, walks that start at level 1. With 40 bits the root is two concatenated tables, 8 KiB that
//! are 8 KiB-aligned.
//!
//! The crate holds no pointer. Tables are reached through [`Tables`] and barriers and TLB
//! invalidations are made through [`Maintenance`], so a test can look at every descriptor and at
//! the order of every operation; much of that order cannot fail in an emulator.
//!
//! The kernel's own view of the tables is Normal, Write-Back, Inner Shareable, and VTCR_EL2 gives
//! the walker the same, so descriptors need barriers and no cache maintenance.
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

mod address;
mod change;
mod descriptor;
mod error;
mod level;
mod machine;
mod space;

pub use address::{Ipa, Pa, PaRange, Vmid};
pub use change::Mapping;
pub use descriptor::{Kind, Rights};
pub use error::Error;
pub use level::Level;
pub use machine::{Maintenance, Tables};
pub use space::{AddressSpace, Translation};

/// The size of a page and of a table, in bytes.
pub const PAGE: u64 = 4096;
