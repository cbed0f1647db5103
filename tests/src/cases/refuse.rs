//! Bad input to the kernel: each has a clear message, and then the machine stops. Never a hang,
//! never a silent console.

use crate::case::{Case, Failure, case, ensure};
use crate::console::Console;
use crate::context::Context;
use crate::products::{PROFILES, profile_name};
use crate::random::Random;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tessera::archive::Archive;
use tessera::board::Board;
use tessera::machine::Config;
use tessera::product::Product;
use tessera::program::Profile;
use tessera::project;

/// The real-time guest alone: a small system for what goes wrong before any guest runs.
const LONE: &str = r#"
name = "lone"
[[core]]
policy = "shared"
[guest.rt]
image = "guest:rt"
memory = "4MiB"
cores = [0]
"#;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("a damaged header is refused, whichever byte it is", header),
        case("a damaged table is refused, whichever byte it is", tables),
        case("a board with fewer cores than the system is refused", cores),
        case("a board with too little memory is refused", memory),
        case("a guest that needs the other GIC is refused", gic),
        case("memory wanted where the kernel is is refused", place),
        case("a kernel entered at EL1 says so", el1),
        case("a kernel entered at EL3 says so", el3),
        case("a device tree without a GIC is refused", no_gic),
        case("a device tree without memory is refused", no_memory),
        case("a machine without a device tree is switched off", no_tree),
        case("a damaged image ends its own guest alone", image),
        case("a damaged RAM disk ends its own guest alone", ram_disk),
    ];
    for profile in PROFILES {
        let name = profile_name(profile);
        cases.push(case(format!("a bundle that is cut short is refused, {name}"), move |c| cut(c, profile)));
        cases.push(case(format!("a bundle of another version is refused, {name}"), move |c| version(c, profile)));
        cases.push(case(format!("no bundle, or another initrd, is refused, {name}"), move |c| no_bundle(c, profile)));
    }
    cases
}

/// The small system.
fn lone(context: &Context<'_>, profile: Profile) -> Result<(Arc<Product>, Config, Vec<u8>), Failure> {
    let product = context.described("lone", LONE, profile)?;
    let config = context.machine(&product, Board::VirtGicv3)?;
    let bundle = std::fs::read(&product.bundle)?;
    Ok((product, config, bundle))
}

/// Runs a machine that must refuse to start, for a reason that matches, and then be off.
fn refused(context: &Context<'_>, config: &Config, reason: &str) -> Result<(), Failure> {
    let mut console = context.boot(config)?;
    let line = console.wait(r"^\[tessera\] cannot start: ")?;
    let matches = regex::Regex::new(reason).is_ok_and(|r| r.is_match(&line));
    ensure(matches, || format!("`{line}` should match `{reason}`"))?;
    console.wait_end()
}

/// The same for a bundle of these bytes.
fn refused_bundle(context: &Context<'_>, config: &Config, bytes: &[u8], reason: &str) -> Result<(), Failure> {
    let path = context.file("cpio");
    project::write(&path, bytes)?;
    let config = Config { initrd: Some(path), ..config.clone() };
    refused(context, &config, reason)
}

/// Where the manifest is in a bundle, and how long its header and the whole of it are.
fn manifest_place() -> (usize, usize) {
    (Archive::default().next_data(manifest::MANIFEST), size_of::<manifest::Header>())
}

fn flipped(bundle: &[u8], at: usize, bits: u8) -> Vec<u8> {
    let mut bytes = bundle.to_vec();
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= bits;
    }
    bytes
}

fn cut(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let (_, config, bundle) = lone(context, profile)?;
    let (manifest, header) = manifest_place();
    let len = bundle.len();
    for keep in [len - 1, len / 2, manifest + header + 8, manifest + header, manifest + 4, manifest - 3, 60, 3] {
        let reason = r"cut short|not a Tessera bundle";
        refused_bundle(context, &config, bundle.get(..keep).unwrap_or(&[]), reason)
            .map_err(|f| Failure::new(format!("{keep} of {len} bytes: {f}")))?;
    }
    Ok(())
}

fn version(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let (_, config, bundle) = lone(context, profile)?;
    let (manifest, _) = manifest_place();
    let at = manifest + std::mem::offset_of!(manifest::Header, version);
    refused_bundle(context, &config, &flipped(&bundle, at, 2), r"version 3, this kernel reads version 1")
}

fn header(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, bundle) = lone(context, Profile::Release)?;
    let (manifest, header) = manifest_place();
    let mut random = Random::new(5);
    let first = std::mem::offset_of!(manifest::Header, system);
    let mut places = vec![0, first - 1, header - 1];
    places.extend((0..context.short_or_long(4, 60)).map(|_| random.below(header as u64) as usize));
    for place in places {
        let bits = 1 << random.below(8);
        let reason = r"damaged|version|cut short|not a Tessera|outside";
        refused_bundle(context, &config, &flipped(&bundle, manifest + place, bits), reason)
            .map_err(|f| Failure::new(format!("byte {place} of the header ^ {bits:#x}: {f}")))?;
    }
    Ok(())
}

fn tables(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, bundle) = lone(context, Profile::Release)?;
    let (manifest, header) = manifest_place();
    let field = std::mem::offset_of!(manifest::Header, manifest_len);
    let len = bundle.get(manifest + field..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b)) as usize;
    ensure(len > header, || "the manifest has no tables".into())?;
    let mut random = Random::new(6);
    let mut places = vec![header, len - 1];
    places.extend((0..context.short_or_long(6, 60)).map(|_| header + random.below((len - header) as u64) as usize));
    for place in places {
        let bits = 1 << random.below(8);
        refused_bundle(context, &config, &flipped(&bundle, manifest + place, bits), r"tables are damaged")
            .map_err(|f| Failure::new(format!("byte {place} of the manifest ^ {bits:#x}: {f}")))?;
    }
    Ok(())
}

fn no_bundle(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let (_, config, _) = lone(context, profile)?;
    let without = Config { initrd: None, ..config.clone() };
    refused(context, &without, r"there is no bundle")?;
    let mut other = Archive::default();
    other.file("init", 0o755, b"#!/bin/sh\n");
    let not_a_bundle = r"the initrd is not a Tessera bundle";
    refused_bundle(context, &config, &other.finish(), not_a_bundle)?;
    refused_bundle(context, &config, &[0x1f, 0x8b, 8, 0].repeat(2000), not_a_bundle)
}

fn cores(context: &Context<'_>) -> Result<(), Failure> {
    let product = context.system("gateway", Profile::Release)?;
    let config = Config { cores: 2, ..context.machine(&product, Board::VirtGicv3)? };
    refused(context, &config, r"the system needs 4 cores, the board has 2")
}

fn memory(context: &Context<'_>) -> Result<(), Failure> {
    let product = context.system("phone", Profile::Release)?;
    let config = Config { memory_mib: 256, ..context.machine(&product, Board::VirtGicv3)? };
    refused(context, &config, r"linux needs 512 MiB of contiguous memory, the board has [0-9]+ MiB left")
}

fn gic(context: &Context<'_>) -> Result<(), Failure> {
    for (needs, board, has) in [(3, Board::VirtGicv2, 2), (2, Board::VirtGicv3, 3)] {
        let text = LONE.replace("cores = [0]", &format!("cores = [0]\ngic = {needs}"));
        // The host says so as well: this is for the board that fits.
        let product = context.described(&format!("lone-gic{needs}"), &text, Profile::Release);
        let product = match (needs, product) {
            (_, Ok(product)) => product,
            (2, Err(failure)) => {
                ensure(failure.0.contains("GIC"), || failure.0.clone())?;
                continue;
            }
            (_, Err(failure)) => return Err(failure),
        };
        let config = context.machine(&product, board)?;
        refused(context, &config, &format!("rt needs a GICv{needs}, the board has a GICv{has}"))?;
    }
    Ok(())
}

fn place(context: &Context<'_>) -> Result<(), Failure> {
    let region = "[[guest.rt.region]]\naddress = 0x5000_0000\nsize = \"2MiB\"\nphysical = 0x4020_0000\n";
    let product = context.described("lone-placed", &format!("{LONE}{region}"), Profile::Release)?;
    let config = context.machine(&product, Board::VirtGicv3)?;
    refused(context, &config, r"rt wants memory at physical address 0x40200000, where none is free")
}

fn el1(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, _) = lone(context, Profile::Release)?;
    let config = Config { virtualization: false, ..config };
    context.boot(&config)?.wait(r"^\[tessera\] entered at EL1, but a hypervisor needs EL2").map(drop)
}

fn el3(context: &Context<'_>) -> Result<(), Failure> {
    let (_, mut config, _) = lone(context, Profile::Release)?;
    config.extra = ["-machine", "secure=on"].map(Into::into).into();
    context.boot(&config)?.wait(r"^\[tessera\] entered at EL3, but a hypervisor needs EL2").map(drop)
}

fn no_gic(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, _) = lone(context, Profile::Release)?;
    let tree = edited_tree(context, &config, b"arm,gic-v3", b"arm,gic-xx")?;
    refused(context, &given_tree(context, config, Some(tree))?, r"(?i)gic|interrupt controller")
}

fn no_memory(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, _) = lone(context, Profile::Release)?;
    let tree = edited_tree(context, &config, b"\0memory\0", b"\0nomore\0")?;
    let bytes = std::fs::read(&tree)?;
    project::write(&tree, &replaced(&bytes, b"memory@", b"nomore@")?)?;
    refused(context, &given_tree(context, config, Some(tree))?, r"(?i)memory|RAM")
}

/// There is no console to say it on.
fn no_tree(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, _) = lone(context, Profile::Release)?;
    context.boot(&given_tree(context, config, None)?)?.wait_end()
}

/// QEMU's own tree for this machine with some bytes replaced.
fn edited_tree(context: &Context<'_>, config: &Config, from: &[u8], to: &[u8]) -> Result<PathBuf, Failure> {
    let path = context.file("dtb");
    let machine = format!("virt,virtualization=on,gic-version=3,dumpdtb={}", path.display());
    let memory = format!("{}M", config.memory_mib);
    let status = Command::new(&context.shared().qemu)
        .args(["-M", &machine, "-cpu", "cortex-a53", "-m", &memory, "-display", "none"])
        .output()?;
    ensure(status.status.success(), || String::from_utf8_lossy(&status.stderr).into_owned())?;
    let bytes = std::fs::read(&path)?;
    project::write(&path, &replaced(&bytes, from, to)?)?;
    Ok(path)
}

/// Replaces every occurrence by bytes of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut changed = bytes.to_vec();
    let mut found = false;
    for at in 0..=bytes.len().saturating_sub(from.len()) {
        if bytes.get(at..at + from.len()) == Some(from) {
            if let Some(place) = changed.get_mut(at..at + from.len()) {
                place.copy_from_slice(to);
                found = true;
            }
        }
    }
    ensure(found, || format!("`{}` is not in QEMU's tree", String::from_utf8_lossy(from)))?;
    Ok(changed)
}

/// A machine whose kernel gets this tree as it is. QEMU would mend what it loads itself: here a
/// few instructions of ours load the registers and go to the kernel.
fn given_tree(context: &Context<'_>, config: Config, tree: Option<PathBuf>) -> Result<Config, Failure> {
    const KERNEL: u32 = 0x4020_0000;
    const TREE: u32 = 0x4800_0000;
    let wide = |register: u32, value: u32| {
        [0xd280_0000 | (value & 0xffff) << 5 | register, 0xf2a0_0000 | (value >> 16) << 5 | register]
    };
    let mut words = Vec::new();
    words.extend(wide(0, if tree.is_some() { TREE } else { 0 }));
    words.extend(wide(4, KERNEL));
    words.push(0xd61f_0080); // br x4
    let stub = context.file("stub");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    project::write(&stub, &bytes)?;
    let loader = |file: &Path, address: u32| format!("loader,file={},addr={address:#x},force-raw=on", file.display());
    let mut extra = vec!["-device".to_string(), loader(&config.kernel, KERNEL)];
    if let Some(tree) = &tree {
        extra.extend(["-device".to_string(), loader(tree, TREE)]);
    }
    let extra = extra.into_iter().map(Into::into).collect();
    Ok(Config { kernel: stub, initrd: None, extra, ..config })
}

/// `phone` with a byte of a member of its bundle flipped.
fn damaged(context: &Context<'_>, load: &str) -> Result<Config, Failure> {
    let product = context.system("phone", Profile::Release)?;
    let bundle = std::fs::read(&product.bundle)?;
    let mut at = 0;
    while let Some(member) = manifest::cpio::member(&bundle, at) {
        if member.name == load.as_bytes() {
            let middle = member.data.as_ptr() as usize - bundle.as_ptr() as usize + member.data.len() / 2;
            let path = context.file("cpio");
            project::write(&path, &flipped(&bundle, middle, 0x10))?;
            return Ok(Config { initrd: Some(path), ..context.machine(&product, Board::VirtGicv3)? });
        }
        at = member.next;
    }
    Err(Failure::new(format!("the bundle has no {load}")))
}

fn dead_on_arrival(console: &mut Console<'_>, guest: &str) -> Result<(), Failure> {
    console.expect_faults();
    console.wait(&format!(r"^\[tessera\] {guest}: fault: .*damaged"))?;
    console.wait(&format!(r"^\[tessera\] {guest}: off"))?;
    Ok(())
}

fn image(context: &Context<'_>) -> Result<(), Failure> {
    let mut console = context.boot(&damaged(context, "guest/rt/image")?)?;
    dead_on_arrival(&mut console, "rt")?;
    console.shell()?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: off, starts 0, faults 1")?;
    console.wait(r"^\[tessera\] 2 linux: running, starts 1, faults 0").map(drop)
}

fn ram_disk(context: &Context<'_>) -> Result<(), Failure> {
    let mut console = context.boot(&damaged(context, "guest/linux/initrd")?)?;
    dead_on_arrival(&mut console, "linux")?;
    console.rt_seconds(1)?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: running, starts 1, faults 0")?;
    console.wait(r"^\[tessera\] 2 linux: off, starts 0, faults 1").map(drop)
}
