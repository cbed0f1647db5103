//! A TLB that is as bad as the architecture allows (Arm ARM D8, "Translation Lookaside Buffers" and
//! "TLB maintenance").

use std::collections::BTreeMap;

use crate::machine::{Event, Memory};

const PAGE: u64 = 0x1000;

/// A translation that a TLB may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cached {
    base: u64,
    span: u64,
    entry: u64,
}

impl Cached {
    fn covers(self, ipa: u64) -> bool {
        (self.base..self.base + self.span).contains(&ipa)
    }

    /// Whether the architecture lets both be live at once: they are apart, or differ in rights
    /// alone.
    fn agrees(self, other: Self) -> bool {
        const RIGHTS: u64 = 1 << 54 | 0b11 << 6;
        let apart = self.base + self.span <= other.base || other.base + other.span <= self.base;
        let same = (self.base, self.span, self.entry & !RIGHTS)
            == (other.base, other.span, other.entry & !RIGHTS);
        apart || same
    }
}

/// A TLB that holds all that it may, for as long as it may.
///
/// It reads an entry as it was or as it is until a `dsb ishst`. It keeps stage-2 entries until they
/// are invalidated by their address and a `dsb ish` has passed, and in the meantime makes new
/// combined entries (both stages in one) of them; those an invalidation by IPA does not find.
pub struct WorstTlb {
    pub root: u64,
    pub tables: BTreeMap<u64, Vec<u64>>,
    /// Values that a walker may still see.
    stale: Vec<(u64, usize, u64)>,
    stage2: Vec<(Cached, bool)>,
    combined: Vec<(Cached, bool)>,
    pub conflict: Option<(Cached, Cached)>,
    /// An invalidation of both stages is under way.
    both: bool,
    /// An invalidation has completed since the last context synchronisation.
    unsynchronised: bool,
}

impl WorstTlb {
    pub fn new(root: u64, memory: &Memory) -> Self {
        let mut tlb = Self {
            root,
            tables: memory.tables.clone(),
            stale: Vec::new(),
            stage2: Vec::new(),
            combined: Vec::new(),
            conflict: None,
            both: false,
            unsynchronised: false,
        };
        tlb.fill();
        tlb
    }

    /// What a walker may read there: the present value, and those that the first `stale` writes
    /// replaced.
    fn values(&self, table: u64, index: usize, stale: usize) -> impl Iterator<Item = u64> {
        let now = self.tables.get(&table).map_or(0, |table| table[index]);
        let before = self.stale.iter().take(stale);
        let before = before.filter(move |stale| (stale.0, stale.1) == (table, index));
        before.map(|stale| stale.2).chain([now])
    }

    /// Every translation that a walk could find now, or, with `settled`, once all writes are
    /// visible.
    fn reachable(&self, settled: bool) -> Vec<Cached> {
        let mut found = Vec::new();
        let mut work = vec![(self.root, 0, 1 << 30)];
        while let Some((table, start, span)) = work.pop() {
            // 32 bits of input address: four entries at level 1.
            let entries = if span == 1 << 30 { 4 } else { 512 };
            let stale = if settled { 0 } else { self.stale.len() };
            for index in 0..entries {
                let base = start + index as u64 * span;
                for entry in self.values(table, index, stale) {
                    match entry & 0b11 {
                        0b11 if span > PAGE => {
                            work.push((entry & 0xFFFF_FFFF_F000, base, span / 512));
                        }
                        0b11 | 0b01 => found.push(Cached { base, span, entry }),
                        _ => {}
                    }
                }
            }
        }
        found
    }

    fn fill(&mut self) {
        for entry in self.reachable(false) {
            if let Some((old, _)) = self.stage2.iter().find(|(old, _)| !old.agrees(entry)) {
                self.conflict.get_or_insert((*old, entry));
            }
            if !self.stage2.contains(&(entry, false)) {
                self.stage2.push((entry, false));
            }
        }
        for &(entry, _) in &self.stage2 {
            if !self.combined.contains(&(entry, false)) {
                self.combined.push((entry, false));
            }
        }
    }

    pub fn see(&mut self, event: Event) {
        match event {
            Event::Write {
                table,
                index,
                old,
                new,
            } => {
                self.tables.entry(table).or_insert_with(|| vec![0; 512])[index] = new;
                self.stale.push((table, index, old));
            }
            Event::DsbIshst => self.stale.clear(),
            Event::TlbiIpa(ipa) => {
                for (entry, dying) in &mut self.stage2 {
                    *dying |= entry.covers(ipa);
                }
            }
            Event::TlbiVmalle1is => self.combined.iter_mut().for_each(|entry| entry.1 = true),
            Event::TlbiVmalls12e1is => {
                for (_, dying) in self.stage2.iter_mut().chain(&mut self.combined) {
                    *dying = true;
                }
                self.both = true;
            }
            Event::DsbIsh => {
                // Whatever an entry gave rise to before it went is still there.
                self.fill();
                self.stage2.retain(|(_, dying)| !dying);
                self.combined.retain(|(_, dying)| !dying);
                if core::mem::take(&mut self.both) {
                    // Both stages went as one: no combined entry outlives its stage 2.
                    let left = &self.stage2;
                    self.combined
                        .retain(|(entry, _)| left.contains(&(*entry, false)));
                }
                self.unsynchronised = true;
            }
            Event::Isb => self.unsynchronised = false,
        }
        self.fill();
    }

    /// What the TLB holds that the tables no longer say.
    pub fn leftovers(&self) -> Vec<Cached> {
        let current = self.reachable(true);
        let held = self.stage2.iter().chain(&self.combined);
        held.map(|(entry, _)| *entry)
            .filter(|entry| !current.contains(entry))
            .collect()
    }

    pub fn is_clean(&self) -> bool {
        self.leftovers().is_empty() && self.conflict.is_none() && !self.unsynchronised
    }
}
