//! Permutations, the same in every run, and what they make of a storm: which interrupt has
//! which priority, and whether they came in that order.

use crate::report::Order;
use crate::spare::MOST;

/// A source of permutations: Fisher and Yates by a linear congruential generator of 64 bits
/// (Knuth, The Art of Computer Programming 3.3.4, table 1, line 26) whose high bits are used.
pub struct Shuffle(u64);

impl Shuffle {
    /// A source that begins with `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    /// A permutation of the numbers below `count`, at most [`MOST`]; the rest are 0.
    pub fn next(&mut self, count: usize) -> [usize; MOST] {
        let mut ranks = [0; MOST];
        for (index, rank) in ranks.iter_mut().enumerate().take(count) {
            *rank = index;
        }
        for last in (1..count.min(MOST)).rev() {
            ranks.swap(last, self.below(last + 1));
        }
        ranks
    }
}

/// The distance between two priorities that a controller can tell apart, from what it keeps of
/// the priority 0xFF. Nothing if it keeps nothing.
pub fn step(kept: u8) -> Option<u8> {
    (kept != 0).then(|| 1 << kept.trailing_zeros())
}

/// How many ranks fit: the highest priority and the lowest are not used, because the mask that
/// lets all in need not let in the lowest.
pub fn ranks(step: u8, spare: usize) -> usize {
    (256 / usize::from(step.max(1)))
        .saturating_sub(2)
        .min(spare)
        .min(MOST)
}

/// The priority of a rank; 0 is the most urgent.
pub fn priority(step: u8, rank: usize) -> u8 {
    ((rank + 1) * usize::from(step)).min(0xFF) as u8
}

/// Whether the ranks came from the most urgent to the least.
pub fn is_kept(order: &Order, count: usize) -> bool {
    order
        .iter()
        .take(count)
        .enumerate()
        .all(|(index, rank)| *rank == Some(index as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_is_a_permutation(seed: u64, count in 0..=MOST) {
            let mut ranks = Shuffle::new(seed).next(count)[..count].to_vec();
            ranks.sort_unstable();
            prop_assert_eq!(ranks, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn they_differ_and_are_the_same_again() {
        let all = |seed| {
            let mut shuffle = Shuffle::new(seed);
            (0..20).map(|_| shuffle.next(16)).collect::<Vec<_>>()
        };
        let first = all(1);
        assert_eq!(first, all(1));
        for (index, ranks) in first.iter().enumerate() {
            assert!(!first[..index].contains(ranks));
        }
    }

    #[test]
    fn priorities_are_those_that_the_controller_tells_apart() {
        assert_eq!(step(0xFF), Some(1));
        assert_eq!(step(0xF8), Some(8));
        assert_eq!(step(0xF0), Some(16));
        assert_eq!(step(0), None);
        assert_eq!(ranks(8, 16), 16);
        assert_eq!(ranks(16, 16), 14);
        assert_eq!(ranks(8, 3), 3);
        assert_eq!(ranks(128, 16), 0);
        for (step, count) in [(1, 16), (8, 16), (16, 14)] {
            for rank in 0..count {
                let priority = priority(step, rank);
                assert_eq!(priority % step, 0);
                assert!(priority > 0 && priority < 0xF0, "{step} {rank}");
            }
        }
    }

    #[test]
    fn an_order_is_kept_when_it_is_complete_and_ascending() {
        let mut order = [None; MOST];
        order[..3].copy_from_slice(&[Some(0), Some(1), Some(2)]);
        assert!(is_kept(&order, 3));
        assert!(!is_kept(&order, 4));
        order.swap(1, 2);
        assert!(!is_kept(&order, 3));
    }
}
