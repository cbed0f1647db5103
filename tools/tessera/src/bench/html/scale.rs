//! From values to places on an axis.

/// An axis.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Whether equal distances are equal factors.
    pub log: bool,
    /// The values at its ends.
    pub values: (f64, f64),
    /// The places of its ends.
    pub places: (f64, f64),
}

/// Values further apart than this factor do not go on a linear axis.
const WIDE: f64 = 25.0;

impl Scale {
    /// An axis from one value to another.
    #[must_use]
    pub fn linear(values: (f64, f64), places: (f64, f64)) -> Self {
        let log = false;
        Self {
            log,
            values,
            places,
        }
    }

    /// A logarithmic axis, from the power of ten below one value to just above another.
    #[must_use]
    pub fn log((least, most): (f64, f64), places: (f64, f64)) -> Self {
        let least = least.max(f64::MIN_POSITIVE);
        let from = 10f64.powf((least / 1.2).log10().floor());
        let values = (from, (most * 1.15).max(from * 10.0));
        let log = true;
        Self {
            log,
            values,
            places,
        }
    }

    /// An axis for bars: linear from zero, but logarithmic if a bar would be too short to see on that.
    #[must_use]
    pub fn fitting(values: impl Iterator<Item = f64> + Clone, places: (f64, f64)) -> Self {
        let seen = values.filter(|v| v.is_finite() && *v > 0.0);
        let least = seen.clone().fold(f64::INFINITY, f64::min);
        let most = seen.fold(0.0, f64::max);
        if most == 0.0 {
            Self::linear((0.0, 1.0), places)
        } else if most / least > WIDE {
            Self::log((least, most), places)
        } else {
            Self::linear((0.0, most * 1.02), places)
        }
    }

    /// The place of a value; the end of the axis, if it lies outside.
    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let (from, to) = self.values;
        let part = if self.log {
            (value.max(from) / from).ln() / (to / from).ln()
        } else {
            (value - from) / (to - from)
        };
        let part = if part.is_finite() {
            part.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.places.0 + part * (self.places.1 - self.places.0)
    }

    /// The values that get a mark: round ones, about `most` of them.
    #[must_use]
    pub fn marks(&self, most: usize) -> Vec<f64> {
        if self.log {
            self.powers(most)
        } else {
            self.steps(most)
        }
    }

    fn steps(&self, most: usize) -> Vec<f64> {
        let (from, to) = self.values;
        let rough = (to - from) / most.max(1) as f64;
        if !(rough.is_finite() && rough > 0.0) {
            return vec![from];
        }
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|n| n * power)
            .into_iter()
            .find(|s| *s >= rough * 0.999)
            .unwrap_or(10.0 * power);
        let first = (from / step).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }

    fn powers(&self, most: usize) -> Vec<f64> {
        let (from, to) = self.values;
        let (first, last) = (from.log10().floor() as i32, to.log10().floor() as i32);
        let holds = |v: &f64| (from * 0.999..=to * 1.001).contains(v);
        let decades = |apart: usize| (first..=last).step_by(apart).map(|n| 10f64.powi(n));
        let fine = decades(1).flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * power));
        let fine: Vec<f64> = fine.filter(holds).collect();
        if fine.len() <= most {
            return fine;
        }
        let apart = decades(1).filter(holds).count().div_ceil(most.max(1));
        decades(apart.max(1)).filter(holds).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_to_their_places() {
        let linear = Scale::linear((0.0, 200.0), (10.0, 110.0));
        assert_eq!(
            [0.0, 100.0, 200.0].map(|v| linear.at(v)),
            [10.0, 60.0, 110.0]
        );
        let log = Scale {
            log: true,
            values: (1.0, 100.0),
            places: (0.0, 100.0),
        };
        assert!((log.at(10.0) - 50.0).abs() < 1e-9);
        assert_eq!(log.at(0.0), 0.0, "nothing is at minus infinity");
        assert_eq!(log.at(1e9), 100.0, "nothing is outside");
    }

    #[test]
    fn bars_that_differ_much_get_a_logarithmic_axis() {
        let fitting = |values: &[f64]| Scale::fitting(values.iter().copied(), (0.0, 1.0));
        assert!(!fitting(&[100.0, 1000.0]).log);
        assert!(fitting(&[100.0, 7000.0]).log);
        assert!(!fitting(&[0.0, 7000.0]).log, "a zero is no bar");
        assert_eq!(fitting(&[]).values, (0.0, 1.0));
        let log = fitting(&[100.0, 7000.0]);
        assert!(log.at(100.0) > 0.05, "the least one is seen");
    }

    #[test]
    fn marks_are_round_and_few() {
        let linear = Scale::linear((0.0, 223.0), (0.0, 1.0));
        assert_eq!(linear.marks(5), [0.0, 50.0, 100.0, 150.0, 200.0]);
        let narrow = Scale::linear((0.9961, 1.021), (0.0, 1.0));
        assert_eq!(narrow.marks(5).len(), 5);
        let log = Scale::log((3.0, 29_000.0), (0.0, 1.0));
        assert_eq!(log.marks(9), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(log.marks(3), [1.0, 100.0, 10_000.0]);
        let short = Scale {
            log: true,
            values: (90.0, 1200.0),
            places: (0.0, 1.0),
        };
        assert_eq!(short.marks(6), [100.0, 200.0, 500.0, 1000.0]);
    }
}
