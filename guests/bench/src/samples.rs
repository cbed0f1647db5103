//! The sample rows: each sample goes into the histogram.

use crate::arch::mark;
use crate::interrupts::{GIVE_UP, LOGS};
use crate::loops::PRIORITY;
use crate::report::{Broken, Outcome};
use crate::run::{PATIENCE, Run, SAMPLES};
use crate::spare::MOST;
use crate::table::{Row, marker};
use bare::arch as machine;
use bare::time::{Nanos, Ticks};
use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;

/// Between two SGIs to another core, so that it is back in its loop or its wait.
const GAP: Nanos = Nanos(100_000);
/// A wait is given up when the whole row takes so many times as long as it should, and a bit.
const SLACK: u64 = 4;

impl Run<'_> {
    /// How late the virtual timer comes while the core spins, or `waits` for interrupts.
    pub fn timer<const ROW: u32>(&self, waits: bool) -> Outcome {
        let samples = self.arguments.samples;
        // WFI cannot count how long it takes: the physical timer ends one that would not end.
        let whole = Nanos(samples * self.arguments.interval.0 * SLACK + 10 * PATIENCE.0);
        GIVE_UP.store(false, Relaxed);
        for timer in [self.board.timer, self.board.physical_timer] {
            self.gic.enable(timer, PRIORITY);
        }
        let end = machine::physical_counter().0 + self.clock.ticks(whole).0;
        machine::set_physical_timer(waits.then_some(Ticks(end)));
        mark!(ROW);
        let wrong = (0..samples).find_map(|sample| self.timer_sample(waits, sample).err());
        mark!(0);
        machine::set_physical_timer(None);
        machine::stop_timer();
        for timer in [self.board.timer, self.board.physical_timer] {
            self.gic.disable(timer);
        }
        wrong.unwrap_or(Outcome::Samples)
    }

    fn timer_sample(&self, waits: bool, sample: u64) -> Result<(), Outcome> {
        let [log, ..] = &LOGS;
        let before = log.handled();
        let came = || log.handled() != before;
        let due = self.from_now(self.arguments.interval);
        machine::set_timer(due);
        if waits {
            let over = || came() || GIVE_UP.load(Relaxed);
            while !over() {
                machine::wait_unless(over);
            }
        } else {
            let end = Ticks(due.0 + self.clock.ticks(PATIENCE).0);
            while !came() && machine::counter() < end {
                machine::spin_hint();
            }
        }
        if !came() {
            return Err(Outcome::TimedOut(sample));
        }
        self.record(due, log.at(), sample)
    }

    /// From the send of an SGI to the other core's vector, which spins or `waits`; for the row
    /// `sgi_write` the send alone.
    pub fn other<const ROW: u32>(&self, waits: bool) -> Outcome {
        let second = match self.second(waits) {
            Ok(second) => second,
            Err(outcome) => return outcome,
        };
        let [_, log] = &LOGS;
        mark!(ROW);
        let wrong = (0..self.arguments.samples).find_map(|sample| {
            self.spin_for(GAP);
            let before = log.handled();
            let start = machine::counter();
            second.send.pull();
            let sent = machine::counter();
            if !self.spin_until(|| log.handled() != before) {
                return Some(Outcome::TimedOut(sample));
            }
            let stop = if ROW == Row::SgiWrite.number() {
                sent
            } else {
                log.at()
            };
            self.record(start, stop, sample).err()
        });
        mark!(0);
        wrong.unwrap_or(Outcome::Samples)
    }

    fn record(&self, from: Ticks, to: Ticks, sample: u64) -> Result<(), Outcome> {
        let early = Broken {
            at: sample + 1,
            order: [None; MOST],
        };
        let late = to.0.checked_sub(from.0).ok_or(Outcome::Broken(early))?;
        SAMPLES.record(self.clock.nanos(Ticks(late)).0);
        Ok(())
    }
}
