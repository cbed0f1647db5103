//! Reads a manifest and checks everything that can be checked without the board.

use crate::error::{Error, Table};
use crate::{
    Core, CorePolicy, Device, DeviceKind, Gic, Header, Load, LoadKind, MAGIC,
    MAX_CONTEXTS_PER_CORE, MAX_CORES, MAX_PARTITIONS, MAX_VCPUS, OnFault, Partition, Region,
    RegionKind, Span, U16, VERSION, Vcpu,
};
use core::mem::size_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

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
        if header.magic != MAGIC {
            return Err(Error::Magic);
        }
        if header.version.get() != VERSION {
            return Err(Error::Version {
                found: header.version.get(),
            });
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
        let manifest = Self {
            header,
            cores: table(bytes, header.cores, Table::Cores)?,
            partitions: table(bytes, header.partitions, Table::Partitions)?,
            vcpus: table(bytes, header.vcpus, Table::Vcpus)?,
            regions: table(bytes, header.regions, Table::Regions)?,
            loads: table(bytes, header.loads, Table::Loads)?,
            devices: table(bytes, header.devices, Table::Devices)?,
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// The partitions, in the order in which they are started.
    #[must_use]
    pub fn partitions(&self) -> &'a [Partition] {
        self.partitions
    }

    /// The vCPUs of a partition.
    #[must_use]
    pub fn vcpus(&self, p: &Partition) -> &'a [Vcpu] {
        part(self.vcpus, &p.first_vcpu, &p.vcpus).unwrap_or(&[])
    }

    /// The memory of a partition.
    #[must_use]
    pub fn regions(&self, p: &Partition) -> &'a [Region] {
        part(self.regions, &p.first_region, &p.regions).unwrap_or(&[])
    }

    /// What is loaded into a partition before it starts.
    #[must_use]
    pub fn loads(&self, p: &Partition) -> &'a [Load] {
        part(self.loads, &p.first_load, &p.loads).unwrap_or(&[])
    }

    /// The devices of a partition.
    #[must_use]
    pub fn devices(&self, p: &Partition) -> &'a [Device] {
        part(self.devices, &p.first_device, &p.devices).unwrap_or(&[])
    }

    fn check(&self) -> Result<(), Error> {
        if !self.header.system.is_valid() {
            return Err(bad(Table::Header, 0, "system"));
        }
        if self.cores.is_empty() || self.cores.len() > MAX_CORES {
            return Err(Error::Table {
                table: Table::Cores,
            });
        }
        if self.partitions.is_empty() || self.partitions.len() > MAX_PARTITIONS {
            return Err(Error::Table {
                table: Table::Partitions,
            });
        }
        if usize::from(self.header.focus.get()) >= self.partitions.len() {
            return Err(bad(Table::Header, 0, "focus"));
        }
        for (index, core) in numbered(self.cores) {
            if CorePolicy::decode(core.policy).is_none() {
                return Err(bad(Table::Cores, index, "policy"));
            }
        }
        for (index, partition) in numbered(self.partitions) {
            self.check_partition(index, partition)?;
        }
        self.check_cores()
    }

    fn check_partition(&self, index: u16, p: &Partition) -> Result<(), Error> {
        let in_table = |table, first: &U16, i| {
            let index = first.get().saturating_add(i);
            move |field| bad(table, index, field)
        };
        self.partition_fields(index, p)
            .map_err(|field| bad(Table::Partitions, index, field))?;
        for (i, vcpu) in numbered(self.vcpus(p)) {
            self.vcpu_fields(vcpu)
                .map_err(in_table(Table::Vcpus, &p.first_vcpu, i))?;
            let mut before = self.vcpus(p).iter().take(usize::from(i));
            if before.any(|other| other.core == vcpu.core) {
                return Err(Error::SharedVmid {
                    partition: index,
                    core: vcpu.core.get(),
                });
            }
        }
        for (i, region) in numbered(self.regions(p)) {
            region_fields(region).map_err(in_table(Table::Regions, &p.first_region, i))?;
        }
        for (i, device) in numbered(self.devices(p)) {
            device_fields(p, device).map_err(in_table(Table::Devices, &p.first_device, i))?;
            let intid = device.intid.get();
            let mut before = self.devices(p).iter().take(usize::from(i));
            if intid != 0 && before.any(|other| other.intid == device.intid) {
                return Err(Error::Interrupt {
                    partition: index,
                    intid,
                });
            }
        }
        self.check_overlap(index, p)?;
        for (i, load) in numbered(self.loads(p)) {
            self.load_fields(p, load)
                .map_err(in_table(Table::Loads, &p.first_load, i))?;
        }
        Ok(())
    }

    fn partition_fields(&self, index: u16, p: &Partition) -> Fields {
        ensure(p.name.is_valid(), "name")?;
        let mut earlier = self.partitions.iter().take(usize::from(index));
        ensure(
            !earlier.any(|other| other.name == p.name),
            "name (two partitions have it)",
        )?;
        ensure(Gic::decode(p.gic).is_some(), "gic")?;
        ensure(OnFault::decode(p.on_fault).is_some(), "on_fault")?;
        ensure(p.autostart <= 1, "autostart")?;
        ensure(
            p.spis.get() <= 256 && p.spis.get().is_multiple_of(32),
            "spis",
        )?;
        let vcpus = usize::from(p.vcpus.get());
        ensure(
            part(self.vcpus, &p.first_vcpu, &p.vcpus).is_some() && (1..=MAX_VCPUS).contains(&vcpus),
            "vcpus",
        )?;
        ensure(
            part(self.regions, &p.first_region, &p.regions).is_some() && p.regions.get() != 0,
            "regions",
        )?;
        ensure(part(self.loads, &p.first_load, &p.loads).is_some(), "loads")?;
        ensure(
            part(self.devices, &p.first_device, &p.devices).is_some(),
            "devices",
        )?;
        let mut gic = gic_pieces(p).into_iter();
        ensure(
            gic.all(|(at, size)| at.is_multiple_of(PAGE) && fits(at, size)),
            "gic address",
        )
    }

    fn vcpu_fields(&self, vcpu: &Vcpu) -> Fields {
        ensure(usize::from(vcpu.core.get()) < self.cores.len(), "core")?;
        let (budget, period) = (vcpu.budget_ns.get(), vcpu.period_ns.get());
        ensure((budget == 0) == (period == 0) && budget <= period, "budget")?;
        // An hour bounds every product of a duration with a counter's frequency.
        let sensible = budget == 0 || (budget >= 10_000 && period >= 100_000);
        ensure(period <= 3_600_000_000_000 && sensible, "period")
    }

    fn load_fields(&self, p: &Partition, load: &Load) -> Fields {
        ensure(LoadKind::decode(load.kind).is_some(), "kind")?;
        ensure(Gic::decode(load.gic).is_some(), "gic")?;
        let (offset, len) = (load.offset.get(), load.len.get());
        let end = offset.checked_add(len);
        let inside = end.is_some_and(|end| end <= self.header.bundle_len.get());
        ensure(offset.is_multiple_of(4) && inside, "offset")?;
        let (ipa, memory_len) = (load.ipa.get(), load.memory_len.get());
        ensure(memory_len >= len && ipa.is_multiple_of(8), "memory_len")?;
        let end = ipa.checked_add(memory_len).ok_or("memory_len")?;
        let holds = |r: &Region| {
            let (start, size) = (r.ipa.get(), r.size.get());
            ipa >= start && end <= start.saturating_add(size)
        };
        ensure(
            self.regions(p).iter().any(holds),
            "ipa (it is in no region)",
        )?;
        let (at, seed_len) = (
            u64::from(load.seed_offset.get()),
            u64::from(load.seed_len.get()),
        );
        ensure(seed_len <= 64 && at.saturating_add(seed_len) <= len, "seed")
    }

    /// Every piece of the address space against every other: there are few.
    fn check_overlap(&self, index: u16, p: &Partition) -> Result<(), Error> {
        let pieces = || (0..usize::MAX).map_while(|i| self.piece(p, i));
        for (i, (a, a_size)) in pieces().enumerate() {
            for (b, b_size) in pieces().take(i) {
                if a < b.saturating_add(b_size) && b < a.saturating_add(a_size) {
                    return Err(Error::Overlap {
                        partition: index,
                        ipa: a.max(b),
                    });
                }
            }
        }
        Ok(())
    }

    /// Address and size of the n-th piece of an address space: regions, then devices, then the interrupt controller.
    fn piece(&self, p: &Partition, n: usize) -> Option<(u64, u64)> {
        let (regions, devices) = (self.regions(p), self.devices(p));
        if let Some(region) = regions.get(n) {
            return Some((region.ipa.get(), region.size.get()));
        }
        let n = n.checked_sub(regions.len())?;
        if let Some(device) = devices.get(n) {
            return Some((device.ipa.get(), u64::from(device.size.get())));
        }
        gic_pieces(p).get(n.checked_sub(devices.len())?).copied()
    }

    fn check_cores(&self) -> Result<(), Error> {
        for (index, core) in numbered(self.cores) {
            let contexts = self
                .partitions
                .iter()
                .flat_map(|p| self.vcpus(p))
                .filter(|v| v.core.get() == index)
                .count();
            let most = match CorePolicy::decode(core.policy) {
                Some(CorePolicy::Pinned) => 1,
                _ => MAX_CONTEXTS_PER_CORE,
            };
            if contexts > most {
                return Err(Error::Crowded { core: index });
            }
        }
        Ok(())
    }
}

const PAGE: u64 = 4096;

/// The first field of a record that has no meaning, if one has none.
type Fields = Result<(), &'static str>;

fn ensure(holds: bool, field: &'static str) -> Fields {
    if holds { Ok(()) } else { Err(field) }
}

fn region_fields(r: &Region) -> Fields {
    let (ipa, size, pa) = (r.ipa.get(), r.size.get(), r.pa.get());
    ensure(RegionKind::decode(r.kind).is_some(), "kind")?;
    ensure(
        ipa.is_multiple_of(PAGE) && size.is_multiple_of(PAGE) && size != 0,
        "alignment",
    )?;
    let placed = pa == crate::ANYWHERE || (pa.is_multiple_of(PAGE) && fits(pa, size));
    ensure(fits(ipa, size) && placed, "address")
}

fn device_fields(p: &Partition, d: &Device) -> Fields {
    let (ipa, size, intid) = (d.ipa.get(), u64::from(d.size.get()), d.intid.get());
    ensure(DeviceKind::decode(d.kind).is_some(), "kind")?;
    ensure(
        ipa.is_multiple_of(PAGE) && size != 0 && fits(ipa, size),
        "address",
    )?;
    ensure(
        intid == 0 || (intid >= 32 && intid < p.spis.get().saturating_add(32)),
        "intid",
    )
}

/// Where the interrupt controller is, in both versions.
fn gic_pieces(p: &Partition) -> [(u64, u64); 3] {
    let redistributors = u64::from(p.vcpus.get()).saturating_mul(0x2_0000);
    [
        (p.gicd.get(), 0x1_0000),
        (p.gicr.get(), redistributors),
        (p.gicc.get(), 0x2000),
    ]
}

fn bad(table: Table, index: u16, field: &'static str) -> Error {
    Error::Field {
        table,
        index,
        field,
    }
}

/// Addresses stay below 2^48, so sums of two of them cannot overflow.
fn fits(at: u64, size: u64) -> bool {
    at.checked_add(size).is_some_and(|end| end <= 1 << 48)
}

fn numbered<T>(records: &[T]) -> impl Iterator<Item = (u16, &T)> {
    (0..=u16::MAX).zip(records)
}

fn part<'a, T>(records: &'a [T], first: &U16, count: &U16) -> Option<&'a [T]> {
    let first = usize::from(first.get());
    records.get(first..first.checked_add(usize::from(count.get()))?)
}

fn table<T: FromBytes + Immutable + KnownLayout + Unaligned>(
    bytes: &[u8],
    span: Span,
    table: Table,
) -> Result<&[T], Error> {
    let records = run(bytes, span, size_of::<T>()).and_then(|run| <[T]>::ref_from_bytes(run).ok());
    records.ok_or(Error::Table { table })
}

/// The bytes of a table whose records have a size.
fn run(bytes: &[u8], span: Span, size: usize) -> Option<&[u8]> {
    let count = span.count.get() as usize;
    let len = count
        .checked_mul(size)
        .filter(|_| count <= usize::from(u16::MAX))?;
    bytes.get(span.offset.get() as usize..)?.get(..len)
}

/// How long the bundle is that begins with a manifest of which at least the header is given; `None` if it is none.
/// For finding the end of a bundle, before it is checked.
#[must_use]
pub fn bundle_len(bytes: &[u8]) -> Option<u64> {
    let (header, _) = Header::ref_from_prefix(bytes).ok()?;
    (header.magic == MAGIC).then(|| header.bundle_len.get())
}
