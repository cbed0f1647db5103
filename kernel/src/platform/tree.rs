//! Reads the board from its device tree (Devicetree Specification 0.4).

use super::board::{Board, BoardError, GicAddresses, MOST_CORES};
use super::uart::UartKind;
use crate::memory::Range;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::{NodeStandard, Status};
use dtoolkit::{Node, Property, ToCellInt};

/// How a bus's addresses become its parent's; a tree is a few buses deep.
#[derive(Clone, Copy)]
struct Buses {
    ranges: [[(u64, u64, u64); 4]; 4],
    depth: usize,
    /// A bus without `ranges` keeps its addresses to itself: nothing behind it is reachable.
    reachable: bool,
}

impl Buses {
    const ROOT: Self = Self {
        ranges: [[(0, 0, 0); 4]; 4],
        depth: 0,
        reachable: true,
    };

    /// The buses as seen from the children of `bus`.
    fn enter(mut self, bus: &FdtNode<'_>) -> Self {
        let Some(property) = bus.property("ranges") else {
            self.reachable = false;
            return self;
        };
        if property.value().is_empty() {
            return self;
        }
        let Some(level) = self.ranges.get_mut(self.depth) else {
            self.reachable = false;
            return self;
        };
        if let Ok(Some(ranges)) = bus.ranges() {
            for (place, range) in level.iter_mut().zip(ranges) {
                let child = range.child_bus_address::<u64>().unwrap_or(0);
                let parent = range.parent_bus_address::<u64>().unwrap_or(0);
                let length = range.length::<u64>().unwrap_or(0);
                *place = (child, parent, length);
            }
        }
        self.depth += 1;
        self
    }

    fn translate(&self, range: Range) -> Option<Range> {
        if !self.reachable {
            return None;
        }
        let mut start = range.start;
        for level in self.ranges[..self.depth].iter().rev() {
            let &(child, parent, _) = level
                .iter()
                .find(|&&(child, _, length)| start >= child && start - child < length)?;
            start = start - child + parent;
        }
        Some(Range::new(start, range.len()))
    }
}

/// The n-th entry of a node's `reg`, as a physical range.
fn reg(node: &FdtNode<'_>, buses: &Buses, n: usize) -> Option<Range> {
    let entry = node.reg().ok()??.nth(n)?;
    let range = Range::new(entry.address::<u64>().ok()?, entry.size::<u64>().ok()?);
    buses.translate(range)
}

fn enabled(node: &FdtNode<'_>) -> bool {
    !matches!(node.status(), Ok(Status::Disabled | Status::Reserved | Status::Fail) | Err(_))
}

/// Big-endian cell `n` of a property.
fn cell(node: &FdtNode<'_>, name: &str, n: usize) -> Option<u32> {
    let property = node.property(name)?;
    let bytes = property.value().get(n * 4..n * 4 + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// Interrupt `n` of a node, in the GIC's binding of three cells.
fn interrupt(node: &FdtNode<'_>, n: usize) -> Option<u32> {
    let number = cell(node, "interrupts", 3 * n + 1)?;
    match cell(node, "interrupts", 3 * n)? {
        0 => number.checked_add(32).filter(|&i| i < 1020),
        1 => number.checked_add(16).filter(|&i| i < 32),
        _ => None,
    }
}

/// A property of one or two cells.
fn number(node: &FdtNode<'_>, name: &str) -> Option<u64> {
    let property = node.property(name)?;
    let value = property.value();
    match value.len() {
        4 => Some(u64::from(u32::from_be_bytes(value.try_into().ok()?))),
        8 => Some(u64::from_be_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

struct Found {
    gic: Option<Result<GicAddresses, BoardError>>,
    maintenance: u32,
    timer: u32,
    uart: Option<(Range, UartKind, u32)>,
}

/// Reads a board from its device tree.
///
/// # Errors
///
/// What the board lacks; the serial port, if one was found first, comes with it so that it can be said.
pub fn read(fdt: Fdt<'_>, tree: Range) -> (Option<(Range, UartKind, u32)>, Result<Board, BoardError>) {
    let mut found = Found {
        gic: None,
        maintenance: 25,
        timer: 26,
        uart: None,
    };
    visit(&fdt.root(), Buses::ROOT, 0, &mut found);
    if let Some(uart) = console(&fdt) {
        found.uart = Some(uart);
    }
    let uart = found.uart;
    (uart, board(fdt, tree, found))
}

fn board(fdt: Fdt<'_>, tree: Range, found: Found) -> Result<Board, BoardError> {
    let gic = found.gic.unwrap_or(Err(BoardError::NoGic))?;
    let mut board = Board {
        ram: Default::default(),
        reserved: Default::default(),
        cores: [0; MOST_CORES],
        core_count: 0,
        gic,
        uart: found.uart,
        bundle: None,
        timer: found.timer,
        maintenance: found.maintenance,
        seed: None,
    };
    let root = fdt.root();
    let mut banks = board.ram.iter_mut();
    for node in root.children().filter(enabled) {
        let is_memory = node
            .property("device_type")
            .is_some_and(|p| p.value() == b"memory\0");
        if !is_memory {
            continue;
        }
        for n in 0..8 {
            if let Some(range) = reg(&node, &Buses::ROOT, n).filter(|r| r.len() != 0)
                && let Some(bank) = banks.next()
            {
                *bank = range;
            }
        }
    }
    if board.ram.iter().all(|r| r.len() == 0) {
        return Err(BoardError::NoMemory);
    }
    let mut reserved = board.reserved.iter_mut();
    let mut reserve = |range: Range| {
        if let Some(place) = reserved.next() {
            *place = range;
        }
    };
    reserve(tree);
    for r in fdt.memory_reservations() {
        reserve(Range::new(r.address(), r.size()));
    }
    if let Some(node) = root.child("reserved-memory") {
        for child in node.children().filter(enabled) {
            for n in 0..4 {
                if let Some(range) = reg(&child, &Buses::ROOT, n) {
                    reserve(range);
                }
            }
        }
    }
    if let Some(chosen) = root.child("chosen") {
        let start = number(&chosen, "linux,initrd-start");
        let end = number(&chosen, "linux,initrd-end");
        if let (Some(start), Some(end)) = (start, end) {
            let bundle = Range { start, end };
            board.bundle = (bundle.len() != 0).then_some(bundle);
            reserve(bundle);
        }
        if let Some(property) = chosen.property("rng-seed") {
            let mut seed = [0; 32];
            for (i, byte) in property.value().iter().enumerate() {
                seed[i % 32] ^= byte;
            }
            board.seed = (property.value().len() >= 16).then_some(seed);
        }
    }
    read_cores(&root, &mut board)?;
    Ok(board)
}

fn read_cores(root: &FdtNode<'_>, board: &mut Board) -> Result<(), BoardError> {
    let cpus = root.child("cpus").ok_or(BoardError::NoCores)?;
    for node in cpus.children() {
        let is_cpu = node
            .property("device_type")
            .is_some_and(|p| p.value() == b"cpu\0");
        if !is_cpu || !enabled(&node) {
            continue;
        }
        let Some(affinity) = number(&node, "reg") else {
            continue;
        };
        if let Some(place) = board.cores.get_mut(board.core_count) {
            *place = affinity & 0xff_00ff_ffff;
            board.core_count += 1;
        }
    }
    if board.core_count == 0 {
        return Err(BoardError::NoCores);
    }
    Ok(())
}

/// Looks at every node; a tree deeper than this is not followed.
fn visit(node: &FdtNode<'_>, buses: Buses, depth: usize, found: &mut Found) {
    const DEEPEST: usize = 6;
    for child in node.children() {
        if !enabled(&child) {
            continue;
        }
        look(&child, &buses, found);
        if depth < DEEPEST {
            visit(&child, buses.enter(&child), depth + 1, found);
        }
    }
}

fn look(node: &FdtNode<'_>, buses: &Buses, found: &mut Found) {
    if found.gic.is_none() {
        if node.is_compatible("arm,gic-v3") {
            found.gic = gic_v3(node, buses).map(Ok);
        } else if ["arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a7-gic"]
            .iter()
            .any(|name| node.is_compatible(name))
        {
            found.gic = Some(gic_v2(node, buses).ok_or(BoardError::NoVirtualInterface));
        }
        if found.gic.is_some()
            && let Some(intid) = interrupt(node, 0)
        {
            found.maintenance = intid;
        }
    }
    if node.is_compatible("arm,armv8-timer")
        && let Some(intid) = interrupt(node, 3)
    {
        found.timer = intid;
    }
    if found.uart.is_none() {
        found.uart = uart(node, buses);
    }
}

fn gic_v3(node: &FdtNode<'_>, buses: &Buses) -> Option<GicAddresses> {
    let count = number(node, "#redistributor-regions").unwrap_or(1).clamp(1, 4);
    let mut redistributors = [Range::default(); 4];
    for (n, place) in redistributors.iter_mut().enumerate().take(count as usize) {
        *place = reg(node, buses, n + 1)?;
    }
    Some(GicAddresses::V3 {
        distributor: reg(node, buses, 0)?,
        redistributors,
    })
}

/// A CPU interface of 128 KiB repeats each of its 4 KiB pages over 64 KiB, for systems with large pages. The last
/// copy of the first page and the first of the second lie side by side, as everywhere else.
fn adjacent(range: Range) -> Range {
    if range.len() >= 0x2_0000 {
        Range::new(range.start + 0xf000, 0x2000)
    } else {
        range
    }
}

fn gic_v2(node: &FdtNode<'_>, buses: &Buses) -> Option<GicAddresses> {
    Some(GicAddresses::V2 {
        distributor: reg(node, buses, 0)?,
        interface: adjacent(reg(node, buses, 1)?),
        hypervisor: reg(node, buses, 2)?,
        guest: adjacent(reg(node, buses, 3)?),
    })
}

fn uart(node: &FdtNode<'_>, buses: &Buses) -> Option<(Range, UartKind, u32)> {
    let kind = if node.is_compatible("arm,pl011") {
        UartKind::Pl011
    } else if ["cdns,uart-r1p12", "xlnx,zynqmp-uart", "xlnx,xuartps"]
        .iter()
        .any(|name| node.is_compatible(name))
    {
        UartKind::Cadence
    } else {
        return None;
    };
    Some((reg(node, buses, 0)?, kind, interrupt(node, 0)?))
}

/// The port that /chosen/stdout-path names, by path or by alias.
fn console(fdt: &Fdt<'_>) -> Option<(Range, UartKind, u32)> {
    let root = fdt.root();
    let chosen = root.child("chosen")?;
    let text = chosen.property("stdout-path")?;
    let path = string(text.value())?.split(':').next()?;
    if path.starts_with('/') {
        return follow(&root, path);
    }
    let aliases = root.child("aliases")?;
    let alias = aliases.property(path)?;
    follow(&root, string(alias.value())?)
}

fn string(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value.strip_suffix(b"\0")?).ok()
}

fn follow(root: &FdtNode<'_>, path: &str) -> Option<(Range, UartKind, u32)> {
    let mut node = *root;
    let mut buses = Buses::ROOT;
    let mut depth = 0;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if depth > 0 {
            buses = buses.enter(&node);
        }
        node = node.children().find(|child| {
            let full = child.name();
            full == name || (!name.contains('@') && child.name_without_address() == name)
        })?;
        depth += 1;
    }
    uart(&node, &buses)
}

#[allow(unused_imports, reason = "the trait gives `to_int` to cells")]
use ToCellInt as _;
