//! Which entries a mapping uses, and which mappings are refused.

use tessera_stage2::{AddressSpace, Error, Ipa, Kind, Mapping, Pa, PaRange, Rights, Vmid};

use crate::machine::{Event, Memory, Recorder};

const PAGE: u64 = 0x1000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn space(ipa_bits: u8) -> (Memory, Recorder, AddressSpace) {
    let (mut memory, recorder) = Memory::new(64);
    let space = AddressSpace::new(
        &mut memory,
        ipa_bits,
        PaRange::Bits40,
        Vmid::new(1).unwrap(),
    )
    .unwrap();
    (memory, recorder, space)
}

fn ram(ipa: u64, pa: u64, size: u64) -> Mapping {
    Mapping {
        ipa: Ipa::new(ipa),
        pa: Pa::new(pa),
        size,
        kind: Kind::Normal,
        rights: Rights::RWX,
    }
}

/// How many entries and how many tables a mapping takes in an empty space.
fn cost(mapping: Mapping) -> (usize, usize) {
    let (mut memory, mut recorder, space) = space(40);
    space.map(&mut memory, &mut recorder, mapping).unwrap();
    let tables = memory.tables.len() - 1;
    let writes = recorder.take().len() - 1;
    (writes - tables, tables)
}

#[test]
fn an_aligned_gibibyte_is_one_entry_and_no_table() {
    assert_eq!(cost(ram(GIB, 3 * GIB, GIB)), (1, 0));
    assert_eq!(cost(ram(GIB, 3 * GIB, 5 * GIB)), (5, 0));
}

#[test]
fn an_aligned_2_mib_is_one_entry_in_one_table() {
    assert_eq!(cost(ram(GIB, 2 * MIB, 2 * MIB)), (1, 1));
}

#[test]
fn a_physical_address_off_by_2_mib_takes_2_mib_blocks() {
    assert_eq!(cost(ram(GIB, GIB + 2 * MIB, GIB)), (512, 1));
}

#[test]
fn a_physical_address_off_by_a_page_takes_pages() {
    assert_eq!(cost(ram(0, PAGE, 2 * MIB)), (512, 2));
}

#[test]
fn a_ragged_range_takes_the_largest_pieces_between_its_ends() {
    // A page, 511 blocks of 2 MiB less the first; one of 1 GiB; a block of 2 MiB; a page.
    let start = GIB - 2 * MIB - PAGE;
    let end = 2 * GIB + 2 * MIB + PAGE;
    let (entries, tables) = cost(ram(start, start, end - start));
    assert_eq!((entries, tables), (1 + 1 + 1 + 1 + 1, 4));
}

#[test]
fn the_root_of_40_bits_is_two_aligned_tables() {
    for (bits, length) in [(32, 512), (39, 512), (40, 1024)] {
        let (memory, _, mut space) = space(bits);
        let root = space.vttbr() & 0xFFFF_FFFF_FFFF;
        assert_eq!(memory.tables[&root].len(), length);
        assert_eq!(root % (length as u64 * 8), 0);
    }
}

#[test]
fn the_last_byte_of_40_bits_can_be_mapped() {
    let (mut memory, mut recorder, space) = space(40);
    let last = (1 << 40) - PAGE;
    let mapping = ram(last, 0, PAGE);
    space.map(&mut memory, &mut recorder, mapping).unwrap();
    let found = space.translate(&memory, Ipa::new((1 << 40) - 1)).unwrap();
    assert_eq!(found.pa, Pa::new(PAGE - 1));
}

#[test]
fn sizes_of_a_space_outside_32_to_40_bits_are_refused() {
    let vmid = Vmid::new(1).unwrap();
    for bits in (0..=255).filter(|bits| !(32..=40).contains(bits)) {
        let (mut memory, _) = Memory::new(8);
        let refused = AddressSpace::new(&mut memory, bits, PaRange::Bits48, vmid);
        assert_eq!(refused.unwrap_err(), Error::IpaBits(bits.into()));
        assert!(memory.tables.is_empty());
    }
}

#[test]
fn a_space_larger_than_physical_memory_is_refused() {
    let vmid = Vmid::new(1).unwrap();
    let (mut memory, _) = Memory::new(8);
    assert!(AddressSpace::new(&mut memory, 36, PaRange::Bits36, vmid).is_ok());
    let refused = AddressSpace::new(&mut memory, 37, PaRange::Bits36, vmid);
    assert_eq!(refused.unwrap_err(), Error::IpaBits(37));
}

#[test]
fn vmid_zero_does_not_exist() {
    assert_eq!(Vmid::new(0), None);
    assert_eq!(Vmid::new(255).map(Vmid::get), Some(255));
}

#[test]
fn ranges_that_are_not_whole_pages_are_refused() {
    let (mut memory, mut recorder, space) = space(36);
    for (ipa, size) in [
        (0, 0),
        (1, PAGE),
        (0x800, PAGE),
        (0, PAGE - 1),
        (PAGE, PAGE + 8),
    ] {
        let refused = space.map(&mut memory, &mut recorder, ram(ipa, 0, size));
        assert_eq!(refused, Err(Error::Misaligned(Ipa::new(ipa), size)));
    }
    let refused = space.map(&mut memory, &mut recorder, ram(0, 8, PAGE));
    assert_eq!(refused, Err(Error::MisalignedPa(Pa::new(8))));
    assert_eq!(recorder.take(), []);
}

#[test]
fn ranges_beyond_either_address_size_are_refused() {
    let (mut memory, mut recorder, space) = space(36);
    for (ipa, size) in [
        (1 << 36, PAGE),
        ((1 << 36) - PAGE, 2 * PAGE),
        (u64::MAX - PAGE + 1, PAGE),
    ] {
        let refused = space.map(&mut memory, &mut recorder, ram(ipa, 0, size));
        assert_eq!(refused, Err(Error::BeyondIpa(Ipa::new(ipa), size)));
    }
    for (pa, size) in [
        (1 << 40, PAGE),
        ((1 << 40) - PAGE, 2 * PAGE),
        (u64::MAX - PAGE + 1, PAGE),
    ] {
        let refused = space.map(&mut memory, &mut recorder, ram(0, pa, size));
        assert_eq!(refused, Err(Error::BeyondPa(Pa::new(pa), size)));
    }
    assert_eq!(recorder.take(), []);
}

#[test]
fn device_memory_is_never_executable() {
    let (mut memory, mut recorder, space) = space(36);
    let at = Ipa::new(0x900_0000);
    let device = |rights| Mapping {
        kind: Kind::Device,
        rights,
        ..ram(at.get(), 0x900_0000, PAGE)
    };
    let refused = space.map(&mut memory, &mut recorder, device(Rights::RX));
    assert_eq!(refused, Err(Error::DeviceExecutable(at)));
    space
        .map(&mut memory, &mut recorder, device(Rights::RW))
        .unwrap();
    let refused = space.protect(&mut memory, &mut recorder, at, PAGE, Rights::RX);
    assert_eq!(refused, Err(Error::DeviceExecutable(at)));
}

#[test]
fn an_overlap_names_its_first_page() {
    let (mut memory, mut recorder, space) = space(36);
    let first = ram(4 * MIB, 4 * MIB, 2 * MIB);
    space.map(&mut memory, &mut recorder, first).unwrap();
    for (ipa, size, overlap) in [
        (4 * MIB, PAGE, 4 * MIB),
        (6 * MIB - PAGE, 2 * PAGE, 6 * MIB - PAGE),
        (0, GIB, 4 * MIB),
        (4 * MIB - PAGE, 2 * PAGE, 4 * MIB),
    ] {
        let refused = space.map(&mut memory, &mut recorder, ram(ipa, ipa, size));
        assert_eq!(refused, Err(Error::Overlap(Ipa::new(overlap))));
    }
}

#[test]
fn a_misaligned_frame_is_not_taken_for_a_table() {
    struct Crooked;
    impl tessera_stage2::Tables for Crooked {
        fn allocate(&mut self, frames: usize) -> Option<Pa> {
            // Aligned to one frame, not to two; and with one, beyond 36 bits.
            Some(Pa::new(if frames == 2 { 0x3000 } else { 1 << 36 }))
        }
        fn entry(&self, _: Pa, _: usize) -> u64 {
            unreachable!("no walk without a root")
        }
        fn set_entry(&mut self, _: Pa, _: usize, _: u64) {
            unreachable!("no write without a root")
        }
    }
    let vmid = Vmid::new(1).unwrap();
    let refused = AddressSpace::new(&mut Crooked, 40, PaRange::Bits40, vmid);
    assert_eq!(refused.unwrap_err(), Error::BadFrame(Pa::new(0x3000)));
    let refused = AddressSpace::new(&mut Crooked, 36, PaRange::Bits36, vmid);
    assert_eq!(refused.unwrap_err(), Error::BadFrame(Pa::new(1 << 36)));
}

#[test]
fn a_split_keeps_what_the_block_said() {
    let (mut memory, mut recorder, space) = space(36);
    let block = ram(GIB, 2 * GIB, GIB);
    space.map(&mut memory, &mut recorder, block).unwrap();
    let page = Ipa::new(GIB + 5 * MIB);
    space
        .protect(&mut memory, &mut recorder, page, PAGE, Rights::R)
        .unwrap();
    for (offset, rights, span) in [
        (0, Rights::RWX, 2 * MIB),
        (5 * MIB - PAGE, Rights::RWX, PAGE),
        (5 * MIB, Rights::R, PAGE),
        (5 * MIB + PAGE, Rights::RWX, PAGE),
        (GIB - 2 * MIB, Rights::RWX, 2 * MIB),
    ] {
        let found = space.translate(&memory, Ipa::new(GIB + offset)).unwrap();
        assert_eq!(found.pa, Pa::new(2 * GIB + offset));
        assert_eq!((found.rights, found.level.span()), (rights, span));
    }
}

#[test]
fn a_table_is_filled_before_it_replaces_its_block() {
    let (mut memory, mut recorder, space) = space(36);
    let block = ram(0, 0, 2 * MIB);
    space.map(&mut memory, &mut recorder, block).unwrap();
    recorder.take();
    space
        .unmap(&mut memory, &mut recorder, Ipa::new(0), PAGE)
        .unwrap();
    let writes: Vec<_> = recorder
        .take()
        .into_iter()
        .filter_map(|event| match event {
            Event::Write { new, .. } => Some(new),
            _ => None,
        })
        .collect();
    // 512 pages, then the link, then the page that goes.
    assert_eq!(writes.len(), 514);
    let linked = writes.iter().position(|new| new & 0xFFF == 0b11).unwrap();
    assert_eq!(linked, 512);
    assert_eq!(writes[513], 0);
}
