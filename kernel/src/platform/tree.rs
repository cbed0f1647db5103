//! Reads the board from its device tree (Devicetree Specification 0.4).

use super::board::{Board, BoardError, GicAddresses};
use super::fdt::{Fdt, Node, cell, kind, number, string, until};
use super::uart::UartKind;
use crate::arch::mmu::REACH;
use crate::memory::{Frames, Range};

/// The parts that the kernel knows, and how they are marked in a tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    GicV2,
    GicV3,
    Timer,
    Pl011,
    Cadence,
    Psci,
}

const COMPATIBLE: [(&[u8], Part); 12] = [
    (b"arm,gic-v3", Part::GicV3),
    (b"arm,gic-400", Part::GicV2),
    (b"arm,cortex-a15-gic", Part::GicV2),
    (b"arm,cortex-a7-gic", Part::GicV2),
    (b"arm,armv8-timer", Part::Timer),
    (b"arm,pl011", Part::Pl011),
    (b"cdns,uart-r1p12", Part::Cadence),
    (b"xlnx,zynqmp-uart", Part::Cadence),
    (b"xlnx,xuartps", Part::Cadence),
    (b"arm,psci-1.0", Part::Psci),
    (b"arm,psci-0.2", Part::Psci),
    (b"arm,psci", Part::Psci),
];

/// What a node is, by the first entry of its `compatible` that is known.
#[inline(never)]
fn part(node: &Node<'_>) -> Option<Part> {
    let names = node.property(b"compatible")?;
    let mut at = 0;
    loop {
        let name = string(names, at)?;
        for (known, part) in &COMPATIBLE {
            if *known == name {
                return Some(*part);
            }
        }
        at += name.len() + 1;
    }
}

/// An address in a node's children's `reg` as a physical one. A bus without `ranges` keeps its addresses to itself:
/// nothing behind it is reachable; if they are empty its addresses are its parent's.
fn translate<'a>(mut bus: &'a Node<'a>, mut address: u64) -> Option<u64> {
    while let Some(parent) = bus.parent {
        let ranges = bus.property(b"ranges")?;
        let (cells, up) = (bus.child_cells(), bus.cells().address);
        let mut at = 0;
        while !ranges.is_empty() {
            // An address that 64 bits do not hold is a PCI bus's: no device of ours is there.
            if let Some(from) = number(ranges, at, cells.address)
                && let Some(to) = number(ranges, at + cells.address, up)
                && let Some(len) = number(ranges, at + cells.address + up, cells.size)
                && from <= address
                && address - from < len
            {
                address = to.checked_add(address - from)?;
                break;
            }
            at += (cells.address + up + cells.size).max(1);
            if at >= ranges.len() / 4 {
                return None;
            }
        }
        bus = parent;
    }
    Some(address)
}

/// The n-th entry of a node's `reg`, as its parent sees it.
#[inline(never)]
fn local(node: &Node<'_>, n: usize) -> Option<Range> {
    let value = node.property(b"reg")?;
    let cells = node.cells();
    let at = n * (cells.address + cells.size);
    Some(Range::new(
        number(value, at, cells.address)?,
        number(value, at + cells.address, cells.size)?,
    ))
}

/// The n-th entry of a node's `reg` as a physical range; an empty one if there is none.
#[inline(never)]
fn reg(node: &Node<'_>, n: usize) -> Range {
    if let Some(range) = local(node, n)
        && let Some(bus) = node.parent
        && let Some(start) = translate(bus, range.start)
    {
        return Range::new(start, range.len());
    }
    Range::default()
}

/// Interrupt `n` of a node, in the GIC's binding of three cells.
#[inline(never)]
fn interrupt(node: &Node<'_>, n: usize) -> Option<u32> {
    let value = node.property(b"interrupts")?;
    let number = cell(value, 3 * n + 1)?;
    match cell(value, 3 * n)? {
        0 if number < 1020 - 32 => Some(number + 32),
        1 if number < 16 => Some(number + 16),
        _ => None,
    }
}

/// Reads a board from its device tree, which lies at `tree`.
///
/// # Errors
///
/// What the board lacks. What was found is there all the same: the serial port, so that it can be said.
pub fn read(fdt: &Fdt<'_>, tree: Range, board: &mut Board) -> Result<(), BoardError> {
    let root = fdt.root();
    let chosen = fdt.chosen();
    board.reserved.add(tree);
    let mut n = 0;
    while let Some(range) = fdt.reservation(n)
        && range != Range::default()
    {
        board.reserved.add(range);
        n += 1;
    }
    let mut reader = Reader {
        board,
        gic: Err(BoardError::NoGic),
    };
    reader.visit(
        &root,
        chosen.and_then(|chosen| console(&root, &chosen)),
        true,
    );
    let gic = reader.gic;
    if let Some(chosen) = chosen {
        read_chosen(&chosen, board);
    }
    gic?;
    if board.ram.ranges().is_empty() {
        return Err(BoardError::NoMemory);
    }
    if board.core_count == 0 {
        return Err(BoardError::NoCores);
    }
    if board.ram.is_full() || board.reserved.is_full() || board.hidden.is_full() {
        return Err(BoardError::TooManyRanges);
    }
    Ok(())
}

/// The path of the node that /chosen/stdout-path names, by path or by alias.
fn console<'a>(root: &'a Node<'a>, chosen: &Node<'a>) -> Option<&'a [u8]> {
    let value = string(chosen.property(b"stdout-path")?, 0)?;
    let mut path = until(value, b':');
    if path.first() != Some(&b'/') {
        path = string(root.child(b"aliases")?.property(path)?, 0)?;
    }
    Some(path)
}

fn read_chosen(chosen: &Node<'_>, board: &mut Board) {
    if let Some(start) = chosen.number(b"linux,initrd-start")
        && let Some(end) = chosen.number(b"linux,initrd-end")
    {
        let bundle = Range { start, end };
        board.bundle = (bundle.len() != 0).then_some(bundle);
        board.reserved.add(bundle);
    }
    if let Some(value) = chosen.property(b"rng-seed") {
        let mut seed = [0; 4];
        for (i, &byte) in value.iter().enumerate() {
            seed[i / 8 % 4] ^= u64::from(byte) << (i % 8 * 8);
        }
        board.seed = (value.len() >= 16).then_some(seed);
    }
}

/// A board that is being read.
struct Reader<'b> {
    board: &'b mut Board,
    /// Whether an interrupt controller was found.
    gic: Result<(), BoardError>,
}

impl Reader<'_> {
    /// Looks at a node and at all below it, if they are used: not those that are not enabled, and nothing below them, but
    /// the console, to which `path` leads from the node. Returns the cell behind its end. The tree's check bounds the depth.
    #[inline(never)]
    fn visit(&mut self, node: &Node<'_>, path: Option<&[u8]>, mut is_used: bool) -> usize {
        let is_console = path == Some(&[]);
        is_used = is_console || is_used && node.is_enabled();
        if is_used {
            self.look(node, is_console);
            self.place(node);
        }
        let mut at = node.at;
        let mut name = path
            .and_then(|path| path.get(1..))
            .map(|path| until(path, b'/'));
        loop {
            let (kind, next) = node.fdt.token(at);
            at = match kind {
                kind::PROPERTY | kind::NOP => next,
                kind::BEGIN => {
                    let child = node.below(at, next);
                    // The first that the path can mean is the one.
                    let name = name.take_if(|name| child.is_named(name));
                    let path = path.and_then(|path| path.get(1 + name?.len()..));
                    self.visit(&child, path, is_used)
                }
                kind::END => return next,
                _ => return at,
            }
        }
    }

    /// Takes note of a part that the kernel drives.
    #[inline(never)]
    fn look(&mut self, node: &Node<'_>, is_console: bool) {
        let Some(part) = part(node) else {
            return;
        };
        match part {
            Part::GicV2 | Part::GicV3 => {
                if self.gic == Err(BoardError::NoGic) {
                    self.gic(node, part);
                }
            }
            Part::Timer => {
                if let Some(intid) = interrupt(node, 3) {
                    self.board.timer = intid;
                }
            }
            Part::Pl011 | Part::Cadence => {
                let kind = if part == Part::Pl011 {
                    UartKind::Pl011
                } else {
                    UartKind::Cadence
                };
                let registers = reg(node, 0);
                if (self.board.uart.is_none() || is_console)
                    && registers.len() != 0
                    && let Some(intid) = interrupt(node, 0)
                {
                    self.board.uart = Some((registers, kind, intid));
                }
            }
            Part::Psci => self.board.has_psci |= node.says(b"method", b"smc\0"),
        }
    }

    fn gic(&mut self, node: &Node<'_>, part: Part) {
        let is_v2 = part == Part::GicV2;
        let count = if is_v2 {
            4
        } else {
            1 + node
                .number(b"#redistributor-regions")
                .unwrap_or(1)
                .clamp(1, 4) as usize
        };
        let mut registers = [Range::default(); 5];
        let mut complete = true;
        for (n, place) in registers.iter_mut().enumerate().take(count) {
            let mut range = reg(node, n);
            complete &= range.len() != 0;
            // A CPU interface of 128 KiB repeats each of its 4 KiB pages over 64 KiB, for systems with large pages. The
            // last copy of the first page and the first of the second lie side by side, as everywhere else.
            if is_v2 && n % 2 == 1 && range.len() >= 0x2_0000 {
                range = Range::new(range.start + 0xf000, 0x2000);
            }
            *place = range;
        }
        if complete {
            self.gic = Ok(());
        } else if is_v2 {
            self.gic = Err(BoardError::NoVirtualInterface);
        } else {
            return;
        }
        let [distributor, redistributors @ ..] = registers;
        let [interface, hypervisor, guest, _] = redistributors;
        self.board.gic = if is_v2 {
            GicAddresses::V2 {
                distributor,
                interface,
                hypervisor,
                guest,
            }
        } else {
            GicAddresses::V3 {
                distributor,
                redistributors,
            }
        };
        if let Some(intid) = interrupt(node, 0) {
            self.board.maintenance = intid;
        }
    }

    /// Takes note of what a node is by its place in the tree: RAM, a core, a reservation.
    #[inline(never)]
    fn place(&mut self, node: &Node<'_>) {
        let board = &mut *self.board;
        let Some(bus) = node.parent else {
            return;
        };
        let is_ram = bus.parent.is_none() && node.says(b"device_type", b"memory\0");
        if is_ram || bus.is_named(b"reserved-memory") {
            let is_hidden = node.property(b"no-map").is_some();
            // One more than can be kept shows that they are too many.
            for n in 0..Frames::MOST + 1 {
                let Some(range) = local(node, n) else {
                    break;
                };
                if is_ram {
                    // Beyond the window's reach the kernel cannot load a guest.
                    let end = range.end.min(REACH);
                    board.beyond += range.end.saturating_sub(end.max(range.start));
                    board.ram.add(Range { end, ..range });
                    continue;
                }
                board.reserved.add(range);
                if is_hidden {
                    board.hidden.add(range.whole_pages());
                }
            }
        } else if bus.is_named(b"cpus")
            && node.says(b"device_type", b"cpu\0")
            && let Some(affinity) = node.number(b"reg")
            && let Some(place) = board.cores.get_mut(board.core_count)
        {
            *place = affinity & 0xff_00ff_ffff;
            board.core_count += 1;
        }
    }
}
