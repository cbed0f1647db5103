//! Generates the device tree of a guest.
//!
//! What QEMU's `virt` board would show, less what a guest cannot have. Bindings are those of
//! Linux's "Documentation/devicetree/bindings".

use crate::system::{Guest, REDISTRIBUTOR, VIRTIO, VIRTIO_INTID};
use manifest::{DeviceKind, Gic};
use vm_fdt::{Error, FdtWriter};

/// Length of the seed in `/chosen/rng-seed`.
pub const SEED: usize = 64;
/// What stands there until the kernel writes a seed; also how its offset is found.
const MARK: [u8; SEED] = *b"tessera: the kernel writes sixty-four new bytes here each start.";

const PHANDLE_GIC: u32 = 1;
const PHANDLE_CLOCK: u32 = 2;
const SPI: u32 = 0;
const PPI: u32 = 1;
const LEVEL_HIGH: u32 = 4;
const EDGE_RISING: u32 = 1;

/// A generated tree.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The blob.
    pub bytes: Vec<u8>,
    /// Offset of the seed in it.
    pub seed_offset: u32,
}

/// Generates the tree for a board with the interrupt controller `gic`; `initrd` is where the
/// initial RAM disk begins and ends.
///
/// # Errors
///
/// The writer's, for a name or a text that a tree cannot hold.
pub fn generate(guest: &Guest, gic: Gic, initrd: Option<(u64, u64)>) -> Result<Tree, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("interrupt-parent", PHANDLE_GIC)?;
    fdt.property_string("model", "tessera,guest")?;
    fdt.property_string("compatible", "linux,dummy-virt")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    chosen(&mut fdt, guest, initrd)?;
    aliases(&mut fdt, guest)?;
    memory(&mut fdt, guest)?;
    processors(&mut fdt, guest)?;
    interrupts(&mut fdt, guest, gic)?;
    timer(&mut fdt, guest, gic)?;
    devices(&mut fdt, guest)?;
    fdt.end_node(root)?;
    let bytes = fdt.finish()?;
    let at = bytes.windows(SEED).position(|w| w == MARK).unwrap_or(0);
    Ok(Tree {
        bytes,
        seed_offset: u32::try_from(at).unwrap_or(0),
    })
}

fn chosen(fdt: &mut FdtWriter, guest: &Guest, initrd: Option<(u64, u64)>) -> Result<(), Error> {
    let node = fdt.begin_node("chosen")?;
    if !guest.bootargs.is_empty() {
        fdt.property_string("bootargs", &guest.bootargs)?;
    }
    if let Some(uart) = guest.device(DeviceKind::Pl011) {
        fdt.property_string("stdout-path", &format!("/pl011@{:x}", uart.ipa))?;
    }
    if let Some((start, end)) = initrd {
        fdt.property_u64("linux,initrd-start", start)?;
        fdt.property_u64("linux,initrd-end", end)?;
    }
    fdt.property("rng-seed", &MARK)?;
    fdt.end_node(node)
}

fn aliases(fdt: &mut FdtWriter, guest: &Guest) -> Result<(), Error> {
    let Some(uart) = guest.device(DeviceKind::Pl011) else {
        return Ok(());
    };
    let node = fdt.begin_node("aliases")?;
    fdt.property_string("serial0", &format!("/pl011@{:x}", uart.ipa))?;
    fdt.end_node(node)
}

fn memory(fdt: &mut FdtWriter, guest: &Guest) -> Result<(), Error> {
    for region in guest.ram() {
        let node = fdt.begin_node(&format!("memory@{:x}", region.ipa))?;
        fdt.property_string("device_type", "memory")?;
        fdt.property_array_u64("reg", &[region.ipa, region.size])?;
        fdt.end_node(node)?;
    }
    Ok(())
}

fn processors(fdt: &mut FdtWriter, guest: &Guest) -> Result<(), Error> {
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    for index in 0..guest.vcpus.len() {
        let cpu = fdt.begin_node(&format!("cpu@{index:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_string("compatible", "arm,armv8")?;
        fdt.property_string("enable-method", "psci")?;
        fdt.property_u32("reg", u32::try_from(index).unwrap_or(0))?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(cpus)?;
    let psci = fdt.begin_node("psci")?;
    let compatible = ["arm,psci-1.0", "arm,psci-0.2"].map(String::from);
    fdt.property_string_list("compatible", compatible.into())?;
    fdt.property_string("method", "hvc")?;
    fdt.end_node(psci)
}

fn interrupts(fdt: &mut FdtWriter, guest: &Guest, gic: Gic) -> Result<(), Error> {
    let node = fdt.begin_node(&format!("intc@{:x}", guest.gicd))?;
    let (compatible, second) = match gic {
        Gic::V2 => ("arm,cortex-a15-gic", [guest.gicc, 0x2000]),
        _ => (
            "arm,gic-v3",
            [guest.gicr, REDISTRIBUTOR * guest.vcpus.len() as u64],
        ),
    };
    fdt.property_string("compatible", compatible)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("#interrupt-cells", 3)?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    if gic == Gic::V3 {
        fdt.property_u32("#redistributor-regions", 1)?;
    }
    fdt.property_array_u64("reg", &[guest.gicd, 0x1_0000, second[0], second[1]])?;
    fdt.property_phandle(PHANDLE_GIC)?;
    fdt.end_node(node)
}

/// The architected timer: secure physical, physical, virtual, hypervisor.
fn timer(fdt: &mut FdtWriter, guest: &Guest, gic: Gic) -> Result<(), Error> {
    let mask = match gic {
        Gic::V2 => ((1u32 << guest.vcpus.len().min(8)) - 1) << 8,
        _ => 0,
    };
    let node = fdt.begin_node("timer")?;
    fdt.property_string("compatible", "arm,armv8-timer")?;
    let cells: Vec<u32> = [13, 14, 11, 10]
        .iter()
        .flat_map(|n| [PPI, *n, LEVEL_HIGH | mask])
        .collect();
    fdt.property_array_u32("interrupts", &cells)?;
    fdt.property_null("always-on")?;
    fdt.end_node(node)
}

fn devices(fdt: &mut FdtWriter, guest: &Guest) -> Result<(), Error> {
    let clock = fdt.begin_node("apb-pclk")?;
    fdt.property_string("compatible", "fixed-clock")?;
    fdt.property_u32("#clock-cells", 0)?;
    fdt.property_u32("clock-frequency", 24_000_000)?;
    fdt.property_string("clock-output-names", "clk24mhz")?;
    fdt.property_phandle(PHANDLE_CLOCK)?;
    fdt.end_node(clock)?;
    for device in &guest.devices {
        let (name, compatible, clocks): (_, _, &[&str]) = match device.kind {
            DeviceKind::Pl011 => ("pl011", "arm,pl011", &["uartclk", "apb_pclk"]),
            DeviceKind::Pl031 => ("pl031", "arm,pl031", &["apb_pclk"]),
            DeviceKind::VirtioEmpty => continue,
        };
        let node = fdt.begin_node(&format!("{name}@{:x}", device.ipa))?;
        fdt.property_string_list(
            "compatible",
            vec![compatible.into(), "arm,primecell".into()],
        )?;
        fdt.property_array_u64("reg", &[device.ipa, u64::from(device.size)])?;
        fdt.property_array_u32(
            "interrupts",
            &[SPI, u32::from(device.intid - 32), LEVEL_HIGH],
        )?;
        fdt.property_array_u32("clocks", &vec![PHANDLE_CLOCK; clocks.len()])?;
        fdt.property_string_list(
            "clock-names",
            clocks.iter().map(ToString::to_string).collect(),
        )?;
        fdt.end_node(node)?;
    }
    let virtio = guest.device(DeviceKind::VirtioEmpty);
    let Some(virtio) = virtio.filter(|_| guest.virtio_in_tree) else {
        return Ok(());
    };
    for slot in 0..virtio.size / VIRTIO.2 {
        let at = virtio.ipa + u64::from(slot * VIRTIO.2);
        let node = fdt.begin_node(&format!("virtio_mmio@{at:x}"))?;
        fdt.property_string("compatible", "virtio,mmio")?;
        fdt.property_array_u64("reg", &[at, u64::from(VIRTIO.2)])?;
        fdt.property_array_u32(
            "interrupts",
            &[SPI, u32::from(VIRTIO_INTID - 32) + slot, EDGE_RISING],
        )?;
        fdt.property_null("dma-coherent")?;
        fdt.end_node(node)?;
    }
    Ok(())
}
