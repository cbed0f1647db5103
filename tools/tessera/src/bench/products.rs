//! Systems that have been built, each once for all who run it: the laboratory and the whole-system tests.

use crate::board::Board;
use crate::failure::Failure;
use crate::product::{self, Options, Product};
use crate::program::Profile;
use crate::project::{self, Project};
use crate::setup::Permission;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Both profiles.
pub const PROFILES: [Profile; 2] = [Profile::Release, Profile::Debug];

/// A profile's name.
#[must_use]
pub fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Release => "release",
        Profile::Debug => "debug",
    }
}

/// Systems that have been built.
#[derive(Debug)]
pub struct Products {
    project: Project,
    folder: PathBuf,
    permission: Permission,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kernels: Vec<(Profile, Arc<Kernel>)>,
    made: Vec<(String, Profile, Arc<Product>)>,
}

/// A kernel that has been built: files that a later build of the same does not touch.
#[derive(Debug)]
struct Kernel {
    elf: PathBuf,
    image: PathBuf,
}

impl Products {
    /// Nothing built yet; everything goes below `folder`.
    #[must_use]
    pub fn new(project: Project, folder: PathBuf, permission: Permission) -> Self {
        Self {
            project,
            folder,
            permission,
            state: Mutex::default(),
        }
    }

    /// Builds the kernel in both profiles.
    ///
    /// # Errors
    ///
    /// See [`crate::product::build`].
    pub fn build_kernels(&self) -> Result<(), Failure> {
        PROFILES
            .iter()
            .try_for_each(|profile| self.kernel(*profile).map(drop))
    }

    fn kernel(&self, profile: Profile) -> Result<Arc<Kernel>, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, kernel)) = state.kernels.iter().find(|(p, _)| *p == profile) {
            return Ok(Arc::clone(kernel));
        }
        let (built, flat) = product::kernel(&self.project, self.options(profile))?;
        let folder = self
            .folder
            .join(format!("kernel-{}", profile_name(profile)));
        let (elf, image) = (folder.join("kernel.elf"), folder.join("kernel.img"));
        let bytes = std::fs::read(&built).map_err(|e| Failure::io(&built, &e))?;
        project::write(&elf, &bytes)?;
        project::write(&image, &flat.bytes)?;
        let kernel = Arc::new(Kernel { elf, image });
        state.kernels.push((profile, Arc::clone(&kernel)));
        Ok(kernel)
    }

    /// A system of `systems/` as it is.
    ///
    /// # Errors
    ///
    /// See [`crate::product::build`].
    pub fn system(&self, name: &str, profile: Profile) -> Result<Arc<Product>, Failure> {
        self.make(name, profile, || Ok(self.stored(name)))
    }

    /// A system of `systems/` with words of its description replaced. Each must stand there once.
    ///
    /// # Errors
    ///
    /// See [`crate::product::build`].
    pub fn variant(
        &self,
        system: &str,
        name: &str,
        edits: &[(&str, &str)],
        profile: Profile,
    ) -> Result<Arc<Product>, Failure> {
        self.make(name, profile, || {
            let path = self.stored(system);
            let mut text = std::fs::read_to_string(&path).map_err(|e| Failure::io(&path, &e))?;
            for (from, to) in edits {
                if text.matches(from).count() != 1 {
                    return Err(Failure::Internal(format!(
                        "`{from}` is not once in systems/{system}.toml"
                    )));
                }
                text = text.replace(from, to);
            }
            self.write_description(name, &text)
        })
    }

    /// A system from a description given as text.
    ///
    /// # Errors
    ///
    /// See [`crate::product::build`].
    pub fn described(
        &self,
        name: &str,
        text: &str,
        profile: Profile,
    ) -> Result<Arc<Product>, Failure> {
        self.make(name, profile, || self.write_description(name, text))
    }

    fn stored(&self, name: &str) -> PathBuf {
        self.project
            .root()
            .join("systems")
            .join(name)
            .with_extension("toml")
    }

    fn write_description(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.join("systems").join(format!("{name}.toml"));
        project::write(&path, text.as_bytes())?;
        Ok(path)
    }

    fn make(
        &self,
        name: &str,
        profile: Profile,
        description: impl FnOnce() -> Result<PathBuf, Failure>,
    ) -> Result<Arc<Product>, Failure> {
        let kernel = self.kernel(profile)?;
        // The lock is held while building: two builds at a time would only wait for each other.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, product)) = state
            .made
            .iter()
            .find(|(n, p, _)| n == name && *p == profile)
        {
            return Ok(Arc::clone(product));
        }
        let folder = self
            .folder
            .join(format!("{name}-{}", profile_name(profile)));
        let product = Arc::new(self.assemble(&kernel, &description()?, profile, &folder)?);
        state
            .made
            .push((name.to_string(), profile, Arc::clone(&product)));
        Ok(product)
    }

    fn assemble(
        &self,
        kernel: &Kernel,
        path: &Path,
        profile: Profile,
        folder: &Path,
    ) -> Result<Product, Failure> {
        let described = product::describe(path)?;
        let (system, bytes) = product::assemble(&self.project, described, self.options(profile))?;
        let bundle = folder.join("bundle.cpio");
        project::write(&bundle, &bytes)?;
        Ok(Product {
            system,
            elf: kernel.elf.clone(),
            kernel: kernel.image.clone(),
            bundle,
            // Made by the case that needs it.
            single: PathBuf::new(),
            bundle_len: bytes.len() as u64,
        })
    }

    /// Builds a system as the command line does; returns its single-file image.
    ///
    /// # Errors
    ///
    /// See [`crate::product::build`].
    pub fn single(
        &self,
        system: &str,
        profile: Profile,
        folder: &Path,
    ) -> Result<PathBuf, Failure> {
        let _turn = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let described = product::describe(&self.stored(system))?;
        Ok(product::build(&self.project, described, self.options(profile), folder)?.single)
    }

    fn options(&self, profile: Profile) -> Options {
        // The bundle is the same for every board.
        Options {
            board: Board::VirtGicv3,
            profile,
            permission: self.permission,
        }
    }
}
