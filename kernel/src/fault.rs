//! The kernel's own end: a panic, or an exception in its own code. Never caused by a guest, if the kernel is right.

use crate::arch::{cpu, smc};
use crate::console::{self, Text};
use crate::print_early;
use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::seize();
    let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
    print_early!("kernel panic on core {:#x}: {}, at {}:{}", cpu::affinity(), info.message(), Text(file), u64::from(line));
    stop()
}

/// An exception taken from EL2 to EL2: vector 0-3 with SP_EL0, 4-7 with SP_EL2.
pub extern "C" fn own_fault(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    console::seize();
    print_early!(
        "kernel fault on core {:#x}: vector {vector} esr {esr:#x} pc {elr:#x} address {far:#x}",
        cpu::affinity()
    );
    stop()
}

/// Stops the machine: what cannot vouch for isolation any more must not run on.
pub fn stop() -> ! {
    print_early!("the machine is stopped");
    smc::system_off();
    cpu::halt()
}
