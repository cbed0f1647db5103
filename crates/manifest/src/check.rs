//! Reads a manifest and checks everything that can be checked without the board.

use crate::{
    Core, CorePolicy, Device, DeviceKind, Gic, Header, Load, LoadKind, MAGIC, MAX_CONTEXTS_PER_CORE,
    MAX_CORES, MAX_PARTITIONS, MAX_VCPUS, OnFault, Partition, Region, RegionKind, Span, VERSION, Vcpu,
};
use core::mem::size_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Why a manifest is refused. Indices count records of the named table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than the manifest says.
    #[error("the manifest is cut short: {have} bytes of {need}")]
    Short {
        /// Bytes that there are.
        have: usize,
        /// Bytes that there should be.
        need: usize,
    },
    /// The first bytes are not a manifest's.
    #[error("this is not a Tessera manifest")]
    Magic,
    /// Another version of the record layout.
    #[error("the manifest has version {found}, this kernel reads version {VERSION}: use the tool of the same release")]
    Version {
        /// The version found.
        found: u16,
    },
    /// The header's CRC does not match.
    #[error("the manifest's header is damaged (CRC is {found:08x}, should be {expected:08x})")]
    HeaderCrc {
        /// Computed from the bytes.
        found: u32,
        /// Written in the header.
        expected: u32,
    },
    /// The tables' CRC does not match.
    #[error("the manifest's tables are damaged (CRC is {found:08x}, should be {expected:08x})")]
    TablesCrc {
        /// Computed from the bytes.
        found: u32,
        /// Written in the header.
        expected: u32,
    },
    /// The bundle is not as long as when it was written.
    #[error("the bundle is cut short: {have} bytes of {need}")]
    BundleShort {
        /// Bytes that there are.
        have: u64,
        /// Bytes that there should be.
        need: u64,
    },
    /// A table lies outside the manifest or has too many or no records.
    #[error("the table of {table} is outside its bounds")]
    Table {
        /// Which table.
        table: Table,
    },
    /// A record has a value without meaning.
    #[error("record {index} of the table of {table} has a bad {field}")]
    Field {
        /// Which table.
        table: Table,
        /// Which record.
        index: u16,
        /// Which field.
        field: &'static str,
    },
    /// Two pieces of one partition's address space overlap.
    #[error("partition {partition} has overlapping memory or devices at {ipa:#x}")]
    Overlap {
        /// Index of the partition.
        partition: u16,
        /// Where.
        ipa: u64,
    },
    /// An interrupt is given to two devices of one partition.
    #[error("partition {partition} gives interrupt {intid} twice")]
    Interrupt {
        /// Index of the partition.
        partition: u16,
        /// The interrupt.
        intid: u16,
    },
    /// Two vCPUs of one partition are on one core (decision: they would share a VMID there).
    #[error("partition {partition} has two vCPUs on core {core}")]
    SharedVmid {
        /// Index of the partition.
        partition: u16,
        /// The core.
        core: u16,
    },
    /// A core has more contexts than its policy or the kernel allows.
    #[error("core {core} has more contexts than it can have")]
    Crowded {
        /// The core.
        core: u16,
    },
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
        part(self.vcpus, p.first_vcpu.get(), p.vcpus.get()).unwrap_or(&[])
    }

    /// The memory of a partition.
    #[must_use]
    pub fn regions(&self, p: &Partition) -> &'a [Region] {
        part(self.regions, p.first_region.get(), p.regions.get()).unwrap_or(&[])
    }

    /// What is loaded into a partition before it starts.
    #[must_use]
    pub fn loads(&self, p: &Partition) -> &'a [Load] {
        part(self.loads, p.first_load.get(), p.loads.get()).unwrap_or(&[])
    }

    /// The devices of a partition.
    #[must_use]
    pub fn devices(&self, p: &Partition) -> &'a [Device] {
        part(self.devices, p.first_device.get(), p.devices.get()).unwrap_or(&[])
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
        let field = |field| Err(bad(Table::Partitions, index, field));
        if !p.name.is_valid() {
            return field("name");
        }
        let earlier = self.partitions.iter().take(usize::from(index));
        if earlier.into_iter().any(|other| other.name == p.name) {
            return field("name (two partitions have it)");
        }
        if Gic::decode(p.gic).is_none() {
            return field("gic");
        }
        if OnFault::decode(p.on_fault).is_none() {
            return field("on_fault");
        }
        if p.autostart > 1 {
            return field("autostart");
        }
        if p.spis.get() > 256 || !p.spis.get().is_multiple_of(32) {
            return field("spis");
        }
        let vcpus = part(self.vcpus, p.first_vcpu.get(), p.vcpus.get());
        if vcpus.is_none_or(|v| v.is_empty() || v.len() > MAX_VCPUS) {
            return field("vcpus");
        }
        if part(self.regions, p.first_region.get(), p.regions.get()).is_none_or(<[_]>::is_empty) {
            return field("regions");
        }
        if part(self.loads, p.first_load.get(), p.loads.get()).is_none() {
            return field("loads");
        }
        if part(self.devices, p.first_device.get(), p.devices.get()).is_none() {
            return field("devices");
        }
        for (i, vcpu) in numbered(self.vcpus(p)) {
            self.check_vcpu(p.first_vcpu.get().saturating_add(i), vcpu)?;
            let before = self.vcpus(p).iter().take(usize::from(i));
            if before.into_iter().any(|other| other.core == vcpu.core) {
                return Err(Error::SharedVmid {
                    partition: index,
                    core: vcpu.core.get(),
                });
            }
        }
        self.check_memory(index, p)
    }

    fn check_vcpu(&self, index: u16, vcpu: &Vcpu) -> Result<(), Error> {
        if usize::from(vcpu.core.get()) >= self.cores.len() {
            return Err(bad(Table::Vcpus, index, "core"));
        }
        let (budget, period) = (vcpu.budget_ns.get(), vcpu.period_ns.get());
        if (budget == 0) != (period == 0) || budget > period {
            return Err(bad(Table::Vcpus, index, "budget"));
        }
        // An hour bounds every product of a duration with a counter's frequency.
        if period > 3_600_000_000_000 || (budget != 0 && (budget < 10_000 || period < 100_000)) {
            return Err(bad(Table::Vcpus, index, "period"));
        }
        Ok(())
    }

    fn check_memory(&self, index: u16, p: &Partition) -> Result<(), Error> {
        for (i, r) in numbered(self.regions(p)) {
            let at = p.first_region.get().saturating_add(i);
            if RegionKind::decode(r.kind).is_none() {
                return Err(bad(Table::Regions, at, "kind"));
            }
            let aligned = |v: u64| v.is_multiple_of(4096);
            if !aligned(r.ipa.get()) || !aligned(r.size.get()) || r.size.get() == 0 {
                return Err(bad(Table::Regions, at, "alignment"));
            }
            let pa = r.pa.get();
            if extent(r.ipa.get(), r.size.get()).is_none()
                || (pa != crate::ANYWHERE && (!aligned(pa) || extent(pa, r.size.get()).is_none()))
            {
                return Err(bad(Table::Regions, at, "address"));
            }
        }
        for (i, d) in numbered(self.devices(p)) {
            let at = p.first_device.get().saturating_add(i);
            if DeviceKind::decode(d.kind).is_none() {
                return Err(bad(Table::Devices, at, "kind"));
            }
            if !d.ipa.get().is_multiple_of(4096)
                || d.size.get() == 0
                || extent(d.ipa.get(), u64::from(d.size.get())).is_none()
            {
                return Err(bad(Table::Devices, at, "address"));
            }
            let intid = d.intid.get();
            if intid != 0 && (intid < 32 || intid >= p.spis.get().saturating_add(32)) {
                return Err(bad(Table::Devices, at, "intid"));
            }
            let before = self.devices(p).iter().take(usize::from(i));
            if intid != 0 && before.into_iter().any(|o| o.intid == d.intid) {
                return Err(Error::Interrupt {
                    partition: index,
                    intid,
                });
            }
        }
        self.check_overlap(index, p)?;
        for (i, load) in numbered(self.loads(p)) {
            self.check_load(p, p.first_load.get().saturating_add(i), load)?;
        }
        Ok(())
    }

    /// Every piece of the address space against every other: there are few.
    fn check_overlap(&self, index: u16, p: &Partition) -> Result<(), Error> {
        let redistributors = u64::from(p.vcpus.get()).saturating_mul(0x2_0000);
        let gic = [
            (p.gicd.get(), 0x1_0000),
            (p.gicr.get(), redistributors),
            (p.gicc.get(), 0x2000),
        ];
        if gic.iter().any(|&(at, size)| !at.is_multiple_of(4096) || extent(at, size).is_none()) {
            return Err(bad(Table::Partitions, index, "gic address"));
        }
        let pieces = || {
            let regions = self.regions(p).iter().map(|r| (r.ipa.get(), r.size.get()));
            let devices = self
                .devices(p)
                .iter()
                .map(|d| (d.ipa.get(), u64::from(d.size.get())));
            regions.chain(devices).chain(gic)
        };
        for (i, (a, a_size)) in pieces().enumerate() {
            for (b, b_size) in pieces().skip(i.saturating_add(1)) {
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

    fn check_load(&self, p: &Partition, at: u16, load: &Load) -> Result<(), Error> {
        let field = |field| Err(bad(Table::Loads, at, field));
        if LoadKind::decode(load.kind).is_none() {
            return field("kind");
        }
        if Gic::decode(load.gic).is_none() {
            return field("gic");
        }
        let (offset, len) = (load.offset.get(), load.len.get());
        let end = offset.checked_add(len);
        if !offset.is_multiple_of(4) || end.is_none_or(|end| end > self.header.bundle_len.get()) {
            return field("offset");
        }
        let (ipa, memory_len) = (load.ipa.get(), load.memory_len.get());
        if memory_len < len || !ipa.is_multiple_of(8) {
            return field("memory_len");
        }
        let inside = |r: &Region| {
            let end = r.ipa.get().checked_add(r.size.get());
            ipa >= r.ipa.get() && ipa.checked_add(memory_len) <= end
        };
        if !self.regions(p).iter().any(inside) {
            return field("ipa (it is in no region)");
        }
        let seed = u64::from(load.seed_offset.get()).checked_add(u64::from(load.seed_len.get()));
        if load.seed_len.get() > 64 || seed.is_none_or(|end| end > len) {
            return field("seed");
        }
        Ok(())
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

fn bad(table: Table, index: u16, field: &'static str) -> Error {
    Error::Field {
        table,
        index,
        field,
    }
}

/// Addresses stay below 2^48, so sums of two of them cannot overflow.
fn extent(at: u64, size: u64) -> Option<u64> {
    at.checked_add(size).filter(|&end| end <= 1 << 48)
}

fn numbered<T>(records: &[T]) -> impl Iterator<Item = (u16, &T)> {
    (0..=u16::MAX).zip(records)
}

fn part<T>(records: &[T], first: u16, count: u16) -> Option<&[T]> {
    let first = usize::from(first);
    records.get(first..first.checked_add(usize::from(count))?)
}

fn table<T: FromBytes + Immutable + KnownLayout + Unaligned>(
    bytes: &[u8],
    span: Span,
    table: Table,
) -> Result<&[T], Error> {
    let count = span.count.get() as usize;
    if count > usize::from(u16::MAX) {
        return Err(Error::Table { table });
    }
    bytes
        .get(span.offset.get() as usize..)
        .and_then(|rest| <[T]>::ref_from_prefix_with_elems(rest, count).ok())
        .map(|(records, _)| records)
        .ok_or(Error::Table { table })
}

/// How long the bundle is that begins with a manifest of which at least the header is given; `None` if it is none.
/// For finding the end of a bundle, before it is checked.
#[must_use]
pub fn bundle_len(bytes: &[u8]) -> Option<u64> {
    let (header, _) = Header::ref_from_prefix(bytes).ok()?;
    (header.magic == MAGIC).then(|| header.bundle_len.get())
}
