//! Random histories of a space against a plain map from pages to what they mean.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tessera_stage2::{
    AddressSpace, Error, Ipa, Kind, Mapping, Pa, PaRange, Rights, Translation, Vmid,
};

use crate::machine::{Memory, Recorder};
use crate::walker::{Walk, walk};

const PAGE: u64 = 0x1000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Everything about a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    pa: u64,
    kind: Kind,
    rights: Rights,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Map {
        at: u64,
        pa: u64,
        size: u64,
        kind: Kind,
        rights: Rights,
    },
    Unmap {
        at: u64,
        size: u64,
    },
    Protect {
        at: u64,
        size: u64,
        rights: Rights,
    },
    GoLive,
    Retire,
}

/// The space, its machine, and what it should mean.
struct World {
    memory: Memory,
    recorder: Recorder,
    space: AddressSpace,
    vttbr: u64,
    pages: BTreeMap<u64, Page>,
}

impl World {
    fn new(ipa_bits: u8, frames: usize) -> Self {
        let (mut memory, recorder) = Memory::new(frames);
        let mut space = AddressSpace::new(
            &mut memory,
            ipa_bits,
            PaRange::Bits40,
            Vmid::new(7).unwrap(),
        )
        .unwrap();
        // Taking the value makes the space live; a retire undoes that.
        let vttbr = space.vttbr();
        let mut world = Self {
            memory,
            recorder,
            space,
            vttbr,
            pages: BTreeMap::new(),
        };
        world.space.retire(&mut world.recorder);
        world
    }

    fn walk(&self, ipa: u64) -> Option<Walk> {
        walk(&self.memory, self.vttbr, self.space.vtcr(), ipa)
    }

    /// Whether a block reaches across `at`, as the independent walker sees it.
    fn splits(&self, at: u64) -> bool {
        self.walk(at)
            .is_some_and(|walk| !at.is_multiple_of(1 << (12 + 9 * (3 - walk.level))))
    }

    /// The pages of a range, in order.
    fn range(at: u64, size: u64) -> impl Iterator<Item = u64> {
        (at..at + size).step_by(PAGE as usize)
    }

    /// What the operation should say, from the model.
    fn expect(&self, op: Op) -> Result<(), Error> {
        match op {
            Op::Map {
                at,
                size,
                kind,
                rights,
                ..
            } => {
                if kind == Kind::Device && rights.execute {
                    return Err(Error::DeviceExecutable(Ipa::new(at)));
                }
                match Self::range(at, size).find(|page| self.pages.contains_key(page)) {
                    Some(page) => Err(Error::Overlap(Ipa::new(page))),
                    None => Ok(()),
                }
            }
            Op::Unmap { at, size } => self.expect_change(at, size, Rights::R),
            Op::Protect { at, size, rights } => self.expect_change(at, size, rights),
            Op::GoLive | Op::Retire => Ok(()),
        }
    }

    fn expect_change(&self, at: u64, size: u64, rights: Rights) -> Result<(), Error> {
        for page in Self::range(at, size) {
            match self.pages.get(&page) {
                None => return Err(Error::NotMapped(Ipa::new(page))),
                Some(found) if found.kind == Kind::Device && rights.execute => {
                    return Err(Error::DeviceExecutable(Ipa::new(page)));
                }
                Some(_) => {}
            }
        }
        match [at, at + size].into_iter().find(|&at| self.splits(at)) {
            Some(at) if self.space.is_live() => Err(Error::LiveSplit(Ipa::new(at))),
            _ => Ok(()),
        }
    }

    fn run(&mut self, op: Op) -> Result<(), Error> {
        let Self {
            memory,
            recorder,
            space,
            ..
        } = self;
        match op {
            Op::Map {
                at,
                pa,
                size,
                kind,
                rights,
            } => {
                let mapping = Mapping {
                    ipa: Ipa::new(at),
                    pa: Pa::new(pa),
                    size,
                    kind,
                    rights,
                };
                space.map(memory, recorder, mapping)
            }
            Op::Unmap { at, size } => space.unmap(memory, recorder, Ipa::new(at), size),
            Op::Protect { at, size, rights } => {
                space.protect(memory, recorder, Ipa::new(at), size, rights)
            }
            Op::GoLive => {
                space.vttbr();
                Ok(())
            }
            Op::Retire => {
                space.retire(recorder);
                Ok(())
            }
        }
    }

    /// Does to the model what a successful operation does.
    fn commit(&mut self, op: Op) {
        match op {
            Op::Map {
                at,
                pa,
                size,
                kind,
                rights,
            } => {
                for page in Self::range(at, size) {
                    let pa = pa + (page - at);
                    self.pages.insert(page, Page { pa, kind, rights });
                }
            }
            Op::Unmap { at, size } => {
                for page in Self::range(at, size) {
                    self.pages.remove(&page);
                }
            }
            Op::Protect { at, size, rights } => {
                for page in Self::range(at, size) {
                    self.pages.get_mut(&page).unwrap().rights = rights;
                }
            }
            Op::GoLive | Op::Retire => {}
        }
    }

    /// The walker and `translate` both find at `ipa` what the model says, or nothing.
    fn check(&self, ipa: u64) -> Result<(), TestCaseError> {
        let page = self.pages.get(&(ipa & !(PAGE - 1)));
        let found = self.walk(ipa);
        let translated = self.space.translate(&self.memory, Ipa::new(ipa));
        let Some(page) = page else {
            prop_assert_eq!(found, None, "at {:#x}", ipa);
            prop_assert_eq!(translated, None, "at {:#x}", ipa);
            return Ok(());
        };
        let found = found.ok_or_else(|| TestCaseError::fail(format!("{ipa:#x} faults")))?;
        let normal = page.kind == Kind::Normal;
        let expected = Walk {
            pa: page.pa + (ipa & (PAGE - 1)),
            level: found.level,
            memattr: if normal { 0b1111 } else { 0b0001 },
            s2ap: if page.rights.write { 0b11 } else { 0b01 },
            sh: if normal { 0b11 } else { found.sh },
            xn: u64::from(!page.rights.execute),
        };
        prop_assert_eq!(found, expected, "at {:#x}", ipa);
        let translation = translated.map(
            |Translation {
                 pa,
                 kind,
                 rights,
                 level,
             }| { (pa.get(), kind, rights, level.span()) },
        );
        let span = 1 << (12 + 9 * (3 - found.level));
        prop_assert_eq!(
            translation,
            Some((expected.pa, page.kind, page.rights, span))
        );
        Ok(())
    }

    /// Checks the first, second and last byte of every page of a window.
    fn check_window(&self, window: core::ops::Range<u64>) -> Result<(), TestCaseError> {
        for page in window.step_by(PAGE as usize) {
            self.check(page)?;
            self.check(page + 1)?;
            self.check(page + PAGE - 1)?;
        }
        Ok(())
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![3 => Just(Kind::Normal), 1 => Just(Kind::Device)]
}

fn rights() -> impl Strategy<Value = Rights> {
    (any::<bool>(), any::<bool>()).prop_map(|(write, execute)| Rights::new(write, execute))
}

/// 8 MiB on both sides of a 1 GiB boundary.
const WINDOW: core::ops::Range<u64> = GIB - 4 * MIB..GIB + 4 * MIB;

/// A range in the window, often aligned to 2 MiB, at times a few pages.
fn range() -> impl Strategy<Value = (u64, u64)> {
    let pages = (WINDOW.end - WINDOW.start) / PAGE;
    let blocks = pages / 512;
    prop_oneof![
        2 => (0..blocks, 1..=blocks).prop_map(|(at, size)| (at * 512, size * 512)),
        2 => (0..pages, 1_u64..20),
        1 => (0..pages, 1..=pages),
        1 => (0..blocks, 1..=blocks, 0_u64..3).prop_map(|(at, size, off)| (at * 512 + off, size * 512)),
    ]
    .prop_map(move |(at, size)| {
        let size = size.min(pages - at);
        (WINDOW.start + at * PAGE, size * PAGE)
    })
}

/// An operation on the window. Physical addresses are at times congruent to input addresses, at
/// times a page off.
fn op() -> impl Strategy<Value = Op> {
    let delta = prop_oneof![2 => Just(0), 2 => Just(6 * MIB), 1 => Just(PAGE), 1 => Just(MIB)];
    prop_oneof![
        6 => (range(), delta, kind(), rights()).prop_map(|((at, size), delta, kind, rights)| Op::Map {
            at,
            pa: at + 3 * GIB + delta,
            size,
            kind,
            rights,
        }),
        3 => range().prop_map(|(at, size)| Op::Unmap { at, size }),
        3 => (range(), rights()).prop_map(|((at, size), rights)| Op::Protect { at, size, rights }),
        1 => Just(Op::GoLive),
        1 => Just(Op::Retire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Refusals are the model's own, and change nothing.
    #[test]
    fn a_walker_finds_what_the_history_says(ops in prop::collection::vec(op(), 1..14), bits in 32_u8..=40) {
        let mut world = World::new(bits, 4096);
        for op in ops {
            let expected = world.expect(op);
            prop_assert_eq!(world.run(op), expected, "{:?}", op);
            if expected.is_ok() {
                world.commit(op);
            }
            for page in WINDOW.step_by(PAGE as usize) {
                world.check(page)?;
            }
        }
        world.check_window(WINDOW)?;
    }

    /// Running out of frames at any moment leaves every translation alone, and a second try
    /// succeeds.
    #[test]
    fn running_out_of_tables_changes_no_translation(
        first in (range(), range(), rights()),
        operation in op(),
        frames in 0_usize..8,
    ) {
        let mut world = World::new(39, 4096);
        let ((at, size), _, rights) = first;
        let before = Op::Map { at, pa: at + GIB, size, kind: Kind::Normal, rights };
        prop_assert_eq!(world.run(before), Ok(()));
        world.commit(before);

        world.memory.left = frames;
        let expected = world.expect(operation);
        let result = world.run(operation);
        if result == Err(Error::OutOfTables) {
            prop_assert_eq!(expected, Ok(()));
            world.check_window(WINDOW)?;
            world.memory.left = 4096;
            prop_assert_eq!(world.run(operation), Ok(()));
        } else {
            prop_assert_eq!(result, expected);
        }
        if expected.is_ok() {
            world.commit(operation);
        }
        world.check_window(WINDOW)?;
    }

    /// Mappings of any size: their first and last pages are there, the pages beside them are not.
    #[test]
    fn a_mapping_ends_where_it_ends(
        at in 0_u64..1 << 28,
        shift in 0_u32..19,
        size in 1_u64..4000,
        offset in 0_u64..3,
        bits in 32_u8..=40,
    ) {
        let limit = 1 << bits;
        let at = ((at >> shift << shift) * PAGE) % limit;
        let size = ((size << shift.min(9)) * PAGE).min(limit - at);
        let mut world = World::new(bits, 1 << 16);
        let pa = (at + offset * 2 * MIB) % (1 << 39);
        let op = Op::Map { at, pa, size, kind: Kind::Normal, rights: Rights::RW };
        prop_assert_eq!(world.run(op), Ok(()));
        for ipa in [at, at + 1, at + size / 2, at + size - 1] {
            let walk = world.walk(ipa);
            prop_assert_eq!(walk.map(|walk| walk.pa), Some(pa + (ipa - at)));
        }
        if at > 0 {
            prop_assert_eq!(world.walk(at - 1), None);
        }
        prop_assert_eq!(world.walk(at + size), None);
        prop_assert_eq!(world.space.translate(&world.memory, Ipa::new(at + size)), None);
        prop_assert_eq!(world.run(Op::Unmap { at, size }), Ok(()));
        prop_assert_eq!(world.walk(at), None);
        prop_assert_eq!(world.walk(at + size - 1), None);
    }

    /// Arguments that no check has seen: any numbers at all. Nothing panics, and a refusal makes no
    /// table.
    #[test]
    fn any_numbers_are_refused_or_mapped(ipa: u64, pa: u64, size: u64, shift in 0_u32..64) {
        let (ipa, pa, size) = (ipa >> shift, pa >> shift, (size >> shift).min(GIB | size & 0xFFF));
        let mut world = World::new(36, 64);
        let before = world.memory.tables.len();
        let op = Op::Map { at: ipa, pa, size, kind: Kind::Normal, rights: Rights::RW };
        match world.run(op) {
            Ok(()) => prop_assert_eq!(world.walk(ipa).map(|walk| walk.pa), Some(pa)),
            Err(Error::OutOfTables) => prop_assert_eq!(world.walk(ipa), None),
            Err(_) => prop_assert_eq!(world.memory.tables.len(), before),
        }
        let _ = world.space.translate(&world.memory, Ipa::new(ipa));
    }
}
