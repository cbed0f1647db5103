//! A guest of a system on the bare machine: the same machine without EL2, the same files.

use crate::bench::meter::Files;
use crate::failure::Failure;
use crate::machine::Config;
use crate::product::Product;
use crate::project;
use manifest::{Gic, LoadKind};
use std::path::PathBuf;

/// The machine that runs the guest `name` of a system natively: `config` is the system's own.
/// It has the guest's memory. With a tree the guest's own device tree is used, else QEMU's and the
/// guest's command line.
///
/// # Errors
///
/// There is no such guest, or a file cannot be written.
pub fn config(
    config: Config,
    product: &Product,
    name: &str,
    with_tree: bool,
    files: &Files,
) -> Result<Config, Failure> {
    let guest = product
        .system
        .guest(name)
        .ok_or_else(|| Failure::Internal(format!("the system has no guest `{name}`")))?;
    let gic = config.board.gic();
    let file = |kind: LoadKind, extension: &str| -> Result<Option<PathBuf>, Failure> {
        let mut loads = guest.loads.iter();
        let load = loads.find(|l| l.kind == kind && (l.gic == Gic::Any || l.gic == gic));
        let path = files.file(extension);
        load.map(|load| project::write(&path, &load.bytes).map(|()| path.clone()))
            .transpose()
    };
    let image = file(LoadKind::Image, "image")?
        .ok_or_else(|| Failure::Internal(format!("`{name}` has no image")))?;
    let initrd = file(LoadKind::Initrd, "initrd")?;
    let (tree, append) = if with_tree {
        (file(LoadKind::DeviceTree, "dtb")?, "")
    } else {
        (None, guest.bootargs.as_str())
    };
    let memory: u64 = guest.ram().map(|r| r.size).sum();
    let mut native = config.native(image, initrd, tree, append);
    // QEMU puts a device tree of its own at 128 MiB; with less memory at its middle.
    native.memory_mib = (memory >> 20).max(64);
    Ok(native)
}
