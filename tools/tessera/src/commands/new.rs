//! `cargo tessera new`: a commented description to start from.

use crate::failure::Failure;
use crate::project;
use std::path::Path;

/// The description; `NAME` stands for the name.
const TEMPLATE: &str = include_str!("new.toml");

/// The text of a new description.
#[must_use]
pub fn text(name: &str) -> String {
    TEMPLATE.replace("NAME", name)
}

/// Writes `NAME.toml` into `folder`.
///
/// # Errors
///
/// The name is not one, or the file exists.
pub fn new(folder: &Path, name: &str) -> Result<(), Failure> {
    if manifest::Name::new(name).is_none() {
        return Err(Failure::Usage(format!(
            "`{name}` cannot be a system's name: use 1 to 15 characters of a-z, 0-9, - and _"
        )));
    }
    let path = folder.join(format!("{name}.toml"));
    if path.exists() {
        return Err(Failure::Usage(format!("{} exists already", path.display())));
    }
    project::write(&path, text(name).as_bytes())?;
    println!("wrote {}; next: cargo tessera check {0}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analysis, check, description::Description};

    #[test]
    fn a_new_description_passes_every_check() {
        let text = text("mine");
        let (description, source) = Description::parse(Path::new("mine.toml"), &text).unwrap();
        let system = check::check(&description, &source).unwrap();
        analysis::analyse(&description, &system.cores, &source).unwrap();
        assert_eq!(system.name, "mine");
    }

    #[test]
    fn every_commented_key_is_a_key() {
        // Taking the comment signs away from lines that look like keys gives a description that
        // is still read; its values are examples and need not fit together.
        let bare: String = text("mine")
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest)
                    if rest.starts_with("[[")
                        || rest
                            .split_once(" = ")
                            .is_some_and(|(k, _)| !k.contains(' ')) =>
                {
                    rest
                }
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        assert_ne!(bare, text("mine"));
        Description::parse(Path::new("mine.toml"), &bare).unwrap();
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        new(folder.path(), "mine").unwrap();
        assert_eq!(new(folder.path(), "mine").unwrap_err().code(), 2);
        assert_eq!(new(folder.path(), "No Name").unwrap_err().code(), 2);
    }
}
