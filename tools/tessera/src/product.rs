//! What `build` makes of a description: kernel image, bundle, and both in one file.

use crate::analysis::{self, Report};
use crate::board::Board;
use crate::bundle;
use crate::check;
use crate::debian::Debian;
use crate::description::Description;
use crate::failure::Failure;
use crate::image::{self, Flat};
use crate::machine::Config;
use crate::program::{self, Profile};
use crate::project::{self, Project};
use crate::refusal::Source;
use crate::seed;
use crate::setup::{self, Permission};
use crate::supply::{self, Supply};
use crate::system::System;
use std::path::{Path, PathBuf};

/// How a system is built.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The board that it must fit on.
    pub board: Board,
    /// The profile of kernel and guests.
    pub profile: Profile,
    /// What may be installed.
    pub permission: Permission,
}

/// A description that has passed all checks that need no images.
#[derive(Debug)]
pub struct Described {
    /// Where it was read.
    pub path: PathBuf,
    /// What is written.
    pub description: Description,
    /// Its text.
    pub source: Source,
    /// What it means.
    pub system: System,
    /// What its guests can count on.
    pub report: Report,
}

/// A system that is ready to run.
#[derive(Debug)]
pub struct Product {
    /// The system with its images.
    pub system: System,
    /// The kernel's ELF file, for addresses and names.
    pub elf: PathBuf,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The bundle.
    pub bundle: PathBuf,
    /// Kernel and bundle in one file.
    pub single: PathBuf,
    /// Length of the bundle.
    pub bundle_len: u64,
}

/// Reads and checks a description.
///
/// # Errors
///
/// It cannot be read, or everything that is wrong with it.
pub fn describe(path: &Path) -> Result<Described, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Failure::Usage(format!(
            "the description {} cannot be read: {e}",
            path.display()
        ))
    })?;
    let (description, source) = Description::parse(path, &text)?;
    let system = check::check(&description, &source).map_err(Failure::Refused)?;
    let report =
        analysis::analyse(&description, &system.cores, &source).map_err(Failure::Refused)?;
    Ok(Described {
        path: path.to_path_buf(),
        description,
        source,
        system,
        report,
    })
}

/// Gets everything that a description names and writes the bundle.
///
/// # Errors
///
/// The board does not suit, or an image is missing, is none, or does not fit.
pub fn assemble(
    project: &Project,
    described: Described,
    options: Options,
) -> Result<(System, Vec<u8>), Failure> {
    let Described {
        path,
        description,
        source,
        mut system,
        ..
    } = described;
    check::board(&description, &system, options.board, &source).map_err(Failure::Refused)?;
    let supply = Supply::new(project, &path, options.profile, options.permission);
    supply.fill(&mut system, &description, &source)?;
    let bytes = bundle::write(&system).map_err(|e| Failure::Internal(e.to_string()))?;
    Ok((system, bytes))
}

/// Builds the kernel and everything that a description names, into `folder`.
///
/// # Errors
///
/// See [`Failure`].
pub fn build(
    project: &Project,
    described: Described,
    options: Options,
    folder: &Path,
) -> Result<Product, Failure> {
    let (system, bytes) = assemble(project, described, options)?;
    let bundle = folder.join("bundle.cpio");
    project::write(&bundle, &bytes)?;
    let (elf, flat) = kernel(project, options)?;
    let kernel = folder.join("kernel.img");
    let single = folder.join(format!("tessera-{}.img", system.name));
    project::write(&kernel, &flat.bytes)?;
    project::write(&single, &together(&flat, &bytes))?;
    Ok(Product {
        system,
        elf,
        kernel,
        bundle,
        single,
        bundle_len: bytes.len() as u64,
    })
}

/// Builds the kernel; returns its ELF file and its flat image.
///
/// # Errors
///
/// It does not build, or no compiler can be had.
pub fn kernel(project: &Project, options: Options) -> Result<(PathBuf, Flat), Failure> {
    let route = setup::rust(project, options.permission)?;
    let elf = program::build(project, &route, "tessera-kernel", options.profile)?;
    let flat = flat(&elf)?;
    Ok((elf, flat))
}

fn flat(elf: &Path) -> Result<Flat, Failure> {
    let bytes = std::fs::read(elf).map_err(|e| Failure::io(elf, &e))?;
    image::flatten(&bytes).map_err(|e| Failure::Build(format!("{}: {e}", elf.display())))
}

/// The kernel with the memory that it zeroes, to a whole page, and the bundle behind it. The
/// `Image` header then gives the size of all, so that a loader that moves the image moves all.
fn together(kernel: &Flat, bundle: &[u8]) -> Vec<u8> {
    let mut bytes = kernel.bytes.clone();
    let len = kernel.memory_len.next_multiple_of(4096);
    bytes.resize(usize::try_from(len).unwrap_or(bytes.len()), 0);
    bytes.extend_from_slice(bundle);
    let size = (bytes.len() as u64).to_le_bytes();
    if let Some(place) = bytes.get_mut(16..24) {
        place.copy_from_slice(&size);
    }
    bytes
}

impl Product {
    /// The machine that runs it; with `icount` every run is the same.
    ///
    /// # Errors
    ///
    /// QEMU or the board's device tree is missing and cannot be had.
    pub fn machine(
        &self,
        project: &Project,
        options: Options,
        icount: bool,
    ) -> Result<Config, Failure> {
        let qemu = setup::qemu(options.permission)?;
        let board = options.board;
        let cores = self.system.cores.len();
        let rings = u64::from(self.system.trace) * cores as u64;
        let memory = board.size_for(self.system.memory() + rings, self.bundle_len);
        let (kernel, bundle) = (self.kernel.clone(), self.bundle.clone());
        let mut config = Config::tessera(qemu, board, cores, memory, kernel, bundle);
        config.icount = icount;
        if let Some(tree) = board_tree(project, board, icount)? {
            let path = self.kernel.with_file_name("board.dtb");
            project::write(&path, &tree)?;
            config.tree = Some(path);
        }
        Ok(config)
    }
}

/// The device tree of a board that QEMU has none for, with a seed for random numbers.
///
/// # Errors
///
/// Debian's package that has it cannot be fetched.
pub fn board_tree(
    project: &Project,
    board: Board,
    repeatable: bool,
) -> Result<Option<Vec<u8>>, Failure> {
    if board != Board::Zcu102 {
        return Ok(None);
    }
    let root = Debian::new(project).unpack("linux-image-arm64")?;
    let folders = std::fs::read_dir(root.join("usr/lib")).map_err(|e| Failure::io(&root, &e))?;
    let path = folders
        .flatten()
        .find_map(|e| supply::find(&e.path(), "xilinx/zynqmp-zcu102-rev1.0.dtb"))
        .ok_or_else(|| Failure::Internal("Debian's kernel has no tree for the zcu102".into()))?;
    let tree = std::fs::read(&path).map_err(|e| Failure::io(&path, &e))?;
    let seed = seed::new(repeatable).map_err(|e| Failure::Internal(e.to_string()))?;
    seed::add(&tree, &seed).map(Some).map_err(Failure::Internal)
}
