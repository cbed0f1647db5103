//! The boot: from the first Rust instruction to the last load.

use crate::args::Arguments;
use crate::devices::Devices;
use crate::report::{self, Outcome};
use crate::run;
use bare::arch;
use bare::board::{Address, Board, Conduit};
use bare::fault::{self, SYSTEM_OFF};
use bare::gic::{self, Gic};
use bare::memory::Space;
use bare::registers::Registers;
use bare::text::Line;
use bare::time::Clock;
use bare::uart::Uart;

/// Called once by start.s, interrupts masked, MMU off; `tree` is the x0 of the boot protocol.
#[unsafe(no_mangle)]
extern "C" fn bare_main(tree: u64) -> ! {
    let tree = Address(tree);
    // SAFETY: first, once, and the MMU is off.
    let mut space = unsafe { Space::start(tree) };
    // SAFETY: the same tree.
    let found = unsafe { space.tree(tree) };
    let board = found.map_or_else(Board::virt, |tree| Board::from_tree(&tree));
    let arguments = Arguments::parse(board.arguments);
    space.add_board(&board);

    // SAFETY: the board's UART, mapped by `add_board`.
    let uart = board.uart.map(|uart| unsafe { Uart::start(uart) });
    // SAFETY: the same UART.
    unsafe { fault::prepare(&"loads", board.uart, board.psci) };
    // SAFETY: the controller of the board, or the gap of the `virt` board, is mapped.
    let gic = unsafe { Gic::start(gic::probe(board.gic)) };
    let Some(gic) = gic else {
        panic!("no redistributor for this core");
    };
    let say = |line: &Line| {
        if let Some(uart) = uart {
            uart.send(line.as_bytes());
            uart.send(b"\r\n");
        }
    };
    say(&banner(&board, &arguments, &gic));
    let mut line = Line::new();
    report::outcome(&mut line, measure(&board, gic, &arguments));
    say(&line);
    let mut line = Line::new();
    line.text("loads: done");
    say(&line);
    if arguments.end_off {
        fault::stop(SYSTEM_OFF);
    }
    loop {
        // Nothing is enabled that could come.
        arch::wait_unless(|| false);
        arch::disable_interrupts();
    }
}

/// Interrupts are masked from the first instruction on, and at the end none is enabled.
#[unsafe(no_mangle)]
extern "C" fn bare_interrupt(_now: u64) {
    panic!("an interrupt, though all are masked");
}

fn measure(board: &Board<'_>, gic: Gic, arguments: &Arguments<'_>) -> Outcome {
    let Some(uart) = board.uart.filter(|uart| !uart.is_sbsa) else {
        return Outcome::NotPossible("the tree names no PL011");
    };
    // SAFETY: the board's UART is mapped; reads and writes of it change no memory.
    let registers = unsafe { Registers::new(uart.address) };
    match Devices::prepare(registers, uart.interrupt, gic) {
        Ok(devices) => {
            let clock = Clock::new(arch::counter_frequency());
            let outcome = run::run(&devices, &clock, arguments.rounds);
            devices.restore();
            outcome
        }
        Err(why) => Outcome::NotPossible(why),
    }
}

/// The first line of output: what was found, and is to be done.
fn banner(board: &Board<'_>, arguments: &Arguments<'_>, gic: &Gic) -> Line {
    let mut line = Line::new();
    line.text("loads: start, GICv").number(gic.version());
    line.text(match board.psci {
        Conduit::Hvc => ", psci hvc, rounds ",
        Conduit::Smc => ", psci smc, rounds ",
    });
    line.number(arguments.rounds);
    if let Some(word) = arguments.ignored {
        line.text(", ignored argument ");
        for byte in word.bytes() {
            line.typed(byte);
        }
    }
    line
}
