//! The board: which devices there are and where, from the device tree.
//!
//! Follows the Devicetree Specification 0.4 and the bindings `arm,gic-v3`, `arm,gic`,
//! `arm,pl011`, `arm,sbsa-uart`, `arm,armv8-timer` and `arm,psci`. Devices at the root and on buses below it
//! (`ranges` applied) are found. What the tree does not say, or when there is no tree, is
//! taken from QEMU's `virt` board.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::{NodeStandard, Status};
use dtoolkit::{Node, Property};

/// A physical address, as the guest sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub u64);

/// An interrupt number of the GIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntId(pub u32);

/// The interrupt controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GicBoard {
    /// GICv2: distributor and memory-mapped CPU interface.
    V2 {
        /// GICD.
        distributor: Address,
        /// GICC.
        cpu_interface: Address,
    },
    /// GICv3: distributor and redistributors; the CPU interface is system registers.
    V3 {
        /// GICD.
        distributor: Address,
        /// The first GICR frame.
        redistributors: Address,
        /// The bytes that the redistributors take.
        redistributors_size: u64,
    },
    /// No tree to say which: GICD_PIDR2 does.
    Probe,
}

/// The console: a PL011, or the part of one that the SBSA asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UartBoard {
    /// Its registers.
    pub address: Address,
    /// Its interrupt.
    pub interrupt: IntId,
    /// Only data, flags and interrupts are there (`arm,sbsa-uart`): nothing to set up.
    pub is_sbsa: bool,
}

/// How PSCI is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduit {
    /// By HVC.
    Hvc,
    /// By SMC.
    Smc,
}

/// A range of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRange {
    /// Its first byte.
    pub start: Address,
    /// Its bytes.
    pub size: u64,
}

/// The most ranges of memory that are kept.
const MEMORY_RANGES: usize = 4;
/// The most processors whose identity is kept.
const CPUS: usize = 4;
/// Buses within buses that are looked into.
const BUS_DEPTH: u32 = 3;

/// Everything the guest wants to know of its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board<'a> {
    /// The interrupt controller.
    pub gic: GicBoard,
    /// The console, if there is one.
    pub uart: Option<UartBoard>,
    /// The virtual timer's interrupt.
    pub timer: IntId,
    /// The physical timer's interrupt.
    pub physical_timer: IntId,
    /// How to switch the machine off.
    pub psci: Conduit,
    /// The processors, disabled ones not counted.
    pub cpus: u32,
    /// The first of them as PSCI's CPU_ON names them: affinity as in MPIDR_EL1.
    pub affinities: [Option<u64>; CPUS],
    /// The memory.
    pub memory: [Option<MemoryRange>; MEMORY_RANGES],
    /// `/chosen/bootargs`.
    pub arguments: &'a str,
}

/// The distributor of the `virt` board.
pub const VIRT_GICD: Address = Address(0x0800_0000);
/// The CPU interface of the `virt` board with a GICv2.
pub const VIRT_GICC: Address = Address(0x0801_0000);
/// The redistributors of the `virt` board with a GICv3.
pub const VIRT_GICR: Address = Address(0x080A_0000);
/// The room for redistributors of the `virt` board.
pub const VIRT_GICR_SIZE: u64 = 0x00F6_0000;
const VIRT_UART: UartBoard = UartBoard {
    address: Address(0x0900_0000),
    interrupt: IntId(33),
    is_sbsa: false,
};
const VIRTUAL_TIMER: IntId = IntId(27);
const PHYSICAL_TIMER: IntId = IntId(30);

impl<'a> Board<'a> {
    /// QEMU's `virt` board, whatever its GIC, when there is no tree.
    pub fn virt() -> Self {
        Self {
            gic: GicBoard::Probe,
            uart: Some(VIRT_UART),
            timer: VIRTUAL_TIMER,
            physical_timer: PHYSICAL_TIMER,
            psci: Conduit::Hvc,
            cpus: 1,
            affinities: [None; CPUS],
            memory: [None; MEMORY_RANGES],
            arguments: "",
        }
    }

    /// The board that a device tree describes.
    pub fn from_tree(tree: &Fdt<'a>) -> Self {
        let mut board = Self {
            uart: None,
            cpus: 0,
            ..Self::virt()
        };
        let root = tree.root();
        for node in root.children() {
            match node.name_without_address() {
                "chosen" => {
                    let text = node
                        .property("bootargs")
                        .map(|text| text.value_as::<&str>());
                    if let Some(Ok(text)) = text {
                        board.arguments = text;
                    }
                }
                "memory" => board.add_memory(node),
                "cpus" => board.add_processors(node),
                _ => {}
            }
        }
        board.add_devices(root, &|address| Some(address), BUS_DEPTH);
        board
    }

    fn add_processors(&mut self, node: FdtNode<'a>) {
        let cpus = node
            .children()
            .filter(|cpu| cpu.name_without_address() == "cpu" && is_enabled(cpu));
        for cpu in cpus {
            if let Some(place) = self.affinities.get_mut(self.cpus as usize) {
                let mut ranges = cpu.reg().ok().flatten().into_iter().flatten();
                *place = ranges.next().and_then(|range| range.address::<u64>().ok());
            }
            self.cpus += 1;
        }
    }

    fn add_memory(&mut self, node: FdtNode<'a>) {
        let Ok(Some(ranges)) = node.reg() else { return };
        for range in ranges {
            let (Ok(start), Ok(size)) = (range.address::<u64>(), range.size::<u64>()) else {
                continue;
            };
            if let Some(place) = self.memory.iter_mut().find(|place| place.is_none()) {
                *place = Some(MemoryRange {
                    start: Address(start),
                    size,
                });
            }
        }
    }

    /// Looks at the children of `bus`; `translate` turns an address on it into a physical one.
    fn add_devices(
        &mut self,
        bus: FdtNode<'a>,
        translate: &dyn Fn(u64) -> Option<u64>,
        depth: u32,
    ) {
        for node in bus.children().filter(is_enabled) {
            let region = |index: usize| {
                let region = node.reg().ok()??.nth(index)?;
                let address = translate(region.address::<u64>().ok()?)?;
                Some((Address(address), region.size::<u64>().ok()?))
            };
            if is_any(&node, &["arm,gic-v3"]) {
                if let (Some((distributor, _)), Some((redistributors, size))) =
                    (region(0), region(1))
                {
                    self.gic = GicBoard::V3 {
                        distributor,
                        redistributors,
                        redistributors_size: size,
                    };
                }
            } else if is_any(
                &node,
                &["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic"],
            ) {
                if let (Some((distributor, _)), Some((cpu_interface, _))) = (region(0), region(1)) {
                    self.gic = GicBoard::V2 {
                        distributor,
                        cpu_interface,
                    };
                }
            } else if is_any(&node, &["arm,pl011", "arm,sbsa-uart"]) {
                let is_sbsa = !is_any(&node, &["arm,pl011"]);
                if let (None, Some((address, _)), Some(interrupt)) =
                    (self.uart, region(0), interrupt(&node, 0))
                {
                    self.uart = Some(UartBoard {
                        address,
                        interrupt,
                        is_sbsa,
                    });
                }
            } else if is_any(&node, &["arm,armv8-timer"]) {
                // The binding's order: secure, non-secure, virtual, hypervisor.
                self.physical_timer = interrupt(&node, 1).unwrap_or(PHYSICAL_TIMER);
                self.timer = interrupt(&node, 2).unwrap_or(VIRTUAL_TIMER);
            } else if is_any(&node, &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]) {
                let method = node.property("method");
                if let Some(Ok("smc")) = method.map(|method| method.value_as::<&str>()) {
                    self.psci = Conduit::Smc;
                }
            } else if depth > 0 && node.property("ranges").is_some() {
                let below = |address| translate(through_ranges(node, address)?);
                self.add_devices(node, &below, depth - 1);
            }
        }
    }
}

/// An address on the bus `node` as one on the bus above it. No ranges is one to one.
fn through_ranges(node: FdtNode<'_>, address: u64) -> Option<u64> {
    if node.property("ranges")?.value().is_empty() {
        return Some(address);
    }
    node.ranges().ok()??.find_map(|range| {
        let offset = address.checked_sub(range.child_bus_address::<u64>().ok()?)?;
        if offset >= range.length::<u64>().ok()? {
            return None;
        }
        range.parent_bus_address::<u64>().ok()?.checked_add(offset)
    })
}

fn is_any(node: &FdtNode<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| node.is_compatible(name))
}

fn is_enabled(node: &FdtNode<'_>) -> bool {
    matches!(node.status(), Ok(Status::Okay))
}

/// The `index`th interrupt of a node, in the GIC's three-cell form.
fn interrupt(node: &FdtNode<'_>, index: usize) -> Option<IntId> {
    let property = node.property("interrupts")?;
    let bytes = property.value().get(index * 12..index * 12 + 8)?;
    let (kind, number) = bytes.split_at_checked(4)?;
    let kind = u32::from_be_bytes(kind.try_into().ok()?);
    let number = u32::from_be_bytes(number.try_into().ok()?);
    match kind {
        0 if number < 988 => Some(IntId(32 + number)),
        1 if number < 16 => Some(IntId(16 + number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

    fn cells(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|cell| cell.to_be_bytes()).collect()
    }

    fn node(name: &str, properties: &[(&str, Vec<u8>)]) -> DeviceTreeNode {
        let mut node = DeviceTreeNode::new(name).unwrap();
        for (name, value) in properties {
            node.add_property(DeviceTreeProperty::new(*name, value.as_slice()).unwrap());
        }
        node
    }

    fn text(text: &str) -> Vec<u8> {
        [text.as_bytes(), &[0]].concat()
    }

    fn tree(cell_count: u32, children: Vec<DeviceTreeNode>) -> Vec<u8> {
        let mut tree = DeviceTree::new();
        for name in ["#address-cells", "#size-cells"] {
            tree.root.add_property(
                DeviceTreeProperty::new(name, cells(&[cell_count]).as_slice()).unwrap(),
            );
        }
        for child in children {
            tree.root.add_child(child);
        }
        tree.to_dtb()
    }

    #[test]
    fn a_virt_tree_with_gicv3_is_understood() {
        let mut cpus = node(
            "cpus",
            &[
                ("#address-cells", cells(&[1])),
                ("#size-cells", cells(&[0])),
            ],
        );
        cpus.add_child(node("cpu@0", &[("reg", cells(&[0]))]));
        cpus.add_child(node("cpu@1", &[("reg", cells(&[1]))]));
        cpus.add_child(node("cpu@2", &[("status", text("disabled"))]));
        let blob = tree(
            2,
            vec![
                node("chosen", &[("bootargs", text("period=2ms"))]),
                node(
                    "memory@40000000",
                    &[("reg", cells(&[0, 0x4000_0000, 0, 0x800_0000]))],
                ),
                cpus,
                node(
                    "psci",
                    &[
                        ("compatible", text("arm,psci-1.0")),
                        ("method", text("smc")),
                    ],
                ),
                node(
                    "timer",
                    &[
                        ("compatible", text("arm,armv8-timer")),
                        (
                            "interrupts",
                            cells(&[1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]),
                        ),
                    ],
                ),
                node(
                    "intc@8000000",
                    &[
                        ("compatible", text("arm,gic-v3")),
                        (
                            "reg",
                            cells(&[0, 0x800_0000, 0, 0x1_0000, 0, 0x80A_0000, 0, 0xF6_0000]),
                        ),
                    ],
                ),
                node(
                    "pl011@9000000",
                    &[
                        (
                            "compatible",
                            [text("arm,pl011"), text("arm,primecell")].concat(),
                        ),
                        ("reg", cells(&[0, 0x900_0000, 0, 0x1000])),
                        ("interrupts", cells(&[0, 1, 4])),
                    ],
                ),
            ],
        );
        let board = Board::from_tree(&Fdt::new(&blob).unwrap());
        assert_eq!(
            board.gic,
            GicBoard::V3 {
                distributor: VIRT_GICD,
                redistributors: VIRT_GICR,
                redistributors_size: VIRT_GICR_SIZE,
            }
        );
        assert_eq!(board.uart, Some(VIRT_UART));
        assert_eq!(board.timer, VIRTUAL_TIMER);
        assert_eq!(board.physical_timer, PHYSICAL_TIMER);
        assert_eq!(board.psci, Conduit::Smc);
        assert_eq!(board.cpus, 2);
        assert_eq!(board.affinities, [Some(0), Some(1), None, None]);
        assert_eq!(board.arguments, "period=2ms");
        assert_eq!(
            board.memory[0],
            Some(MemoryRange {
                start: Address(0x4000_0000),
                size: 0x800_0000
            })
        );
    }

    #[test]
    fn devices_on_a_bus_are_translated_by_its_ranges() {
        let mut soc = node(
            "soc",
            &[
                ("compatible", text("simple-bus")),
                ("#address-cells", cells(&[1])),
                ("#size-cells", cells(&[1])),
                ("ranges", cells(&[0x7E00_0000, 0xFE00_0000, 0x180_0000])),
            ],
        );
        soc.add_child(node(
            "serial@7e201000",
            &[
                ("compatible", text("arm,pl011")),
                ("reg", cells(&[0x7E20_1000, 0x200])),
                ("interrupts", cells(&[0, 121, 4])),
            ],
        ));
        soc.add_child(node(
            "serial@1000",
            &[
                ("compatible", text("arm,gic-400")),
                ("reg", cells(&[0x1000, 0x1000, 0x2000, 0x1000])),
            ],
        ));
        let blob = tree(1, vec![soc]);
        let board = Board::from_tree(&Fdt::new(&blob).unwrap());
        let uart = board.uart.unwrap();
        assert_eq!(uart.address, Address(0xFE20_1000));
        assert_eq!(uart.interrupt, IntId(153));
        // Outside every range: not reachable, so not taken.
        assert_eq!(board.gic, GicBoard::Probe);
    }

    #[test]
    fn an_empty_tree_gives_the_virt_board_without_a_console() {
        let blob = tree(2, vec![]);
        let board = Board::from_tree(&Fdt::new(&blob).unwrap());
        assert_eq!(board.uart, None);
        assert_eq!(board.gic, GicBoard::Probe);
        assert_eq!(board.arguments, "");
    }

    #[test]
    fn an_sbsa_uart_is_a_console_that_is_not_set_up() {
        let blob = tree(
            2,
            vec![node(
                "sbsa-uart@22000000",
                &[
                    ("compatible", text("arm,sbsa-uart")),
                    ("reg", cells(&[0, 0x2200_0000, 0, 0x1000])),
                    ("interrupts", cells(&[0, 0, 4])),
                ],
            )],
        );
        let uart = Board::from_tree(&Fdt::new(&blob).unwrap()).uart.unwrap();
        assert_eq!(uart.address, Address(0x2200_0000));
        assert_eq!(uart.interrupt, IntId(32));
        assert!(uart.is_sbsa);
    }

    #[test]
    fn a_disabled_uart_is_not_used() {
        let blob = tree(
            2,
            vec![node(
                "pl011@9000000",
                &[
                    ("compatible", text("arm,pl011")),
                    ("status", text("disabled")),
                    ("reg", cells(&[0, 0x900_0000, 0, 0x1000])),
                    ("interrupts", cells(&[0, 1, 4])),
                ],
            )],
        );
        assert_eq!(Board::from_tree(&Fdt::new(&blob).unwrap()).uart, None);
    }
}
