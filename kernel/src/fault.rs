//! The kernel's own end: a panic, or an exception in its own code. Never caused by a guest, if the kernel is right.

use crate::arch::{cpu, smc};
use crate::console;
use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::seize();
    let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
    // A message with numbers would need the formatting machinery, which is larger than this file's place in the kernel.
    let message = info.message().as_str().unwrap_or("a check of the language failed");
    let mut out = console::early();
    out.text(&"kernel panic on core ").hex(cpu::affinity()).text(&": ").text(&message);
    out.text(&", at ").text(&file).text(&":").number(u64::from(line)).end();
    stop()
}

/// What the kernel knows of itself does not hold.
#[cold]
#[inline(never)]
pub fn defect(what: &str) -> ! {
    console::seize();
    console::early().text(&"kernel defect on core ").hex(cpu::affinity()).text(&": ").text(&what).end();
    stop()
}

/// An exception taken from EL2 to EL2: vector 0-3 with SP_EL0, 4-7 with SP_EL2.
pub extern "C" fn own_fault(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    console::seize();
    let mut out = console::early();
    out.text(&"kernel fault on core ").hex(cpu::affinity()).text(&": vector ").number(vector);
    out.text(&" esr ").hex(esr).text(&" pc ").hex(elr).text(&" address ").hex(far).end();
    stop()
}

/// Stops the machine: what cannot vouch for isolation any more must not run on.
pub fn stop() -> ! {
    console::early().text(&"the machine is stopped").end();
    smc::system_off();
    cpu::halt()
}
