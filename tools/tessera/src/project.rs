//! Where the project's files are.

use crate::failure::Failure;
use std::path::{Path, PathBuf};

/// The project's folders.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// Finds the project that this tool was built from; `TESSERA_ROOT` names another copy.
    ///
    /// # Errors
    ///
    /// There is no project there any more.
    pub fn find() -> Result<Self, Failure> {
        let given = std::env::var_os("TESSERA_ROOT").map(PathBuf::from);
        let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Self::at(&given.unwrap_or_else(built))
    }

    /// The project in a folder.
    ///
    /// # Errors
    ///
    /// There is no project.
    pub fn at(root: &Path) -> Result<Self, Failure> {
        let found = root.canonicalize().ok();
        found
            .filter(|r| r.join("kernel/Cargo.toml").is_file())
            .map(|root| Self { root })
            .ok_or_else(|| {
                Failure::Internal(format!(
                    "{} is not Tessera's source; set TESSERA_ROOT to where it is",
                    root.display()
                ))
            })
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the tool builds and downloads.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// A description by path, or by its name in `systems/`.
    #[must_use]
    pub fn system(&self, name: &Path) -> PathBuf {
        if name.exists() {
            return name.to_path_buf();
        }
        let stored = self.root.join("systems").join(name).with_extension("toml");
        if stored.is_file() {
            stored
        } else {
            name.to_path_buf()
        }
    }
}

/// Writes a file and the folders above it.
///
/// # Errors
///
/// The system's, with the path.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Failure::io(parent, &e))?;
    }
    std::fs::write(path, bytes).map_err(|e| Failure::io(path, &e))
}
