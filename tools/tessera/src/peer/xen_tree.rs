//! Device trees for Xen without a first domain: which guests there are and where their files lie.
//!
//! The bindings are those of Xen's "docs/misc/arm/device-tree/booting.txt" (`xen,domain`) and
//! "docs/misc/arm/passthrough.txt". A machine's tree without a `multiboot,kernel` of its own in
//! `/chosen` is what tells Xen that there is no first domain.

use crate::peer::Console;
use dtoolkit::ToPropertyValue;
use dtoolkit::error::FdtParseError;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use std::ops::Range;

/// The UART of QEMU's `virt` board.
const UART: u64 = 0x0900_0000;
const UART_PATH: &str = "/pl011@9000000";
/// Its interrupt: an SPI, its number, active high.
const UART_INTERRUPT: [u32; 3] = [0, 1, 4];
const UART_SIZE: u64 = 0x1000;

/// The handle that Xen gives to the interrupt controller in a guest's tree.
const GIC: u32 = 65000;
/// The handle of the UART's clock.
const CLOCK: u32 = 1;

/// The value of a property that says enough by being there.
const EMPTY: &[u8] = &[];

/// A file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// What it is to the guest: `kernel`, `ramdisk`, `device-tree`.
    pub kind: &'static str,
    /// Where it is.
    pub place: Range<u64>,
}

/// The guest, as Xen is told about it.
#[derive(Clone, Copy, Debug)]
pub struct Domain<'a> {
    /// Its memory in KiB.
    pub memory_kib: u64,
    /// Its virtual cores.
    pub vcpus: u32,
    /// Its command line.
    pub bootargs: &'a str,
    /// What it writes its text to.
    pub console: Console,
    /// Its files.
    pub modules: &'a [Module],
}

/// The tree of the machine, with Xen's command line and one guest.
pub fn with_domain(
    machine: &[u8],
    xen_bootargs: &str,
    domain: &Domain<'_>,
) -> Result<Vec<u8>, FdtParseError> {
    let mut tree = DeviceTree::from_fdt(&Fdt::new(machine)?);
    let stdout = tree
        .root
        .child_mut("chosen")
        .and_then(|old| old.remove_property("stdout-path"));
    // What else is there belongs to whatever ran last, and to no repeatable run: seeds.
    tree.root.remove_child("chosen");
    let mut chosen = node("chosen");
    if let (Console::Emulated, Some(stdout)) = (domain.console, stdout) {
        chosen.add_property(stdout);
    }
    add(&mut chosen, "xen,xen-bootargs", xen_bootargs);
    cells(&mut chosen);
    chosen.add_child(domain_node(domain));
    tree.root.add_child(chosen);
    Ok(tree.to_dtb())
}

fn domain_node(domain: &Domain<'_>) -> DeviceTreeNode {
    let mut guest = node("domU1");
    add(&mut guest, "compatible", "xen,domain");
    cells(&mut guest);
    add(&mut guest, "memory", domain.memory_kib);
    add(&mut guest, "cpus", domain.vcpus);
    // Beside the machine's own it is there to be measured.
    add(&mut guest, "vpl011", EMPTY);
    for module in domain.modules {
        let (start, len) = (module.place.start, module.place.end - module.place.start);
        let mut file = node(&format!("module@{start:x}"));
        let compatible = texts(&[&format!("multiboot,{}", module.kind), "multiboot,module"]);
        add(&mut file, "compatible", compatible);
        add(&mut file, "reg", numbers(&[start, len]));
        if module.kind == "kernel" {
            add(&mut file, "bootargs", domain.bootargs);
        }
        guest.add_child(file);
    }
    guest
}

/// What the guest's tree has beside what Xen puts there: the machine's UART, where it really is.
///
/// No IOMMU is needed for it: it has no access to memory of its own.
pub fn passed_uart() -> Vec<u8> {
    let mut uart = node(&format!("pl011@{UART:x}"));
    add(
        &mut uart,
        "compatible",
        texts(&["arm,pl011", "arm,primecell"]),
    );
    add(&mut uart, "reg", numbers(&[UART, UART_SIZE]));
    add(&mut uart, "interrupt-parent", GIC);
    add(&mut uart, "interrupts", &UART_INTERRUPT[..]);
    add(&mut uart, "clock-names", texts(&["uartclk", "apb_pclk"]));
    add(&mut uart, "clocks", &[CLOCK, CLOCK][..]);
    add(&mut uart, "xen,reg", numbers(&[UART, UART_SIZE, UART]));
    add(&mut uart, "xen,path", UART_PATH);
    add(&mut uart, "xen,force-assign-without-iommu", EMPTY);
    let mut clock = node("apb-pclk");
    add(&mut clock, "compatible", "fixed-clock");
    add(&mut clock, "#clock-cells", 0u32);
    add(&mut clock, "clock-frequency", 24_000_000u32);
    add(&mut clock, "phandle", CLOCK);
    let mut passed = node("passthrough");
    add(&mut passed, "compatible", "simple-bus");
    add(&mut passed, "ranges", EMPTY);
    cells(&mut passed);
    passed.add_child(clock);
    passed.add_child(uart);
    // The first serial port, although Xen's emulated one may be found before it.
    let mut aliases = node("aliases");
    add(
        &mut aliases,
        "serial0",
        format!("/passthrough/pl011@{UART:x}"),
    );
    let mut tree = DeviceTree::new();
    cells(&mut tree.root);
    tree.root.add_child(aliases);
    tree.root.add_child(passed);
    tree.to_dtb()
}

fn node(name: &str) -> DeviceTreeNode {
    DeviceTreeNode::new_unchecked(name)
}

fn add<T: ToPropertyValue>(node: &mut DeviceTreeNode, name: &str, value: T) {
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
}

/// Addresses and sizes of two cells.
fn cells(node: &mut DeviceTreeNode) {
    add(node, "#address-cells", 2u32);
    add(node, "#size-cells", 2u32);
}

fn numbers(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

fn texts(values: &[&str]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|text| text.bytes().chain([0]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::standard::NodeStandard;
    use dtoolkit::{Node, Property};

    /// A machine's tree as QEMU dumps one, in small.
    fn machine() -> Vec<u8> {
        let mut chosen = node("chosen");
        add(&mut chosen, "stdout-path", UART_PATH);
        add(&mut chosen, "rng-seed", &[1u8; 32][..]);
        add(&mut chosen, "bootargs", "left over");
        let mut memory = node("memory@40000000");
        add(&mut memory, "device_type", "memory");
        add(&mut memory, "reg", numbers(&[0x4000_0000, 0x2000_0000]));
        let mut tree = DeviceTree::new();
        cells(&mut tree.root);
        tree.root.add_child(memory);
        tree.root.add_child(chosen);
        tree.to_dtb()
    }

    fn modules() -> [Module; 2] {
        [
            Module {
                kind: "kernel",
                place: 0x4a00_0000..0x4a00_1234,
            },
            Module {
                kind: "ramdisk",
                place: 0x4a20_0000..0x4a20_0100,
            },
        ]
    }

    fn domain(console: Console, modules: &[Module]) -> Domain<'_> {
        Domain {
            memory_kib: 8192,
            vcpus: 2,
            bootargs: "period=1ms",
            console,
            modules,
        }
    }

    fn text(tree: &DeviceTree, path: &str, name: &str) -> Option<String> {
        let value = tree.find_node(path)?.property(name)?.value().to_vec();
        Some(String::from_utf8(value).unwrap())
    }

    fn edited(console: Console) -> DeviceTree {
        let bytes = with_domain(&machine(), "vwfi=native", &domain(console, &modules())).unwrap();
        DeviceTree::from_fdt(&Fdt::new(&bytes).unwrap())
    }

    #[test]
    fn xen_is_told_of_one_guest_and_its_files() {
        let tree = edited(Console::Emulated);
        let at = |path: &str, name: &str| text(&tree, path, name);
        let guest = "/chosen/domU1";
        assert_eq!(
            at("/chosen", "xen,xen-bootargs").as_deref(),
            Some("vwfi=native\0")
        );
        assert_eq!(at(guest, "compatible").as_deref(), Some("xen,domain\0"));
        let kernel = format!("{guest}/module@4a000000");
        assert_eq!(
            at(&kernel, "compatible").as_deref(),
            Some("multiboot,kernel\0multiboot,module\0")
        );
        assert_eq!(at(&kernel, "bootargs").as_deref(), Some("period=1ms\0"));
        assert_eq!(at(&format!("{guest}/module@4a200000"), "bootargs"), None);
        let value = |path: &str, name: &str| {
            let node = tree.find_node(path).unwrap();
            node.property(name).unwrap().value().to_vec()
        };
        assert_eq!(value(guest, "memory"), 8192u64.to_be_bytes());
        assert_eq!(value(guest, "cpus"), 2u32.to_be_bytes());
        assert_eq!(value(&kernel, "reg"), numbers(&[0x4a00_0000, 0x1234]));
    }

    #[test]
    fn the_machine_stays_as_it_was_but_for_what_the_last_run_left() {
        let tree = edited(Console::Emulated);
        let before = DeviceTree::from_fdt(&Fdt::new(&machine()).unwrap());
        let memory = "/memory@40000000";
        assert_eq!(
            tree.find_node(memory)
                .unwrap()
                .property("reg")
                .unwrap()
                .value(),
            before
                .find_node(memory)
                .unwrap()
                .property("reg")
                .unwrap()
                .value()
        );
        for name in ["rng-seed", "bootargs"] {
            assert_eq!(text(&tree, "/chosen", name), None, "{name}");
        }
    }

    #[test]
    fn xen_gets_a_console_only_when_the_guest_does_not_have_it() {
        let stdout = |console| text(&edited(console), "/chosen", "stdout-path");
        assert_eq!(
            stdout(Console::Emulated).as_deref(),
            Some("/pl011@9000000\0")
        );
        assert_eq!(stdout(Console::PassedThrough), None);
    }

    #[test]
    fn the_passed_uart_is_where_it_really_is() {
        let bytes = passed_uart();
        let fdt = Fdt::new(&bytes).unwrap();
        let uart = fdt.find_node("/passthrough/pl011@9000000").unwrap();
        let region = uart.reg().unwrap().unwrap().next().unwrap();
        assert_eq!(region.address::<u64>().unwrap(), UART);
        assert_eq!(
            uart.property("xen,reg").unwrap().value(),
            numbers(&[UART, UART_SIZE, UART])
        );
        assert!(uart.is_compatible("arm,pl011"));
        let parent = uart.property("interrupt-parent").unwrap();
        assert_eq!(parent.value(), GIC.to_be_bytes());
    }

    #[test]
    fn a_damaged_tree_is_an_error_and_never_a_panic() {
        let whole = machine();
        let modules = modules();
        for len in 0..whole.len() {
            let _ = with_domain(&whole[..len], "", &domain(Console::Emulated, &modules));
        }
        assert!(with_domain(&whole[..40], "", &domain(Console::Emulated, &modules)).is_err());
    }
}
