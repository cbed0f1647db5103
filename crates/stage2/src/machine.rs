//! What a space needs of the machine: frames for tables, barriers, TLB invalidations.

use crate::address::{Ipa, Pa};

/// Where the tables lie. The kernel implements it over frames, a test over vectors.
pub trait Tables {
    /// Takes `frames` (1 or 2) consecutive zeroed frames of 4 KiB, aligned to their total size;
    /// they are never given back. `None` when there are no more.
    fn allocate(&mut self, frames: usize) -> Option<Pa>;

    /// Reads entry `index` of the table at `table`, a value that [`Tables::allocate`] returned.
    /// `index` is below 512 times the frames of that table. A single 64-bit access.
    fn entry(&self, table: Pa, index: usize) -> u64;

    /// Writes an entry, likewise in a single 64-bit access: a walker on another core may read it at
    /// any moment.
    fn set_entry(&mut self, table: Pa, index: usize, value: u64);
}

/// Barriers and TLB invalidations.
///
/// An invalidation reaches the entries of the VMID that is in VTTBR_EL2, on every core of the Inner
/// Shareable domain. So whoever changes or retires a live space loads its VTTBR_EL2 first, with an
/// `isb`.
pub trait Maintenance {
    /// `dsb ishst`: earlier writes to tables are visible to every walker.
    fn dsb_ishst(&mut self);
    /// `dsb ish`: earlier invalidations have completed on every core.
    fn dsb_ish(&mut self);
    /// `isb`.
    fn isb(&mut self);
    /// `tlbi ipas2e1is`: what was cached of stage 2 for the block or page that has this address in
    /// it.
    fn tlbi_ipa(&mut self, ipa: Ipa);
    /// `tlbi vmalle1is`: what was cached of stage 1, which includes combined entries of both
    /// stages.
    fn tlbi_vmalle1is(&mut self);
    /// `tlbi vmalls12e1is`: everything that was cached of either stage.
    fn tlbi_vmalls12e1is(&mut self);
}
