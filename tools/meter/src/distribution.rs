//! How often each value was seen. Values are small and few differ, so every one is kept: the
//! percentiles are exact.

use std::collections::BTreeMap;

/// Counts per value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    values: BTreeMap<u64, u64>,
    count: u64,
    total: u64,
}

impl Distribution {
    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        *self.values.entry(value).or_default() += 1;
        self.count += 1;
        self.total += value;
    }

    /// Adds all values of another distribution.
    pub fn merge(&mut self, other: &Self) {
        for (value, count) in &other.values {
            *self.values.entry(*value).or_default() += count;
        }
        self.count += other.count;
        self.total += other.total;
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The smallest, 0 when there is none.
    pub fn min(&self) -> u64 {
        self.values.keys().next().copied().unwrap_or(0)
    }

    /// The largest, 0 when there is none.
    pub fn max(&self) -> u64 {
        self.values.keys().next_back().copied().unwrap_or(0)
    }

    /// The smallest value that at least `share` of 1000 values do not exceed.
    pub fn permille(&self, share: u64) -> u64 {
        let mut seen = 0;
        for (value, count) in &self.values {
            seen += count;
            if seen * 1000 >= self.count * share && seen > 0 {
                return *value;
            }
        }
        self.max()
    }

    /// Every value with its count, ascending.
    pub fn values(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.values.iter().map(|(value, count)| (*value, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_all_zero() {
        let empty = Distribution::default();
        assert_eq!(
            (empty.count(), empty.min(), empty.max(), empty.permille(500)),
            (0, 0, 0, 0)
        );
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_values(
            mut values in proptest::collection::vec(0u64..2000, 1..400),
            share in 1u64..=1000,
            cut in 0usize..400,
        ) {
            // Built in two parts, to see that merging loses nothing.
            let cut = cut.min(values.len());
            let [mut whole, mut part] = [Distribution::default(), Distribution::default()];
            values[..cut].iter().for_each(|value| whole.add(*value));
            values[cut..].iter().for_each(|value| part.add(*value));
            whole.merge(&part);

            values.sort_unstable();
            let rank = (values.len() as u64 * share).div_ceil(1000) as usize;
            prop_assert_eq!(whole.permille(share), values[rank - 1]);
            prop_assert_eq!(whole.count(), values.len() as u64);
            prop_assert_eq!(whole.total(), values.iter().sum::<u64>());
            prop_assert_eq!((whole.min(), whole.max()), (values[0], values[values.len() - 1]));
        }
    }
}
