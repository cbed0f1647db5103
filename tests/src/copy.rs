//! A copy of the project's source, for cases that change it.

use crate::case::Failure;
use crate::context::Context;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// There is one copy, so that what was built of it is there for the next case; and one case has it.
static TURN: Mutex<()> = Mutex::new(());

/// The copy. It is the source as it is, whatever the case before has changed in it.
#[derive(Debug)]
pub struct Copy {
    root: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Copy {
    /// Waits for its turn, and copies.
    pub fn of(context: &Context<'_>) -> Result<Self, Failure> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let root = context.shared().folder.join("source");
        copy_folder(context.shared().project.root(), &root)?;
        Ok(Self { root, _turn: turn })
    }

    /// Its root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Copies source; what is there already keeps what was built of it.
fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)?.flatten() {
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with('.') && name != ".cargo" {
            continue;
        }
        let (path, copy) = (entry.path(), to.join(&name));
        if path.is_dir() {
            copy_folder(&path, &copy)?;
            continue;
        }
        // An old time would make cargo build again what has not changed.
        let bytes = std::fs::read(&path)?;
        if std::fs::read(&copy).ok().as_ref() != Some(&bytes) {
            std::fs::write(&copy, bytes)?;
        }
    }
    Ok(())
}
