//! Reads a manifest and checks everything that can be checked without the board.

use crate::error::{Error, Table};
use crate::record::same;
use crate::{
    Core, CorePolicy, Device, DeviceKind, Gic, Header, Load, LoadKind, MAGIC,
    MAX_CONTEXTS_PER_CORE, MAX_CORES, MAX_PARTITIONS, MAX_VCPUS, OnFault, Partition, Region,
    RegionKind, Span, TRACE_BYTES, U16, VERSION, Vcpu,
};
use core::mem::size_of;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The name of the first field that does not hold what it must. All are looked at: a list of results is smaller than a
/// branch for each, and records are few.
macro_rules! fields {
    ($($name:literal: $holds:expr,)*) => {
        first_bad(&[$($holds),*], const { &[$($name),*] })
    };
}

/// A manifest whose every record has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    /// Its header.
    pub header: &'a Header,
    /// The cores that the system uses.
    pub cores: &'a [Core],
    partitions: &'a [Partition],
    vcpus: &'a [Vcpu],
    regions: &'a [Region],
    loads: &'a [Load],
    devices: &'a [Device],
}

impl<'a> Manifest<'a> {
    /// Checks a manifest and gives access to it.
    ///
    /// `bytes` begins with the manifest and may be longer; `crc` computes a CRC-32 (IEEE) - the
    /// kernel and the host have different fast ways; `bundle_len` is how long the bundle really is.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, see [`Error`].
    #[inline(never)]
    pub fn parse(
        bytes: &'a [u8],
        bundle_len: u64,
        crc: impl Fn(&[u8]) -> u32,
    ) -> Result<Self, Error> {
        let short = |need| Error::Short {
            have: bytes.len(),
            need,
        };
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| short(size_of::<Header>()))?;
        if !same(&header.magic, &MAGIC) {
            return Err(Error::Magic);
        }
        let found = header.version.get();
        if found != VERSION {
            return Err(Error::Version { found });
        }
        let covered = size_of::<Header>().saturating_sub(size_of::<u32>());
        let found = crc(header.as_bytes().get(..covered).unwrap_or(&[]));
        let expected = header.header_crc.get();
        if found != expected {
            return Err(Error::HeaderCrc { found, expected });
        }
        if usize::from(header.header_len.get()) != size_of::<Header>() {
            return Err(bad(Table::Header, 0, "header_len"));
        }
        let len = header.manifest_len.get() as usize;
        let bytes = bytes.get(..len).ok_or(short(len))?;
        let tables = bytes
            .get(size_of::<Header>()..)
            .ok_or(short(size_of::<Header>()))?;
        let (found, expected) = (crc(tables), header.tables_crc.get());
        if found != expected {
            return Err(Error::TablesCrc { found, expected });
        }
        let need = header.bundle_len.get();
        if need > bundle_len {
            return Err(Error::BundleShort {
                have: bundle_len,
                need,
            });
        }
        let mut tables = Tables { bytes, bad: None };
        let any = (0, usize::from(u16::MAX));
        let manifest = Self {
            header,
            cores: tables.read(Table::Cores, &header.cores, (1, MAX_CORES)),
            partitions: tables.read(Table::Partitions, &header.partitions, (1, MAX_PARTITIONS)),
            vcpus: tables.read(Table::Vcpus, &header.vcpus, any),
            regions: tables.read(Table::Regions, &header.regions, any),
            loads: tables.read(Table::Loads, &header.loads, any),
            devices: tables.read(Table::Devices, &header.devices, any),
        };
        if let Some(table) = tables.bad {
            return Err(Error::Table { table });
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// The partitions, in the order in which they are started.
    #[must_use]
    pub fn partitions(&self) -> &'a [Partition] {
        self.partitions
    }

    /// How many bytes the records of each core's trace ring take: 0 for no tracing, else a power of two.
    #[must_use]
    pub fn trace_bytes(&self) -> u32 {
        self.header.trace_bytes.get()
    }

    /// The vCPUs of a partition.
    #[inline(never)]
    #[must_use]
    pub fn vcpus(&self, p: &Partition) -> &'a [Vcpu] {
        let part = part(&p.first_vcpu, &p.vcpus);
        self.vcpus.get(part).unwrap_or(&[])
    }

    /// The memory of a partition.
    #[inline(never)]
    #[must_use]
    pub fn regions(&self, p: &Partition) -> &'a [Region] {
        let part = part(&p.first_region, &p.regions);
        self.regions.get(part).unwrap_or(&[])
    }

    /// What is loaded into a partition before it starts.
    #[inline(never)]
    #[must_use]
    pub fn loads(&self, p: &Partition) -> &'a [Load] {
        let part = part(&p.first_load, &p.loads);
        self.loads.get(part).unwrap_or(&[])
    }

    /// The devices of a partition.
    #[inline(never)]
    #[must_use]
    pub fn devices(&self, p: &Partition) -> &'a [Device] {
        let part = part(&p.first_device, &p.devices);
        self.devices.get(part).unwrap_or(&[])
    }

    fn check(&self) -> Result<(), Error> {
        let focus = usize::from(self.header.focus.get());
        let trace = self.trace_bytes();
        let fields = fields! {
            "system": self.header.system.is_valid(),
            "focus": focus < self.partitions.len(),
            "trace_bytes": trace == 0 || (trace.is_power_of_two() && TRACE_BYTES.contains(&trace)),
        };
        meaning(Table::Header, 0, fields)?;
        for (index, p) in self.partitions.iter().enumerate() {
            self.check_partition(index, p)?;
        }
        for (index, core) in self.cores.iter().enumerate() {
            self.check_core(index, core)?;
        }
        Ok(())
    }

    fn check_partition(&self, index: usize, p: &Partition) -> Result<(), Error> {
        let partition = index as u16;
        meaning(Table::Partitions, index, self.partition_fields(index, p))?;
        let first = p.first_vcpu.get();
        let mut cores = 0u32;
        for (i, vcpu) in self.vcpus(p).iter().enumerate() {
            meaning(Table::Vcpus, record(first, i), self.vcpu_fields(vcpu))?;
            let core = vcpu.core.get();
            let bit = 1u32.wrapping_shl(core.into());
            if cores & bit != 0 {
                return Err(Error::SharedVmid { partition, core });
            }
            cores |= bit;
        }
        let first = p.first_region.get();
        for (i, region) in self.regions(p).iter().enumerate() {
            meaning(Table::Regions, record(first, i), region_fields(region))?;
        }
        let first = p.first_device.get();
        let mut given = [false; MOST_SPIS as usize + 32];
        for (i, device) in self.devices(p).iter().enumerate() {
            meaning(Table::Devices, record(first, i), device_fields(p, device))?;
            let intid = device.intid.get();
            let given = given.get_mut(usize::from(intid));
            if given.is_some_and(|given| core::mem::replace(given, intid != 0)) {
                return Err(Error::Interrupt { partition, intid });
            }
        }
        if let Some(ipa) = self.overlap(p) {
            return Err(Error::Overlap { partition, ipa });
        }
        let first = p.first_load.get();
        for (i, load) in self.loads(p).iter().enumerate() {
            meaning(Table::Loads, record(first, i), self.load_fields(p, load))?;
        }
        Ok(())
    }

    fn partition_fields(&self, index: usize, p: &Partition) -> Fields {
        let mut earlier = self.partitions.get(..index).unwrap_or(&[]).iter();
        let (spis, vcpus) = (p.spis.get(), usize::from(p.vcpus.get()));
        fields! {
            "name": p.name.is_valid(),
            "name (two partitions have it)": !earlier.any(|other| other.name == p.name),
            "gic": Gic::decode(p.gic).is_some(),
            "on_fault": OnFault::decode(p.on_fault).is_some(),
            "autostart": p.autostart <= 1,
            "spis": spis <= MOST_SPIS && spis.is_multiple_of(32),
            "vcpus": inside(&p.first_vcpu, &p.vcpus, self.vcpus.len()) && (1..=MAX_VCPUS).contains(&vcpus),
            "regions": inside(&p.first_region, &p.regions, self.regions.len()) && p.regions.get() != 0,
            "loads": inside(&p.first_load, &p.loads, self.loads.len()),
            "devices": inside(&p.first_device, &p.devices, self.devices.len()),
            "gic address": (0..GIC_PIECES).all(|n| {
                let (at, size) = gic_piece(p, n);
                page(at) && fits(at, size)
            }),
        }
    }

    fn vcpu_fields(&self, vcpu: &Vcpu) -> Fields {
        let (budget, period) = (vcpu.budget_ns.get(), vcpu.period_ns.get());
        // An hour bounds every product of a duration with a counter's frequency.
        let sensible = budget == 0 || (budget >= 10_000 && period >= 100_000);
        fields! {
            "core": usize::from(vcpu.core.get()) < self.cores.len(),
            "budget": (budget == 0) == (period == 0) && budget <= period,
            "period": period <= 3_600_000_000_000 && sensible,
        }
    }

    fn load_fields(&self, p: &Partition, load: &Load) -> Fields {
        let (offset, len) = (load.offset.get(), load.len.get());
        let (ipa, memory_len) = (load.ipa.get(), load.memory_len.get());
        let end = ipa.saturating_add(memory_len);
        let holds = |r: &Region| {
            let (start, size) = (r.ipa.get(), r.size.get());
            ipa >= start && end <= start.saturating_add(size)
        };
        let (seed, seed_len) = (
            u64::from(load.seed_offset.get()),
            u64::from(load.seed_len.get()),
        );
        fields! {
            "kind": LoadKind::decode(load.kind).is_some(),
            "gic": Gic::decode(load.gic).is_some(),
            "offset": offset.is_multiple_of(4) && ends_by(offset, len, self.header.bundle_len.get()),
            "memory_len": memory_len >= len && ipa.is_multiple_of(8) && ends_by(ipa, memory_len, u64::MAX),
            "ipa (it is in no region)": self.regions(p).iter().any(holds),
            "seed": seed_len <= 64 && ends_by(seed, seed_len, len),
        }
    }

    /// Where two pieces of an address space overlap. Every piece against every other: there are few.
    fn overlap(&self, p: &Partition) -> Option<u64> {
        let pieces = [self.regions(p).len(), self.devices(p).len()];
        let pieces = pieces
            .iter()
            .fold(GIC_PIECES, |sum, n| sum.saturating_add(*n));
        for i in 0..pieces {
            let (a, a_size) = self.piece(p, i);
            for j in 0..i {
                let (b, b_size) = self.piece(p, j);
                if a < b.saturating_add(b_size) && b < a.saturating_add(a_size) {
                    return Some(a.max(b));
                }
            }
        }
        None
    }

    /// Address and size of the n-th piece of an address space: the interrupt controller, then regions, then devices.
    #[inline(never)]
    fn piece(&self, p: &Partition, n: usize) -> (u64, u64) {
        let Some(n) = n.checked_sub(GIC_PIECES) else {
            return gic_piece(p, n);
        };
        let regions = self.regions(p);
        if let Some(region) = regions.get(n) {
            return (region.ipa.get(), region.size.get());
        }
        let device = self.devices(p).get(n.wrapping_sub(regions.len()));
        device.map_or((0, 0), |d| (d.ipa.get(), u64::from(d.size.get())))
    }

    fn check_core(&self, index: usize, core: &Core) -> Result<(), Error> {
        let Some(policy) = CorePolicy::decode(core.policy) else {
            return Err(bad(Table::Cores, index, "policy"));
        };
        let here = |v: &&Vcpu| usize::from(v.core.get()) == index;
        let mut contexts = 0usize;
        for p in self.partitions {
            contexts = contexts.wrapping_add(self.vcpus(p).iter().filter(here).count());
        }
        let most = match policy {
            CorePolicy::Pinned => 1,
            CorePolicy::Shared => MAX_CONTEXTS_PER_CORE,
        };
        if contexts > most {
            return Err(Error::Crowded { core: index as u16 });
        }
        Ok(())
    }
}

const PAGE: u64 = 4096;

/// Most shared peripheral interrupts of a partition.
const MOST_SPIS: u16 = 256;

/// The first field of a record that has no meaning, if one has none.
type Fields = Option<&'static str>;

#[inline(never)]
fn first_bad(holds: &[bool], names: &[&'static str]) -> Fields {
    let (_, name) = holds.iter().zip(names).find(|(holds, _)| !**holds)?;
    Some(name)
}

/// Refuses a record that has a field without meaning.
fn meaning(table: Table, index: usize, fields: Fields) -> Result<(), Error> {
    match fields {
        None => Ok(()),
        Some(field) => Err(bad(table, index, field)),
    }
}

fn region_fields(r: &Region) -> Fields {
    let (ipa, size, pa) = (r.ipa.get(), r.size.get(), r.pa.get());
    fields! {
        "kind": RegionKind::decode(r.kind).is_some(),
        "alignment": page(ipa | size) && size != 0,
        "address": fits(ipa, size) && (pa == crate::ANYWHERE || (page(pa) && fits(pa, size))),
    }
}

fn device_fields(p: &Partition, d: &Device) -> Fields {
    let (ipa, size, intid) = (d.ipa.get(), u64::from(d.size.get()), d.intid.get());
    let spis = 32..p.spis.get().saturating_add(32);
    fields! {
        "kind": DeviceKind::decode(d.kind).is_some(),
        "address": page(ipa) && size != 0 && fits(ipa, size),
        "intid": intid == 0 || spis.contains(&intid),
    }
}

/// How many pieces [`gic_piece`] has.
const GIC_PIECES: usize = 3;

/// Where the interrupt controller is, in both versions: address and size of its n-th piece.
#[inline(never)]
fn gic_piece(p: &Partition, n: usize) -> (u64, u64) {
    let (at, size) = match n {
        0 => (&p.gicd, 0x1_0000),
        1 => (&p.gicr, u64::from(p.vcpus.get()).saturating_mul(0x2_0000)),
        _ => (&p.gicc, 0x2000),
    };
    (at.get(), size)
}

/// Where in its table the i-th record of a partition is whose records begin with `first`.
fn record(first: u16, i: usize) -> usize {
    usize::from(first).wrapping_add(i)
}

fn bad(table: Table, index: usize, field: &'static str) -> Error {
    Error::Field {
        table,
        index: index as u16,
        field,
    }
}

fn page(at: u64) -> bool {
    at.is_multiple_of(PAGE)
}

/// Addresses stay below 2^48, so sums of two of them cannot overflow.
fn fits(at: u64, size: u64) -> bool {
    ends_by(at, size, 1 << 48)
}

#[inline(never)]
fn ends_by(at: u64, size: u64, most: u64) -> bool {
    at.checked_add(size).is_some_and(|end| end <= most)
}

/// Which records of a table a partition has.
#[inline(never)]
fn part(first: &U16, count: &U16) -> Range<usize> {
    let first = usize::from(first.get());
    first..first.saturating_add(usize::from(count.get()))
}

#[inline(never)]
fn inside(first: &U16, count: &U16, len: usize) -> bool {
    part(first, count).end <= len
}

/// Reads the tables of a manifest.
struct Tables<'a> {
    /// The manifest.
    bytes: &'a [u8],
    /// The first table that was not as it should be.
    bad: Option<Table>,
}

impl<'a> Tables<'a> {
    /// The records of a table, of which there must be at least and at most so many; none if it is bad.
    fn read<T: FromBytes + Immutable + KnownLayout + Unaligned>(
        &mut self,
        table: Table,
        span: &Span,
        counts: (usize, usize),
    ) -> &'a [T] {
        let run = self.run(table, span, size_of::<T>(), counts);
        <[T]>::ref_from_bytes(run).unwrap_or(&[])
    }

    /// The bytes of those records, each of which takes `size`.
    #[inline(never)]
    fn run(
        &mut self,
        table: Table,
        span: &Span,
        size: usize,
        (least, most): (usize, usize),
    ) -> &'a [u8] {
        let count = span.count.get() as usize;
        let (start, len) = (span.offset.get() as usize, count.saturating_mul(size));
        let run = self.bytes.get(start..start.saturating_add(len));
        match run.filter(|_| least <= count && count <= most) {
            Some(run) => run,
            None => {
                self.bad.get_or_insert(table);
                &[]
            }
        }
    }
}

/// How long the bundle is that begins with a manifest of which at least the header is given; `None` if it is none.
/// For finding the end of a bundle, before it is checked.
#[must_use]
pub fn bundle_len(bytes: &[u8]) -> Option<u64> {
    let (header, _) = Header::ref_from_prefix(bytes).ok()?;
    same(&header.magic, &MAGIC).then(|| header.bundle_len.get())
}
