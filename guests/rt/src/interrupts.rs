//! The interrupt handler: the timer releases the task, the UART raises its event.

use crate::TASK;
use crate::console;
use bare::arch;
use bare::board::IntId;
use bare::gic::Gic;
use bare::time::Ticks;
use bare::uart::Uart;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::Relaxed;

/// What interrupts, and through what.
pub struct Sources {
    /// The controller.
    pub gic: Gic,
    /// The virtual timer.
    pub timer: IntId,
    /// The console.
    pub uart: Option<(Uart, IntId)>,
}

struct Slot(UnsafeCell<Option<Sources>>);

// SAFETY: written once by `install` with interrupts masked, read by the handler only, and
// there is one core.
unsafe impl Sync for Slot {}

static SOURCES: Slot = Slot(UnsafeCell::new(None));

/// Priorities: the timer before the UART.
const TIMER_PRIORITY: u8 = 0x80;
const UART_PRIORITY: u8 = 0xA0;
/// The special numbers of the GIC begin here: nothing was pending.
const SPECIAL: u32 = 1020;

/// Enables the sources and then lets interrupts in.
///
/// # Safety
///
/// Called once, with interrupts masked.
pub unsafe fn install(sources: Sources) {
    sources.gic.enable(sources.timer, TIMER_PRIORITY);
    if let Some((uart, interrupt)) = sources.uart {
        sources.gic.enable(interrupt, UART_PRIORITY);
        uart.allow_interrupts(false);
    }
    // SAFETY: by the promise of the caller nobody reads or writes it now.
    unsafe { *SOURCES.0.get() = Some(sources) };
    arch::enable_interrupts();
}

/// Called by the vector with interrupts masked; `now` is the counter as it was on entry.
#[unsafe(no_mangle)]
extern "C" fn bare_interrupt(now: u64) {
    // SAFETY: written before interrupts were let in, and never after.
    let Some(sources) = (unsafe { &*SOURCES.0.get() }) else {
        return;
    };
    let word = sources.gic.acknowledge();
    let number = word & 0x3FF;
    if number >= SPECIAL {
        return;
    }
    if number == sources.timer.0 {
        arch::set_timer(TASK.release(Ticks(now)));
    } else if let Some((uart, _)) = sources.uart {
        // The task level reads the keys and sends on; here the level must fall.
        uart.mask_interrupts();
        console::EVENT.store(true, Relaxed);
    }
    sources.gic.end(word);
}
