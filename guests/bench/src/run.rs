//! The run: row after row, each with its line.

use crate::args::Arguments;
use crate::report::{self, Outcome};
use crate::spare;
use crate::table::{ROWS, Row};
use bare::board::{Board, IntId};
use bare::gic::Gic;
use bare::histogram::Histogram;
use bare::registers::Registers;
use bare::text::Line;
use bare::time::Clock;
use bare::uart::Uart;

/// The samples of the row that runs.
pub static SAMPLES: Histogram = Histogram::new();

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
        self.loop_row(row)
            .unwrap_or(Outcome::NotPossible("not written yet"))
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
