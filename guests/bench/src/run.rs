//! The run: row after row, each with its line.

use crate::args::Arguments;
use crate::report::{self, Outcome};
use crate::second::Second;
use crate::spare;
use crate::table::{ROWS, Row};
use bare::arch;
use bare::board::{Board, IntId};
use bare::gic::Gic;
use bare::histogram::Histogram;
use bare::registers::Registers;
use bare::text::Line;
use bare::time::{Clock, Nanos, Ticks};
use bare::uart::Uart;
use core::cell::Cell;

/// The samples of the row that runs.
pub static SAMPLES: Histogram = Histogram::new();

/// How long something is waited for beyond its time.
pub const PATIENCE: Nanos = Nanos(1_000_000_000);

/// Everything that the rows work with.
pub struct Run<'a> {
    /// The boot arguments.
    pub arguments: Arguments<'a>,
    /// The board.
    pub board: Board<'a>,
    /// The rate of the counter.
    pub clock: Clock,
    /// The interrupt controller, as this core sees it.
    pub gic: Gic,
    /// The console.
    pub uart: Option<Uart>,
    /// Its registers.
    pub uart_registers: Option<Registers>,
    /// The second core, once it was started.
    pub second: Cell<Option<Second>>,
}

impl Run<'_> {
    /// All rows that were asked for.
    pub fn run(&self) {
        for row in ROWS {
            if self.arguments.rows.has(row) {
                SAMPLES.clear();
                let outcome = self.row(row);
                let mut line = Line::new();
                report::row(&mut line, row, outcome, &SAMPLES);
                self.say(&line);
            }
        }
    }

    fn row(&self, row: Row) -> Outcome {
        match row {
            Row::Timer => self.timer::<{ Row::Timer.number() }>(false),
            Row::TimerWfi => self.timer::<{ Row::TimerWfi.number() }>(true),
            Row::SgiOther => self.other::<{ Row::SgiOther.number() }>(false),
            Row::SgiOtherWfi => self.other::<{ Row::SgiOtherWfi.number() }>(true),
            Row::SgiWrite => self.other::<{ Row::SgiWrite.number() }>(false),
            Row::Storm => self.storm(),
            _ => self.loop_row(row),
        }
    }

    /// A point in time `nanos` from now.
    pub fn from_now(&self, nanos: Nanos) -> Ticks {
        Ticks(arch::counter().0 + self.clock.ticks(nanos).0)
    }

    /// Spins until `reached`, a second at most; says whether it was reached.
    pub fn spin_until(&self, reached: impl Fn() -> bool) -> bool {
        let end = self.from_now(PATIENCE);
        while !reached() {
            if arch::counter() >= end {
                return reached();
            }
            arch::spin_hint();
        }
        true
    }

    /// Spins for so long.
    pub fn spin_for(&self, nanos: Nanos) {
        let end = self.from_now(nanos);
        while arch::counter() < end {
            arch::spin_hint();
        }
    }

    /// SPIs that nothing uses.
    pub fn spare(&self) -> impl Iterator<Item = IntId> {
        let console = self.board.uart.map(|uart| uart.interrupt);
        spare::spare(self.gic.spi_end(), console)
    }

    /// Prints a line.
    pub fn say(&self, line: &Line) {
        if let Some(uart) = self.uart {
            uart.send(line.as_bytes());
            uart.send(b"\r\n");
        }
    }
}
