//! One address space: its root, its VMID, its registers, and whether a core may hold translations
//! of it.
//!
//! A space is live from the moment its VTTBR_EL2 value is taken until [`AddressSpace::retire`]: a
//! TLB may hold translations of it, and a walker may read its tables. The changes that a space
//! admits, and what they cost while it is live, are in the module beside this one.

use crate::PAGE;
use crate::address::{Ipa, Pa, PaRange, Vmid};
use crate::descriptor::{Descriptor, Kind, Rights};
use crate::error::Error;
use crate::level::Level;
use crate::machine::{Maintenance, Tables};

/// Fields of VTCR_EL2 (Arm ARM, "VTCR_EL2, Virtualization Translation Control Register").
mod vtcr {
    /// SL0 = 0b01: with the 4 KiB granule, walks start at level 1.
    pub const SL0_LEVEL_1: u64 = 0b01 << 6;
    /// IRGN0: the walker's inner accesses are Normal Write-Back, Write-Allocate.
    pub const IRGN0_WB: u64 = 0b01 << 8;
    /// ORGN0: the outer ones likewise.
    pub const ORGN0_WB: u64 = 0b01 << 10;
    /// SH0: the walker's accesses are Inner Shareable.
    pub const SH0_INNER: u64 = 0b11 << 12;
    /// TG0: 4 KiB granule.
    pub const TG0_4K: u64 = 0b00 << 14;
    /// PS is bits 18:16.
    pub const PS_MULTIPLE: u64 = 1 << 16;
    /// Bit 31 is RES1.
    pub const RES1: u64 = 1 << 31;
}

/// What an address translates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The physical address of the very byte.
    pub pa: Pa,
    /// What kind of memory it is.
    pub kind: Kind,
    /// What may be done with it.
    pub rights: Rights,
    /// The level of the block or page; [`Level::span`] is its size.
    pub level: Level,
}

/// An address space.
#[derive(Debug)]
pub struct AddressSpace {
    root: Pa,
    ipa_bits: u8,
    pub(crate) pa_range: PaRange,
    vmid: Vmid,
    live: bool,
}

/// Where a walk ends: an entry that is not a table.
pub(crate) struct Slot {
    pub table: Pa,
    pub index: usize,
    pub level: Level,
    pub descriptor: Descriptor,
}

impl AddressSpace {
    /// The fewest bits of an input address for which walks start at level 1 here.
    pub const MIN_IPA_BITS: u8 = 32;
    /// The most: two concatenated tables at level 1.
    pub const MAX_IPA_BITS: u8 = 40;

    /// An empty space of `ipa_bits` bits. Not live.
    ///
    /// `ipa_bits` must not be above `pa_range`: a walk with a larger input size faults at level 0.
    pub fn new(
        tables: &mut impl Tables,
        ipa_bits: u8,
        pa_range: PaRange,
        vmid: Vmid,
    ) -> Result<Self, Error> {
        if !(Self::MIN_IPA_BITS..=Self::MAX_IPA_BITS.min(pa_range.bits())).contains(&ipa_bits) {
            return Err(Error::IpaBits(ipa_bits.into()));
        }
        // 512 entries of 1 GiB are 39 bits.
        let frames = if ipa_bits > 39 { 2 } else { 1 };
        let root = take(tables, frames, pa_range)?;
        Ok(Self {
            root,
            ipa_bits,
            pa_range,
            vmid,
            live: false,
        })
    }

    /// The space's VMID.
    #[inline]
    pub const fn vmid(&self) -> Vmid {
        self.vmid
    }

    /// Whether a core may hold translations of this space.
    #[inline]
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// The value for VTTBR_EL2: VMID in bits 63:48 (8 bits of them used), the root below. From here
    /// on the space is live.
    pub const fn vttbr(&mut self) -> u64 {
        self.live = true;
        (self.vmid.get() as u64) << 48 | self.root.get()
    }

    /// The value for VTCR_EL2: T0SZ = 64 less the input address's bits, walks from level 1 with the
    /// 4 KiB granule, Write-Back and Inner Shareable; PS is what the machine has; 8-bit VMIDs.
    pub const fn vtcr(&self) -> u64 {
        vtcr::RES1
            | (self.pa_range as u64).wrapping_mul(vtcr::PS_MULTIPLE)
            | vtcr::TG0_4K
            | vtcr::SH0_INNER
            | vtcr::ORGN0_WB
            | vtcr::IRGN0_WB
            | vtcr::SL0_LEVEL_1
            | 64_u64.wrapping_sub(self.ipa_bits as u64)
    }

    /// What an address translates to; `None` when it faults.
    pub fn translate(&self, tables: &impl Tables, ipa: Ipa) -> Option<Translation> {
        if ipa.get() >= self.size() {
            return None;
        }
        let slot = self.find(tables, ipa);
        let Descriptor::Leaf(leaf) = slot.descriptor else {
            return None;
        };
        Some(Translation {
            pa: Pa::new(leaf.pa.get() | slot.level.offset(ipa.get())),
            kind: leaf.kind,
            rights: leaf.rights,
            level: slot.level,
        })
    }

    /// Invalidates everything that was cached of the space, under either stage. After it the space
    /// is not live.
    ///
    /// For a space that is rebuilt, or whose partition restarts: no core may be running in it, nor
    /// run in it before [`AddressSpace::vttbr`] is called again. The caller has the space's
    /// VTTBR_EL2 loaded.
    pub fn retire(&mut self, maintenance: &mut impl Maintenance) {
        maintenance.dsb_ishst();
        maintenance.tlbi_vmalls12e1is();
        maintenance.dsb_ish();
        maintenance.isb();
        self.live = false;
    }

    /// Bytes in the space.
    #[inline]
    pub(crate) const fn size(&self) -> u64 {
        1_u64.wrapping_shl(self.ipa_bits as u32)
    }

    /// Walks to the entry that decides about `ipa`, which is below [`AddressSpace::size`]. At most
    /// three steps.
    pub(crate) fn find(&self, tables: &impl Tables, ipa: Ipa) -> Slot {
        let mut table = self.root;
        let mut level = Level::One;
        loop {
            let index = level.index(ipa);
            let descriptor = Descriptor::decode(tables.entry(table, index), level);
            match (descriptor, level.below()) {
                (Descriptor::Table(next), Some(below)) => {
                    table = next;
                    level = below;
                }
                _ => {
                    return Slot {
                        table,
                        index,
                        level,
                        descriptor,
                    };
                }
            }
        }
    }
}

/// The first physical address beyond the machine's.
pub(crate) const fn limit(pa_range: PaRange) -> u64 {
    1_u64.wrapping_shl(pa_range.bits() as u32)
}

/// Frames for a table that VTTBR_EL2 or a table descriptor can hold.
pub(crate) fn take(
    tables: &mut impl Tables,
    frames: usize,
    pa_range: PaRange,
) -> Result<Pa, Error> {
    let table = tables.allocate(frames).ok_or(Error::OutOfTables)?;
    let size = PAGE.wrapping_mul(frames as u64);
    let last = limit(pa_range).wrapping_sub(size);
    if table.get() & size.wrapping_sub(1) != 0 || table.get() > last {
        return Err(Error::BadFrame(table));
    }
    Ok(table)
}
