//! The storm: many SPIs at once, of distinct priorities. They must come in that order.

use crate::arch::mark;
use crate::interrupts::LOGS;
use crate::loops::PRIORITY;
use crate::report::{Broken, Order, Outcome};
use crate::run::Run;
use crate::shuffle::{self, Shuffle};
use crate::spare::MOST;
use crate::table::{Row, marker};
use bare::arch as machine;
use bare::board::IntId;
use bare::time::Nanos;
use core::arch::asm;

/// How often, each time with another permutation.
const TIMES: u64 = 20;
/// Where the permutations begin.
const SEED: u64 = 0x5EED;
/// From the last write to the unmasking: every interrupt has arrived.
const SETTLE: Nanos = Nanos(10_000);

impl Run<'_> {
    /// Raises storms and looks at the order.
    pub fn storm(&self) -> Outcome {
        let mut spis = [IntId(0); MOST];
        let mut spare = 0;
        for (place, spi) in spis.iter_mut().zip(self.spare()) {
            *place = spi;
            spare += 1;
        }
        let [first, ..] = spis;
        if spare == 0 {
            return Outcome::NotPossible("the distributor has no spare SPI");
        }
        let Some(step) = shuffle::step(self.gic.set_priority(first, 0xFF)) else {
            return Outcome::NotPossible("the distributor keeps no priorities");
        };
        let count = shuffle::ranks(step, spare);
        let spis = spis.get(..count).unwrap_or_default();
        if spis.len() < 2 {
            return Outcome::NotPossible("too few SPIs or priorities");
        }
        for spi in spis {
            self.gic.enable(*spi, PRIORITY);
        }
        let mut shuffle = Shuffle::new(SEED);
        mark!(Row::Storm.number());
        let wrong = (1..=TIMES).find_map(|at| {
            let ranks = shuffle.next(count);
            self.one_storm(at, spis, &ranks, step).err()
        });
        mark!(0);
        for spi in spis {
            self.gic.disable(*spi);
        }
        wrong.unwrap_or(Outcome::Kept(TIMES))
    }

    fn one_storm(
        &self,
        at: u64,
        spis: &[IntId],
        ranks: &[usize; MOST],
        step: u8,
    ) -> Result<(), Outcome> {
        machine::disable_interrupts();
        for (spi, rank) in spis.iter().zip(ranks) {
            self.gic.set_priority(*spi, shuffle::priority(step, *rank));
        }
        for spi in spis {
            self.gic.pend(*spi).pull();
        }
        machine::data_barrier();
        self.spin_for(SETTLE);
        let [log, ..] = &LOGS;
        let before = log.handled();
        machine::enable_interrupts();
        let came = || log.handled().wrapping_sub(before) as usize;
        if !self.spin_until(|| came() >= spis.len()) {
            return Err(Outcome::TimedOut(at - 1));
        }
        let mut order: Order = [None; MOST];
        for (place, index) in order.iter_mut().zip(0..spis.len() as u32) {
            let number = log.number(before.wrapping_add(index));
            let known = spis.iter().zip(ranks).find(|(spi, _)| **spi == number);
            *place = known.map(|(_, rank)| *rank as u8);
        }
        match shuffle::is_kept(&order, spis.len()) {
            true => Ok(()),
            false => Err(Outcome::Broken(Broken { at, order })),
        }
    }
}
