//! The binary system manifest and the bundle that carries it.
//!
//! A *bundle* is a cpio archive in the newc format, so that other tools can list it. Its first
//! member is the *manifest*: fixed-size little-endian records that say which partitions exist,
//! on which cores and with which memory, and where in the bundle the bytes of their images are.
//! The host tool writes it from the system description; the kernel only reads it. Nothing in it
//! is trusted by the kernel until [`Manifest::parse`] has checked it, and the checks here are the
//! same code on both sides.
//!
//! Integrity: the header and the manifest each carry a CRC-32 (IEEE 802.3, as zlib computes it),
//! every [`Load`] the CRC-32 of its bytes, which the kernel checks while it copies them. A member
//! named [`SIGNATURE`] may follow; nothing reads it yet.
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

mod check;
pub mod cpio;
mod error;
mod little;
mod record;
mod seed;

pub use check::{Manifest, bundle_len};
pub use error::{Error, Table, Word};
pub use little::{U16, U32, U64};
pub use record::*;
pub use seed::{DOUBLE_ROUNDS, Seed};

/// Name of the manifest in the bundle; it is always the first member.
pub const MANIFEST: &str = "tessera/manifest";

/// Name kept for a signature over the manifest, which holds the checks of everything else.
pub const SIGNATURE: &str = "tessera/signature";

/// The bytes that open every manifest.
pub const MAGIC: [u8; 8] = *b"TESSERA\0";

/// Version of the record layout. A kernel refuses every other.
pub const VERSION: u16 = 1;

/// Most partitions that one system may have. VMIDs are eight bits wide and 0 is the kernel's, but
/// what really bounds this is that everything is static and small.
pub const MAX_PARTITIONS: usize = 16;

/// Most vCPUs of one guest (GICv3; a GICv2 distributor can name eight).
pub const MAX_VCPUS: usize = 16;

/// Most physical cores.
pub const MAX_CORES: usize = 16;

/// Most contexts (vCPUs) that may share one core.
pub const MAX_CONTEXTS_PER_CORE: usize = 8;

/// How many bytes the records of a core's trace ring may take: a power of two from 4 KiB to 4 MiB.
pub const TRACE_BYTES: core::ops::RangeInclusive<u32> = 0x1000..=0x40_0000;
