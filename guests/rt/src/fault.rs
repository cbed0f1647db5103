//! The end: exceptions that are not expected, and panics. Says what happened, polling the
//! UART, and switches the machine off.

use crate::arch;
use crate::board::{Address, Conduit};
use crate::text::Line;
use crate::uart::Uart;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// PSCI SYSTEM_OFF (Arm DEN 0022, 5.9).
pub const SYSTEM_OFF: u32 = 0x8400_0008;
/// PSCI SYSTEM_RESET.
pub const SYSTEM_RESET: u32 = 0x8400_0009;

static UART: AtomicU64 = AtomicU64::new(0);
static BY_SMC: AtomicBool = AtomicBool::new(false);
static FAULTED: AtomicBool = AtomicBool::new(false);

/// Tells this module how to speak and how to stop.
///
/// # Safety
///
/// A PL011 that was started is at `uart`, mapped as device memory.
pub unsafe fn prepare(uart: Option<Address>, conduit: Conduit) {
    UART.store(uart.map_or(0, |uart| uart.0), Relaxed);
    BY_SMC.store(conduit == Conduit::Smc, Relaxed);
}

/// Called by every vector but the one of interrupts.
#[unsafe(no_mangle)]
extern "C" fn rt_unexpected(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    let mut line = Line::new();
    line.text("rt: unexpected exception, vector ")
        .number(vector);
    line.text(", ESR ").hex(esr);
    line.text(", ELR ").hex(elr);
    line.text(", FAR ").hex(far);
    end(&line)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut line = Line::new();
    line.text("rt: panic");
    if let Some(location) = info.location() {
        line.text(" at ").text(location.file());
        line.byte(b':').number(location.line().into());
    }
    end(&line)
}

fn end(line: &Line) -> ! {
    arch::disable_interrupts();
    let uart = UART.load(Relaxed);
    // Once only: the UART may be what faults.
    if uart != 0 && !FAULTED.swap(true, Relaxed) {
        // SAFETY: by the promise made to `prepare`.
        let uart = unsafe { Uart::start(Address(uart)) };
        for byte in b"\r\n".iter().chain(line.as_bytes()).chain(b"\r\n") {
            for _ in 0..1_000_000 {
                if uart.try_send(*byte) {
                    break;
                }
            }
        }
    }
    stop(SYSTEM_OFF)
}

/// Calls a PSCI function that does not come back.
pub fn stop(function: u32) -> ! {
    let conduit = match BY_SMC.load(Relaxed) {
        true => Conduit::Smc,
        false => Conduit::Hvc,
    };
    arch::psci_stop(conduit, function)
}
