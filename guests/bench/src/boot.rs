//! The boot: from the first Rust instruction to the last row.

use crate::arch::set_core;
use crate::args::{Arguments, Mode};
use crate::interrupts::{self, Sources};
use crate::run::Run;
use bare::arch;
use bare::board::{Address, Board, Conduit};
use bare::fault::{self, SYSTEM_OFF};
use bare::gic::{self, Gic};
use bare::memory::Space;
use bare::registers::Registers;
use bare::text::Line;
use bare::time::Clock;
use bare::uart::Uart;
use core::cell::Cell;

/// Called once by start.s, interrupts masked, MMU off; `tree` is the x0 of the boot protocol.
#[unsafe(no_mangle)]
extern "C" fn bare_main(tree: u64) -> ! {
    let tree = Address(tree);
    set_core(0);
    // SAFETY: first, once, and the MMU is off.
    let mut space = unsafe { Space::start(tree) };
    // SAFETY: the same tree.
    let found = unsafe { space.tree(tree) };
    let board = found.map_or_else(Board::virt, |tree| Board::from_tree(&tree));
    let arguments = Arguments::parse(board.arguments);
    space.add_board(&board);

    // SAFETY: the board's UART, mapped by `add_board`.
    let uart = board.uart.map(|uart| unsafe { Uart::start(uart) });
    // SAFETY: as above; reads and writes of it change no memory.
    let registers = |address| unsafe { Registers::new(address) };
    let uart_registers = board.uart.map(|uart| registers(uart.address));
    // SAFETY: the same UART.
    unsafe { fault::prepare(&"bench", board.uart, board.psci) };
    // SAFETY: the controller of the board, or the gap of the `virt` board, is mapped.
    let (gic_board, gic) = unsafe {
        let board = gic::probe(board.gic);
        (board, Gic::start(board))
    };
    let Some(gic) = gic else {
        panic!("no redistributor for this core");
    };
    let sources = Sources {
        gic,
        board: gic_board,
        timer: board.timer,
        physical_timer: board.physical_timer,
    };
    // SAFETY: once, and interrupts are masked since the first instruction.
    unsafe { interrupts::install(sources) };

    let run = Run {
        arguments,
        board,
        clock: Clock::new(arch::counter_frequency()),
        gic,
        uart,
        uart_registers,
        second: Cell::new(None),
    };
    banner(&run);
    if run.arguments.mode == Mode::Spin {
        say(&run, "bench: spinning");
        loop {
            arch::spin_hint();
        }
    }
    arch::enable_interrupts();
    run.run();
    say(&run, "bench: done");
    arch::disable_interrupts();
    if run.arguments.end_off {
        fault::stop(SYSTEM_OFF);
    }
    loop {
        // Nothing is enabled that could come.
        arch::wait_unless(|| false);
        arch::disable_interrupts();
    }
}

fn say(run: &Run<'_>, text: &str) {
    let mut line = Line::new();
    line.text(text);
    run.say(&line);
}

/// The first lines of output: what was found.
fn banner(run: &Run<'_>) {
    let board = &run.board;
    let mut line = Line::new();
    line.text("bench: start, GICv").number(run.gic.version());
    line.text(", timer ").number(run.clock.hertz());
    line.text(" Hz on ").number(board.timer.0.into());
    line.text(", cpus ").number(board.cpus.into());
    line.text(match board.psci {
        Conduit::Hvc => ", psci hvc",
        Conduit::Smc => ", psci smc",
    });
    if let Some(uart) = board.uart {
        line.text(", uart ").hex(uart.address.0);
        line.text(" on ").number(uart.interrupt.0.into());
    }
    if let Some(spi) = run.spare().next() {
        line.text(", spare spi ").number(spi.0.into());
    }
    for range in board.memory.iter().flatten() {
        line.text(", memory ").hex(range.start.0);
        line.text("+").hex(range.size);
    }
    line.text(", loaded at ").hex(arch::image().0.0);
    run.say(&line);

    if let Some(word) = run.arguments.ignored {
        let mut line = Line::new();
        line.text("bench: ignored argument ");
        for byte in word.bytes() {
            line.typed(byte);
        }
        run.say(&line);
    }
}
