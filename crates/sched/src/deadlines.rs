//! A core's timers: a small set of deadlines in their order.
//!
//! The kernel programs one hardware timer with [`Deadlines::next`], which is a load, and takes the earliest
//! away without looking at the others. A new deadline is moved past those that are earlier; mostly they are few.

use crate::time::Time;

/// One timer's place in [`Deadlines`]; the kernel gives it its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Slot(pub u8);

/// Up to `N` timers, at most 32.
pub struct Deadlines<const N: usize> {
    /// The earliest deadline, [`Time::NEVER`] if none is set.
    next: Time,
    /// Whose it is.
    slot: u8,
    /// How many others are set.
    count: u8,
    /// Their slots, the earliest last; of equals, the lower slot is the earlier.
    slots: [u8; N],
    /// Their deadlines.
    times: [Time; N],
}

impl<const N: usize> Deadlines<N> {
    /// A set without any timer running.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0 && N <= 32, "a slot is a small number") };
        Self {
            next: Time::NEVER,
            slot: 0,
            count: 0,
            slots: [0; N],
            times: [Time::NEVER; N],
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
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<Time> {
        if slot.0 == self.slot {
            return self.next();
        }
        let others = self.slots.iter().zip(&self.times);
        let mut set = others.take(usize::from(self.count));
        set.find(|(other, _)| **other == slot.0)
            .map(|(_, time)| *time)
    }

    /// Sets `slot` to `time`, in place of what it was set to. A time in the past is due
    /// at once; [`Time::NEVER`] clears. Returns false if there is no such slot.
    #[inline(never)]
    pub fn set(&mut self, slot: Slot, time: Time) -> bool {
        if usize::from(slot.0) >= N {
            return false;
        }
        self.clear(slot);
        if time == Time::NEVER {
            return true;
        }
        // The one that is earlier stays or becomes the earliest, the other finds its place.
        let (mut later, mut late_slot) = (time, slot.0);
        if (time, slot.0) < (self.next, self.slot) || self.next == Time::NEVER {
            (later, late_slot) = (self.next, self.slot);
            (self.next, self.slot) = (time, slot.0);
            if later == Time::NEVER {
                return true;
            }
        }
        let mut at = usize::from(self.count);
        self.count = self.count.wrapping_add(1);
        while let Some(before) = at.checked_sub(1) {
            let other = self.other(before);
            if other > (later, late_slot) {
                break;
            }
            self.put(at, other);
            at = before;
        }
        self.put(at, (later, late_slot));
        true
    }

    /// Clears `slot`; one that is not set stays so.
    #[inline(never)]
    pub fn clear(&mut self, slot: Slot) {
        if slot.0 == self.slot {
            self.advance();
            return;
        }
        let count = usize::from(self.count);
        let mut set = self.slots.iter().take(count);
        let Some(found) = set.position(|&other| other == slot.0) else {
            return;
        };
        for at in found..count.wrapping_sub(1) {
            self.put(at, self.other(at.wrapping_add(1)));
        }
        self.count = self.count.wrapping_sub(1);
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
        self.advance();
        Some(slot)
    }

    /// The second becomes the earliest.
    #[inline(always)]
    fn advance(&mut self) {
        match self.count.checked_sub(1) {
            Some(last) => {
                self.count = last;
                (self.next, self.slot) = self.other(usize::from(last));
            }
            None => self.next = Time::NEVER,
        }
    }

    #[inline(always)]
    fn other(&self, at: usize) -> (Time, u8) {
        match (self.times.get(at), self.slots.get(at)) {
            (Some(&time), Some(&slot)) => (time, slot),
            _ => (Time::NEVER, 0),
        }
    }

    #[inline]
    fn put(&mut self, at: usize, (time, slot): (Time, u8)) {
        if let (Some(to), Some(of)) = (self.times.get_mut(at), self.slots.get_mut(at)) {
            *to = time;
            *of = slot;
        }
    }
}

impl<const N: usize> Default for Deadlines<N> {
    fn default() -> Self {
        Self::new()
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
                }
            }
        }
    }
}
