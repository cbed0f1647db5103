//! Writes the bundle: the manifest's records and the bytes of every image, as a cpio archive.

use crate::archive::Archive;
use crate::system::{Guest, System};
use manifest::{
    ANYWHERE, Core, Device, Header, Load, MAGIC, MANIFEST, Manifest, Name, Partition, Region, Span,
    VERSION, Vcpu,
};
use zerocopy::{FromZeros, Immutable, IntoBytes};

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number does not fit in its field.
    #[error("the system is too large for a bundle: {0}")]
    TooLarge(&'static str),
    /// The kernel's own checks refuse it: a defect of this tool, or of a description that it let pass.
    #[error("the kernel would refuse this bundle: {0}")]
    Refused(#[from] manifest::Error),
}

/// The tables of a manifest under construction.
#[derive(Default)]
struct Tables {
    partitions: Vec<Partition>,
    vcpus: Vec<Vcpu>,
    regions: Vec<Region>,
    loads: Vec<Load>,
    devices: Vec<Device>,
}

/// Writes the bundle of a system.
///
/// # Errors
///
/// See [`Error`]; what is written has passed the kernel's own checks.
pub fn write(system: &System) -> Result<Vec<u8>, Error> {
    let mut tables = tables(system)?;
    let cores: Vec<Core> = system
        .cores
        .iter()
        .map(|policy| Core {
            policy: *policy as u8,
            reserved: [0; 3],
        })
        .collect();
    // The manifest's length does not depend on what is in it, so a draft fixes every offset.
    let draft = encode(system, &cores, &tables, 0)?;
    let mut archive = Archive::default();
    archive.file(MANIFEST, 0o444, &draft);
    let loads = system
        .guests
        .iter()
        .flat_map(|g| g.loads.iter().map(move |l| (g, l)));
    for (record, (guest, load)) in tables.loads.iter_mut().zip(loads) {
        let name = format!("guest/{}/{}", guest.name, load.member);
        record.offset = (archive.file(&name, 0o444, &load.bytes) as u64).into();
    }
    let mut bytes = archive.finish();
    let manifest = encode(system, &cores, &tables, bytes.len() as u64)?;
    let at = Archive::default().next_data(MANIFEST);
    if let Some(place) = bytes
        .get_mut(at..)
        .and_then(|b| b.get_mut(..manifest.len()))
    {
        place.copy_from_slice(&manifest);
    }
    let written = bytes.get(at..).unwrap_or(&[]);
    Manifest::parse(written, bytes.len() as u64, crc32fast::hash)?;
    Ok(bytes)
}

fn tables(system: &System) -> Result<Tables, Error> {
    let mut t = Tables::default();
    for guest in &system.guests {
        let mut partition = partition(guest)?;
        partition.first_vcpu = small(t.vcpus.len())?.into();
        partition.vcpus = small(guest.vcpus.len())?.into();
        partition.first_region = small(t.regions.len())?.into();
        partition.regions = small(guest.regions.len())?.into();
        partition.first_load = small(t.loads.len())?.into();
        partition.loads = small(guest.loads.len())?.into();
        partition.first_device = small(t.devices.len())?.into();
        partition.devices = small(guest.devices.len())?.into();
        t.partitions.push(partition);
        t.vcpus.extend(guest.vcpus.iter().map(|v| {
            let (budget, period) = v.budget.unwrap_or((0, 0));
            Vcpu {
                core: v.core.into(),
                priority: v.priority,
                reserved: 0,
                budget_ns: budget.into(),
                period_ns: period.into(),
            }
        }));
        t.regions.extend(guest.regions.iter().map(|r| Region {
            ipa: r.ipa.into(),
            size: r.size.into(),
            pa: r.physical.unwrap_or(ANYWHERE).into(),
            kind: r.kind as u8,
            reserved: [0; 7],
        }));
        t.loads.extend(guest.loads.iter().map(|l| {
            let (seed_offset, seed_len) = l.seed.unwrap_or((0, 0));
            Load {
                offset: 0.into(),
                len: (l.bytes.len() as u64).into(),
                ipa: l.ipa.into(),
                memory_len: l.memory_len.into(),
                crc: crc32fast::hash(&l.bytes).into(),
                kind: l.kind as u8,
                gic: l.gic as u8,
                reserved: 0.into(),
                seed_offset: seed_offset.into(),
                seed_len: seed_len.into(),
            }
        }));
        t.devices.extend(guest.devices.iter().map(|d| Device {
            kind: d.kind as u8,
            reserved: 0,
            intid: d.intid.into(),
            size: d.size.into(),
            ipa: d.ipa.into(),
        }));
    }
    Ok(t)
}

fn partition(guest: &Guest) -> Result<Partition, Error> {
    Ok(Partition {
        name: Name::new(&guest.name).ok_or(Error::TooLarge("a guest's name"))?,
        gic: guest.gic as u8,
        on_fault: guest.on_fault as u8,
        autostart: u8::from(guest.autostart),
        max_restarts: guest.max_restarts.into(),
        spis: guest.spis.into(),
        entry: guest.entry.into(),
        arguments: guest.arguments.map(Into::into),
        gicd: guest.gicd.into(),
        gicr: guest.gicr.into(),
        gicc: guest.gicc.into(),
        ..Partition::new_zeroed()
    })
}

fn encode(system: &System, cores: &[Core], t: &Tables, bundle_len: u64) -> Result<Vec<u8>, Error> {
    let mut tables = Vec::new();
    let mut header = Header::new_zeroed();
    header.magic = MAGIC;
    header.version = VERSION.into();
    header.header_len = small(size_of::<Header>())?.into();
    header.bundle_len = bundle_len.into();
    header.system = Name::new(&system.name).ok_or(Error::TooLarge("the system's name"))?;
    header.cores = append(&mut tables, cores)?;
    header.partitions = append(&mut tables, &t.partitions)?;
    header.vcpus = append(&mut tables, &t.vcpus)?;
    header.regions = append(&mut tables, &t.regions)?;
    header.loads = append(&mut tables, &t.loads)?;
    header.devices = append(&mut tables, &t.devices)?;
    header.focus = small(system.focus)?.into();
    header.trace_bytes = system.trace.into();
    let len = size_of::<Header>() + tables.len();
    header.manifest_len = u32::try_from(len)
        .map_err(|_| Error::TooLarge("the manifest"))?
        .into();
    header.tables_crc = crc32fast::hash(&tables).into();
    let covered = size_of::<Header>() - size_of::<u32>();
    header.header_crc = crc32fast::hash(&header.as_bytes()[..covered]).into();
    let mut manifest = header.as_bytes().to_vec();
    manifest.extend_from_slice(&tables);
    Ok(manifest)
}

fn append<T: IntoBytes + Immutable>(tables: &mut Vec<u8>, records: &[T]) -> Result<Span, Error> {
    let offset = u32::try_from(size_of::<Header>() + tables.len());
    let count = u32::try_from(records.len());
    tables.extend_from_slice(records.as_bytes());
    Ok(Span {
        offset: offset.map_err(|_| Error::TooLarge("a table"))?.into(),
        count: count.map_err(|_| Error::TooLarge("a table"))?.into(),
    })
}

fn small(n: usize) -> Result<u16, Error> {
    u16::try_from(n).map_err(|_| Error::TooLarge("a table"))
}
