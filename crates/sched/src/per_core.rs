//! The run queue of one core: whom to run, and until when.
//!
//! Fixed priority, preemptive, first come first served among equals. An entity with a
//! budget is *eligible* while its sporadic server has something to use
//! (see `sporadic.rs` for what that guarantees); one without is always eligible.
//!
//! Few entities share a core, so the simple structure wins: one bit per entity and
//! state in a word, and one sort key per entity that holds its priority and its place
//! in the queue, so that the choice is the largest of a few integers.
//!
//! The kernel's side of the contract:
//!
//! - call [`Core::pick`] after [`Core::block`] or [`Core::reset`] of the running entity,
//!   after [`Core::wake`] returned true, after [`Core::lower`], and when the time that
//!   [`Core::next_event`] names has come. More often is harmless;
//! - `now` never goes backwards. If it does, nothing is charged for that stretch;
//! - time that the kernel spends for an entity counts as that entity's: it stays the
//!   running one from the `pick` that chose it to the next `pick`.

use crate::sporadic::{Budget, Sporadic};
use crate::time::Time;

/// One entity's place in a [`Core`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Index(u8);

impl Index {
    /// The place with this number; one that no entity has is accepted everywhere and has no effect.
    #[inline(always)]
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The place as a number, below the core's `N`: entities are numbered in the order
    /// in which they were added.
    #[inline]
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// How an entity is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// A higher number is more urgent.
    pub priority: u8,
    /// What it may use of the core; `None` for as much as it likes.
    pub budget: Option<Budget>,
}

/// The entities of one core, at most 32 and better fewer than 16.
///
/// The words that every decision needs come first and side by side.
#[repr(C)]
pub struct Core<const N: usize> {
    /// Every entity is in one of `ready`, `blocked` and `waiting`. Ready: it wants to run, and may.
    ready: u32,
    /// Blocked: it does not want to run.
    blocked: u32,
    /// Which run at a raised priority, and in spite of their budget.
    raised: u32,
    /// Which of those with a budget are not raised: it ends their turn.
    limited: u32,
    /// It wants to run, and must wait for a refill of its budget.
    waiting: u32,
    /// Which have a budget.
    budgeted: u32,
    /// The bit of the one that has the core; none when idle.
    running: u32,
    /// The bit of the one that should have it: kept up to date as others become eligible,
    /// and found anew when it is no longer eligible itself. None when there is none.
    best: u32,
    /// The number of entities.
    len: u8,
    /// A key above this one is more urgent than the best; `STALE` when that must be
    /// found anew (and for a best of the highest priority, where that is harmless).
    bar: u64,
    /// Up to when the running one has been charged.
    since: Time,
    /// When `pick` must be called though nothing else happens.
    next: Time,
    /// How often an entity was queued; 56 bits of it, which no machine outlives.
    queued: u64,
    /// Per entity: its priority now, above its place in the queue (earlier is larger).
    keys: [u64; N],
    servers: [Sporadic; N],
    /// Per entity: its own priority, for when it is not raised.
    priorities: [u8; N],
}

/// Where the priority begins in a key.
const PRIORITY_SHIFT: u32 = 56;
/// The part of a key that is the place in the queue.
const PLACE: u64 = (1 << PRIORITY_SHIFT) - 1;
/// No key is above this bar.
const STALE: u64 = u64::MAX;

impl<const N: usize> Core<N> {
    /// A core with nothing to run.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0 && N <= 32, "the entities are one bit each in a word") };
        Self {
            blocked: 0,
            ready: 0,
            waiting: 0,
            budgeted: 0,
            limited: 0,
            raised: 0,
            running: 0,
            best: 0,
            len: 0,
            bar: 0,
            since: Time(0),
            next: Time::NEVER,
            queued: 0,
            keys: [0; N],
            servers: [const { Sporadic::NONE }; N],
            priorities: [0; N],
        }
    }

    /// Adds an entity: blocked, its budget full. `None` if the core is full or the
    /// budget is not valid.
    pub fn add(&mut self, params: Params, now: Time) -> Option<Index> {
        let index = Index(self.len);
        let bit = bit(index);
        let priority = self.priorities.get_mut(index.get())?;
        if let Some(budget) = params.budget {
            if !budget.is_valid() {
                return None;
            }
            *self.servers.get_mut(index.get())? = Sporadic::new(budget, now);
            self.budgeted |= bit;
            self.limited |= bit;
        }
        *priority = params.priority;
        *self.keys.get_mut(index.get())? = key(params.priority, 0);
        self.blocked |= bit;
        self.len = self.len.wrapping_add(1);
        Some(index)
    }

    /// The entity wants to run; one that already does is not touched.
    ///
    /// Returns whether it should run in place of the running one, so that `pick` must
    /// be called. If not, `next_event` may have become earlier.
    #[inline]
    pub fn wake(&mut self, index: Index, now: Time) -> bool {
        let bit = bit(index);
        if self.blocked & bit == 0 {
            return false;
        }
        self.blocked &= !bit;
        let key = self.enqueue(index);
        if self.budgeted & bit != 0
            && let Some(server) = self.servers.get_mut(index.get())
            && !server.wake(now)
            && self.raised & bit == 0
        {
            self.waiting |= bit;
            if key > self.bar && server.usable_from() < self.next {
                self.next = server.usable_from();
            }
            return false;
        }
        self.ready |= bit;
        self.challenge(bit, key)
    }

    /// [`Core::wake`] and then [`Core::pick`] in one, for the case that counts most: the entity wakes with its whole budget
    /// before it, or has none, is the most urgent, and nothing else is due. Whether that was so; if not, nothing has been done.
    #[inline(always)]
    pub fn preempt(&mut self, index: Index, now: Time) -> bool {
        let bit = bit(index);
        let (Some(key), Some(server)) = (
            self.keys.get_mut(index.get()),
            self.servers.get_mut(index.get()),
        ) else {
            return false;
        };
        // A raised entity's budget does not end its turn; whoever runs on a budget must be charged.
        let usual = self.blocked & !self.raised & bit != 0
            && self.waiting | self.running & self.budgeted == 0
            && *key >> PRIORITY_SHIFT > self.bar >> PRIORITY_SHIFT;
        let limited = self.limited & bit != 0;
        if !usual || limited && !server.is_whole(now) {
            return false;
        }
        self.queued = self.queued.wrapping_add(1);
        *key = (*key & !PLACE) | (PLACE & !self.queued);
        self.bar = *key | PLACE;
        self.next = Time::NEVER;
        if limited {
            self.next = server.begin(now);
        }
        self.blocked &= !bit;
        self.ready |= bit;
        self.running = bit;
        self.best = bit;
        self.since = now;
        true
    }

    /// The entity no longer wants to run. If it is the running one it is charged, the
    /// core counts as idle, and `pick` must be called.
    #[inline]
    pub fn block(&mut self, index: Index, now: Time) {
        let bit = bit(index);
        if (self.ready | self.waiting) & bit == 0 {
            return;
        }
        if self.running & bit != 0 {
            self.charge(now);
            self.running = 0;
        }
        self.ready &= !bit;
        self.waiting &= !bit;
        self.blocked |= bit;
        if self.best & bit != 0 {
            self.bar = STALE;
        }
    }

    /// Charges the one that ran, refills what is due, and chooses: the most urgent of
    /// those that are runnable and eligible, and of equals the one queued first. `None`
    /// means that there is nothing to run.
    ///
    /// An entity is queued when it wakes and when a refill ends its wait, not when it
    /// is preempted. Refills noticed by the same call queue in order of index.
    #[inline]
    pub fn pick(&mut self, now: Time) -> Option<Index> {
        // Refills first: one that is now charged and found spent has none to look for.
        if self.waiting != 0 {
            self.refill(now);
        }
        self.charge(now);
        if self.bar == STALE {
            self.find_best();
        }
        self.running = self.best;
        self.since = now;
        self.next = Time::NEVER;
        let index = Index(self.best.trailing_zeros() as u8);
        if self.best & self.limited != 0
            && let Some(server) = self.servers.get(index.get())
        {
            self.next = server.exhausted_at(now);
        }
        if self.waiting != 0 {
            self.expect_refill();
        }
        (self.best != 0).then_some(index)
    }

    /// The one that `pick` chose last, unless it has blocked since.
    #[inline]
    #[must_use]
    pub fn running(&self) -> Option<Index> {
        (self.running != 0).then_some(Index(self.running.trailing_zeros() as u8))
    }

    /// When `pick` must be called though nothing else happens: the running entity has
    /// used its budget, or a refill is due to one that is more urgent (when idle: to
    /// any). Always later than the last `pick`.
    #[inline]
    #[must_use]
    pub fn next_event(&self) -> Option<Time> {
        (self.next != Time::NEVER).then_some(self.next)
    }

    /// The same; [`Time::NEVER`] if nothing is expected.
    #[inline]
    #[must_use]
    pub fn expected(&self) -> Time {
        self.next
    }

    /// Gives an entity a priority of `ceiling`, until [`Core::lower`]. Meanwhile it is
    /// charged as ever but runs on when its budget is used up, and pays the overrun back
    /// afterwards. This is for a call to a server that runs at its ceiling: the caller
    /// is charged, and a server is never left in the middle of a call because its
    /// caller ran dry. The kernel bounds it by the call's `call_max`.
    ///
    /// A ceiling below the entity's present priority does not change that: of nested
    /// calls the highest ceiling holds. To return from an inner call to an outer one,
    /// lower it and raise it again. If the entity is not the running one, `pick` must be
    /// called.
    #[inline]
    pub fn raise(&mut self, index: Index, ceiling: u8) {
        let bit = bit(index);
        let present = self.keys.get(index.get()).copied().unwrap_or(0);
        let priority = (present >> PRIORITY_SHIFT) as u8;
        self.raised |= bit & (self.blocked | self.ready | self.waiting);
        self.limited &= !bit;
        self.ready |= self.waiting & bit;
        self.waiting &= !bit;
        let fresh = self.bar != STALE && self.best == bit;
        let key = self.set_priority(index, priority.max(ceiling));
        if fresh {
            // It only became more urgent. `next_event` may still name the end of its
            // budget; the kernel then wakes once in vain.
            self.bar = key | PLACE;
        }
    }

    /// Ends [`Core::raise`]; `pick` must be called.
    #[inline]
    pub fn lower(&mut self, index: Index, now: Time) {
        let bit = bit(index);
        if self.raised & bit == 0 {
            return;
        }
        if self.running & bit != 0 {
            self.charge(now);
            self.since = now;
        }
        self.raised &= !bit;
        self.limited |= self.budgeted & bit;
        let own = self.priorities.get(index.get()).copied().unwrap_or(0);
        self.set_priority(index, own);
        if self.ready & bit != 0 && self.usable_from(index).is_some_and(|from| from > now) {
            self.ready &= !bit;
            self.waiting |= bit;
        }
    }

    /// The entity's partition restarts: it is blocked and no longer raised. Its budget
    /// stays as it is, so that a restart is no way to a fresh one.
    pub fn reset(&mut self, index: Index, now: Time) {
        self.block(index, now);
        self.lower(index, now);
    }

    /// Whether the entity wants to run and must wait for a refill of its budget.
    #[inline]
    #[must_use]
    pub fn is_spent(&self, index: Index) -> bool {
        self.waiting & bit(index) != 0
    }

    /// Whether the entity wants to run.
    #[inline]
    #[must_use]
    pub fn is_runnable(&self, index: Index) -> bool {
        (self.ready | self.waiting) & bit(index) != 0
    }

    /// From when on the entity's budget has something to use, as of its last charge;
    /// `None` without a budget.
    #[must_use]
    pub fn usable_from(&self, index: Index) -> Option<Time> {
        self.server(index).map(Sporadic::usable_from)
    }

    /// How many refills the entity has outstanding, at most [`REFILLS`]; `None` without
    /// a budget.
    ///
    /// [`REFILLS`]: crate::REFILLS
    #[must_use]
    pub fn refills(&self, index: Index) -> Option<usize> {
        self.server(index).map(Sporadic::refills)
    }

    /// Charges the running entity up to `now`. The caller then ends its turn, or begins
    /// another one.
    #[inline(always)]
    fn charge(&mut self, now: Time) {
        let bit = self.running & self.budgeted;
        if bit != 0 {
            self.charge_budget(bit, now);
        }
    }

    /// Charges one that has a budget.
    #[inline(never)]
    fn charge_budget(&mut self, bit: u32, now: Time) {
        if let Some(server) = self.servers.get_mut(bit.trailing_zeros() as usize) {
            server.charge(now.since(self.since), self.since);
            let spent = bit & self.ready & self.limited;
            if server.usable_from() > now && spent != 0 {
                self.ready &= !spent;
                self.waiting |= spent;
                if self.best == spent {
                    self.bar = STALE;
                }
            }
        }
    }

    /// Ends the wait of those whose refill is due, and queues them.
    #[inline(never)]
    fn refill(&mut self, now: Time) {
        let mut left = self.waiting;
        while left != 0 {
            let index = Index(left.trailing_zeros() as u8);
            let bit = bit(index);
            left &= !bit;
            if let Some(server) = self.servers.get(index.get())
                && server.usable_from() <= now
            {
                self.waiting &= !bit;
                self.ready |= bit;
                let key = self.enqueue(index);
                self.challenge(bit, key);
            }
        }
    }

    /// Brings `next` forward to the first refill that changes the choice.
    #[inline(never)]
    fn expect_refill(&mut self) {
        let mut left = self.waiting;
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            if let (Some(&key), Some(server)) = (self.keys.get(place), self.servers.get(place))
                && key > self.bar
                && server.usable_from() < self.next
            {
                self.next = server.usable_from();
            }
        }
    }

    /// An entity has become eligible. Says whether it is now the best.
    #[inline]
    fn challenge(&mut self, bit: u32, key: u64) -> bool {
        let wins = key > self.bar;
        if wins {
            self.bar = key | PLACE;
            self.best = bit;
        }
        wins
    }

    /// Finds the best of all that are eligible.
    #[inline]
    fn find_best(&mut self) {
        let mut left = self.ready;
        let (mut best, mut best_key) = (0, 0);
        while left != 0 {
            let index = Index(left.trailing_zeros() as u8);
            left &= left.wrapping_sub(1);
            if let Some(&key) = self.keys.get(index.get())
                && key > best_key
            {
                best_key = key;
                best = bit(index);
            }
        }
        self.best = best;
        self.bar = if best == 0 { 0 } else { best_key | PLACE };
    }

    /// Puts an entity behind its equals, and returns its new key.
    #[inline]
    fn enqueue(&mut self, index: Index) -> u64 {
        self.queued = self.queued.wrapping_add(1);
        match self.keys.get_mut(index.get()) {
            Some(key) => {
                *key = (*key & !PLACE) | (PLACE & !self.queued);
                *key
            }
            None => 0,
        }
    }

    /// Changes the priority in an entity's key, and returns that. Its place among equals
    /// stays; who is best must be found anew.
    #[inline]
    fn set_priority(&mut self, index: Index, priority: u8) -> u64 {
        self.bar = STALE;
        match self.keys.get_mut(index.get()) {
            Some(old) => {
                *old = key(priority, *old & PLACE);
                *old
            }
            None => 0,
        }
    }

    fn server(&self, index: Index) -> Option<&Sporadic> {
        if self.budgeted & bit(index) == 0 {
            return None;
        }
        self.servers.get(index.get())
    }
}

impl<const N: usize> Default for Core<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A key from its two parts.
#[inline]
const fn key(priority: u8, place: u64) -> u64 {
    ((priority as u64) << PRIORITY_SHIFT) | place
}

/// The entity's bit in a word.
#[inline]
const fn bit(index: Index) -> u32 {
    1u32.wrapping_shl(index.0 as u32)
}
