//! The task level: runs jobs, and in the time between them prints and listens.

use crate::args::{Arguments, Mode};
use crate::console::Console;
use crate::{TASK, report, work};
use bare::fault::{self, SYSTEM_OFF, SYSTEM_RESET};
use bare::histogram::Histogram;
use bare::memory::Space;
use bare::text::Line;
use bare::time::{Clock, Nanos, Ticks};
use bare::{arch, board::Address, registers::Registers};

/// An address where no machine has anything, for `mode=fault`. The guest's own tables map it,
/// so that the access leaves the guest.
const NOWHERE: Address = Address(0x30_0000_0000);
/// Rounds of the work loop that are timed at once, and how often.
const SAMPLE_ROUNDS: u64 = 16_384;
const SAMPLES: u32 = 8;
/// Room in the console for one more line of a histogram.
const BUCKET_LINE: usize = 64;

/// A copy of the lateness, for printing while the task goes on.
static SNAPSHOT: Histogram = Histogram::new();

/// Everything that the task level works with.
pub struct Run<'a> {
    /// The boot arguments.
    pub arguments: Arguments<'a>,
    /// The rate of the counter.
    pub clock: Clock,
    /// Rounds of the work loop per job.
    pub rounds: u64,
    /// Where lines go.
    pub console: Console,
    /// The address space, for `mode=fault`.
    pub space: Space,
    /// When the run began.
    pub started: Ticks,
    /// When the next summary is due.
    pub next_summary: Ticks,
    /// The next bucket to print, while a histogram is printed.
    pub bucket: Option<usize>,
    /// The last histogram was asked for.
    pub ended: bool,
}

impl Run<'_> {
    /// For ever: the newest job, then one small chore, then sleep.
    pub fn run(&mut self) -> ! {
        loop {
            if let Some(job) = TASK.job() {
                work::work(self.rounds);
                TASK.complete(job);
                self.after_job();
                self.console.unblock();
            }
            self.chore();
            arch::wait_unless(|| TASK.job().is_some() || self.has_chore());
        }
    }

    /// Things that happen at a certain time or release.
    fn after_job(&mut self) {
        let now = arch::counter();
        if now >= self.next_summary {
            self.summary(now);
            // Whole seconds; those that passed without a job are not made up for.
            while self.next_summary <= now {
                self.next_summary.0 += self.clock.hertz();
            }
        }
        if self.arguments.mode != Mode::Normal
            && TASK.released() >= self.arguments.releases_before_mode()
        {
            self.special();
        }
    }

    fn seconds(&self, now: Ticks) -> u64 {
        self.clock.seconds(Ticks(now.0 - self.started.0))
    }

    fn summary(&mut self, now: Ticks) {
        let seconds = self.seconds(now);
        let mut line = Line::new();
        report::summary(&mut line, seconds, &TASK, TASK.take_recent_max());
        self.console.line(&line);
        if self.arguments.seconds != 0 && seconds >= self.arguments.seconds && !self.ended {
            self.ended = true;
            self.histogram(now);
        }
    }

    /// Begins to print the histogram as it is now.
    fn histogram(&mut self, now: Ticks) {
        let (missed, released) = (TASK.missed(), TASK.released());
        SNAPSHOT.copy_from(&TASK.lateness);
        let mut line = Line::new();
        report::done(&mut line, self.seconds(now), &SNAPSHOT, missed, released);
        self.console.line(&line);
        self.bucket = Some(0);
    }

    fn has_chore(&self) -> bool {
        let printing = self.bucket.is_some() && self.console.room() >= BUCKET_LINE;
        printing || self.console.is_busy()
    }

    /// One byte, one key, or one line.
    fn chore(&mut self) {
        if let Some(key) = self.console.key() {
            self.key(key);
        }
        if let Some(index) = self.bucket
            && self.console.room() >= BUCKET_LINE
        {
            let mut line = Line::new();
            self.bucket = match SNAPSHOT.next_bucket(index) {
                Some((bucket, next)) => {
                    report::bucket(&mut line, bucket);
                    Some(next)
                }
                None => {
                    line.text("rt: end of histogram");
                    None
                }
            };
            self.console.line(&line);
        }
        self.console.step();
        let printed = self.bucket.is_none() && self.console.is_empty();
        if self.ended && self.arguments.end_off && printed {
            fault::stop(SYSTEM_OFF);
        }
    }

    /// A key was typed: show it, and that the guest is alive.
    fn key(&mut self, key: u8) {
        let mut line = Line::new();
        line.typed(key);
        self.console.line(&line);
        let now = arch::counter();
        match key {
            b'h' if self.bucket.is_none() => self.histogram(now),
            b's' => {
                let mut line = Line::new();
                report::summary(&mut line, self.seconds(now), &TASK, TASK.take_recent_max());
                self.console.line(&line);
            }
            _ => self.say("rt: keys: h histogram, s summary"),
        }
    }

    fn say(&mut self, text: &str) {
        let mut line = Line::new();
        line.text(text);
        self.console.line(&line);
    }

    /// The modes that end the ordinary course.
    fn special(&mut self) {
        match self.arguments.mode {
            Mode::Normal => return,
            Mode::Loop => self.say("rt: looping for ever"),
            Mode::Fault | Mode::Undef => self.say("rt: about to fault"),
            Mode::Reset => self.say("rt: about to reset"),
            Mode::Off => self.say("rt: about to switch off"),
        }
        self.console.flush();
        match self.arguments.mode {
            Mode::Normal => {}
            Mode::Loop => work::loop_masked(),
            Mode::Fault => {
                self.space.add_device(NOWHERE, 4);
                // SAFETY: mapped one line above; nothing of Rust's is there.
                let value = unsafe { Registers::new(NOWHERE) }.read(0);
                let mut line = Line::new();
                line.text("rt: no fault, read ").hex(value.into());
                self.console.line(&line);
            }
            Mode::Undef => work::undefined_instruction(),
            Mode::Reset => fault::stop(SYSTEM_RESET),
            Mode::Off => fault::stop(SYSTEM_OFF),
        }
        self.arguments.mode = Mode::Normal;
    }
}

/// Rounds of the work loop that take `work`, when nothing disturbs them.
///
/// The quickest of a few timed samples counts: whatever disturbed one made it slower. Where
/// that agrees with one instruction per nanosecond - QEMU with `-icount shift=0` - the count of
/// instructions is taken instead, so that the work is the same in every run.
pub fn rounds_for(work: Nanos, clock: &Clock) -> u64 {
    let mut best = u64::MAX;
    for _ in 0..SAMPLES {
        let start = arch::counter();
        work::work(SAMPLE_ROUNDS);
        best = best.min(arch::counter().0 - start.0);
    }
    let measured = clock.nanos(Ticks(best)).0.max(1);
    let exact = SAMPLE_ROUNDS * work::WORK_INSTRUCTIONS;
    let nanos = if measured.abs_diff(exact) <= exact / 100 {
        exact
    } else {
        measured
    };
    (u128::from(work.0) * u128::from(SAMPLE_ROUNDS) / u128::from(nanos)) as u64
}
