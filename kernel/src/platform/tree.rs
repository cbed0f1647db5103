//! Reads the board from its device tree (Devicetree Specification 0.4).

use super::board::{Board, BoardError, GicAddresses, MOST_CORES};
use super::fdt::{Fdt, Node, cell, number, string};
use super::uart::UartKind;
use crate::memory::Range;

/// A node whose children are being looked at, and the same up to the root.
struct Bus<'b, 'a> {
    node: Node<'a>,
    parent: Option<&'b Bus<'b, 'a>>,
}

impl Bus<'_, '_> {
    /// A child's address as a physical one. A bus without `ranges` keeps its addresses to itself: nothing behind it is
    /// reachable; if they are empty its addresses are its parent's.
    fn translate(&self, address: u64) -> Option<u64> {
        let Some(parent) = self.parent else {
            return Some(address);
        };
        let ranges = self.node.property(b"ranges")?;
        if ranges.is_empty() {
            return parent.translate(address);
        }
        let (child_cells, size_cells) = self.node.child_cells();
        let parent_cells = self.node.address_cells;
        let entry = child_cells + parent_cells + size_cells;
        let found = (0..ranges.len() / 4).step_by(entry.max(1)).find_map(|at| {
            // An address that 64 bits do not hold is a PCI bus's: no device of ours is there.
            let from = number(ranges, at, child_cells)?;
            let to = number(ranges, at + child_cells, parent_cells)?;
            let len = number(ranges, at + child_cells + parent_cells, size_cells)?;
            let offset = address.checked_sub(from).filter(|&offset| offset < len)?;
            to.checked_add(offset)
        });
        parent.translate(found?)
    }
}

/// The n-th entry of a node's `reg`, as a physical range.
fn reg(node: &Node<'_>, bus: &Bus<'_, '_>, n: usize) -> Option<Range> {
    let value = node.property(b"reg")?;
    let at = n * (node.address_cells + node.size_cells);
    let start = bus.translate(number(value, at, node.address_cells)?)?;
    Some(Range::new(
        start,
        number(value, at + node.address_cells, node.size_cells)?,
    ))
}

/// Interrupt `n` of a node, in the GIC's binding of three cells.
fn interrupt(node: &Node<'_>, n: usize) -> Option<u32> {
    let value = node.property(b"interrupts")?;
    let number = cell(value, 3 * n + 1)?;
    match cell(value, 3 * n)? {
        0 => number.checked_add(32).filter(|&i| i < 1020),
        1 => number.checked_add(16).filter(|&i| i < 32),
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
pub fn read(
    fdt: &Fdt<'_>,
    tree: Range,
) -> (Option<(Range, UartKind, u32)>, Result<Board, BoardError>) {
    let mut found = Found {
        gic: None,
        maintenance: 25,
        timer: 26,
        uart: None,
    };
    visit(
        &Bus {
            node: fdt.root(),
            parent: None,
        },
        &mut found,
    );
    if let Some(uart) = console(fdt) {
        found.uart = Some(uart);
    }
    let uart = found.uart;
    (uart, board(fdt, tree, found))
}

fn board(fdt: &Fdt<'_>, tree: Range, found: Found) -> Result<Board, BoardError> {
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
    let top = Bus {
        node: root,
        parent: None,
    };
    let mut banks = board.ram.iter_mut();
    for node in root.children().filter(Node::is_enabled) {
        if node.property(b"device_type") != Some(b"memory\0") {
            continue;
        }
        for n in 0..8 {
            if let Some(range) = reg(&node, &top, n).filter(|r| r.len() != 0)
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
    fdt.reservations().for_each(&mut reserve);
    if let Some(node) = root.child(b"reserved-memory") {
        for child in node.children().filter(Node::is_enabled) {
            for n in 0..4 {
                if let Some(range) = reg(&child, &top, n) {
                    reserve(range);
                }
            }
        }
    }
    if let Some(chosen) = root.child(b"chosen") {
        let start = chosen.number(b"linux,initrd-start");
        let end = chosen.number(b"linux,initrd-end");
        if let (Some(start), Some(end)) = (start, end) {
            let bundle = Range { start, end };
            board.bundle = (bundle.len() != 0).then_some(bundle);
            reserve(bundle);
        }
        if let Some(value) = chosen.property(b"rng-seed") {
            let mut seed = [0; 4];
            for (i, &byte) in value.iter().enumerate() {
                seed[i / 8 % 4] ^= u64::from(byte) << (i % 8 * 8);
            }
            board.seed = (value.len() >= 16).then_some(seed);
        }
    }
    read_cores(&root, &mut board)?;
    Ok(board)
}

fn read_cores(root: &Node<'_>, board: &mut Board) -> Result<(), BoardError> {
    let cpus = root.child(b"cpus").ok_or(BoardError::NoCores)?;
    for node in cpus.children() {
        if node.property(b"device_type") != Some(b"cpu\0") || !node.is_enabled() {
            continue;
        }
        let Some(affinity) = node.number(b"reg") else {
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

/// Looks at every node below one. The tree's check bounds the depth.
fn visit(bus: &Bus<'_, '_>, found: &mut Found) {
    for child in bus.node.children().filter(Node::is_enabled) {
        look(&child, bus, found);
        visit(
            &Bus {
                node: child,
                parent: Some(bus),
            },
            found,
        );
    }
}

fn is_any(node: &Node<'_>, of: &[&[u8]]) -> bool {
    of.iter().any(|name| node.is_compatible(name))
}

fn look(node: &Node<'_>, bus: &Bus<'_, '_>, found: &mut Found) {
    if found.gic.is_none() {
        if node.is_compatible(b"arm,gic-v3") {
            found.gic = gic_v3(node, bus).map(Ok);
        } else if is_any(
            node,
            &[b"arm,gic-400", b"arm,cortex-a15-gic", b"arm,cortex-a7-gic"],
        ) {
            found.gic = Some(gic_v2(node, bus).ok_or(BoardError::NoVirtualInterface));
        }
        if found.gic.is_some()
            && let Some(intid) = interrupt(node, 0)
        {
            found.maintenance = intid;
        }
    }
    if node.is_compatible(b"arm,armv8-timer")
        && let Some(intid) = interrupt(node, 3)
    {
        found.timer = intid;
    }
    if found.uart.is_none() {
        found.uart = uart(node, bus);
    }
}

fn gic_v3(node: &Node<'_>, bus: &Bus<'_, '_>) -> Option<GicAddresses> {
    let count = node
        .number(b"#redistributor-regions")
        .unwrap_or(1)
        .clamp(1, 4);
    let mut redistributors = [Range::default(); 4];
    for (n, place) in redistributors.iter_mut().enumerate().take(count as usize) {
        *place = reg(node, bus, n + 1)?;
    }
    Some(GicAddresses::V3 {
        distributor: reg(node, bus, 0)?,
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

fn gic_v2(node: &Node<'_>, bus: &Bus<'_, '_>) -> Option<GicAddresses> {
    Some(GicAddresses::V2 {
        distributor: reg(node, bus, 0)?,
        interface: adjacent(reg(node, bus, 1)?),
        hypervisor: reg(node, bus, 2)?,
        guest: adjacent(reg(node, bus, 3)?),
    })
}

fn uart(node: &Node<'_>, bus: &Bus<'_, '_>) -> Option<(Range, UartKind, u32)> {
    let kind = if node.is_compatible(b"arm,pl011") {
        UartKind::Pl011
    } else if is_any(
        node,
        &[b"cdns,uart-r1p12", b"xlnx,zynqmp-uart", b"xlnx,xuartps"],
    ) {
        UartKind::Cadence
    } else {
        return None;
    };
    Some((reg(node, bus, 0)?, kind, interrupt(node, 0)?))
}

/// The port that /chosen/stdout-path names, by path or by alias.
fn console(fdt: &Fdt<'_>) -> Option<(Range, UartKind, u32)> {
    let top = Bus {
        node: fdt.root(),
        parent: None,
    };
    let named = |value| string(value)?.split(|&b| b == b':').next();
    let path = named(top.node.child(b"chosen")?.property(b"stdout-path")?)?;
    match path.strip_prefix(b"/") {
        Some(path) => follow(&top, path),
        None => {
            let aliases = top.node.child(b"aliases")?;
            follow(&top, string(aliases.property(path)?)?.strip_prefix(b"/")?)
        }
    }
}

/// The port at a path below a node.
fn follow(bus: &Bus<'_, '_>, path: &[u8]) -> Option<(Range, UartKind, u32)> {
    let end = path.iter().position(|&b| b == b'/');
    let node = bus.node.child(path.get(..end.unwrap_or(path.len()))?)?;
    match end {
        Some(end) => follow(
            &Bus {
                node,
                parent: Some(bus),
            },
            path.get(end + 1..)?,
        ),
        None => uart(&node, bus),
    }
}
