//! Durations: nanoseconds, and ticks of the generic timer's counter.
//!
//! Arm ARM D11.1.2: the counter's frequency is in CNTFRQ_EL0 and is anything from 1 MHz
//! to 1 GHz. A tick is turned into nanoseconds by one multiplication and a shift; the
//! division is done once, at start.

/// A duration in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

/// A count of ticks: a point in time, or the distance between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub u64);

/// Nanoseconds per second.
const SECOND: u64 = 1_000_000_000;
/// The fraction bits of [`Clock::nanos_per_tick`].
const FRACTION: u32 = 24;

/// The rate of the counter.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    hertz: u64,
    /// In 1/2^24 ns: exact for 62.5 MHz, within 1 in 10^7 at 1 GHz and below.
    nanos_per_tick: u64,
}

impl Clock {
    /// A clock of the given frequency. A frequency of 0, which firmware that forgot
    /// CNTFRQ_EL0 leaves, is taken as 1 Hz rather than divided by.
    pub fn new(hertz: u64) -> Self {
        let hertz = hertz.max(1);
        Self {
            hertz,
            nanos_per_tick: (SECOND << FRACTION) / hertz,
        }
    }

    /// The frequency in hertz.
    pub fn hertz(&self) -> u64 {
        self.hertz
    }

    /// The factor that [`to_nanos`] wants.
    pub fn scale(&self) -> u64 {
        self.nanos_per_tick
    }

    /// Ticks as nanoseconds.
    pub fn nanos(&self, ticks: Ticks) -> Nanos {
        to_nanos(ticks, self.nanos_per_tick)
    }

    /// Nanoseconds as ticks, rounded down, and at least one.
    pub fn ticks(&self, nanos: Nanos) -> Ticks {
        let ticks = u128::from(nanos.0) * u128::from(self.hertz) / u128::from(SECOND);
        Ticks((ticks as u64).max(1))
    }

    /// Whole seconds.
    pub fn seconds(&self, ticks: Ticks) -> u64 {
        ticks.0 / self.hertz
    }
}

/// Ticks as nanoseconds by a [`Clock::scale`].
#[inline]
pub fn to_nanos(ticks: Ticks, scale: u64) -> Nanos {
    Nanos(((u128::from(ticks.0) * u128::from(scale)) >> FRACTION) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_qemu_is_exact() {
        let clock = Clock::new(62_500_000);
        assert_eq!(clock.nanos(Ticks(7)), Nanos(112));
        assert_eq!(clock.ticks(Nanos(1_000_000)), Ticks(62_500));
        assert_eq!(clock.nanos(Ticks(62_500_000 * 3600)), Nanos(3600 * SECOND));
    }

    #[test]
    fn an_odd_frequency_is_close() {
        let clock = Clock::new(19_200_000);
        assert_eq!(clock.ticks(Nanos(1_000_000)), Ticks(19_200));
        let hour = clock.nanos(Ticks(19_200_000 * 3600)).0;
        assert!(hour.abs_diff(3600 * SECOND) < 3600 * 1000, "{hour}");
    }

    #[test]
    fn a_missing_frequency_does_not_divide_by_zero() {
        assert_eq!(Clock::new(0).seconds(Ticks(5)), 5);
    }
}
