//! A board that does not suit: each thing wrong has a clear message, and then the machine stops.
//! Never a hang, never a silent console.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
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
    vec![
        case("a board with fewer cores than the system is refused", cores),
        case("a board with too little memory is refused", memory),
        case("a guest that needs the other GIC is refused", gic),
        case("memory wanted where the kernel lies is refused", place),
        case("a kernel entered at EL1 says so", el1),
        case("a kernel entered at EL3 says so", el3),
        case("a device tree without a GIC is refused", no_gic),
        case("a device tree without memory is refused", no_memory),
        case("a machine without a device tree is switched off", no_tree),
    ]
}

/// The small system.
pub fn lone(
    context: &Context<'_>,
    profile: Profile,
) -> Result<(Arc<Product>, Config, Vec<u8>), Failure> {
    let product = context.described("lone", LONE, profile)?;
    let config = plain(context, &product, Board::VirtGicv3)?;
    let bundle = std::fs::read(&product.bundle)?;
    Ok((product, config, bundle))
}

/// A system's machine at full speed: what is tested here does not depend on time.
fn plain(context: &Context<'_>, product: &Product, board: Board) -> Result<Config, Failure> {
    Ok(Config {
        icount: false,
        ..context.machine(product, board)?
    })
}

/// Runs a machine that must refuse to start, for a reason that matches, and then be off.
pub fn refused(context: &Context<'_>, config: &Config, reason: &str) -> Result<(), Failure> {
    let mut console = context.boot(config)?;
    let line = console.wait(r"^\[tessera\] cannot start: ")?;
    let matches = regex::Regex::new(reason).is_ok_and(|r| r.is_match(&line));
    ensure(matches, || format!("`{line}` should match `{reason}`"))?;
    console.wait_end()
}

fn cores(context: &Context<'_>) -> Result<(), Failure> {
    let product = context.system("gateway", Profile::Release)?;
    let config = Config {
        cores: 2,
        ..plain(context, &product, Board::VirtGicv3)?
    };
    refused(
        context,
        &config,
        r"the system needs 4 cores, the board has 2",
    )
}

fn memory(context: &Context<'_>) -> Result<(), Failure> {
    let product = context.system("phone", Profile::Release)?;
    let config = Config {
        memory_mib: 256,
        ..plain(context, &product, Board::VirtGicv3)?
    };
    refused(
        context,
        &config,
        r"linux needs 512 MiB of contiguous memory, the board has [0-9]+ MiB left",
    )
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
        let config = plain(context, &product, board)?;
        refused(
            context,
            &config,
            &format!("rt needs a GICv{needs}, the board has a GICv{has}"),
        )?;
    }
    Ok(())
}

fn place(context: &Context<'_>) -> Result<(), Failure> {
    let region =
        "[[guest.rt.region]]\naddress = 0x5000_0000\nsize = \"2MiB\"\nphysical = 0x4020_0000\n";
    let product = context.described("lone-placed", &format!("{LONE}{region}"), Profile::Release)?;
    let config = plain(context, &product, Board::VirtGicv3)?;
    refused(
        context,
        &config,
        r"rt wants memory at physical address 0x40200000, where none is free",
    )
}

fn el1(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, _) = lone(context, Profile::Release)?;
    let config = Config {
        virtualization: false,
        ..config
    };
    context
        .boot(&config)?
        .wait(r"^\[tessera\] entered at EL1, but a hypervisor needs EL2")
        .map(drop)
}

/// QEMU starts what it loads itself at EL2 at most; firmware is started at the highest level, and
/// finds the tree at the start of RAM.
fn el3(context: &Context<'_>) -> Result<(), Failure> {
    let (_, mut config, _) = lone(context, Profile::Release)?;
    let firmware = context.file("bios");
    project::write(&firmware, &jump(RAM))?;
    config.extra = vec![
        "-machine".into(),
        "secure=on".into(),
        "-bios".into(),
        firmware.into(),
    ];
    config
        .extra
        .extend(["-device".into(), loader(&config.kernel, KERNEL).into()]);
    context
        .boot(&config)?
        .wait(r"^\[tessera\] entered at EL3, but a hypervisor needs EL2")
        .map(drop)
}

fn no_gic(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, _) = lone(context, Profile::Release)?;
    let tree = edited_tree(context, &config, b"arm,gic-v3", b"arm,gic-xx")?;
    refused(
        context,
        &given_tree(context, config, Some(tree))?,
        r"(?i)gic|interrupt controller",
    )
}

fn no_memory(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, _) = lone(context, Profile::Release)?;
    let tree = edited_tree(context, &config, b"memory", b"nomore")?;
    refused(
        context,
        &given_tree(context, config, Some(tree))?,
        r"(?i)memory|RAM",
    )
}

/// There is no console to say it on.
fn no_tree(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, _) = lone(context, Profile::Release)?;
    context
        .boot(&given_tree(context, config, None)?)?
        .wait_end()
}

/// QEMU's own tree for this machine with some bytes replaced.
fn edited_tree(
    context: &Context<'_>,
    config: &Config,
    from: &[u8],
    to: &[u8],
) -> Result<PathBuf, Failure> {
    let path = context.file("dtb");
    let machine = format!(
        "virt,virtualization=on,gic-version=3,dumpdtb={}",
        path.display()
    );
    let memory = format!("{}M", config.memory_mib);
    let status = Command::new(&context.shared().qemu)
        .args([
            "-M",
            &machine,
            "-cpu",
            "cortex-a53",
            "-m",
            &memory,
            "-display",
            "none",
            "-nodefaults",
        ])
        .output()?;
    ensure(status.status.success(), || {
        String::from_utf8_lossy(&status.stderr).into_owned()
    })?;
    let bytes = std::fs::read(&path)?;
    project::write(&path, &replaced(&bytes, from, to)?)?;
    Ok(path)
}

/// Replaces every occurrence by bytes of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut changed = bytes.to_vec();
    let mut found = false;
    for at in 0..=bytes.len().saturating_sub(from.len()) {
        if bytes.get(at..at + from.len()) == Some(from)
            && let Some(place) = changed.get_mut(at..at + from.len())
        {
            place.copy_from_slice(to);
            found = true;
        }
    }
    ensure(found, || {
        format!("`{}` is not in QEMU's tree", String::from_utf8_lossy(from))
    })?;
    Ok(changed)
}

/// A machine whose kernel gets this tree as it is. QEMU would mend what it loads itself: here a
/// few instructions of ours load the registers and go to the kernel.
fn given_tree(
    context: &Context<'_>,
    config: Config,
    tree: Option<PathBuf>,
) -> Result<Config, Failure> {
    let stub = context.file("stub");
    project::write(&stub, &jump(if tree.is_some() { TREE } else { 0 }))?;
    let mut extra = vec!["-device".into(), loader(&config.kernel, KERNEL).into()];
    if let Some(tree) = &tree {
        extra.extend(["-device".into(), loader(tree, TREE).into()]);
    }
    Ok(Config {
        kernel: stub,
        initrd: None,
        extra,
        ..config
    })
}

/// Where these machines have RAM, the kernel, and the tree.
const RAM: u32 = 0x4000_0000;
const KERNEL: u32 = 0x4020_0000;
const TREE: u32 = 0x4800_0000;

/// QEMU's device that puts a file into memory.
fn loader(file: &Path, address: u32) -> String {
    format!(
        "loader,file={},addr={address:#x},force-raw=on",
        file.display()
    )
}

/// A program that goes to the kernel with the address of a tree.
fn jump(tree: u32) -> Vec<u8> {
    // movz and movk of a 32-bit value
    let wide = |register: u32, value: u32| {
        [
            0xd280_0000 | (value & 0xffff) << 5 | register,
            0xf2a0_0000 | (value >> 16) << 5 | register,
        ]
    };
    let mut words = Vec::new();
    words.extend(wide(0, tree));
    words.extend(wide(4, KERNEL));
    words.push(0xd61f_0080); // br x4
    words
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect()
}
