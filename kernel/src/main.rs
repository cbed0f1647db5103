//! The EL2 kernel of Tessera.
//!
//! This file is the whole boot: [`boot`] on the first core, [`boot_secondary`] on the others. Everything is made
//! here from the bundle's manifest; from the first guest on the kernel only reacts (`exit`).
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg(target_os = "none")]

mod arch;
mod build;
mod bundle;
mod console;
mod exit;
mod fault;
mod memory;
mod object;
mod platform;
mod sched;
mod system;
mod trace;
mod vmm;

use crate::arch::mmu::{BootMap, Map};
use crate::arch::start::Image;
use crate::arch::{cpu, mmu, smc, timer, vectors};
use crate::build::Seed;
use crate::console::Line;
use crate::memory::{Arena, Frames, Range};
use crate::platform::{Board, BoardError, Fdt, LARGEST_TREE, Uart};
use crate::sched::Core;

/// Boots the first core: `tree` is the device tree's physical address, `image` the kernel's, `level` the exception level.
extern "C" fn boot(tree: u64, image: u64, level: u64) -> ! {
    if level == 2 {
        vectors::install();
    }
    mmu::set_image_pa(image);
    // SAFETY: once, on the boot core, with the boot tables live.
    let mut map = unsafe { BootMap::new(level) };
    let Some(fdt) = find_tree(&mut map, tree) else {
        refuse_board(BoardError::NoTree);
    };
    let mut board = Board::new();
    let usable = platform::read(&fdt, Range::new(tree, fdt.len() as u64), &mut board);
    smc::set_psci(board.has_psci);
    if let Some((registers, kind, _)) = board.uart
        && map.map(registers.start, registers.len(), true).is_some()
    {
        // SAFETY: just mapped; the tree says what it is.
        console::open(Uart::new(unsafe { mmu::registers(registers.start, registers.len()) }, kind));
    }
    console::early().text(&concat!("Tessera ", env!("CARGO_PKG_VERSION"), " on core ")).hex(cpu::affinity()).end();
    if level != 2 {
        console::early().text(&"entered at EL").number(level).text(
            &", but a hypervisor needs EL2: on QEMU add virtualization=on; elsewhere let the firmware start the kernel at EL2",
        ).end();
        cpu::halt();
    }
    if let Err(error) = usable {
        refuse_board(error);
    }
    if board.beyond != 0 {
        console::early().text(&"warning: ").number(board.beyond >> 20).text(&" MiB of RAM lie above ").hex(mmu::REACH)
            .text(&", out of the kernel's reach, and are not used").end();
    }
    let image = Range::new(image, (Image::end() - Image::start()) as u64);
    if board.bundle.is_none() {
        board.bundle = bundle::appended(&mut map, image.end);
    }
    let mut frames = board.ram.clone();
    frames.reserve(image);
    frames.reserve(board.bundle.unwrap_or_default());
    for used in board.reserved.ranges() {
        frames.reserve(*used);
    }
    let (mut arena, stacks, root) = final_tables(&mut map, &mut frames, &board, image);
    let bytes = shown_bundle(&board);
    let manifest = bundle::read(bytes).unwrap_or_else(|error| refuse(|line| {
        error.words(&mut |word| line.word(word));
        line
    }));
    system::set_bundle(bytes);
    system::set_seed(board.seed);
    if board.seed.is_none() {
        console::early().text(&"warning: the boot loader passed no /chosen/rng-seed; the guests' seeds are only as random as the time of boot").end();
    }
    let seeds = build::build(&manifest, &board, &mut arena, &mut frames, stacks);
    build::start_cores(seeds, root)
}

/// The device tree, at its physical address.
fn find_tree(map: &mut BootMap, tree: u64) -> Option<Fdt<'static>> {
    let at = map.map(tree, LARGEST_TREE as u64, false).filter(|_| tree != 0)?;
    // SAFETY: just mapped; the boot protocol puts the tree there and nothing writes to it.
    Fdt::new(unsafe { core::slice::from_raw_parts(at as *const u8, LARGEST_TREE) })
}

/// Replaces the boot tables by the final ones. Returns the kernel's memory, the cores' stacks, and the tables' root.
fn final_tables(map: &mut BootMap, frames: &mut Frames, board: &Board, image: Range) -> (Arena, build::Stacks, stage2::Pa) {
    let block = frames.take(Arena::SIZE, Arena::SIZE);
    let Some(block) = block.filter(|block| map.map(block.start, block.len(), false).is_some()) else {
        refuse(|line| line.text(&"the board has no 2 MiB of free RAM in reach for the kernel"));
    };
    // The window shows all RAM but the image, which has its own place, and what the tree says must not be mapped.
    let mut shown = board.ram.clone();
    shown.reserve(image);
    for hidden in board.hidden.ranges() {
        shown.reserve(*hidden);
    }
    if frames.is_full() || shown.is_full() {
        refuse_board(BoardError::TooManyRanges);
    }
    // SAFETY: just taken and mapped.
    let mut arena = unsafe { Arena::new(block) };
    let stacks = build::Stacks::new(&mut arena, board.core_count);
    let mut tables = Map::new(&mut arena);
    for range in shown.ranges() {
        tables.ram(*range);
    }
    for range in build::devices(board) {
        tables.device(range);
    }
    for guard in stacks.guards() {
        tables.guard(guard);
    }
    // SAFETY: image, RAM with the arena, and every device the kernel uses are mapped where they were.
    match unsafe { tables.activate() } {
        Ok(root) => (arena, stacks, root),
        Err(at) => refuse(|line| {
            line.text(&"the kernel's own translation tables cannot show the device at ").hex(at as u64).text(&": it is out of reach")
        }),
    }
}

/// The bundle's bytes, in the window.
fn shown_bundle(board: &Board) -> &'static [u8] {
    let Some(range) = board.bundle.filter(|range| range.end <= mmu::REACH) else {
        refuse(|line| line.text(&"there is no bundle: pass one as the initrd, or boot the single-file image"));
    };
    if !board.ram.contains(&range) {
        refuse(|line| line.text(&"the bundle at ").hex(range.start).text(&"-").hex(range.end).text(&" is not in RAM"));
    }
    // SAFETY: RAM that is reserved for the bundle; nothing writes to it.
    unsafe { core::slice::from_raw_parts(mmu::window(stage2::Pa::new(range.start)) as *const u8, range.len() as usize) }
}

/// Boots another core.
extern "C" fn boot_secondary(seed: *mut Seed) -> ! {
    // SAFETY: `start_cores` made it for this core alone.
    let seed = unsafe { &mut *seed };
    vectors::install();
    run(seed)
}

/// Runs this core's guests, for ever.
fn run(seed: &'static mut Seed) -> ! {
    let core: &'static mut Core = seed.core();
    cpu::set_own_pointer(core::ptr::from_mut(core) as usize);
    core.begin_all();
    let resume = core.choose(timer::now());
    // SAFETY: `choose` has loaded everything else of this context.
    unsafe { vectors::enter(resume.next) }
}

/// Says why the system cannot run, and stops.
#[inline(always)]
fn refuse(reason: impl for<'a> FnOnce(&'a mut Line) -> &'a mut Line) -> ! {
    let mut line = begin_refusal();
    reason(&mut line);
    stop(line)
}

#[inline(never)]
fn begin_refusal() -> Line {
    let mut line = console::early();
    line.text(&"cannot start: ");
    line
}

fn refuse_board(error: BoardError) -> ! {
    let (text, number) = error.reason();
    refuse(|line| {
        line.text(&text);
        match number {
            Some(number) => line.number(number),
            None => line,
        }
    })
}

#[inline(never)]
fn stop(mut line: Line) -> ! {
    line.end();
    console::early().text(&"the machine is stopped").end();
    if cpu::exception_level() == 2 {
        smc::system_off();
    }
    cpu::halt()
}
