//! Statistics of exact values.

use crate::bench::report::Counts;

impl Counts {
    /// Of these values, in any order. All are 0 if there are none.
    #[must_use]
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        // The smallest value that so many of a hundred are at most.
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or(0)
        };
        Self {
            count: values.len() as u64,
            min: values.first().copied().unwrap_or(0),
            median: at(50),
            p99: at(99),
            max: values.last().copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_exact() {
        let counts = Counts::of((1..=200).rev().collect());
        let expected = Counts {
            count: 200,
            min: 1,
            median: 100,
            p99: 198,
            max: 200,
        };
        assert_eq!(counts, expected);
        assert_eq!(Counts::of(vec![7]).median, 7);
        assert_eq!(Counts::of(Vec::new()), Counts::default());
    }
}
