//! Registers and descriptors, bit for bit, as the Arm ARM writes them.

use tessera_stage2::{AddressSpace, Ipa, Kind, Mapping, Pa, PaRange, Rights, Vmid};

use crate::machine::{Event, Memory};
use crate::walker::bits;

/// The entry that maps one page or block of `size` at 2 MiB times 512.
fn entry(size: u64, kind: Kind, rights: Rights) -> u64 {
    let (mut memory, mut recorder) = Memory::new(8);
    let vmid = Vmid::new(1).unwrap();
    let space = AddressSpace::new(&mut memory, 36, PaRange::Bits40, vmid).unwrap();
    let mapping = Mapping {
        ipa: Ipa::new(1 << 30),
        pa: Pa::new(1 << 30),
        size,
        kind,
        rights,
    };
    space.map(&mut memory, &mut recorder, mapping).unwrap();
    let events = recorder.take();
    match events[events.len() - 2] {
        Event::Write { new, .. } => new,
        other => panic!("{other:?} where the entry should be written"),
    }
}

#[test]
fn a_page_of_ram() {
    // AF, SH inner, S2AP read and write, MemAttr Write-Back, page.
    assert_eq!(entry(4096, Kind::Normal, Rights::RWX), 0x4000_07FF);
    assert_eq!(entry(4096, Kind::Normal, Rights::RX), 0x4000_077F);
    assert_eq!(entry(4096, Kind::Normal, Rights::RW), 0x0040_0000_4000_07FF);
    assert_eq!(entry(4096, Kind::Normal, Rights::R), 0x0040_0000_4000_077F);
}

#[test]
fn a_block_of_ram() {
    assert_eq!(entry(1 << 21, Kind::Normal, Rights::RWX), 0x4000_07FD);
    assert_eq!(entry(1 << 30, Kind::Normal, Rights::RWX), 0x4000_07FD);
}

#[test]
fn a_page_of_a_device() {
    // MemAttr Device-nGnRE, never executable.
    assert_eq!(entry(4096, Kind::Device, Rights::RW), 0x0040_0000_4000_04C7);
    assert_eq!(entry(4096, Kind::Device, Rights::R), 0x0040_0000_4000_0447);
}

#[test]
fn vttbr_is_the_vmid_above_the_root() {
    let (mut memory, _) = Memory::new(8);
    let vmid = Vmid::new(0xA5).unwrap();
    let mut space = AddressSpace::new(&mut memory, 40, PaRange::Bits40, vmid).unwrap();
    let root = *memory.tables.keys().next().unwrap();
    assert_eq!(space.vttbr(), 0x00A5_0000_0000_0000 | root);
}

#[test]
fn vtcr_fields() {
    for (pa_range, ps) in [
        (PaRange::Bits40, 2),
        (PaRange::Bits42, 3),
        (PaRange::Bits44, 4),
        (PaRange::Bits48, 5),
    ] {
        for ipa_bits in 32..=40 {
            let (mut memory, _) = Memory::new(8);
            let vmid = Vmid::new(1).unwrap();
            let space = AddressSpace::new(&mut memory, ipa_bits, pa_range, vmid).unwrap();
            let vtcr = space.vtcr();
            assert_eq!(bits(vtcr, 5, 0), 64 - u64::from(ipa_bits), "T0SZ");
            assert_eq!(bits(vtcr, 7, 6), 0b01, "SL0: level 1");
            assert_eq!(bits(vtcr, 9, 8), 0b01, "IRGN0: Write-Back");
            assert_eq!(bits(vtcr, 11, 10), 0b01, "ORGN0: Write-Back");
            assert_eq!(bits(vtcr, 13, 12), 0b11, "SH0: inner");
            assert_eq!(bits(vtcr, 15, 14), 0b00, "TG0: 4 KiB");
            assert_eq!(bits(vtcr, 18, 16), ps, "PS");
            assert_eq!(vtcr >> 19, 1 << (31 - 19), "RES1, and all others zero");
        }
    }
}

#[test]
fn pa_range_follows_id_aa64mmfr0() {
    let widths: Vec<_> = (0..16)
        .map(|field| PaRange::from_mmfr0(0x1120 << 4 | field).bits())
        .collect();
    assert_eq!(widths[..6], [32, 36, 40, 42, 44, 48]);
    assert!(widths[6..].iter().all(|&bits| bits == 48));
}
