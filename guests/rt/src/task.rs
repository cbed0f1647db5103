//! The periodic task: releases, jobs and missed deadlines.
//!
//! The timer's handler releases one job per period; the task level runs it. A job's deadline
//! is the next release, so at each release the handler looks whether the job before is
//! complete, and counts it as missed if not. A job that was missed before it began is not
//! run: the task level always takes the newest release.
//!
//! When the handler itself comes later than a whole period, the releases in between have
//! passed as well; each is counted as missed and none is run. So
//! `releases = completed in time + missed (+ the one under way)` at all times.

use bare::histogram::Histogram;
use bare::time::{Ticks, to_nanos};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The state that the handler and the task level share. The handler writes all of it but
/// `completed`, and the two run on one core, so relaxed loads and stores are enough.
pub struct Task {
    period: AtomicU64,
    /// [`bare::time::Clock::scale`].
    scale: AtomicU64,
    /// When the next release is due; CNTV_CVAL_EL0 holds the same.
    next: AtomicU64,
    released: AtomicU64,
    completed: AtomicU64,
    missed: AtomicU64,
    /// The largest lateness since the last summary.
    recent_max: AtomicU64,
    /// Lateness of each wake-up in nanoseconds.
    pub lateness: Histogram,
}

/// A job to run: the number of the release that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job(u64);

impl Task {
    /// A task that was not started.
    pub const fn new() -> Self {
        Self {
            period: AtomicU64::new(0),
            scale: AtomicU64::new(0),
            next: AtomicU64::new(0),
            released: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            recent_max: AtomicU64::new(0),
            lateness: Histogram::new(),
        }
    }

    /// Sets the first release and the period. To be called before the timer's interrupt
    /// is enabled.
    pub fn start(&self, first: Ticks, period: Ticks, scale: u64) {
        self.period.store(period.0.max(1), Relaxed);
        self.scale.store(scale, Relaxed);
        self.next.store(first.0, Relaxed);
    }

    /// The handler's part: `now` was read on entry. Returns when the timer is to fire next:
    /// the due time plus a whole number of periods, so that nothing drifts.
    #[inline]
    pub fn release(&self, now: Ticks) -> Ticks {
        let due = self.next.load(Relaxed);
        let Some(late) = now.0.checked_sub(due) else {
            // Spurious: the level of the timer had not yet fallen. Nothing is due.
            return Ticks(due);
        };
        let nanos = to_nanos(Ticks(late), self.scale.load(Relaxed)).0;
        self.lateness.record(nanos);
        if nanos > self.recent_max.load(Relaxed) {
            self.recent_max.store(nanos, Relaxed);
        }

        let period = self.period.load(Relaxed);
        // Rare, and the only division here.
        let passed = if late < period { 0 } else { late / period };
        let released = self.released.load(Relaxed);
        let unfinished = u64::from(self.completed.load(Relaxed) < released);
        if unfinished + passed != 0 {
            let missed = self.missed.load(Relaxed).wrapping_add(unfinished);
            self.missed.store(missed.wrapping_add(passed), Relaxed);
        }
        self.released
            .store(released.wrapping_add(passed).wrapping_add(1), Relaxed);
        let next = due.wrapping_add(period.wrapping_mul(passed.wrapping_add(1)));
        self.next.store(next, Relaxed);
        Ticks(next)
    }

    /// The task level's part: the newest job, unless it is complete.
    #[inline]
    pub fn job(&self) -> Option<Job> {
        let released = self.released.load(Relaxed);
        (self.completed.load(Relaxed) < released).then_some(Job(released))
    }

    /// The job is done.
    #[inline]
    pub fn complete(&self, job: Job) {
        self.completed.store(job.0, Relaxed);
    }

    /// Releases so far.
    pub fn released(&self) -> u64 {
        self.released.load(Relaxed)
    }

    /// Releases whose job was not complete at the next release.
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }

    /// The largest lateness in nanoseconds since this was asked last.
    pub fn take_recent_max(&self) -> u64 {
        self.recent_max.swap(0, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bare::time::Clock;
    use proptest::prelude::*;

    const PERIOD: u64 = 62_500;

    fn started() -> Task {
        let task = Task::new();
        let clock = Clock::new(62_500_000);
        task.start(Ticks(1000), Ticks(PERIOD), clock.scale());
        task
    }

    #[test]
    fn nothing_runs_before_the_first_release() {
        assert_eq!(started().job(), None);
    }

    #[test]
    fn a_job_done_in_time_is_not_missed() {
        let task = started();
        for round in 0..10 {
            let due = 1000 + round * PERIOD;
            assert_eq!(task.release(Ticks(due + 3)), Ticks(due + PERIOD));
            let job = task.job().unwrap();
            task.complete(job);
            assert_eq!(task.job(), None);
        }
        assert_eq!((task.released(), task.missed()), (10, 0));
        assert_eq!((task.lateness.min(), task.lateness.max()), (48, 48));
        assert_eq!(task.take_recent_max(), 48);
        assert_eq!(task.take_recent_max(), 0);
    }

    #[test]
    fn a_job_that_outlasts_its_period_is_missed_once() {
        let task = started();
        let mut due = task.release(Ticks(1000));
        let first = task.job().unwrap();
        due = task.release(due);
        task.complete(first);
        let second = task.job().unwrap();
        task.complete(second);
        task.release(due);
        assert_eq!((task.released(), task.missed()), (3, 1));
    }

    #[test]
    fn releases_that_passed_while_away_are_each_missed() {
        let task = started();
        // 3.5 periods late: this release and the two after it are lost, the fourth runs.
        let next = task.release(Ticks(1000 + 3 * PERIOD + PERIOD / 2));
        assert_eq!(next, Ticks(1000 + 4 * PERIOD));
        assert_eq!((task.released(), task.missed()), (4, 3));
        let job = task.job().unwrap();
        task.complete(job);
        task.release(next);
        assert_eq!((task.released(), task.missed()), (5, 3));
    }

    #[test]
    fn a_spurious_interrupt_releases_nothing() {
        let task = started();
        assert_eq!(task.release(Ticks(999)), Ticks(1000));
        assert_eq!(task.released(), 0);
        assert_eq!(task.lateness.count(), 0);
    }

    proptest! {
        #[test]
        fn every_release_is_done_in_time_or_missed(
            steps in proptest::collection::vec((0u64..4 * PERIOD, any::<bool>()), 1..200),
        ) {
            let task = started();
            let mut due = Ticks(1000);
            let mut in_time = 0;
            for (late, finish) in steps {
                let before = due;
                due = task.release(Ticks(before.0 + late));
                prop_assert!(due.0 > before.0 + late);
                prop_assert_eq!((due.0 - 1000) % PERIOD, 0);
                prop_assert_eq!(task.released(), (due.0 - 1000) / PERIOD);
                if finish {
                    let job = task.job().unwrap();
                    task.complete(job);
                    in_time += 1;
                }
            }
            task.release(due);
            prop_assert_eq!(task.released() - 1, in_time + task.missed());
        }
    }
}
