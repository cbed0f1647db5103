//! One entity's budget: a sporadic server with a short list of refills.
//!
//! The rules are those of the corrected sporadic server (Stanovich, Baker, Wang and
//! Harbour, "Defects of the POSIX Sporadic Server and How to Correct Them", RTAS 2010),
//! in the form that seL4's MCS kernel made practical: the budget is a list of *refills*,
//! each an amount and the time from which it may be used. Consumption is taken from the
//! first refill, and what was taken comes back one period after the time at which it
//! *became usable*: not after the time at which it was used. An entity that was merely
//! held off by more urgent ones therefore keeps its rate and its phase, as the
//! response-time analysis assumes.
//!
//! # What is guaranteed
//!
//! Number the ticks of a refill that is usable from `t`: the `k`-th of them is usable from
//! `t + k`, since those before it are used first. A tick comes back exactly one period
//! after it was usable, or later, never earlier. So at most `time` ticks become usable
//! in any window one `period` long. It follows that in any such window an entity
//! *consumes* at most
//!
//! `time + min(time, held_off) + overrun`
//!
//! where `held_off` is the longest time for which more urgent entities (or a late timer)
//! kept it from budget that it could have used, and `overrun` the longest time by which
//! it ran past its budget before it was charged (interrupts masked, or a call at a
//! raised priority). `held_off` is capped at one period: older claims are forgotten. An
//! entity that is never held off never exceeds `time`. An overrun is paid back: it is
//! taken from the refills that follow, so the long-run rate is never above
//! `time / period`. After `n` periods the total is at most `(n + 1) * time + overrun`.
//!
//! # Invariants
//!
//! Between calls: the amounts add up to `time`; no refill is empty; they are in order of
//! time and do not touch (a refill that would touch its predecessor is part of it).

use crate::time::{Ticks, Time};

/// The most refills that an entity can have outstanding.
///
/// One that blocks more often within a period gets later ones merged; merging never
/// makes any of it usable earlier.
pub const REFILLS: usize = 8;

/// At most `time` of the core in each `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How much of the core, in ticks; at least 1 and at most `period`.
    pub time: Ticks,
    /// Per how many ticks.
    pub period: Ticks,
}

impl Budget {
    /// Whether the budget means anything: not empty, and not above the whole core.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.time.0 > 0 && self.time.0 <= self.period.0
    }
}

/// `amount` may be used from `time` on.
#[derive(Clone, Copy)]
struct Refill {
    time: Time,
    amount: Ticks,
}

impl Refill {
    const NONE: Self = Self {
        time: Time::NEVER,
        amount: Ticks(0),
    };

    /// When it is used up at the earliest.
    #[inline]
    const fn end(&self) -> Time {
        self.time.after(self.amount)
    }
}

/// The state of one budget.
#[repr(C)]
pub(crate) struct Sporadic {
    head: Refill,
    budget: Budget,
    /// From when on every refill is usable.
    full_from: Time,
    first: u8,
    /// How many there are in `rest`.
    len: u8,
    /// The refills after `head`, a ring. One of its places stays unused.
    rest: [Refill; REFILLS],
}

/// The most refills that `rest` may hold; the one missing is `head`.
const REST: u8 = 7;
const _: () = assert!(REFILLS == 8 && REST as usize == REFILLS - 1);

impl Sporadic {
    /// A place without a budget.
    pub(crate) const NONE: Self = Self {
        head: Refill::NONE,
        budget: Budget {
            time: Ticks(0),
            period: Ticks(0),
        },
        full_from: Time::NEVER,
        first: 0,
        len: 0,
        rest: [Refill::NONE; REFILLS],
    };

    /// A full budget that may be used from `now` on.
    pub(crate) const fn new(budget: Budget, now: Time) -> Self {
        Self {
            head: Refill {
                time: now,
                amount: budget.time,
            },
            budget,
            full_from: now,
            ..Self::NONE
        }
    }

    /// From when on there is something to use.
    #[inline]
    pub(crate) const fn usable_from(&self) -> Time {
        self.head.time
    }

    /// How many refills are outstanding.
    pub(crate) fn refills(&self) -> usize {
        usize::from(self.len).saturating_add(1)
    }

    /// The entity wakes. Time that it slept through is no claim: what was usable before
    /// is usable from now. Returns whether anything is.
    #[inline]
    pub(crate) fn wake(&mut self, now: Time) -> bool {
        if self.full_from <= now {
            // It slept for so long that all is one piece.
            self.head = Refill {
                time: now,
                amount: self.budget.time,
            };
            self.len = 0;
            return true;
        }
        if self.head.time > now {
            return false;
        }
        self.delay_to(now);
        true
    }

    /// Whether all of the budget can be used at `now`, for an entity that wakes.
    #[inline(always)]
    pub(crate) fn is_whole(&self, now: Time) -> bool {
        self.full_from <= now
    }

    /// [`Sporadic::wake`] of one that [`Sporadic::is_whole`]; returns [`Sporadic::exhausted_at`].
    #[inline(always)]
    pub(crate) fn begin(&mut self, now: Time) -> Time {
        self.head = Refill {
            time: now,
            amount: self.budget.time,
        };
        self.len = 0;
        now.after(self.budget.time)
    }

    /// When an entity that runs from `now` on has used all that it may use.
    #[inline]
    pub(crate) fn exhausted_at(&self, now: Time) -> Time {
        let mut end = now.after(self.head.amount);
        for k in 0..self.len {
            match self.nth(k) {
                Some(next) if next.time <= end => end = end.after(next.amount),
                _ => break,
            }
        }
        end
    }

    /// The entity has used the core for `used` ticks, from `since` on.
    ///
    /// Takes from the future what exceeds the present. Forgets what the entity was held
    /// off from more than one period before `since`, so that one that starved does not
    /// come back with a long burst.
    #[inline]
    pub(crate) fn charge(&mut self, used: Ticks, since: Time) {
        if self.comes_back() >= since && used.0 < self.head.amount.0 {
            self.charge_part(used);
        } else {
            self.charge_any(used, since);
        }
    }

    /// The rarer cases of `charge`, kept apart so that the usual one stays short.
    #[inline(never)]
    fn charge_any(&mut self, used: Ticks, since: Time) {
        if self.comes_back() < since {
            self.delay_to(since.before(self.budget.period));
        }
        self.charge_all(used);
    }

    /// When what is taken from the first refill is usable again.
    #[inline]
    fn comes_back(&self) -> Time {
        self.head.time.after(self.budget.period)
    }

    /// Takes less than the first refill holds.
    #[inline]
    fn charge_part(&mut self, used: Ticks) {
        if used.0 == 0 {
            return;
        }
        let back = Refill {
            time: self.comes_back(),
            amount: used,
        };
        self.head.time = self.head.time.after(used);
        self.head.amount = Ticks(self.head.amount.0.wrapping_sub(used.0));
        self.push(back);
    }

    /// Takes the first refill if all of it was used, and more if more was used.
    #[inline]
    fn charge_all(&mut self, used: Ticks) {
        let mut left = used.0;
        if left > self.budget.time.0 {
            left = self.charge_rounds(left);
        }
        // All refills together hold the budget, and no more than that is left to take.
        for _ in 0..REFILLS {
            if left < self.head.amount.0 {
                break;
            }
            left = left.wrapping_sub(self.head.amount.0);
            let back = Refill {
                time: self.comes_back(),
                amount: self.head.amount,
            };
            if self.len == 0 {
                self.head = back;
                self.full_from = back.time;
            } else {
                self.pop();
                self.push(back);
            }
        }
        self.charge_part(Ticks(left));
    }

    /// An overrun above the whole budget: each whole budget used moves every refill by
    /// one period. Returns what remains to be taken. The one place that divides; it
    /// keeps a core that was stopped for an hour from looping here.
    #[cold]
    fn charge_rounds(&mut self, used: u64) -> u64 {
        let Some(rounds) = used.checked_div(self.budget.time.0) else {
            return 0;
        };
        let shift = Ticks(rounds.saturating_mul(self.budget.period.0));
        self.head.time = self.head.time.after(shift);
        let mut last = self.head.time;
        for k in 0..self.len {
            if let Some(refill) = self.nth_mut(k) {
                refill.time = refill.time.after(shift);
                last = refill.time;
            }
        }
        self.full_from = last;
        used.wrapping_sub(rounds.wrapping_mul(self.budget.time.0))
    }

    /// Makes the first refill usable later, and merges into it what it then touches.
    #[inline(never)]
    fn delay_to(&mut self, time: Time) {
        self.head.time = time;
        for _ in 0..self.len {
            match self.nth(0) {
                Some(next) if next.time <= self.head.end() => {
                    let amount = Ticks(self.head.amount.0.wrapping_add(next.amount.0));
                    self.pop();
                    self.head = Refill { time, amount };
                }
                _ => break,
            }
        }
    }

    /// Appends a refill, later than all others.
    #[inline]
    fn push(&mut self, refill: Refill) {
        self.full_from = refill.time;
        let full = self.len == REST;
        if self.len == 0 {
            if self.head.end() >= refill.time {
                self.head.amount = Ticks(self.head.amount.0.wrapping_add(refill.amount.0));
                return;
            }
        } else if let Some(tail) = self.nth_mut(self.len.wrapping_sub(1)) {
            let touches = tail.end() >= refill.time;
            if touches || full {
                if !touches {
                    // No place left: the last one waits until the two are one piece.
                    tail.time = refill.time.before(tail.amount);
                }
                tail.amount = Ticks(tail.amount.0.wrapping_add(refill.amount.0));
                return;
            }
        }
        self.len = self.len.wrapping_add(1);
        if let Some(place) = self.nth_mut(self.len.wrapping_sub(1)) {
            *place = refill;
        }
    }

    /// Makes the second refill the first.
    #[inline]
    fn pop(&mut self) {
        if let Some(next) = self.nth(0) {
            self.head = next;
        }
        self.first = self.first.wrapping_add(1);
        self.len = self.len.saturating_sub(1);
    }

    /// The `k`-th refill after the first; `k` below `len` or the value means nothing.
    #[inline]
    fn nth(&self, k: u8) -> Option<Refill> {
        self.rest.get(place(self.first, k)).copied()
    }

    #[inline]
    fn nth_mut(&mut self, k: u8) -> Option<&mut Refill> {
        self.rest.get_mut(place(self.first, k))
    }
}

/// Where the `k`-th place of the ring lies. The mask makes it always a valid one.
#[inline]
fn place(first: u8, k: u8) -> usize {
    usize::from(first.wrapping_add(k) & REST)
}
