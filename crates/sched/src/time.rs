//! Points and lengths of time, in ticks of the counter.
//!
//! Two types, so that a point is never added to a point. All arithmetic saturates: a
//! time that cannot be represented is "never", which is what [`Time::NEVER`] means.

/// A point in time: a value of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Time(pub u64);

/// A length of time, in ticks of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Ticks(pub u64);

impl Time {
    /// The end of time. A timer set to it does not fire.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point that lies `length` later, or [`Time::NEVER`].
    #[inline]
    #[must_use]
    pub const fn after(self, length: Ticks) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// The point that lies `length` earlier, or the beginning of time.
    #[inline]
    #[must_use]
    pub const fn before(self, length: Ticks) -> Self {
        Self(self.0.saturating_sub(length.0))
    }

    /// How much time has passed since `earlier`; zero if that lies in the future.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> Ticks {
        Ticks(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ticks, Time};

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Time(u64::MAX - 1).after(Ticks(5)), Time::NEVER);
        assert_eq!(Time(3).before(Ticks(5)), Time(0));
        assert_eq!(Time(3).since(Time(5)), Ticks(0));
        assert_eq!(Time(5).since(Time(3)), Ticks(2));
    }
}
