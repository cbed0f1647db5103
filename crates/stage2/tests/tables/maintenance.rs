//! The order of writes, barriers and invalidations: word for word, and against a TLB that is as bad
//! as the architecture allows.

use proptest::prelude::*;
use tessera_stage2::{AddressSpace, Ipa, Kind, Mapping, Pa, PaRange, Rights, Vmid};

use crate::machine::{Event, Memory, Recorder};
use crate::tlb::WorstTlb;

const PAGE: u64 = 0x1000;
const MIB: u64 = 1 << 20;

/// A machine with a space, and the RAM at 0 that most tests change: 2 MiB in one block, then 64
/// pages.
struct Fixture {
    memory: Memory,
    recorder: Recorder,
    space: AddressSpace,
}

const PAGES_AT: u64 = 2 * MIB;

impl Fixture {
    fn new() -> Self {
        let (mut memory, mut recorder) = Memory::new(64);
        let vmid = Vmid::new(3).unwrap();
        let space = AddressSpace::new(&mut memory, 32, PaRange::Bits40, vmid).unwrap();
        for (ipa, size) in [(0, 2 * MIB), (PAGES_AT, 64 * PAGE)] {
            let mapping = ram(ipa, size);
            space.map(&mut memory, &mut recorder, mapping).unwrap();
        }
        Self {
            memory,
            recorder,
            space,
        }
    }

    fn live() -> Self {
        let mut fixture = Self::new();
        fixture.space.vttbr();
        fixture.recorder.take();
        fixture
    }

    fn unmap(&mut self, ipa: u64, size: u64) {
        self.space
            .unmap(&mut self.memory, &mut self.recorder, Ipa::new(ipa), size)
            .unwrap();
    }

    fn protect(&mut self, ipa: u64, size: u64, rights: Rights) {
        let ipa = Ipa::new(ipa);
        self.space
            .protect(&mut self.memory, &mut self.recorder, ipa, size, rights)
            .unwrap();
    }
}

fn ram(ipa: u64, size: u64) -> Mapping {
    Mapping {
        ipa: Ipa::new(ipa),
        pa: Pa::new(0x1_0000_0000 + ipa),
        size,
        kind: Kind::Normal,
        rights: Rights::RWX,
    }
}

/// The sequence for a few entries.
fn by_ipa(ipas: impl IntoIterator<Item = u64>) -> Vec<Event> {
    let mut events = vec![Event::DsbIshst];
    events.extend(ipas.into_iter().map(Event::TlbiIpa));
    events.extend([
        Event::DsbIsh,
        Event::TlbiVmalle1is,
        Event::DsbIsh,
        Event::Isb,
    ]);
    events
}

/// The sequence for a whole VMID.
const ALL: [Event; 4] = [
    Event::DsbIshst,
    Event::TlbiVmalls12e1is,
    Event::DsbIsh,
    Event::Isb,
];

#[test]
fn a_space_that_is_not_live_needs_one_barrier_for_each_change() {
    let mut fixture = Fixture::new();
    assert_eq!(
        fixture.recorder.take_maintenance(),
        [Event::DsbIshst, Event::DsbIshst]
    );
    fixture.protect(0, PAGE, Rights::R);
    assert_eq!(fixture.recorder.take_maintenance(), [Event::DsbIshst]);
    fixture.unmap(0, 2 * MIB + 64 * PAGE);
    assert_eq!(fixture.recorder.take_maintenance(), [Event::DsbIshst]);
}

#[test]
fn mapping_in_a_live_space_invalidates_nothing() {
    let mut fixture = Fixture::live();
    let Fixture {
        memory,
        recorder,
        space,
    } = &mut fixture;
    space.map(memory, recorder, ram(4 * MIB, PAGE)).unwrap();
    // The zeroed table, its link, the page.
    let events = recorder.take();
    assert!(matches!(
        events[..],
        [
            Event::DsbIshst,
            Event::Write { .. },
            Event::Write { .. },
            Event::DsbIshst
        ]
    ));
}

#[test]
fn unmapping_one_page_of_a_live_space() {
    let mut fixture = Fixture::live();
    fixture.unmap(PAGES_AT + PAGE, PAGE);
    let events = fixture.recorder.take();
    assert!(matches!(
        events[0],
        Event::Write {
            index: 1,
            new: 0,
            ..
        }
    ));
    assert_eq!(events[1..], by_ipa([PAGES_AT + PAGE]));
}

#[test]
fn a_block_is_invalidated_once() {
    let mut fixture = Fixture::live();
    fixture.protect(0, 2 * MIB + PAGE, Rights::R);
    assert_eq!(fixture.recorder.take_maintenance(), by_ipa([0, 2 * MIB]));
}

#[test]
fn up_to_32_entries_are_invalidated_one_by_one() {
    let mut fixture = Fixture::live();
    fixture.unmap(PAGES_AT, 32 * PAGE);
    let pages = (0..32).map(|page| PAGES_AT + page * PAGE);
    assert_eq!(fixture.recorder.take_maintenance(), by_ipa(pages));
}

#[test]
fn more_than_32_entries_are_invalidated_together() {
    let mut fixture = Fixture::live();
    fixture.unmap(PAGES_AT, 33 * PAGE);
    assert_eq!(fixture.recorder.take_maintenance(), ALL);
}

#[test]
fn retiring_invalidates_both_stages_and_makes_changes_free_again() {
    let mut fixture = Fixture::live();
    assert!(fixture.space.is_live());
    fixture.space.retire(&mut fixture.recorder);
    assert!(!fixture.space.is_live());
    assert_eq!(fixture.recorder.take(), ALL);
    fixture.unmap(PAGES_AT, PAGE);
    assert_eq!(fixture.recorder.take_maintenance(), [Event::DsbIshst]);
}

#[test]
fn a_live_block_is_not_split() {
    let mut fixture = Fixture::live();
    let Fixture {
        memory,
        recorder,
        space,
    } = &mut fixture;
    let tables = memory.tables.clone();
    for (at, size, split) in [
        (0, PAGE, PAGE),
        (PAGE, PAGE, PAGE),
        (2 * MIB - PAGE, 2 * PAGE, 2 * MIB - PAGE),
    ] {
        let refused = Err(tessera_stage2::Error::LiveSplit(Ipa::new(split)));
        let at = Ipa::new(at);
        assert_eq!(space.unmap(memory, recorder, at, size), refused);
        assert_eq!(
            space.protect(memory, recorder, at, size, Rights::R),
            refused
        );
    }
    assert_eq!(recorder.take(), []);
    assert_eq!(memory.tables, tables);
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Unmap {
        first: u64,
        pages: u64,
    },
    Protect {
        first: u64,
        pages: u64,
        rights: Rights,
    },
    Map {
        first: u64,
        pages: u64,
        elsewhere: u64,
    },
    UnmapBlock,
    ProtectBlock {
        rights: Rights,
    },
    MapBlock {
        elsewhere: u64,
    },
}

impl Fixture {
    /// Makes a change if it can be made; what was recorded is what the TLB must bear either way.
    fn change(&mut self, change: Change) -> Vec<Event> {
        let Self {
            memory,
            recorder,
            space,
        } = self;
        let pages = |first: u64, pages: u64| {
            let pages = pages.min(64 - first);
            (Ipa::new(PAGES_AT + first * PAGE), pages * PAGE)
        };
        let block = (Ipa::new(0), 2 * MIB);
        let _ = match change {
            Change::Unmap { first, pages: n } => {
                let (ipa, size) = pages(first, n);
                space.unmap(memory, recorder, ipa, size)
            }
            Change::UnmapBlock => space.unmap(memory, recorder, block.0, block.1),
            Change::Protect {
                first,
                pages: n,
                rights,
            } => {
                let (ipa, size) = pages(first, n);
                space.protect(memory, recorder, ipa, size, rights)
            }
            Change::ProtectBlock { rights } => {
                space.protect(memory, recorder, block.0, block.1, rights)
            }
            Change::Map {
                first,
                pages: n,
                elsewhere,
            } => {
                let (ipa, size) = pages(first, n);
                let pa = Pa::new(0x2_0000_0000 + elsewhere * PAGE);
                let mapping = Mapping {
                    pa,
                    ..ram(ipa.get(), size)
                };
                space.map(memory, recorder, mapping)
            }
            Change::MapBlock { elsewhere } => {
                let pa = Pa::new(0x2_0000_0000 + elsewhere * 2 * MIB);
                let mapping = Mapping {
                    pa,
                    ..ram(block.0.get(), block.1)
                };
                space.map(memory, recorder, mapping)
            }
        };
        self.recorder.take()
    }

    fn tlb(&mut self) -> WorstTlb {
        let root = self.space.vttbr() & 0xFFFF_FFFF_F000;
        self.recorder.take();
        WorstTlb::new(root, &self.memory)
    }
}

fn change() -> impl Strategy<Value = Change> {
    let first = 0_u64..64;
    let pages = prop_oneof![3 => 1_u64..6, 1 => 1_u64..=64];
    let rights = prop_oneof![Just(Rights::R), Just(Rights::RWX)];
    prop_oneof![
        (first.clone(), pages.clone()).prop_map(|(first, pages)| Change::Unmap { first, pages }),
        (first.clone(), pages.clone(), rights.clone()).prop_map(|(first, pages, rights)| {
            Change::Protect {
                first,
                pages,
                rights,
            }
        }),
        (first, pages, 0_u64..3).prop_map(|(first, pages, elsewhere)| Change::Map {
            first,
            pages,
            elsewhere
        }),
        Just(Change::UnmapBlock),
        rights.prop_map(|rights| Change::ProtectBlock { rights }),
        (0_u64..3).prop_map(|elsewhere| Change::MapBlock { elsewhere }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_change_to_a_live_space_leaves_anything_in_a_tlb(changes in prop::collection::vec(change(), 1..8)) {
        let mut fixture = Fixture::new();
        let mut tlb = fixture.tlb();
        for change in changes {
            for event in fixture.change(change) {
                tlb.see(event);
            }
            prop_assert!(tlb.is_clean(), "{:?} leaves {:x?}, {:x?}", change, tlb.leftovers(), tlb.conflict);
        }
    }
}

/// Each step of a sequence is needed: the worst TLB notices when any one is left out.
#[test]
fn the_worst_tlb_misses_every_step_that_is_left_out() {
    for pages in [1, 40] {
        let mut fixture = Fixture::new();
        let tlb = fixture.tlb();
        let (memory, root) = (tlb.tables, tlb.root);
        let events = fixture.change(Change::Unmap { first: 3, pages });
        for left_out in 0..events.len() {
            if matches!(events[left_out], Event::Write { .. }) {
                continue;
            }
            let mut before = Memory::new(0).0;
            before.tables = memory.clone();
            let mut tlb = WorstTlb::new(root, &before);
            for (at, event) in events.iter().enumerate() {
                if at != left_out {
                    tlb.see(*event);
                }
            }
            assert!(!tlb.is_clean(), "{:?} was not missed", events[left_out]);
        }
    }
}

/// A page that changes its output address without a break is noticed.
#[test]
fn the_worst_tlb_sees_a_missing_break() {
    let mut fixture = Fixture::new();
    let mut tlb = fixture.tlb();
    let unmapped = fixture.change(Change::Unmap { first: 0, pages: 1 });
    let Event::Write {
        table, index, old, ..
    } = unmapped[0]
    else {
        panic!("a write comes first");
    };
    let new = old + PAGE;
    tlb.see(Event::Write {
        table,
        index,
        old,
        new,
    });
    unmapped[1..].iter().for_each(|event| tlb.see(*event));
    assert!(tlb.conflict.is_some());
}
