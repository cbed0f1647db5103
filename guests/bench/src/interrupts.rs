//! The interrupt handler: acknowledges, notes when and what, ends.

use crate::arch::core;
use crate::spare::MOST;
use bare::arch;
use bare::board::{GicBoard, IntId};
use bare::gic::Gic;
use bare::time::Ticks;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What interrupts, and through what. The same for every core.
#[derive(Clone, Copy)]
pub struct Sources {
    /// The controller.
    pub gic: Gic,
    /// Where it is, for another core to start its part.
    pub board: GicBoard,
    /// The virtual timer, which is measured.
    pub timer: IntId,
    /// The physical timer, which ends a wait that would not end.
    pub physical_timer: IntId,
}

struct Slot(UnsafeCell<Option<Sources>>);

// SAFETY: written once by `install` before any core lets interrupts in, and only read after.
unsafe impl Sync for Slot {}

static SOURCES: Slot = Slot(UnsafeCell::new(None));

/// Cores that take part.
pub const CORES: usize = 2;
/// The special numbers of the GIC begin here: nothing was pending.
pub const SPECIAL: u32 = 1020;

/// What a core's handler has seen. The handler writes, the core's task level and others read.
pub struct Log {
    /// Interrupts handled.
    pub handled: AtomicU32,
    /// The counter as the last one began.
    at: AtomicU64,
    /// The numbers of the last ones.
    numbers: [AtomicU32; MOST],
}

impl Log {
    const fn new() -> Self {
        Self {
            handled: AtomicU32::new(0),
            at: AtomicU64::new(0),
            numbers: [const { AtomicU32::new(0) }; MOST],
        }
    }

    /// How many were handled. What came before the last of them can be read.
    pub fn handled(&self) -> u32 {
        self.handled.load(Ordering::Acquire)
    }

    /// When the last one began.
    pub fn at(&self) -> Ticks {
        Ticks(self.at.load(Ordering::Relaxed))
    }

    /// The number of interrupt `index` of all that were handled, one of the last [`MOST`].
    pub fn number(&self, index: u32) -> IntId {
        let number = self.numbers.get(index as usize % MOST);
        IntId(number.map_or(SPECIAL, |number| number.load(Ordering::Relaxed)))
    }

    #[inline]
    fn add(&self, now: Ticks, number: u32) {
        let handled = self.handled.load(Ordering::Relaxed);
        self.at.store(now.0, Ordering::Relaxed);
        if let Some(place) = self.numbers.get(handled as usize % MOST) {
            place.store(number, Ordering::Relaxed);
        }
        self.handled
            .store(handled.wrapping_add(1), Ordering::Release);
    }
}

/// What each core's handler has seen.
pub static LOGS: [Log; CORES] = [const { Log::new() }; CORES];

/// The physical timer has come.
pub static GIVE_UP: AtomicBool = AtomicBool::new(false);

/// Says what interrupts.
///
/// # Safety
///
/// Called once, before any core lets interrupts in.
pub unsafe fn install(sources: Sources) {
    // SAFETY: by the promise of the caller nobody reads or writes it now.
    unsafe { *SOURCES.0.get() = Some(sources) };
}

/// What interrupts, once it was said.
pub fn sources() -> Option<Sources> {
    // SAFETY: written before interrupts were let in or another core was started, never after.
    unsafe { *SOURCES.0.get() }
}

/// Called by the vector with interrupts masked; `now` is the counter as it was on entry.
#[unsafe(no_mangle)]
extern "C" fn bare_interrupt(now: u64) {
    let Some(sources) = sources() else {
        return;
    };
    let word = sources.gic.acknowledge();
    let number = word & 0x3FF;
    if number >= SPECIAL {
        return;
    }
    if number == sources.physical_timer.0 {
        arch::set_physical_timer(None);
        GIVE_UP.store(true, Ordering::Relaxed);
    } else {
        if number == sources.timer.0 {
            arch::stop_timer();
        }
        if let Some(log) = LOGS.get(core()) {
            log.add(Ticks(now), number);
        }
    }
    sources.gic.end(word);
}
