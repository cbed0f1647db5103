//! The end: exceptions that are not expected, and panics. Says what happened, polling the
//! UART, and switches the machine off.

use crate::arch;
use crate::board::{Address, Conduit, IntId, UartBoard};
use crate::text::Line;
use crate::uart::Uart;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed};

/// PSCI SYSTEM_OFF (Arm DEN 0022, 5.9).
pub const SYSTEM_OFF: u32 = 0x8400_0008;
/// PSCI SYSTEM_RESET.
pub const SYSTEM_RESET: u32 = 0x8400_0009;

static NAME: AtomicPtr<&str> = AtomicPtr::new(ptr::null_mut());
static UART: AtomicU64 = AtomicU64::new(0);
static UART_IS_SBSA: AtomicBool = AtomicBool::new(false);
static BY_SMC: AtomicBool = AtomicBool::new(false);
static FAULTED: AtomicBool = AtomicBool::new(false);

/// Tells this module who speaks, how, and how to stop.
///
/// # Safety
///
/// A UART that was started is where `uart` says, mapped as device memory.
pub unsafe fn prepare(name: &'static &'static str, uart: Option<UartBoard>, conduit: Conduit) {
    NAME.store(ptr::from_ref(name).cast_mut(), Relaxed);
    UART_IS_SBSA.store(uart.is_some_and(|uart| uart.is_sbsa), Relaxed);
    UART.store(uart.map_or(0, |uart| uart.address.0), Relaxed);
    BY_SMC.store(conduit == Conduit::Smc, Relaxed);
}

/// Called by every vector but the one of interrupts.
#[unsafe(no_mangle)]
extern "C" fn bare_unexpected(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    let mut line = Line::new();
    line.text(name()).text(": unexpected exception, vector ");
    line.number(vector);
    line.text(", ESR ").hex(esr);
    line.text(", ELR ").hex(elr);
    line.text(", FAR ").hex(far);
    end(&line)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut line = Line::new();
    line.text(name()).text(": panic");
    if let Some(location) = info.location() {
        line.text(" at ").text(location.file());
        line.byte(b':').number(location.line().into());
    }
    end(&line)
}

fn name() -> &'static str {
    // SAFETY: null, or the reference that was given to `prepare`, which lives for ever.
    unsafe { NAME.load(Relaxed).as_ref() }
        .copied()
        .unwrap_or("")
}

fn end(line: &Line) -> ! {
    arch::disable_interrupts();
    let uart = UART.load(Relaxed);
    // Once only: the UART may be what faults.
    if uart != 0 && !FAULTED.swap(true, Relaxed) {
        let board = UartBoard {
            address: Address(uart),
            interrupt: IntId(0), // not used here
            is_sbsa: UART_IS_SBSA.load(Relaxed),
        };
        // SAFETY: by the promise made to `prepare`.
        let uart = unsafe { Uart::start(board) };
        for bytes in [b"\r\n", line.as_bytes(), b"\r\n"] {
            uart.send(bytes);
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
