//! A set of interrupts ordered by priority, with insert, remove and "the best one" in constant time.
//!
//! There are 32 priority levels, as real GICs have: the top five bits of the 8-bit priority. Each level is a
//! bitmap over INTIDs; a mask per level says which words of it are not zero, and one mask says which levels
//! are not. The best is found with two or three counts of trailing zeros, ties going to the lowest INTID.

use crate::id::{FIRST_SPI, MAX_SPIS};

const LEVELS: usize = 32;
const WORDS: usize = ((FIRST_SPI + MAX_SPIS) / 32) as usize;

/// The priority-ordered set.
pub(crate) struct PrioritySet {
    levels: u32,
    words: [u16; LEVELS],
    bits: [[u32; WORDS]; LEVELS],
}

impl PrioritySet {
    pub(crate) const fn new() -> PrioritySet {
        PrioritySet {
            levels: 0,
            words: [0; LEVELS],
            bits: [[0; WORDS]; LEVELS],
        }
    }

    /// Bit `i` set if an interrupt of level `i` is in the set.
    #[inline]
    pub(crate) const fn levels(&self) -> u32 {
        self.levels
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.levels == 0
    }

    #[inline]
    pub(crate) fn insert(&mut self, level: u8, intid: u16) {
        let (index, word) = (usize::from(level & 31), intid >> 5);
        let bitmap = self
            .bits
            .get_mut(index)
            .and_then(|words| words.get_mut(usize::from(word)));
        if let (Some(bitmap), Some(words)) = (bitmap, self.words.get_mut(index)) {
            *bitmap |= 1u32.wrapping_shl(u32::from(intid));
            *words |= 1u16.wrapping_shl(u32::from(word));
            self.levels |= 1u32.wrapping_shl(u32::from(level));
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, level: u8, intid: u16) {
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
                    self.levels &= !1u32.wrapping_shl(u32::from(level));
                }
            }
        }
    }

    /// The interrupt of the lowest level, and of the lowest INTID in it.
    #[inline]
    pub(crate) fn best(&self) -> Option<(u8, u16)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros();
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
    pub(crate) fn clear(&mut self) {
        while self.levels != 0 {
            let level = self.levels.trailing_zeros() as usize;
            self.levels &= self.levels.wrapping_sub(1);
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
        let mut set = PrioritySet::new();
        set.insert(20, 287);
        set.insert(20, 40);
        set.insert(20, 3);
        assert_eq!(set.best(), Some((20, 3)));
        set.remove(20, 3);
        assert_eq!(set.best(), Some((20, 40)));
    }

    #[test]
    fn a_lower_level_is_better() {
        let mut set = PrioritySet::new();
        set.insert(31, 0);
        set.insert(0, 287);
        assert_eq!(set.best(), Some((0, 287)));
        set.clear();
        assert_eq!(set.best(), None);
        set.insert(31, 1);
        assert_eq!(set.best(), Some((31, 1)));
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_set(steps in proptest::collection::vec((any::<bool>(), 0u8..32, 0u16..288), 1..400)) {
            let mut set = PrioritySet::new();
            let mut model = BTreeSet::new();
            for (insert, level, intid) in steps {
                if insert {
                    set.insert(level, intid);
                    model.insert((level, intid));
                } else {
                    set.remove(level, intid);
                    model.remove(&(level, intid));
                }
                prop_assert_eq!(set.best(), model.first().copied());
                prop_assert_eq!(set.is_empty(), model.is_empty());
            }
        }
    }
}
