//! A set of interrupts ordered by priority, with insert, remove and "the best one" in constant time.
//!
//! There are 32 priority levels, as real GICs have: the top five bits of the 8-bit priority. Each level is a
//! bitmap over INTIDs; a mask per level says which words of it are not zero, and one mask says which levels
//! are not. The best is found with two or three counts of trailing zeros, ties going to the lowest INTID.

use crate::id::{FIRST_SPI, MAX_SPIS};

const LEVELS: usize = 32;
const WORDS: usize = ((FIRST_SPI + MAX_SPIS) / 32) as usize;

/// The mask of the levels in use of a [`PrioritySet`]. It lies apart from the set, beside those of other sets, so
/// that one cache line says that nothing waits.
pub(crate) type Levels = u32;

/// The bitmaps of a priority-ordered set.
pub(crate) struct PrioritySet {
    words: [u16; LEVELS],
    bits: [[u32; WORDS]; LEVELS],
}

impl PrioritySet {
    pub(crate) const fn new() -> PrioritySet {
        PrioritySet {
            words: [0; LEVELS],
            bits: [[0; WORDS]; LEVELS],
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, levels: &mut Levels, level: u8, intid: u16) {
        let (index, word) = (usize::from(level & 31), intid >> 5);
        let bitmap = self
            .bits
            .get_mut(index)
            .and_then(|words| words.get_mut(usize::from(word)));
        if let (Some(bitmap), Some(words)) = (bitmap, self.words.get_mut(index)) {
            *bitmap |= 1u32.wrapping_shl(u32::from(intid));
            *words |= 1u16.wrapping_shl(u32::from(word));
            *levels |= 1u32.wrapping_shl(u32::from(level));
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, levels: &mut Levels, level: u8, intid: u16) {
        let (index, word) = (usize::from(level & 31), intid >> 5);
        let bitmap = self
            .bits
            .get_mut(index)
            .and_then(|words| words.get_mut(usize::from(word)));
        if let (Some(bitmap), Some(words)) = (bitmap, self.words.get_mut(index)) {
            *bitmap &= !1u32.wrapping_shl(u32::from(intid));
            if *bitmap == 0 {
                *words &= !1u16.wrapping_shl(u32::from(word));
                if *words == 0 {
                    *levels &= !1u32.wrapping_shl(u32::from(level));
                }
            }
        }
    }

    /// The interrupt of the lowest level, and of the lowest INTID in it.
    #[inline]
    pub(crate) fn best(&self, levels: Levels) -> Option<(u8, u16)> {
        if levels == 0 {
            return None;
        }
        let level = levels.trailing_zeros();
        let word = self.words.get(level as usize)?.trailing_zeros();
        let bit = self
            .bits
            .get(level as usize)?
            .get(word as usize)?
            .trailing_zeros();
        Some((
            level as u8,
            (word.wrapping_mul(32).wrapping_add(bit)) as u16,
        ))
    }

    /// Empties the set; its cost is that of the levels in use.
    pub(crate) fn clear(&mut self, levels: &mut Levels) {
        while *levels != 0 {
            let level = levels.trailing_zeros() as usize;
            *levels &= levels.wrapping_sub(1);
            if let (Some(words), Some(bits)) = (self.words.get_mut(level), self.bits.get_mut(level))
            {
                *words = 0;
                *bits = [0; WORDS];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ties_go_to_the_lowest_intid() {
        let (mut set, mut levels) = (PrioritySet::new(), 0);
        set.insert(&mut levels, 20, 287);
        set.insert(&mut levels, 20, 40);
        set.insert(&mut levels, 20, 3);
        assert_eq!(set.best(levels), Some((20, 3)));
        set.remove(&mut levels, 20, 3);
        assert_eq!(set.best(levels), Some((20, 40)));
    }

    #[test]
    fn a_lower_level_is_better() {
        let (mut set, mut levels) = (PrioritySet::new(), 0);
        set.insert(&mut levels, 31, 0);
        set.insert(&mut levels, 0, 287);
        assert_eq!(set.best(levels), Some((0, 287)));
        set.clear(&mut levels);
        assert_eq!(set.best(levels), None);
        set.insert(&mut levels, 31, 1);
        assert_eq!(set.best(levels), Some((31, 1)));
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(steps in proptest::collection::vec((any::<bool>(), 0u8..32, 0u16..288), 1..400)) {
            let (mut set, mut levels) = (PrioritySet::new(), 0);
            let mut model = BTreeSet::new();
            for (insert, level, intid) in steps {
                if insert {
                    set.insert(&mut levels, level, intid);
                    model.insert((level, intid));
                } else {
                    set.remove(&mut levels, level, intid);
                    model.remove(&(level, intid));
                }
                prop_assert_eq!(set.best(levels), model.first().copied());
                prop_assert_eq!(levels == 0, model.is_empty());
            }
        }
    }
}
