//! The loop rows: one operation many times, timed as a whole.

use crate::arch::{self, mark};
use crate::interrupts::{LOGS, SPECIAL};
use crate::report::Outcome;
use crate::run::Run;
use crate::table::{Row, marker};
use bare::arch as machine;
use bare::board::{Conduit, IntId};
use bare::gic::{self, Trigger};
use bare::time::Ticks;
use core::arch::asm;

/// A call of the range of vendors' hypervisors (SMCCC 6) that nobody implements.
const NOBODYS: u64 = 0xC600_7E5A;
/// PSCI_VERSION.
const PSCI_VERSION: u64 = 0x8400_0000;
/// SMCCC NOT_SUPPORTED, as its low half.
const NOT_SUPPORTED: u32 = u32::MAX;
/// Offsets in a PL011.
const UARTFR: usize = 0x18;
const UARTIMSC: usize = 0x38;
/// GICD_ISENABLER1.
const ISENABLER1: usize = gic::GICD_ISENABLER + 4;
/// The SGI that a core sends itself.
const SGI: IntId = IntId(1);
/// Looks at ISR_EL1 so often before an interrupt is given up.
const PATIENCE: u32 = 1_000_000;
/// Priority of everything but a storm.
pub const PRIORITY: u8 = 0x80;

const NO_UART: Outcome = Outcome::NotPossible("the tree names no UART");
const NO_SPI: Outcome = Outcome::NotPossible("the distributor has no spare SPI");

impl Run<'_> {
    /// Measures a loop row.
    pub fn loop_row(&self, row: Row) -> Outcome {
        let rounds = self.arguments.iterations;
        let uart = self.uart_registers;
        let distributor = self.gic.distributor();
        let total = match row {
            Row::Empty => arch::empty(rounds),
            Row::Hypercall => return self.hypercall(),
            // SAFETY: the conduit is the tree's; PSCI_VERSION only answers.
            Row::PsciVersion => unsafe { arch::psci(rounds, self.board.psci, PSCI_VERSION) },
            Row::GicdRead => arch::gicd_read(rounds, distributor, ISENABLER1),
            Row::GicdWrite | Row::GicdDisable => return self.enable_row(row),
            Row::UartRead => match uart {
                Some(uart) => arch::uart_read(rounds, uart, UARTFR),
                None => return NO_UART,
            },
            Row::UartWrite => match uart {
                Some(uart) => arch::uart_write(rounds, uart, UARTIMSC, uart.read(UARTIMSC)),
                None => return NO_UART,
            },
            Row::Sysreg => arch::sysreg(rounds),
            Row::SgiSelf => return self.sgi_self(),
            Row::SpiSelf => return self.spi_self(),
            Row::Eoi => return self.eoi(),
            _ => return Outcome::NotPossible("no loop row"),
        };
        self.looped(total)
    }

    fn looped(&self, total: Ticks) -> Outcome {
        Outcome::Loop(self.arguments.iterations, self.clock.nanos(total))
    }

    fn hypercall(&self) -> Outcome {
        if self.board.psci == Conduit::Smc {
            return Outcome::NotPossible("the tree's conduit is smc");
        }
        machine::disable_interrupts();
        // SAFETY: nobody implements it.
        let answer = unsafe { machine::try_hvc(NOBODYS) };
        machine::enable_interrupts();
        match answer {
            None => Outcome::NotPossible("HVC with a function that is not PSCI's is undefined"),
            Some(answer) if answer as u32 != NOT_SUPPORTED => {
                Outcome::NotPossible("the answer is not NOT_SUPPORTED")
            }
            // SAFETY: it was just called.
            Some(_) => self.looped(unsafe { arch::hypercall(self.arguments.iterations, NOBODYS) }),
        }
    }

    /// A spare SPI, not pending, enabled or disabled again and again.
    fn enable_row(&self, row: Row) -> Outcome {
        let Some(spi) = self.spare().next() else {
            return NO_SPI;
        };
        let (rounds, distributor) = (self.arguments.iterations, self.gic.distributor());
        let total = if row == Row::GicdWrite {
            let (offset, bit) = gic::bit_of(gic::GICD_ISENABLER, spi);
            arch::gicd_write(rounds, distributor, offset, bit)
        } else {
            let (offset, bit) = gic::bit_of(gic::GICD_ICENABLER, spi);
            arch::gicd_disable(rounds, distributor, offset, bit)
        };
        self.gic.disable(spi);
        self.looped(total)
    }

    fn handled(&self, (total, left): (Ticks, u64)) -> Outcome {
        match left {
            0 => self.looped(total),
            _ => Outcome::TimedOut(self.arguments.iterations.saturating_sub(left)),
        }
    }

    fn sgi_self(&self) -> Outcome {
        self.gic.enable(SGI, PRIORITY);
        let trigger = self.gic.sgi(SGI, self.gic.identity());
        let [log, ..] = &LOGS;
        let outcome = arch::sgi_self(self.arguments.iterations, trigger, &log.handled);
        self.handled(outcome)
    }

    fn spi_self(&self) -> Outcome {
        let Some(spi) = self.spare().next() else {
            return NO_SPI;
        };
        self.gic.enable(spi, PRIORITY);
        let Trigger::Store {
            registers,
            offset,
            value,
        } = self.gic.pend(spi)
        else {
            return NO_SPI;
        };
        let [log, ..] = &LOGS;
        let store = (registers, offset, value);
        let outcome = arch::spi_self(self.arguments.iterations, store, &log.handled);
        self.gic.disable(spi);
        self.handled(outcome)
    }

    /// Acknowledge and end of an SGI to itself, interrupts masked. Sending it is outside.
    fn eoi(&self) -> Outcome {
        let rounds = self.arguments.iterations;
        let send = self.gic.sgi(SGI, self.gic.identity());
        self.gic.enable(SGI, PRIORITY);
        machine::disable_interrupts();
        let mut total = Ticks(0);
        let mut done = 0;
        while done < rounds {
            send.pull();
            machine::data_barrier();
            if !(0..PATIENCE).any(|_| machine::interrupt_is_pending()) {
                break;
            }
            let start = machine::counter();
            mark!(Row::Eoi.number());
            let word = self.gic.acknowledge();
            self.gic.end(word);
            mark!(0);
            let stop = machine::counter();
            if word & 0x3FF >= SPECIAL {
                break;
            }
            total.0 += stop.0 - start.0;
            done += 1;
        }
        machine::enable_interrupts();
        match done == rounds {
            true => self.looped(total),
            false => Outcome::TimedOut(done),
        }
    }
}
