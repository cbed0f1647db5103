//! Changes to an address space: map, unmap, protect.
//!
//! Every operation checks first, then makes the tables that it needs, then writes descriptors that
//! change translations, which cannot fail. A table that was made for an operation that then ran out
//! of frames stays where it is: it is empty, or says what the block that it replaced said.
//! Tables are never freed, so a region that was once mapped in pages is mapped in pages for ever.
//!
//! # Live spaces
//!
//! A change to a live space is followed by the invalidation that the architecture wants (Arm ARM
//! D8, "TLB maintenance"): stage 2 by IPA, wait, then stage 1 because a TLB may combine both
//! stages, wait, then synchronise. A block is invalidated as one, by any address in it.
//!
//! ```text
//! write the descriptors
//! dsb ishst
//! tlbi ipas2e1is, for each block or page    (when more than 32: tlbi vmalls12e1is in
//! dsb ish                                   place of these three)
//! tlbi vmalle1is
//! dsb ish
//! isb
//! ```
//!
//! Taking a mapping away is the "break" of break-before-make; a later map is the "make". Changing
//! rights alone needs no break. A new mapping replaces an invalid descriptor, which no TLB holds,
//! and needs only the barrier.

use crate::PAGE;
use crate::address::{Ipa, Pa};
use crate::descriptor::{Descriptor, Kind, Leaf, Rights};
use crate::error::Error;
use crate::level::Level;
use crate::machine::{Maintenance, Tables};
use crate::space::{AddressSpace, Slot, limit, take};

/// Entries in one table.
const ENTRIES: usize = 512;
/// Up to so many blocks or pages are invalidated one by one; beyond, the whole VMID at once, so
/// that the time is bounded.
const BY_IPA: usize = 32;

/// What to map, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first address of the space.
    pub ipa: Ipa,
    /// The physical address it stands for.
    pub pa: Pa,
    /// Bytes; whole pages.
    pub size: u64,
    /// What kind of memory it is.
    pub kind: Kind,
    /// What may be done with it.
    pub rights: Rights,
}

impl AddressSpace {
    /// Maps a range that nothing is mapped in, with the largest blocks that its alignment and the
    /// tables that are there already allow.
    pub fn map(
        &self,
        tables: &mut impl Tables,
        maintenance: &mut impl Maintenance,
        mapping: Mapping,
    ) -> Result<(), Error> {
        let end = self.check_mapping(tables, &mapping)?;
        self.make_tables(tables, maintenance, &mapping)?;
        let mut ipa = mapping.ipa;
        while ipa < end {
            let slot = self.find(tables, ipa);
            let leaf = Leaf {
                pa: mapping.pa_of(ipa),
                kind: mapping.kind,
                rights: mapping.rights,
            };
            let entry = Descriptor::leaf(leaf, slot.level);
            tables.set_entry(slot.table, slot.index, entry);
            ipa = after(ipa, slot.level);
        }
        maintenance.dsb_ishst();
        Ok(())
    }

    /// Takes a range's mappings away. Every page of it must be mapped. A block that lies only
    /// partly in the range is split, or the range refused if the space is live.
    pub fn unmap(
        &self,
        tables: &mut impl Tables,
        maintenance: &mut impl Maintenance,
        ipa: Ipa,
        size: u64,
    ) -> Result<(), Error> {
        let end = self.check_range(ipa, size)?;
        self.check_mapped(tables, ipa, end, Rights::R)?;
        self.split_ends(tables, ipa, end)?;
        let mut at = ipa;
        while at < end {
            let slot = self.find(tables, at);
            tables.set_entry(slot.table, slot.index, Descriptor::INVALID);
            at = after(at, slot.level);
        }
        self.invalidate(tables, maintenance, ipa, end);
        Ok(())
    }

    /// Gives a range other rights. Every page of it must be mapped, and a block that lies only
    /// partly in it is treated as in [`AddressSpace::unmap`].
    pub fn protect(
        &self,
        tables: &mut impl Tables,
        maintenance: &mut impl Maintenance,
        ipa: Ipa,
        size: u64,
        rights: Rights,
    ) -> Result<(), Error> {
        let end = self.check_range(ipa, size)?;
        self.check_mapped(tables, ipa, end, rights)?;
        self.split_ends(tables, ipa, end)?;
        let mut at = ipa;
        while at < end {
            let slot = self.find(tables, at);
            if let Descriptor::Leaf(leaf) = slot.descriptor {
                let entry = Descriptor::leaf(Leaf { rights, ..leaf }, slot.level);
                tables.set_entry(slot.table, slot.index, entry);
            }
            at = after(at, slot.level);
        }
        self.invalidate(tables, maintenance, ipa, end);
        Ok(())
    }

    /// The end of a range of whole pages in the space.
    fn check_range(&self, ipa: Ipa, size: u64) -> Result<Ipa, Error> {
        if size == 0 || (ipa.get() | size) & (PAGE - 1) != 0 {
            return Err(Error::Misaligned(ipa, size));
        }
        match ipa.get().checked_add(size) {
            Some(end) if end <= self.size() => Ok(Ipa::new(end)),
            _ => Err(Error::BeyondIpa(ipa, size)),
        }
    }

    /// Everything that could be wrong with a new mapping. Returns its end.
    fn check_mapping(&self, tables: &impl Tables, mapping: &Mapping) -> Result<Ipa, Error> {
        let Mapping { ipa, pa, size, .. } = *mapping;
        let end = self.check_range(ipa, size)?;
        if pa.get() & (PAGE - 1) != 0 {
            return Err(Error::MisalignedPa(pa));
        }
        match pa.get().checked_add(size) {
            Some(end) if end <= limit(self.pa_range) => {}
            _ => return Err(Error::BeyondPa(pa, size)),
        }
        if mapping.kind == Kind::Device && mapping.rights.execute {
            return Err(Error::DeviceExecutable(ipa));
        }
        let mut at = ipa;
        while at < end {
            let slot = self.find(tables, at);
            if slot.descriptor != Descriptor::Invalid {
                return Err(Error::Overlap(at));
            }
            at = after(at, slot.level);
        }
        Ok(end)
    }

    /// Every page of the range is mapped, and may have these rights.
    fn check_mapped(
        &self,
        tables: &impl Tables,
        ipa: Ipa,
        end: Ipa,
        rights: Rights,
    ) -> Result<(), Error> {
        let mut at = ipa;
        while at < end {
            let slot = self.find(tables, at);
            let Descriptor::Leaf(leaf) = slot.descriptor else {
                return Err(Error::NotMapped(at));
            };
            if leaf.kind == Kind::Device && rights.execute {
                return Err(Error::DeviceExecutable(at));
            }
            at = after(at, slot.level);
        }
        Ok(())
    }

    /// Makes every table that a mapping needs. They are empty, so no translation changes.
    fn make_tables(
        &self,
        tables: &mut impl Tables,
        maintenance: &mut impl Maintenance,
        mapping: &Mapping,
    ) -> Result<(), Error> {
        let end = mapping.ipa.get().wrapping_add(mapping.size);
        let mut at = mapping.ipa;
        while at.get() < end {
            let slot = self.find(tables, at);
            let rest = end.wrapping_sub(at.get());
            if leaf_level(slot.level, at, mapping.pa_of(at), rest) == slot.level {
                // A level-3 table is all pages: nothing more to make under it.
                at = after(at, slot.level.min(Level::Two));
                continue;
            }
            let table = take(tables, 1, self.pa_range)?;
            if self.is_live() {
                // A walker that sees the table must see its zeroes.
                maintenance.dsb_ishst();
            }
            tables.set_entry(slot.table, slot.index, Descriptor::table(table));
        }
        Ok(())
    }

    /// Splits the blocks that reach across either end of a range.
    fn split_ends(&self, tables: &mut impl Tables, ipa: Ipa, end: Ipa) -> Result<(), Error> {
        for at in [ipa, end] {
            if self.is_live() && self.straddling(tables, at).is_some() {
                return Err(Error::LiveSplit(at));
            }
        }
        for at in [ipa, end] {
            // Level 1, then level 2: at most twice.
            while let Some((slot, leaf, below)) = self.straddling(tables, at) {
                let table = take(tables, 1, self.pa_range)?;
                let mut pa = leaf.pa.get();
                for index in 0..ENTRIES {
                    let piece = Leaf {
                        pa: Pa::new(pa),
                        ..leaf
                    };
                    tables.set_entry(table, index, Descriptor::leaf(piece, below));
                    pa = pa.wrapping_add(below.span());
                }
                tables.set_entry(slot.table, slot.index, Descriptor::table(table));
            }
        }
        Ok(())
    }

    /// The block that has `at` inside it, not at its start, and the level below it.
    fn straddling(&self, tables: &impl Tables, at: Ipa) -> Option<(Slot, Leaf, Level)> {
        if at.get() >= self.size() {
            return None;
        }
        let slot = self.find(tables, at);
        let Descriptor::Leaf(leaf) = slot.descriptor else {
            return None;
        };
        let below = slot.level.below()?;
        (slot.level.offset(at.get()) != 0).then_some((slot, leaf, below))
    }

    /// Makes a change to a range visible: the sequence in the module's description. The range
    /// begins and ends with whole entries, at the levels where the change was made.
    fn invalidate(
        &self,
        tables: &impl Tables,
        maintenance: &mut impl Maintenance,
        ipa: Ipa,
        end: Ipa,
    ) {
        maintenance.dsb_ishst();
        if !self.is_live() {
            return;
        }
        if self.entries_up_to(tables, ipa, end, BY_IPA) {
            let mut at = ipa;
            while at < end {
                maintenance.tlbi_ipa(at);
                at = after(at, self.find(tables, at).level);
            }
            maintenance.dsb_ish();
            maintenance.tlbi_vmalle1is();
        } else {
            maintenance.tlbi_vmalls12e1is();
        }
        maintenance.dsb_ish();
        maintenance.isb();
    }

    /// Whether a range is `most` entries or fewer.
    fn entries_up_to(&self, tables: &impl Tables, ipa: Ipa, end: Ipa, most: usize) -> bool {
        let mut at = ipa;
        for _ in 0..most {
            if at >= end {
                break;
            }
            at = after(at, self.find(tables, at).level);
        }
        at >= end
    }
}

impl Mapping {
    /// The physical address for an address of the range.
    const fn pa_of(&self, ipa: Ipa) -> Pa {
        Pa::new(
            ipa.get()
                .wrapping_sub(self.ipa.get())
                .wrapping_add(self.pa.get()),
        )
    }
}

/// The first address beyond the entry of `level` that covers `ipa`.
#[inline]
const fn after(ipa: Ipa, level: Level) -> Ipa {
    Ipa::new((ipa.get() | level.span().wrapping_sub(1)).wrapping_add(1))
}

/// The shallowest level from `from` on at which one entry can map `ipa` to `pa` and no more than
/// `rest` bytes.
#[inline]
fn leaf_level(from: Level, ipa: Ipa, pa: Pa, rest: u64) -> Level {
    let address = ipa.get() | pa.get();
    let mut level = from;
    while level.offset(address) != 0 || rest < level.span() {
        match level.below() {
            Some(below) => level = below,
            None => break,
        }
    }
    level
}
