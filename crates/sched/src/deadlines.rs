//! A core's timers: a small set of deadlines with a cached earliest one.
//!
//! The kernel programs one hardware timer with [`Deadlines::next`], which is a load.
//! Only a change that touches the earliest deadline scans, and only over the slots
//! that are set.

use crate::time::Time;

/// One timer's place in [`Deadlines`]; the kernel gives it its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Slot(pub u8);

/// Up to `N` timers, at most 32.
pub struct Deadlines<const N: usize> {
    times: [Time; N],
    /// Which slots are set.
    set: u32,
    /// The earliest deadline and its slot; `NEVER` when none is set.
    next: Time,
    slot: u8,
}

impl<const N: usize> Deadlines<N> {
    /// A set without any timer running.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0 && N <= 32, "the slots are one bit each in a word") };
        Self {
            times: [Time::NEVER; N],
            set: 0,
            next: Time::NEVER,
            slot: 0,
        }
    }

    /// The earliest deadline, or `None` if no timer is set.
    #[inline]
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        (self.next != Time::NEVER).then_some(self.next)
    }

    /// The earliest deadline, [`Time::NEVER`] if no timer is set.
    #[inline]
    #[must_use]
    pub fn earliest(&self) -> Time {
        self.next
    }

    /// When `slot` is due, or `None` if it is not set.
    #[inline]
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<Time> {
        if self.set & bit::<N>(slot) == 0 {
            return None;
        }
        self.times.get(usize::from(slot.0)).copied()
    }

    /// Sets `slot` to `time`, in place of what it was set to. A time in the past is due
    /// at once; [`Time::NEVER`] clears. Returns false if there is no such slot.
    #[inline]
    pub fn set(&mut self, slot: Slot, time: Time) -> bool {
        let Some(place) = self.times.get_mut(usize::from(slot.0)) else {
            return false;
        };
        *place = time;
        let bit = bit::<N>(slot);
        if time == Time::NEVER {
            self.set &= !bit;
        } else {
            self.set |= bit;
        }
        if time < self.next || (time == self.next && slot.0 < self.slot) {
            self.next = time;
            self.slot = slot.0;
        } else if slot.0 == self.slot {
            self.find_next();
        }
        true
    }

    /// Clears `slot`; one that is not set stays so.
    #[inline]
    pub fn clear(&mut self, slot: Slot) {
        let bit = bit::<N>(slot);
        if self.set & bit != 0 {
            self.set &= !bit;
            if slot.0 == self.slot {
                self.find_next();
            }
        }
    }

    /// Takes the earliest timer that is due at `now`, and clears it. Called until it
    /// says `None`, it gives all that are due in order of time, the lower slot first
    /// among equals.
    #[inline(always)]
    pub fn expire(&mut self, now: Time) -> Option<Slot> {
        if self.next > now || self.next == Time::NEVER {
            return None;
        }
        let slot = Slot(self.slot);
        self.set &= !bit::<N>(slot);
        if self.set == 0 {
            self.next = Time::NEVER;
            self.slot = 0;
        } else {
            self.find_next();
        }
        Some(slot)
    }

    /// Whether `slot` is set.
    #[inline(always)]
    #[must_use]
    pub fn is_set(&self, slot: Slot) -> bool {
        self.set & bit::<N>(slot) != 0
    }

    /// Finds the earliest of the slots that are set.
    #[inline(never)]
    fn find_next(&mut self) {
        self.next = Time::NEVER;
        self.slot = 0;
        let mut left = self.set;
        while left != 0 {
            let slot = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            if let Some(&time) = self.times.get(slot as usize)
                && time < self.next
            {
                self.next = time;
                self.slot = slot as u8;
            }
        }
    }
}

impl<const N: usize> Default for Deadlines<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The slot's bit, or nothing for a slot that does not exist.
#[inline]
fn bit<const N: usize>(slot: Slot) -> u32 {
    if usize::from(slot.0) < N {
        1u32.wrapping_shl(u32::from(slot.0))
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{Deadlines, Slot};
    use crate::time::Time;
    use proptest::prelude::*;

    extern crate std;
    use std::collections::BTreeMap;

    #[test]
    fn nothing_is_due_in_an_empty_set() {
        let mut timers = Deadlines::<4>::new();
        assert_eq!(timers.next(), None);
        assert_eq!(timers.expire(Time(u64::MAX)), None);
    }

    #[test]
    fn due_timers_come_in_order_of_time_and_then_of_slot() {
        let mut timers = Deadlines::<4>::new();
        for (slot, time) in [(3, 7), (1, 9), (0, 9), (2, 5)] {
            assert!(timers.set(Slot(slot), Time(time)));
        }
        assert_eq!(timers.next(), Some(Time(5)));
        assert_eq!(timers.expire(Time(4)), None);
        let order: [_; 5] = core::array::from_fn(|_| timers.expire(Time(9)));
        assert_eq!(
            order,
            [
                Some(Slot(2)),
                Some(Slot(3)),
                Some(Slot(0)),
                Some(Slot(1)),
                None
            ]
        );
    }

    #[test]
    fn moving_the_earliest_timer_later_uncovers_the_second() {
        let mut timers = Deadlines::<4>::new();
        timers.set(Slot(0), Time(10));
        timers.set(Slot(1), Time(20));
        timers.set(Slot(0), Time(30));
        assert_eq!(timers.next(), Some(Time(20)));
        timers.set(Slot(1), Time::NEVER);
        assert_eq!(timers.next(), Some(Time(30)));
        assert_eq!(timers.get(Slot(1)), None);
    }

    #[test]
    fn a_slot_that_does_not_exist_is_refused() {
        let mut timers = Deadlines::<4>::new();
        assert!(!timers.set(Slot(4), Time(1)));
        assert!(!timers.set(Slot(255), Time(1)));
        timers.clear(Slot(36));
        assert_eq!(timers.get(Slot(4)), None);
        assert_eq!(timers.next(), None);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Set(u8, u64),
        Clear(u8),
        Expire(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Few values, so that ties are common; the end of time among them.
        let time = prop_oneof![9 => 0u64..40, 1 => Just(u64::MAX)];
        prop_oneof![
            4 => (0u8..34, time).prop_map(|(s, t)| Step::Set(s, t)),
            2 => (0u8..34).prop_map(Step::Clear),
            3 => (0u64..40).prop_map(Step::Expire),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn any_sequence_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 1..300)) {
            let mut timers = Deadlines::<32>::new();
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(slot, time) => {
                        prop_assert_eq!(timers.set(Slot(slot), Time(time)), slot < 32);
                        if slot < 32 {
                            if time == u64::MAX { model.remove(&slot); } else { model.insert(slot, time); }
                        }
                    }
                    Step::Clear(slot) => {
                        timers.clear(Slot(slot));
                        model.remove(&slot);
                    }
                    Step::Expire(now) => {
                        let due = model.iter().map(|(&s, &t)| (t, s)).min().filter(|&(t, _)| t <= now);
                        prop_assert_eq!(timers.expire(Time(now)), due.map(|(_, s)| Slot(s)));
                        if let Some((_, slot)) = due { model.remove(&slot); }
                    }
                }
                prop_assert_eq!(timers.next(), model.values().min().map(|&t| Time(t)));
                for slot in 0..32 {
                    prop_assert_eq!(timers.get(Slot(slot)), model.get(&slot).map(|&t| Time(t)));
                    prop_assert_eq!(timers.is_set(Slot(slot)), model.contains_key(&slot));
                }
            }
        }
    }
}
