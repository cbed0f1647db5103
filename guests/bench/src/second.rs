//! The second core: takes SGIs, and spins or waits in between.

use crate::arch::set_core;
use crate::interrupts::{self, LOGS};
use crate::loops::PRIORITY;
use crate::report::Outcome;
use crate::run::Run;
use bare::arch::{self, Stack};
use bare::board::IntId;
use bare::gic::{Gic, Trigger};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The SGI that it takes.
const SGI: IntId = IntId(2);

static STACK: Stack = Stack::new();
/// [`Gic::identity`] of the second core.
static IDENTITY: AtomicU32 = AtomicU32::new(0);
/// It takes interrupts.
static READY: AtomicBool = AtomicBool::new(false);
/// It was tried to start it.
static TRIED: AtomicBool = AtomicBool::new(false);
/// What it does in between.
static WAITS: AtomicBool = AtomicBool::new(false);

/// A second core that runs.
#[derive(Clone, Copy)]
pub struct Second {
    /// Sends it its SGI.
    pub send: Trigger,
}

impl Run<'_> {
    /// The second core, started if it was not, that spins from now on or `waits`.
    pub fn second(&self, waits: bool) -> Result<Second, Outcome> {
        WAITS.store(waits, Ordering::Release);
        let second = match self.second.get() {
            Some(second) => second,
            None => self.start_second()?,
        };
        self.second.set(Some(second));
        // One that waits sees only after an interrupt that it shall spin.
        let [_, log] = &LOGS;
        let before = log.handled();
        second.send.pull();
        match self.spin_until(|| log.handled() != before) {
            true => Ok(second),
            false => Err(Outcome::TimedOut(0)),
        }
    }

    fn start_second(&self) -> Result<Second, Outcome> {
        let own = u64::from(arch::affinity());
        // GICR_TYPER's form and MPIDR's differ in where Aff3 is.
        let own = (own & 0xFF00_0000) << 8 | own & 0x00FF_FFFF;
        let mut others = self.board.affinities.iter().flatten();
        let Some(other) = others.find(|affinity| **affinity != own) else {
            return Err(Outcome::NotPossible("the tree names one CPU"));
        };
        if TRIED.swap(true, Ordering::Relaxed) {
            return Err(Outcome::NotPossible("the second CPU did not come"));
        }
        // SAFETY: called once, and nobody else has the stack.
        let answer = unsafe { arch::start_core(self.board.psci, *other, &STACK, second_main) };
        if answer != 0 {
            return Err(Outcome::NotPossible("PSCI does not start a second CPU"));
        }
        if !self.spin_until(|| READY.load(Ordering::Acquire)) {
            return Err(Outcome::NotPossible("the second CPU does not come"));
        }
        let send = self.gic.sgi(SGI, IDENTITY.load(Ordering::Relaxed));
        Ok(Second { send })
    }
}

extern "C" fn second_main() -> ! {
    set_core(1);
    let sources = interrupts::sources();
    // SAFETY: the first core has started the same controller.
    let gic = sources.and_then(|sources| unsafe { Gic::start(sources.board) });
    let Some(gic) = gic else {
        panic!("no redistributor for the second core");
    };
    gic.enable(SGI, PRIORITY);
    IDENTITY.store(gic.identity(), Ordering::Relaxed);
    READY.store(true, Ordering::Release);
    arch::enable_interrupts();
    let waits = || WAITS.load(Ordering::Acquire);
    loop {
        if waits() {
            arch::wait_unless(|| !waits());
        } else {
            arch::spin_hint();
        }
    }
}
