//! What the check of a manifest takes and refuses, one change at a time.

use tessera_manifest::{
    ANYWHERE, Core, Device, Error, Header, Load, MAGIC, MANIFEST, Manifest, Name, Partition,
    Region, Span, Table, VERSION, Vcpu,
};
use zerocopy::{FromZeros, IntoBytes};

/// One thing that is wrong.
type Change = fn(&mut Records);

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
fn verdict(r: Records) -> Result<(), Error> {
    verdict_with(r, |_| {})
}

/// The same, when the header with the places of the tables is changed at last.
fn verdict_with(r: Records, change: impl FnOnce(&mut Header)) -> Result<(), Error> {
    let partitions = r.partitions;
    encode(&partitions, r, change)
}

/// The same, with other partitions, whose vCPUs, memory, loads and devices are the same records.
fn verdict_of(partitions: &[Partition], r: Records) -> Result<(), Error> {
    encode(partitions, r, |_| {})
}

fn encode(
    partitions: &[Partition],
    mut r: Records,
    change: impl FnOnce(&mut Header),
) -> Result<(), Error> {
    let mut bytes = [0; 2048];
    let mut end = size_of::<Header>();
    let mut table = |records: &[u8], count: u32| {
        let start = end;
        end += records.len();
        bytes[start..end].copy_from_slice(records);
        Span {
            offset: (start as u32).into(),
            count: count.into(),
        }
    };
    r.header.cores = table(r.cores.as_bytes(), 1);
    r.header.partitions = table(partitions.as_bytes(), partitions.len() as u32);
    r.header.vcpus = table(r.vcpus.as_bytes(), 1);
    r.header.regions = table(r.regions.as_bytes(), 2);
    r.header.loads = table(r.loads.as_bytes(), 1);
    r.header.devices = table(r.devices.as_bytes(), 2);
    r.header.manifest_len = (end as u32).into();
    change(&mut r.header);
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
    let cases: [(&'static str, Table, Change); 25] = [
        ("focus", Table::Header, |r| r.header.focus = 1.into()),
        ("trace_bytes", Table::Header, |r| {
            r.header.trace_bytes = 0x3000.into()
        }),
        ("policy", Table::Cores, |r| r.cores[0].policy = 9),
        ("name", Table::Partitions, |r| {
            r.partitions[0].name = Name::new_zeroed()
        }),
        ("gic", Table::Partitions, |r| r.partitions[0].gic = 1),
        ("on_fault", Table::Partitions, |r| {
            r.partitions[0].on_fault = 2
        }),
        ("autostart", Table::Partitions, |r| {
            r.partitions[0].autostart = 2
        }),
        ("spis", Table::Partitions, |r| {
            r.partitions[0].spis = 33.into()
        }),
        ("vcpus", Table::Partitions, |r| {
            r.partitions[0].vcpus = 0.into()
        }),
        ("regions", Table::Partitions, |r| {
            r.partitions[0].first_region = 1.into()
        }),
        ("loads", Table::Partitions, |r| {
            r.partitions[0].loads = u16::MAX.into()
        }),
        ("devices", Table::Partitions, |r| {
            r.partitions[0].first_device = u16::MAX.into()
        }),
        ("gic address", Table::Partitions, |r| {
            r.partitions[0].gicr = (u64::MAX - 0xfff).into()
        }),
        ("core", Table::Vcpus, |r| r.vcpus[0].core = 1.into()),
        ("budget", Table::Vcpus, |r| {
            r.vcpus[0].budget_ns = 10_000.into()
        }),
        ("period", Table::Vcpus, |r| {
            (r.vcpus[0].budget_ns, r.vcpus[0].period_ns) = (9_999.into(), 100_000.into())
        }),
        ("kind", Table::Regions, |r| r.regions[0].kind = 2),
        ("alignment", Table::Regions, |r| {
            r.regions[0].size = 0.into()
        }),
        ("address", Table::Regions, |r| {
            r.regions[0].pa = (u64::MAX - 0xfff).into()
        }),
        ("kind", Table::Devices, |r| r.devices[0].kind = 0),
        ("address", Table::Devices, |r| r.devices[0].size = 0.into()),
        ("intid", Table::Devices, |r| r.devices[0].intid = 64.into()),
        ("offset", Table::Loads, |r| r.loads[0].offset = 0x804.into()),
        ("ipa (it is in no region)", Table::Loads, |r| {
            r.loads[0].ipa = 0x401f_f800.into()
        }),
        ("seed", Table::Loads, |r| {
            (r.loads[0].seed_offset, r.loads[0].seed_len) = (0x7f0.into(), 32.into())
        }),
    ];
    for (field, table, change) in cases {
        assert_eq!(
            changed(change),
            Err(Error::Field {
                table,
                index: 0,
                field
            })
        );
    }
}

#[test]
fn a_trace_ring_is_a_power_of_two_within_its_bounds() {
    for power in 0..32 {
        let trace_bytes = 1 << power;
        let field = "trace_bytes";
        let expected = match trace_bytes {
            0x1000..=0x40_0000 => Ok(()),
            _ => Err(bad(Table::Header, 0, field)),
        };
        let verdict = changed(|r| r.header.trace_bytes = trace_bytes.into());
        assert_eq!(verdict, expected, "{trace_bytes:#x}");
    }
}

#[test]
fn a_load_whose_end_does_not_exist_is_refused() {
    let refused = changed(|r| r.loads[0].memory_len = u64::MAX.into());
    assert_eq!(refused, Err(bad(Table::Loads, 0, "memory_len")));
}

#[test]
fn every_pair_of_pieces_must_be_apart() {
    let cases: [(u64, Change); 4] = [
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
fn a_table_that_is_not_there_is_named() {
    type Places = fn(&mut Header) -> &mut Span;
    let cases: [(Table, Places); 6] = [
        (Table::Cores, |h| &mut h.cores),
        (Table::Partitions, |h| &mut h.partitions),
        (Table::Vcpus, |h| &mut h.vcpus),
        (Table::Regions, |h| &mut h.regions),
        (Table::Loads, |h| &mut h.loads),
        (Table::Devices, |h| &mut h.devices),
    ];
    for (table, place) in cases {
        let moved = verdict_with(good(), |h| place(h).offset = h.manifest_len);
        assert_eq!(moved, Err(Error::Table { table }), "behind the manifest");
        for count in [u16::MAX.into(), 0x1_0000, u32::MAX] {
            let longer = verdict_with(good(), |h| place(h).count = count.into());
            assert_eq!(longer, Err(Error::Table { table }), "{count} records");
        }
    }
    for (table, place) in &cases[..2] {
        let empty = verdict_with(good(), |h| place(h).count = 0.into());
        assert_eq!(empty, Err(Error::Table { table: *table }), "no records");
    }
}

#[test]
fn a_partition_has_one_vcpu_on_a_core() {
    // The record behind the only vCPU is a part of the first region's, which is all zeros like that vCPU.
    let mut records = good();
    records.partitions[0].vcpus = 2.into();
    records.regions[0] = Region::new_zeroed();
    let shared = verdict_with(records, |h| h.vcpus.count = 2.into());
    let (partition, core) = (0, 0);
    assert_eq!(shared, Err(Error::SharedVmid { partition, core }));
}

#[test]
fn a_pinned_core_has_one_context() {
    let two = |policy: u8| {
        let mut r = good();
        r.cores[0].policy = policy;
        let other = Partition {
            name: Name::new("other").unwrap(),
            ..r.partitions[0]
        };
        verdict_of(&[r.partitions[0], other], r)
    };
    assert_eq!(two(0), Ok(()));
    assert_eq!(two(1), Err(Error::Crowded { core: 0 }));
}

#[test]
fn a_name_has_no_padding_in_its_bytes() {
    let name = Name::new("guest-1").unwrap();
    assert_eq!(name.as_bytes(), b"guest-1");
    assert_eq!(name.as_str(), "guest-1");
    assert_eq!(Name::new_zeroed().as_bytes(), b"");
}

#[test]
fn an_interrupt_belongs_to_one_device() {
    let refused = changed(|r| r.devices[1].intid = 33.into());
    assert_eq!(
        refused,
        Err(Error::Interrupt {
            partition: 0,
            intid: 33
        })
    );
}

#[test]
fn a_message_holds_what_and_where() {
    let cases = [
        (
            Error::Short { have: 1, need: 25 },
            "the manifest is cut short: 1 bytes of 25",
        ),
        (Error::Magic, "this is not a Tessera manifest"),
        (
            Error::Version { found: 9 },
            "the manifest has version 9, this kernel reads version 1: use the tool of the same release",
        ),
        (
            Error::HeaderCrc {
                found: 0x12,
                expected: 0xab,
            },
            "the manifest's header is damaged (CRC is 0x12, should be 0xab)",
        ),
        (
            Error::TablesCrc {
                found: 0,
                expected: u32::MAX,
            },
            "the manifest's tables are damaged (CRC is 0x0, should be 0xffffffff)",
        ),
        (
            Error::BundleShort { have: 0, need: 7 },
            "the bundle is cut short: 0 bytes of 7",
        ),
        (
            Error::Table {
                table: Table::Vcpus,
            },
            "the table of vCPUs is outside its bounds",
        ),
        (
            bad(Table::Loads, 3, "seed"),
            "record 3 of the table of loads has a bad seed",
        ),
        (
            Error::Overlap {
                partition: 1,
                ipa: 0x4000_0000,
            },
            "partition 1 has overlapping memory or devices at 0x40000000",
        ),
        (
            Error::Interrupt {
                partition: 0,
                intid: 33,
            },
            "partition 0 gives interrupt 33 twice",
        ),
        (
            Error::SharedVmid {
                partition: 2,
                core: 1,
            },
            "partition 2 has two vCPUs on core 1",
        ),
        (
            Error::Crowded { core: 3 },
            "core 3 has more contexts than it can have",
        ),
    ];
    for (error, message) in cases {
        assert_eq!(error.to_string(), message);
    }
    let message = Error::NotABundle.to_string();
    assert!(message.contains(MANIFEST), "{message}");
}

fn bad(table: Table, index: u16, field: &'static str) -> Error {
    Error::Field {
        table,
        index,
        field,
    }
}
