//! Reads a manifest and checks everything that can be checked without the board.

use crate::{
    Core, CorePolicy, Device, DeviceKind, Gic, Header, Load, LoadKind, MAGIC, MAX_CONTEXTS_PER_CORE,
    MAX_CORES, MAX_PARTITIONS, MAX_VCPUS, OnFault, Partition, Region, RegionKind, Span, U16, VERSION, Vcpu,
};
use core::mem::size_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Why a manifest is refused. Indices count records of the named table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Fewer bytes than the manifest says.
    Short {
        /// Bytes that there are.
        have: usize,
        /// Bytes that there should be.
        need: usize,
    },
    /// The first bytes are not a manifest's.
    Magic,
    /// Another version of the record layout.
    Version {
        /// The version found.
        found: u16,
    },
    /// The header's CRC does not match.
    HeaderCrc {
        /// Computed from the bytes.
        found: u32,
        /// Written in the header.
        expected: u32,
    },
    /// The tables' CRC does not match.
    TablesCrc {
        /// Computed from the bytes.
        found: u32,
        /// Written in the header.
        expected: u32,
    },
    /// The bundle is not as long as when it was written.
    BundleShort {
        /// Bytes that there are.
        have: u64,
        /// Bytes that there should be.
        need: u64,
    },
    /// A table lies outside the manifest or has too many or no records.
    Table {
        /// Which table.
        table: Table,
    },
    /// A record has a value without meaning.
    Field {
        /// Which table.
        table: Table,
        /// Which record.
        index: u16,
        /// Which field.
        field: &'static str,
    },
    /// Two pieces of one partition's address space overlap.
    Overlap {
        /// Index of the partition.
        partition: u16,
        /// Where.
        ipa: u64,
    },
    /// An interrupt is given to two devices of one partition.
    Interrupt {
        /// Index of the partition.
        partition: u16,
        /// The interrupt.
        intid: u16,
    },
    /// Two vCPUs of one partition are on one core (decision: they would share a VMID there).
    SharedVmid {
        /// Index of the partition.
        partition: u16,
        /// The core.
        core: u16,
    },
    /// A core has more contexts than its policy or the kernel allows.
    Crowded {
        /// The core.
        core: u16,
    },
}

impl core::error::Error for Error {}

// Written out so that every number is printed as a `u64` and every text as it is: the kernel then has two number formats
// in it and no padding of text.
impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Short { have, need } => cut(f, "manifest", have as u64, need as u64),
            Self::Magic => f.write_str("this is not a Tessera manifest"),
            Self::Version { found } => write!(
                f,
                "the manifest has version {}, this kernel reads version {}: use the tool of the same release",
                u64::from(found),
                u64::from(VERSION)
            ),
            Self::HeaderCrc { found, expected } => damaged(f, "header is", found, expected),
            Self::TablesCrc { found, expected } => damaged(f, "tables are", found, expected),
            Self::BundleShort { have, need } => cut(f, "bundle", have, need),
            Self::Table { table } => write!(f, "the table of {table} is outside its bounds"),
            Self::Field { table, index, field } => {
                write!(f, "record {} of the table of {table} has a bad ", u64::from(index))?;
                f.write_str(field)
            }
            Self::Overlap { partition, ipa } => {
                write!(f, "partition {} has overlapping memory or devices at {ipa:#x}", u64::from(partition))
            }
            Self::Interrupt { partition, intid } => {
                write!(f, "partition {} gives interrupt {} twice", u64::from(partition), u64::from(intid))
            }
            Self::SharedVmid { partition, core } => {
                write!(f, "partition {} has two vCPUs on core {}", u64::from(partition), u64::from(core))
            }
            Self::Crowded { core } => write!(f, "core {} has more contexts than it can have", u64::from(core)),
        }
    }
}

fn cut(f: &mut core::fmt::Formatter<'_>, what: &str, have: u64, need: u64) -> core::fmt::Result {
    f.write_str("the ")?;
    f.write_str(what)?;
    write!(f, " is cut short: {have} bytes of {need}")
}

fn damaged(f: &mut core::fmt::Formatter<'_>, part: &str, found: u32, expected: u32) -> core::fmt::Result {
    let (found, expected) = (u64::from(found), u64::from(expected));
    f.write_str("the manifest's ")?;
    f.write_str(part)?;
    write!(f, " damaged (CRC is {found:#x}, should be {expected:#x})")
}

/// The tables of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Table {
    Header,
    Cores,
    Partitions,
    Vcpus,
    Regions,
    Loads,
    Devices,
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Cores => "cores",
            Self::Partitions => "partitions",
            Self::Vcpus => "vCPUs",
            Self::Regions => "regions",
            Self::Loads => "loads",
            Self::Devices => "devices",
        })
    }
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
    pub fn parse(
        bytes: &'a [u8],
        bundle_len: u64,
        crc: impl Fn(&[u8]) -> u32,
    ) -> Result<Self, Error> {
        let short = |need| Error::Short {
            have: bytes.len(),
            need,
        };
        let (header, _) =
            Header::ref_from_prefix(bytes).map_err(|_| short(size_of::<Header>()))?;
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
        self.partition_fields(index, p).map_err(|field| bad(Table::Partitions, index, field))?;
        for (i, vcpu) in numbered(self.vcpus(p)) {
            self.vcpu_fields(vcpu).map_err(in_table(Table::Vcpus, &p.first_vcpu, i))?;
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
            self.load_fields(p, load).map_err(in_table(Table::Loads, &p.first_load, i))?;
        }
        Ok(())
    }

    fn partition_fields(&self, index: u16, p: &Partition) -> Fields {
        ensure(p.name.is_valid(), "name")?;
        let mut earlier = self.partitions.iter().take(usize::from(index));
        ensure(!earlier.any(|other| other.name == p.name), "name (two partitions have it)")?;
        ensure(Gic::decode(p.gic).is_some(), "gic")?;
        ensure(OnFault::decode(p.on_fault).is_some(), "on_fault")?;
        ensure(p.autostart <= 1, "autostart")?;
        ensure(p.spis.get() <= 256 && p.spis.get().is_multiple_of(32), "spis")?;
        let vcpus = usize::from(p.vcpus.get());
        ensure(part(self.vcpus, &p.first_vcpu, &p.vcpus).is_some() && (1..=MAX_VCPUS).contains(&vcpus), "vcpus")?;
        ensure(part(self.regions, &p.first_region, &p.regions).is_some() && p.regions.get() != 0, "regions")?;
        ensure(part(self.loads, &p.first_load, &p.loads).is_some(), "loads")?;
        ensure(part(self.devices, &p.first_device, &p.devices).is_some(), "devices")?;
        let mut gic = gic_pieces(p).into_iter();
        ensure(gic.all(|(at, size)| at.is_multiple_of(PAGE) && fits(at, size)), "gic address")
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
        ensure(self.regions(p).iter().any(holds), "ipa (it is in no region)")?;
        let (at, seed_len) = (u64::from(load.seed_offset.get()), u64::from(load.seed_len.get()));
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
    ensure(ipa.is_multiple_of(PAGE) && size.is_multiple_of(PAGE) && size != 0, "alignment")?;
    let placed = pa == crate::ANYWHERE || (pa.is_multiple_of(PAGE) && fits(pa, size));
    ensure(fits(ipa, size) && placed, "address")
}

fn device_fields(p: &Partition, d: &Device) -> Fields {
    let (ipa, size, intid) = (d.ipa.get(), u64::from(d.size.get()), d.intid.get());
    ensure(DeviceKind::decode(d.kind).is_some(), "kind")?;
    ensure(ipa.is_multiple_of(PAGE) && size != 0 && fits(ipa, size), "address")?;
    ensure(intid == 0 || (intid >= 32 && intid < p.spis.get().saturating_add(32)), "intid")
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
    let len = count.checked_mul(size).filter(|_| count <= usize::from(u16::MAX))?;
    bytes.get(span.offset.get() as usize..)?.get(..len)
}

/// How long the bundle is that begins with a manifest of which at least the header is given; `None` if it is none.
/// For finding the end of a bundle, before it is checked.
#[must_use]
pub fn bundle_len(bytes: &[u8]) -> Option<u64> {
    let (header, _) = Header::ref_from_prefix(bytes).ok()?;
    (header.magic == MAGIC).then(|| header.bundle_len.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ANYWHERE, Name};
    use zerocopy::FromZeros;

    /// A manifest of one partition, as its records.
    struct Records {
        header: Header,
        cores: [Core; 1],
        partitions: [Partition; 1],
        vcpus: [Vcpu; 1],
        regions: [Region; 2],
        loads: [Load; 1],
        devices: [Device; 2],
    }

    fn good() -> Records {
        let mut header = Header::new_zeroed();
        header.magic = MAGIC;
        header.version = VERSION.into();
        header.header_len = (size_of::<Header>() as u16).into();
        header.system = Name::new("system").unwrap();
        header.bundle_len = 0x1000.into();
        let mut p = Partition::new_zeroed();
        p.name = Name::new("guest").unwrap();
        p.spis = 32.into();
        (p.vcpus, p.regions, p.loads, p.devices) = (1.into(), 2.into(), 1.into(), 2.into());
        (p.gicd, p.gicr, p.gicc) = (0x800_0000.into(), 0x80a_0000.into(), 0x801_0000.into());
        let region = |ipa: u64| {
            let mut r = Region::new_zeroed();
            (r.ipa, r.size, r.pa) = (ipa.into(), 0x20_0000.into(), ANYWHERE.into());
            r
        };
        let device = |ipa: u64, intid: u16| {
            let mut d = Device::new_zeroed();
            (d.kind, d.ipa, d.size, d.intid) = (1, ipa.into(), 0x1000.into(), intid.into());
            d
        };
        let mut load = Load::new_zeroed();
        (load.len, load.memory_len, load.ipa) = (0x800.into(), 0x900.into(), 0x4000_0000.into());
        Records {
            header,
            cores: [Core::new_zeroed()],
            partitions: [p],
            vcpus: [Vcpu::new_zeroed()],
            regions: [region(0x4000_0000), region(0x5000_0000)],
            loads: [load],
            devices: [device(0x900_0000, 33), device(0x901_0000, 34)],
        }
    }

    /// What the check says of them; every CRC is taken to be zero.
    fn verdict(mut r: Records) -> Result<(), Error> {
        let mut bytes = [0; 2048];
        let mut end = size_of::<Header>();
        let mut table = |records: &[u8], count: u32| {
            let start = end;
            end += records.len();
            bytes[start..end].copy_from_slice(records);
            Span { offset: (start as u32).into(), count: count.into() }
        };
        r.header.cores = table(r.cores.as_bytes(), 1);
        r.header.partitions = table(r.partitions.as_bytes(), 1);
        r.header.vcpus = table(r.vcpus.as_bytes(), 1);
        r.header.regions = table(r.regions.as_bytes(), 2);
        r.header.loads = table(r.loads.as_bytes(), 1);
        r.header.devices = table(r.devices.as_bytes(), 2);
        r.header.manifest_len = (end as u32).into();
        bytes[..size_of::<Header>()].copy_from_slice(r.header.as_bytes());
        Manifest::parse(&bytes, 0x1000, |_| 0).map(|_| ())
    }

    /// What it says after one change.
    fn changed(change: impl FnOnce(&mut Records)) -> Result<(), Error> {
        let mut records = good();
        change(&mut records);
        verdict(records)
    }

    #[test]
    fn a_good_manifest_is_taken() {
        assert_eq!(verdict(good()), Ok(()));
    }

    #[test]
    fn a_field_without_meaning_is_named() {
        let cases: [(&'static str, Table, fn(&mut Records)); 24] = [
            ("focus", Table::Header, |r| r.header.focus = 1.into()),
            ("policy", Table::Cores, |r| r.cores[0].policy = 9),
            ("name", Table::Partitions, |r| r.partitions[0].name = Name::new_zeroed()),
            ("gic", Table::Partitions, |r| r.partitions[0].gic = 1),
            ("on_fault", Table::Partitions, |r| r.partitions[0].on_fault = 2),
            ("autostart", Table::Partitions, |r| r.partitions[0].autostart = 2),
            ("spis", Table::Partitions, |r| r.partitions[0].spis = 33.into()),
            ("vcpus", Table::Partitions, |r| r.partitions[0].vcpus = 0.into()),
            ("regions", Table::Partitions, |r| r.partitions[0].first_region = 1.into()),
            ("loads", Table::Partitions, |r| r.partitions[0].loads = u16::MAX.into()),
            ("devices", Table::Partitions, |r| r.partitions[0].first_device = u16::MAX.into()),
            ("gic address", Table::Partitions, |r| r.partitions[0].gicr = (u64::MAX - 0xfff).into()),
            ("core", Table::Vcpus, |r| r.vcpus[0].core = 1.into()),
            ("budget", Table::Vcpus, |r| r.vcpus[0].budget_ns = 10_000.into()),
            ("period", Table::Vcpus, |r| (r.vcpus[0].budget_ns, r.vcpus[0].period_ns) = (9_999.into(), 100_000.into())),
            ("kind", Table::Regions, |r| r.regions[0].kind = 2),
            ("alignment", Table::Regions, |r| r.regions[0].size = 0.into()),
            ("address", Table::Regions, |r| r.regions[0].pa = (u64::MAX - 0xfff).into()),
            ("kind", Table::Devices, |r| r.devices[0].kind = 0),
            ("address", Table::Devices, |r| r.devices[0].size = 0.into()),
            ("intid", Table::Devices, |r| r.devices[0].intid = 64.into()),
            ("offset", Table::Loads, |r| r.loads[0].offset = 0x804.into()),
            ("ipa (it is in no region)", Table::Loads, |r| r.loads[0].ipa = 0x401f_f800.into()),
            ("seed", Table::Loads, |r| (r.loads[0].seed_offset, r.loads[0].seed_len) = (0x7f0.into(), 32.into())),
        ];
        for (field, table, change) in cases {
            assert_eq!(changed(change), Err(Error::Field { table, index: 0, field }));
        }
    }

    #[test]
    fn a_load_whose_end_does_not_exist_is_refused() {
        let refused = changed(|r| r.loads[0].memory_len = u64::MAX.into());
        assert_eq!(refused, Err(bad(Table::Loads, 0, "memory_len")));
    }

    #[test]
    fn every_pair_of_pieces_must_be_apart() {
        let cases: [(u64, fn(&mut Records)); 4] = [
            (0x4010_0000, |r| r.regions[1].ipa = 0x4010_0000.into()),
            (0x5000_0000, |r| r.devices[1].ipa = 0x5000_0000.into()),
            (0x900_0000, |r| r.devices[1].ipa = 0x900_0000.into()),
            (0x80a_0000, |r| r.partitions[0].gicc = 0x80a_0000.into()),
        ];
        for (ipa, change) in cases {
            assert_eq!(changed(change), Err(Error::Overlap { partition: 0, ipa }));
        }
    }

    #[test]
    fn an_interrupt_belongs_to_one_device() {
        let refused = changed(|r| r.devices[1].intid = 33.into());
        assert_eq!(refused, Err(Error::Interrupt { partition: 0, intid: 33 }));
    }

    #[test]
    fn a_message_holds_what_and_where() {
        extern crate std;
        use std::string::ToString;
        let message = bad(Table::Loads, 3, "seed").to_string();
        assert_eq!(message, "record 3 of the table of loads has a bad seed");
        let message = Error::HeaderCrc { found: 0x12, expected: 0xab }.to_string();
        assert_eq!(message, "the manifest's header is damaged (CRC is 0x12, should be 0xab)");
    }
}
