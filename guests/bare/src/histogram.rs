//! A log-linear histogram of nanoseconds.
//!
//! A value below 64 has a bucket of its own; above, each power of two is cut into 32
//! buckets, so a bucket is never wider than 1/32 of its value. Finding the bucket takes a
//! count of leading zeros and two shifts, no division.
//!
//! The interrupt handler is the only writer, the task level reads. Each field is an atomic
//! that is loaded and stored, never exchanged: with one writer nothing is lost, and the
//! reader at worst sees a value counted and not yet in its bucket.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// log2 of the number of buckets per power of two.
const SUB_BITS: u32 = 5;
/// Values at and above 2^36 ns (69 s) share the last bucket.
const TOP_BITS: u32 = 36;
/// The number of buckets.
pub const BUCKETS: usize = ((TOP_BITS - SUB_BITS + 1) as usize) << SUB_BITS;

/// Counts of values by size, with their minimum, maximum and sum.
pub struct Histogram {
    buckets: [AtomicU32; BUCKETS],
    count: AtomicU64,
    sum: AtomicU64,
    /// The complement of the minimum, so that an empty histogram is all zero and takes no
    /// room in the image.
    not_min: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// One non-empty bucket: the values from `low` to `high` inclusive were seen `count` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// The smallest value that falls here.
    pub low: u64,
    /// The largest value that falls here.
    pub high: u64,
    /// How often one did.
    pub count: u32,
}

impl Histogram {
    /// An empty histogram.
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            not_min: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    /// Adds a value. One writer only.
    #[inline]
    pub fn record(&self, value: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(value)) {
            bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
        }
        self.count
            .store(self.count.load(Relaxed).wrapping_add(1), Relaxed);
        self.sum
            .store(self.sum.load(Relaxed).wrapping_add(value), Relaxed);
        if !value > self.not_min.load(Relaxed) {
            self.not_min.store(!value, Relaxed);
        }
        if value > self.max.load(Relaxed) {
            self.max.store(value, Relaxed);
        }
    }

    /// Forgets everything. For the writer.
    pub fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
        for field in [&self.count, &self.sum, &self.not_min, &self.max] {
            field.store(0, Relaxed);
        }
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The sum of the values.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// The smallest value, 0 when there is none.
    pub fn min(&self) -> u64 {
        match self.count() {
            0 => 0,
            _ => !self.not_min.load(Relaxed),
        }
    }

    /// The largest value, 0 when there is none.
    pub fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// For each share (in 1/1000, ascending) the largest value of the bucket that the share
    /// falls in, and never more than the maximum. One pass over the used buckets.
    pub fn permilles<const N: usize>(&self, shares: [u64; N]) -> [u64; N] {
        let mut values = [self.max(); N];
        let count = self.count();
        let mut wanted = shares.iter().zip(values.iter_mut()).peekable();
        let mut seen = 0;
        let first = bucket_of(self.min());
        let last = bucket_of(self.max());
        for (index, bucket) in self.buckets.iter().enumerate().take(last + 1).skip(first) {
            seen += u64::from(bucket.load(Relaxed));
            while let Some((share, value)) = wanted.peek_mut() {
                if seen == 0 || seen * 1000 < count * **share {
                    break;
                }
                **value = (**value).min(high_of(index));
                wanted.next();
            }
        }
        values
    }

    /// The first non-empty bucket at or after `index`, and the index to go on with.
    pub fn next_bucket(&self, index: usize) -> Option<(Bucket, usize)> {
        let (index, count) = self
            .buckets
            .iter()
            .enumerate()
            .skip(index)
            .map(|(index, bucket)| (index, bucket.load(Relaxed)))
            .find(|(_, count)| *count != 0)?;
        let bucket = Bucket {
            low: low_of(index),
            high: high_of(index),
            count,
        };
        Some((bucket, index + 1))
    }

    /// Makes this a copy of `other`, which a handler may be writing: the copy is repeated
    /// (three times at most) until no value arrived meanwhile.
    pub fn copy_from(&self, other: &Self) {
        for _ in 0..3 {
            let before = other.count();
            for (to, from) in self.buckets.iter().zip(&other.buckets) {
                to.store(from.load(Relaxed), Relaxed);
            }
            self.sum.store(other.sum.load(Relaxed), Relaxed);
            self.not_min.store(other.not_min.load(Relaxed), Relaxed);
            self.max.store(other.max.load(Relaxed), Relaxed);
            self.count.store(before, Relaxed);
            if other.count() == before {
                break;
            }
        }
    }
}

/// The bucket that a value falls in.
#[inline]
fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << TOP_BITS) - 1);
    let log = 63 - (value | 1).leading_zeros();
    if log <= SUB_BITS {
        value as usize
    } else {
        // `value >> shift` keeps the leading one: 32..=63.
        let shift = log - SUB_BITS;
        ((shift as usize) << SUB_BITS) + (value >> shift) as usize
    }
}

/// The smallest value of a bucket.
fn low_of(index: usize) -> u64 {
    let shift = (index >> SUB_BITS).saturating_sub(1);
    ((index - (shift << SUB_BITS)) as u64) << shift
}

/// The largest value of a bucket.
fn high_of(index: usize) -> u64 {
    low_of(index + 1) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(values: &[u64]) -> Histogram {
        let histogram = Histogram::new();
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    #[test]
    fn an_empty_histogram_is_all_zero() {
        let histogram = filled(&[]);
        assert_eq!(
            (histogram.min(), histogram.max(), histogram.sum()),
            (0, 0, 0)
        );
        assert_eq!(histogram.permilles([500, 990, 999]), [0; 3]);
        assert_eq!(histogram.next_bucket(0), None);
    }

    #[test]
    fn small_values_are_exact() {
        let histogram = filled(&[16, 16, 32, 48]);
        assert_eq!(histogram.permilles([500, 750, 1000]), [16, 32, 48]);
        let (bucket, next) = histogram.next_bucket(0).unwrap();
        assert_eq!((bucket.low, bucket.high, bucket.count), (16, 16, 2));
        assert_eq!(histogram.next_bucket(next).unwrap().0.low, 32);
    }

    #[test]
    fn the_last_bucket_takes_the_largest_values() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(high_of(BUCKETS - 1), (1 << TOP_BITS) - 1);
        let histogram = filled(&[u64::MAX, 1]);
        assert_eq!(histogram.max(), u64::MAX);
        assert_eq!(histogram.count(), 2);
    }

    #[test]
    fn the_buckets_follow_one_another_without_a_gap() {
        for index in 1..BUCKETS {
            assert_eq!(low_of(index), high_of(index - 1) + 1);
            assert_eq!(bucket_of(low_of(index)), index);
            assert_eq!(bucket_of(high_of(index)), index);
        }
    }

    #[test]
    fn a_cleared_histogram_is_as_new() {
        let histogram = filled(&[3, 700, 1_000_000]);
        histogram.clear();
        assert_eq!(histogram.next_bucket(0), None);
        histogram.record(5);
        assert_eq!((histogram.count(), histogram.sum()), (1, 5));
        assert_eq!((histogram.min(), histogram.max()), (5, 5));
    }

    #[test]
    fn a_copy_has_the_same_contents() {
        let from = filled(&[3, 700, 700, 1_000_000]);
        let to = filled(&[9]);
        to.copy_from(&from);
        assert_eq!(to.count(), 4);
        assert_eq!((to.min(), to.max()), (3, 1_000_000));
        assert_eq!(to.permilles([500]), from.permilles([500]));
        assert_eq!(to.next_bucket(0), from.next_bucket(0));
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_value_and_is_narrow(value in 0u64..1 << TOP_BITS) {
            let index = bucket_of(value);
            prop_assert!(low_of(index) <= value && value <= high_of(index));
            prop_assert!(high_of(index) - low_of(index) <= value / 32);
        }

        #[test]
        fn a_share_is_the_sorted_value_within_a_bucket(
            mut values in proptest::collection::vec(0u64..10_000_000, 1..300),
            share in 1u64..=1000,
        ) {
            let histogram = filled(&values);
            values.sort_unstable();
            let rank = (values.len() as u64 * share).div_ceil(1000) as usize;
            let exact = values[rank - 1];
            let [found] = histogram.permilles([share]);
            prop_assert!(found >= exact);
            prop_assert!(found <= exact + exact / 32);
        }
    }
}
