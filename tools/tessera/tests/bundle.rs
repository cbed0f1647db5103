//! The bundle: the kernel's reader finds in it what the description says, and notices damage.

use manifest::{Gic, LoadKind, MANIFEST, Manifest, OnFault, cpio};
use proptest::prelude::*;
use std::path::Path;
use tessera::board::Board;
use tessera::bundle;
use tessera::check;
use tessera::description::Description;
use tessera::program::Profile;
use tessera::project::Project;
use tessera::setup::Permission;
use tessera::supply::Supply;
use tessera::system::System;

const TEXT: &str = r#"
name = "two"
trace = "64KiB"
[[core]]
policy = "shared"
[[core]]
policy = "pinned"

[guest.slow]
image = "image"
initramfs = "disk"
memory = "64MiB"
cores = [0, 1]
bootargs = "console=ttyAMA0"
on_fault = "restart"
max_restarts = 7

[guest.fast]
image = "flat"
address = 0x4100_0000
memory = "32MiB"
cores = [0]
priority = 200
budget = "100us"
period = "1ms"
gic = 2
rtc = false
focus = true
[[guest.fast.region]]
kind = "rom"
address = 0x0400_0000
size = "8KiB"
fill = 0xff
"#;

fn system() -> System {
    let folder = tempfile::tempdir().unwrap();
    let mut image = vec![7; 4096];
    image[8..16].copy_from_slice(&0u64.to_le_bytes());
    image[16..24].copy_from_slice(&0x1_0000u64.to_le_bytes());
    image[24..32].copy_from_slice(&0u64.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    for (name, bytes) in [
        ("image", &image[..]),
        ("disk", b"a RAM disk"),
        ("flat", b"\x00flat!"),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().join("two.toml");
    let (description, source) = Description::parse(&path, TEXT).unwrap();
    let mut system = check::check(&description, &source).unwrap();
    let project = Project::find().unwrap();
    let supply = Supply::new(&project, &path, Profile::Release, Permission::Look);
    supply.fill(&mut system, &description, &source).unwrap();
    system
}

/// The manifest as the kernel reads it.
fn parse(bundle: &[u8]) -> Result<Manifest<'_>, manifest::Error> {
    let first = cpio::member(bundle, 0).unwrap();
    Manifest::parse(first.data, bundle.len() as u64, crc32fast::hash)
}

#[test]
fn the_kernel_reads_what_the_description_says() {
    let bytes = bundle::write(&system()).unwrap();
    let manifest = parse(&bytes).unwrap();
    assert_eq!(manifest.header.system.as_str(), "two");
    assert_eq!(manifest.cores.len(), 2);
    assert_eq!(manifest.trace_bytes(), 64 << 10);
    let [fast, slow] = manifest.partitions() else {
        panic!()
    };
    assert_eq!((fast.name.as_str(), slow.name.as_str()), ("fast", "slow"));
    assert_eq!(manifest.header.focus.get(), 0, "`fast` has the keyboard");
    assert_eq!((fast.gic, fast.entry.get()), (Gic::V2 as u8, 0x4100_0000));
    assert_eq!(manifest.vcpus(fast)[0].budget_ns.get(), 100_000);
    assert_eq!(manifest.devices(fast).len(), 2, "no RTC");
    assert_eq!(
        (slow.on_fault, slow.max_restarts.get()),
        (OnFault::Restart as u8, 7)
    );
    let cores: Vec<u16> = manifest.vcpus(slow).iter().map(|v| v.core.get()).collect();
    assert_eq!(cores, [0, 1]);
    assert_eq!(
        slow.arguments[0].get(),
        0x4000_0000,
        "the tree is at the start of RAM"
    );
}

#[test]
fn every_load_is_in_the_bundle_with_its_check() {
    let system = system();
    let bytes = bundle::write(&system).unwrap();
    let manifest = parse(&bytes).unwrap();
    let mut seen = 0;
    for (partition, guest) in manifest.partitions().iter().zip(&system.guests) {
        for (load, given) in manifest.loads(partition).iter().zip(&guest.loads) {
            let at = load.offset.get() as usize;
            let data = &bytes[at..at + load.len.get() as usize];
            assert_eq!(data, given.bytes, "{}", given.member);
            assert_eq!(load.crc.get(), crc32fast::hash(data));
            seen += 1;
        }
    }
    assert_eq!(
        seen, 7,
        "two images, a region, a RAM disk, one tree for GICv2 alone and two for either"
    );
}

#[test]
fn a_guest_for_one_gic_has_one_tree() {
    let system = system();
    let trees = |name: &str| {
        let loads = &system.guest(name).unwrap().loads;
        loads
            .iter()
            .filter(|l| l.kind == LoadKind::DeviceTree)
            .map(|l| l.gic)
            .collect::<Vec<_>>()
    };
    assert_eq!(trees("fast"), [Gic::V2]);
    assert_eq!(trees("slow"), [Gic::V2, Gic::V3]);
}

#[test]
fn other_tools_can_list_it() {
    let bytes = bundle::write(&system()).unwrap();
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(member) = cpio::member(&bytes, at) {
        names.push(String::from_utf8(member.name.to_vec()).unwrap());
        at = member.next;
    }
    assert_eq!(names[0], MANIFEST);
    assert_eq!(names.last().unwrap(), cpio::TRAILER);
    assert!(
        names.contains(&"guest/slow/initramfs".to_string()),
        "{names:?}"
    );
    assert_eq!(at, bytes.len());
}

#[test]
fn the_same_system_gives_the_same_bytes() {
    assert!(bundle::write(&system()).unwrap() == bundle::write(&system()).unwrap());
}

#[test]
fn every_flipped_byte_of_the_manifest_is_noticed() {
    let mut bytes = bundle::write(&system()).unwrap();
    let first = cpio::member(&bytes, 0).unwrap();
    let (from, len) = (first.offset, first.data.len());
    for at in from..from + len {
        for bit in [1, 0x80] {
            bytes[at] ^= bit;
            assert!(parse(&bytes).is_err(), "byte {}", at - from);
            bytes[at] ^= bit;
        }
    }
    parse(&bytes).unwrap();
}

#[test]
fn every_cut_is_noticed() {
    let bytes = bundle::write(&system()).unwrap();
    let first = cpio::member(&bytes, 0).unwrap();
    for len in 0..bytes.len() {
        let cut = &bytes[..len];
        let manifest = cut.get(first.offset..).unwrap_or(&[]);
        assert!(
            Manifest::parse(manifest, len as u64, crc32fast::hash).is_err(),
            "cut to {len}"
        );
    }
}

#[test]
fn the_example_fits_every_board() {
    let (description, source) =
        Description::parse(Path::new("two.toml"), &TEXT.replace("gic = 2", "")).unwrap();
    let system = check::check(&description, &source).unwrap();
    for board in [Board::VirtGicv2, Board::VirtGicv3, Board::Zcu102] {
        check::board(&description, &system, board, &source).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is flipped or cut, reading never panics, and what is read stays in bounds.
    #[test]
    fn damage_never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..8), cut in any::<prop::sample::Index>()) {
        thread_local! {
            static BUNDLE: Vec<u8> = bundle::write(&system()).unwrap();
        }
        let mut bytes = BUNDLE.with(Vec::clone);
        let first = cpio::member(&bytes, 0).unwrap();
        let (from, len) = (first.offset, first.data.len());
        for (index, bit) in flips {
            bytes[from + index.index(len)] ^= bit;
        }
        // With the checks repaired, so that the records themselves are looked at.
        let header = size_of::<manifest::Header>();
        let tables = crc32fast::hash(&bytes[from + header..from + len]);
        bytes[from + 24..from + 28].copy_from_slice(&tables.to_le_bytes());
        let crc = crc32fast::hash(&bytes[from..from + header - 4]);
        bytes[from + header - 4..from + header].copy_from_slice(&crc.to_le_bytes());
        let end = from + cut.index(2 * len).min(len);
        if let Ok(m) = Manifest::parse(&bytes[from..end], bytes.len() as u64, crc32fast::hash) {
            for p in m.partitions() {
                prop_assert!(!m.vcpus(p).is_empty());
                for load in m.loads(p) {
                    prop_assert!(load.offset.get() + load.len.get() <= bytes.len() as u64);
                }
            }
        }
    }
}
