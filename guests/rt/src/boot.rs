//! The boot: from the first Rust instruction to the first release.

use crate::TASK;
use crate::args::Arguments;
use crate::console::Console;
use crate::interrupts::{self, Sources};
use crate::run::{self, Run};
use bare::arch;
use bare::board::{Address, Board};
use bare::fault;
use bare::gic::{self, Gic};
use bare::memory::Space;
use bare::text::Line;
use bare::time::{Clock, Ticks};
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

    // SAFETY: a PL011, mapped by `add_board`.
    let uart = board.uart.map(|uart| unsafe { Uart::start(uart) });
    // SAFETY: the same UART.
    unsafe { fault::prepare(&"rt", board.uart, board.psci) };
    // SAFETY: the controller of the board, or the gap of the `virt` board, is mapped.
    let gic = unsafe { Gic::start(gic::probe(board.gic)) };
    let Some(gic) = gic else {
        panic!("no redistributor for this core");
    };

    let clock = Clock::new(arch::counter_frequency());
    let rounds = arguments
        .loops
        .unwrap_or_else(|| run::rounds_for(arguments.work, &clock));
    let mut console = Console::new(uart);
    banner(&mut console, &board, &arguments, &clock, &gic, rounds);

    let period = clock.ticks(arguments.period);
    let started = arch::counter();
    let first = Ticks(started.0 + period.0);
    TASK.start(first, period, clock.scale());
    arch::set_timer(first);
    let sources = Sources {
        gic,
        timer: board.timer,
        uart: uart.zip(board.uart.map(|uart| uart.interrupt)),
    };
    // SAFETY: once, and interrupts are masked since the first instruction.
    unsafe { interrupts::install(sources) };

    let next_summary = Ticks(started.0 + clock.hertz());
    Run {
        arguments,
        clock,
        rounds,
        console,
        space,
        started,
        next_summary,
        bucket: None,
        ended: false,
    }
    .run()
}

/// The first lines of output: what was found and what will be done.
fn banner(
    console: &mut Console,
    board: &Board<'_>,
    arguments: &Arguments<'_>,
    clock: &Clock,
    gic: &Gic,
    rounds: u64,
) {
    let mut line = Line::new();
    line.text("rt: start, period ").number(arguments.period.0);
    line.text(" ns, work ").number(arguments.work.0);
    line.text(" ns, ").number(rounds).text(" loops");
    console.line(&line);

    let mut line = Line::new();
    line.text("rt: machine, GICv").number(gic.version());
    line.text(", timer ").number(clock.hertz());
    line.text(" Hz on ").number(board.timer.0.into());
    line.text(", cpus ").number(board.cpus.into());
    if let Some(uart) = board.uart {
        line.text(", uart ").hex(uart.address.0);
        line.text(" on ").number(uart.interrupt.0.into());
    }
    for range in board.memory.iter().flatten() {
        line.text(", memory ").hex(range.start.0);
        line.text("+").hex(range.size);
    }
    line.text(", loaded at ").hex(arch::image().0.0);
    console.line(&line);

    if let Some(word) = arguments.ignored {
        let mut line = Line::new();
        line.text("rt: ignored argument ");
        for byte in word.bytes() {
            line.typed(byte);
        }
        console.line(&line);
    }
}
