//! What a case has at hand: built systems, machines, a place for files, and a way to say numbers.

use crate::case::Failure;
use crate::console::Console;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tessera::bench::meter::Files;
use tessera::bench::products::Products;
use tessera::board::Board;
use tessera::machine::{Config, Machine};
use tessera::product::{Options, Product};
use tessera::program::Profile;
use tessera::project::Project;
use tessera::setup::{self, Permission};

/// What all cases share.
#[derive(Debug)]
pub struct Shared {
    /// The project.
    pub project: Project,
    /// Built systems.
    pub products: Products,
    /// The program `qemu-system-aarch64`.
    pub qemu: PathBuf,
    /// Where transcripts and other files go.
    pub folder: PathBuf,
    /// Whether the long forms are wanted.
    pub long: bool,
}

impl Shared {
    /// Finds what is needed, and builds the kernels.
    pub fn prepare(long: bool) -> Result<Self, Failure> {
        let project = Project::find()?;
        let qemu = setup::qemu(Permission::Install)?;
        let folder = project.target().join("tests");
        std::fs::create_dir_all(&folder)?;
        let products = Products::new(project.clone(), folder.clone(), Permission::Install);
        products.build_kernels()?;
        Ok(Self {
            project,
            products,
            qemu,
            folder,
            long,
        })
    }
}

/// What one case has at hand.
#[derive(Debug)]
pub struct Context<'a> {
    shared: &'a Shared,
    name: &'a str,
    log: RefCell<Vec<u8>>,
    notes: RefCell<Vec<String>>,
}

impl<'a> Context<'a> {
    /// For the case `name`.
    pub fn new(shared: &'a Shared, name: &'a str) -> Self {
        let context = Self {
            shared,
            name,
            log: RefCell::default(),
            notes: RefCell::default(),
        };
        let _ = std::fs::remove_file(context.file("log"));
        context
    }

    /// What all cases share.
    pub fn shared(&self) -> &'a Shared {
        self.shared
    }

    /// The short or the long form of a number.
    pub fn short_or_long<T>(&self, short: T, long: T) -> T {
        if self.shared.long { long } else { short }
    }

    /// A number that people should see, also when the case passes.
    pub fn note(&self, text: impl Into<String>) {
        self.notes.borrow_mut().push(text.into());
    }

    /// A file of this case's own.
    pub fn file(&self, extension: &str) -> PathBuf {
        self.files().file(extension)
    }

    /// The files of this case.
    pub fn files(&self) -> Files {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "-.=".contains(c) {
                c
            } else {
                '_'
            }
        };
        let name: String = self.name.chars().map(plain).collect();
        Files {
            stem: self.shared.folder.join(name),
        }
    }

    /// A system of `systems/` as it is.
    pub fn system(&self, name: &str, profile: Profile) -> Result<Arc<Product>, Failure> {
        Ok(self.shared.products.system(name, profile)?)
    }

    /// A system of `systems/` with some words of its description replaced; `name` tells it from others.
    pub fn variant(
        &self,
        system: &str,
        name: &str,
        edits: &[(&str, &str)],
        profile: Profile,
    ) -> Result<Arc<Product>, Failure> {
        Ok(self.shared.products.variant(system, name, edits, profile)?)
    }

    /// A system from a description of the case's own.
    pub fn described(
        &self,
        name: &str,
        description: &str,
        profile: Profile,
    ) -> Result<Arc<Product>, Failure> {
        Ok(self.shared.products.described(name, description, profile)?)
    }

    /// The machine for a system, under `-icount`, so that every run is the same.
    pub fn machine(&self, product: &Product, board: Board) -> Result<Config, Failure> {
        // Only board and permission matter here.
        let options = Options {
            board,
            profile: Profile::Release,
            permission: Permission::Install,
        };
        Ok(product.machine(&self.shared.project, options, true)?)
    }

    /// Switches a machine on.
    pub fn boot(&self, config: &Config) -> Result<Console<'_>, Failure> {
        let machine = Machine::start(config).map_err(|e| {
            Failure::new(format!(
                "{} could not be started: {e}",
                config.qemu.display()
            ))
        })?;
        Ok(Console::new(self, machine))
    }

    /// Switches on a system's machine as it comes.
    pub fn run(&self, product: &Product, board: Board) -> Result<Console<'_>, Failure> {
        self.boot(&self.machine(product, board)?)
    }

    /// Adds to the case's transcript.
    pub fn record(&self, bytes: &[u8]) {
        self.log.borrow_mut().extend_from_slice(bytes);
    }

    /// Writes the transcript; returns where it is, and the notes.
    pub fn close(self) -> (PathBuf, Vec<String>) {
        let path = self.file("log");
        let log = self.log.into_inner();
        if !log.is_empty() {
            write_quietly(&path, &log);
        }
        (path, self.notes.into_inner())
    }
}

/// A transcript that cannot be written is no reason for a case to fail.
fn write_quietly(path: &Path, bytes: &[u8]) {
    if let Err(error) = std::fs::write(path, bytes) {
        eprintln!("{}: {error}", path.display());
    }
}
