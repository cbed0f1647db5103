//! Generated device trees, read back with another crate than wrote them.

use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};
use manifest::{DeviceKind, Gic};
use std::path::Path;
use tessera::check;
use tessera::description::Description;
use tessera::system::Guest;
use tessera::tree::{SEED, generate};

fn guest(more: &str, cores: usize) -> Guest {
    let list: Vec<String> = (0..cores).map(|c| c.to_string()).collect();
    let text = format!(
        "name = \"x\"\n{}[guest.a]\nimage = \"a\"\nmemory = \"64MiB\"\ncores = [{}]\n{more}",
        "[[core]]\n".repeat(cores),
        list.join(", ")
    );
    let (description, source) = Description::parse(Path::new("x.toml"), &text).unwrap();
    check::check(&description, &source)
        .unwrap()
        .guests
        .remove(0)
}

fn cells(fdt: &Fdt<'_>, path: &str, name: &str) -> Vec<u32> {
    let node = fdt.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    let property = node
        .property(name)
        .unwrap_or_else(|| panic!("no {name} in {path}"));
    property
        .value()
        .chunks(4)
        .map(|c| u32::from_be_bytes(c.try_into().unwrap()))
        .collect()
}

fn text(fdt: &Fdt<'_>, path: &str, name: &str) -> String {
    let node = fdt.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    let property = node
        .property(name)
        .unwrap_or_else(|| panic!("no {name} in {path}"));
    let bytes = property.value();
    let end = bytes.iter().position(|&b| b == 0).unwrap();
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

#[test]
fn the_console_the_memory_and_the_command_line_are_there() {
    let tree = generate(
        &guest("bootargs = \"a b=c\"", 1),
        Gic::V3,
        Some((0x4200_0000, 0x4210_0001)),
    )
    .unwrap();
    let fdt = Fdt::new(&tree.bytes).unwrap();
    assert_eq!(text(&fdt, "/chosen", "bootargs"), "a b=c");
    assert_eq!(text(&fdt, "/chosen", "stdout-path"), "/pl011@9000000");
    assert_eq!(
        cells(&fdt, "/chosen", "linux,initrd-start"),
        [0, 0x4200_0000]
    );
    assert_eq!(cells(&fdt, "/chosen", "linux,initrd-end"), [0, 0x4210_0001]);
    assert_eq!(
        cells(&fdt, "/memory@40000000", "reg"),
        [0, 0x4000_0000, 0, 64 << 20]
    );
    assert_eq!(cells(&fdt, "/pl011@9000000", "interrupts"), [0, 1, 4]);
    assert_eq!(cells(&fdt, "/pl031@9010000", "interrupts"), [0, 2, 4]);
    assert_eq!(text(&fdt, "/psci", "method"), "hvc");
}

#[test]
fn the_seed_is_where_it_is_said_to_be() {
    let tree = generate(&guest("", 1), Gic::V2, None).unwrap();
    let fdt = Fdt::new(&tree.bytes).unwrap();
    let seed = fdt
        .find_node("/chosen")
        .unwrap()
        .property("rng-seed")
        .unwrap()
        .value()
        .to_vec();
    let at = tree.seed_offset as usize;
    assert_ne!(at, 0);
    assert_eq!(seed, &tree.bytes[at..at + SEED]);
    assert!(
        fdt.find_node("/chosen")
            .unwrap()
            .property("kaslr-seed")
            .is_none()
    );
}

#[test]
fn the_interrupt_controller_is_the_one_asked_for() {
    let guest = guest("", 3);
    let v2 = generate(&guest, Gic::V2, None).unwrap();
    let fdt = Fdt::new(&v2.bytes).unwrap();
    assert_eq!(
        text(&fdt, "/intc@8000000", "compatible"),
        "arm,cortex-a15-gic"
    );
    assert_eq!(
        cells(&fdt, "/intc@8000000", "reg"),
        [0, 0x0800_0000, 0, 0x1_0000, 0, 0x0801_0000, 0, 0x2000]
    );
    // PPIs name the processors that they go to.
    assert_eq!(cells(&fdt, "/timer", "interrupts")[2], 0x704);
    let v3 = generate(&guest, Gic::V3, None).unwrap();
    let fdt = Fdt::new(&v3.bytes).unwrap();
    assert_eq!(text(&fdt, "/intc@8000000", "compatible"), "arm,gic-v3");
    let reg = [0, 0x0800_0000, 0, 0x1_0000, 0, 0x080a_0000, 0, 3 * 0x2_0000];
    assert_eq!(cells(&fdt, "/intc@8000000", "reg"), reg);
    assert_eq!(
        cells(&fdt, "/timer", "interrupts"),
        [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]
    );
}

#[test]
fn each_vcpu_is_a_processor_started_by_psci() {
    let tree = generate(&guest("", 3), Gic::V3, None).unwrap();
    let fdt = Fdt::new(&tree.bytes).unwrap();
    for index in 0..3 {
        let path = format!("/cpus/cpu@{index}");
        assert_eq!(cells(&fdt, &path, "reg"), [index]);
        assert_eq!(text(&fdt, &path, "enable-method"), "psci");
    }
    assert!(fdt.find_node("/cpus/cpu@3").is_none());
}

#[test]
fn moved_and_absent_devices_are_so_in_the_tree() {
    let guest = guest(
        "uart = { address = 0x1c09_0000, interrupt = 37 }\nrtc = false",
        1,
    );
    let tree = generate(&guest, Gic::V2, None).unwrap();
    let fdt = Fdt::new(&tree.bytes).unwrap();
    assert_eq!(cells(&fdt, "/pl011@1c090000", "interrupts"), [0, 5, 4]);
    assert!(fdt.find_node("/pl031@9010000").is_none());
    assert!(guest.device(DeviceKind::Pl031).is_none());
}

#[test]
fn virtio_transports_are_named_only_when_asked_for() {
    let silent = generate(&guest("", 1), Gic::V3, None).unwrap();
    assert!(
        Fdt::new(&silent.bytes)
            .unwrap()
            .find_node("/virtio_mmio@a000000")
            .is_none()
    );
    let tree = generate(&guest("virtio = { slots = 8 }", 1), Gic::V3, None).unwrap();
    let fdt = Fdt::new(&tree.bytes).unwrap();
    assert_eq!(
        cells(&fdt, "/virtio_mmio@a000000", "interrupts"),
        [0, 16, 1]
    );
    assert_eq!(
        cells(&fdt, "/virtio_mmio@a000e00", "interrupts"),
        [0, 23, 1]
    );
    assert!(fdt.find_node("/virtio_mmio@a001000").is_none());
}

#[test]
fn rom_is_not_memory() {
    let rom = "[[guest.a.region]]\nkind = \"rom\"\naddress = 0x0\nsize = \"2MiB\"";
    let tree = generate(&guest(rom, 1), Gic::V3, None).unwrap();
    assert!(
        Fdt::new(&tree.bytes)
            .unwrap()
            .find_node("/memory@0")
            .is_none()
    );
}
