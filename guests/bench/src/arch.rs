//! The measured instructions, and the registers that only this guest uses.
//!
//! A loop row is one block of assembly, so that its size is known: 16 rounds to warm up, the
//! counter, the marker of the row, the loop, the marker 0, the counter. Each round is the
//! row's own instructions and the two that count (`subs`, `b.ne`).

use crate::table::{Row, marker};
use bare::board::Conduit;
use bare::gic::Trigger;
use bare::registers::Registers;
use bare::time::Ticks;
use core::arch::asm;
use core::sync::atomic::AtomicU32;

/// Times a loop of the given instructions.
macro_rules! timed {
    ($row:expr, $rounds:expr, [$($instruction:literal),*], $($operand:tt)*) => {{
        let (start, stop): (u64, u64);
        let rounds: u64 = $rounds;
        asm!(
            "mov {left}, #16",
            "2:",
            $($instruction,)*
            "subs {left}, {left}, #1",
            "b.ne 2b",
            "mov {left}, {rounds}",
            "isb",
            "mrs {start}, cntvct_el0",
            ".inst {begin}",
            "3:",
            $($instruction,)*
            "subs {left}, {left}, #1",
            "b.ne 3b",
            ".inst {end}",
            "isb",
            "mrs {stop}, cntvct_el0",
            left = out(reg) _,
            rounds = inout(reg) rounds.max(1) => _,
            start = out(reg) start,
            stop = out(reg) stop,
            begin = const marker($row.number()),
            end = const marker(0),
            $($operand)*
            options(nostack),
        );
        Ticks(stop.wrapping_sub(start))
    }};
}

/// The loop alone.
pub fn empty(rounds: u64) -> Ticks {
    // SAFETY: registers only.
    unsafe { timed!(Row::Empty, rounds, [],) }
}

/// A call of `function` by HVC that is not implemented.
///
/// # Safety
///
/// HVC can be called, and does not know `function`.
pub unsafe fn hypercall(rounds: u64, function: u64) -> Ticks {
    // SAFETY: SMCCC: x0-x17 may change. The rest by the promise of the caller.
    unsafe {
        timed!(Row::Hypercall, rounds, ["mov x0, {function}", "hvc #0"],
            function = inout(reg) function => _, 
                out("x0") _, out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _,
                out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _,
                out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,)
    }
}

/// A call of `function`, which only answers, by the conduit.
///
/// # Safety
///
/// PSCI is called so, and `function` changes no memory.
pub unsafe fn psci(rounds: u64, conduit: Conduit, function: u64) -> Ticks {
    match conduit {
        // SAFETY: SMCCC: x0-x17 may change. The rest by the promise of the caller.
        Conduit::Hvc => unsafe {
            timed!(Row::PsciVersion, rounds, ["mov x0, {function}", "hvc #0"],
                function = inout(reg) function => _, 
                out("x0") _, out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _,
                out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _,
                out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,)
        },
        // SAFETY: as above.
        Conduit::Smc => unsafe {
            timed!(Row::PsciVersion, rounds, ["mov x0, {function}", "smc #0"],
                function = inout(reg) function => _, 
                out("x0") _, out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _,
                out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _, out("x11") _,
                out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,)
        },
    }
}

/// A read of a device register.
macro_rules! read_loop {
    ($name:ident, $row:expr, $what:literal) => {
        #[doc = $what]
        pub fn $name(rounds: u64, registers: Registers, offset: usize) -> Ticks {
            // SAFETY: by the promise made to `Registers::new`.
            unsafe {
                timed!($row, rounds, ["ldr {value:w}, [{address}]"],
                    address = inout(reg) registers.address(offset) => _, value = out(reg) _,)
            }
        }
    };
}

/// A write to a device register.
macro_rules! write_loop {
    ($name:ident, $row:expr, $what:literal) => {
        #[doc = $what]
        pub fn $name(rounds: u64, registers: Registers, offset: usize, value: u32) -> Ticks {
            // SAFETY: by the promise made to `Registers::new`.
            unsafe {
                timed!($row, rounds, ["str {value:w}, [{address}]"],
                    address = inout(reg) registers.address(offset) => _,
                    value = inout(reg) value => _,)
            }
        }
    };
}

read_loop!(gicd_read, Row::GicdRead, "Reads a distributor register.");
write_loop!(gicd_write, Row::GicdWrite, "Writes one that enables.");
write_loop!(gicd_disable, Row::GicdDisable, "Writes one that disables.");
read_loop!(uart_read, Row::UartRead, "Reads a UART register.");
write_loop!(uart_write, Row::UartWrite, "Writes a UART register.");

/// Reads ID_AA64PFR0_EL1.
pub fn sysreg(rounds: u64) -> Ticks {
    // SAFETY: an identification register.
    unsafe { timed!(Row::Sysreg, rounds, ["mrs {value}, id_aa64pfr0_el1"], value = out(reg) _,) }
}

/// Looks at a flag so often before a loop gives up.
const PATIENCE: u64 = 10_000_000;

/// Makes an interrupt and waits until `handled` has grown by one, for each round. `$instruction`
/// makes the interrupt. Gives the time, and the rounds that are left: 0 unless one was
/// not handled. One of the first 16, which warm up, counts as none.
macro_rules! handled {
    ($row:expr, $rounds:expr, $handled:expr, $instruction:literal, $($operand:tt)*) => {{
        let handled: &AtomicU32 = $handled;
        let (start, stop, left): (u64, u64, u64);
        let rounds: u64 = $rounds;
        asm!(
            "ldr {next:w}, [{handled}]",
            "mov {left}, #16",
            "mov {start}, #0",
            "mov {stop}, #0",
            "2:",
            "add {next:w}, {next:w}, #1",
            "mov {patience}, {limit}",
            $instruction,
            "isb",
            "3: ldr {seen:w}, [{handled}]",
            "cmp {seen:w}, {next:w}",
            "b.eq 4f",
            "yield",
            "subs {patience}, {patience}, #1",
            "b.ne 3b",
            "b 8f",
            "4: subs {left}, {left}, #1",
            "b.ne 2b",
            "mov {left}, {rounds}",
            "isb",
            "mrs {start}, cntvct_el0",
            ".inst {begin}",
            "5:",
            "add {next:w}, {next:w}, #1",
            "mov {patience}, {limit}",
            $instruction,
            "isb",
            "6: ldr {seen:w}, [{handled}]",
            "cmp {seen:w}, {next:w}",
            "b.eq 7f",
            "yield",
            "subs {patience}, {patience}, #1",
            "b.ne 6b",
            "b 8f",
            "7: subs {left}, {left}, #1",
            "b.ne 5b",
            "8:",
            ".inst {end}",
            "isb",
            "mrs {stop}, cntvct_el0",
            next = out(reg) _,
            seen = out(reg) _,
            patience = out(reg) _,
            handled = inout(reg) handled.as_ptr() => _,
            limit = inout(reg) PATIENCE => _,
            left = out(reg) left,
            rounds = inout(reg) rounds.max(1) => _,
            start = out(reg) start,
            stop = out(reg) stop,
            begin = const marker($row.number()),
            end = const marker(0),
            $($operand)*
            options(nostack),
        );
        (Ticks(stop.wrapping_sub(start)), left)
    }};
}

/// An SGI to itself. Interrupts are let in.
pub fn sgi_self(rounds: u64, trigger: Trigger, handled: &AtomicU32) -> (Ticks, u64) {
    match trigger {
        // SAFETY: the handler counts in `handled`; by the promise made to `Registers::new`.
        Trigger::Store {
            registers,
            offset,
            value,
        } => unsafe {
            handled!(Row::SgiSelf, rounds, handled, "str {value:w}, [{address}]",
                address = inout(reg) registers.address(offset) => _,
                value = inout(reg) value => _,)
        },
        // SAFETY: as above; ICC_SGI1R_EL1.
        Trigger::Sgi1(value) => unsafe {
            handled!(Row::SgiSelf, rounds, handled, "msr S3_0_C12_C11_5, {value}",
                value = inout(reg) value => _,)
        },
    }
}

/// An SPI to itself, by a store. Interrupts are let in.
pub fn spi_self(
    rounds: u64,
    (registers, offset, value): (Registers, usize, u32),
    handled: &AtomicU32,
) -> (Ticks, u64) {
    // SAFETY: the handler counts in `handled`; by the promise made to `Registers::new`.
    unsafe {
        handled!(Row::SpiSelf, rounds, handled, "str {value:w}, [{address}]",
            address = inout(reg) registers.address(offset) => _,
            value = inout(reg) value => _,)
    }
}

/// Executes the marker of a row, 0 at its end.
macro_rules! mark {
    ($number:expr) => {
        // SAFETY: writes the zero register.
        unsafe { asm!(".inst {}", const marker($number), options(nostack, preserves_flags)) }
    };
}
pub(crate) use mark;

/// Which core this is, as [`set_core`] was told.
#[inline]
pub fn core() -> usize {
    let core: usize;
    // SAFETY: nobody else uses TPIDR_EL1.
    unsafe { asm!("mrs {}, tpidr_el1", out(reg) core, options(nomem, nostack)) };
    core
}

/// Tells this core its number.
pub fn set_core(core: usize) {
    // SAFETY: as above.
    unsafe { asm!("msr tpidr_el1, {}", in(reg) core, options(nostack)) };
}
