//! Files of Debian's arm64 packages, without touching this machine's own package state.
//!
//! `apt-get` works on state and cache folders under `target/debian/`, so it checks signatures and
//! digests as always; packages are unpacked with `dpkg -x`, not installed. What was fetched is
//! recorded with its SHA-256 and used again without a network.

use crate::failure::{Failure, Missing};
use crate::process;
use crate::progress::{Step, say};
use crate::project::{self, Project};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages that this project uses, kept in one folder.
#[derive(Debug)]
pub struct Debian {
    root: PathBuf,
}

/// What is known about an unpacked package.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// The package's real name (a metapackage's dependency, for instance).
    pub package: String,
    /// Its version.
    pub version: String,
    /// The file that was fetched.
    pub file: String,
    /// SHA-256 of that file.
    pub sha256: String,
}

/// Sources for a machine that is not Debian.
const SOURCES: &str = "\
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

impl Debian {
    /// The packages under the project's target folder.
    #[must_use]
    pub fn new(project: &Project) -> Self {
        Self {
            root: project.target().join("debian"),
        }
    }

    /// The folder that a package is unpacked in; fetches it if it is not there yet.
    ///
    /// # Errors
    ///
    /// It is not there and cannot be fetched.
    pub fn unpack(&self, package: &str) -> Result<PathBuf, Failure> {
        let folder = self.root.join("packages").join(package);
        let root = folder.join("root");
        let is_there = || self.record(package).is_some() && root.is_dir();
        if !is_there() {
            // One at a time, whoever else runs: apt's folders and the package's own are shared.
            let _turn = self.turn()?;
            if !is_there() {
                self.fetch(package, &folder)?;
            }
        }
        Ok(root)
    }

    /// Waits until nobody else fetches; the file is locked until it is dropped.
    fn turn(&self) -> Result<std::fs::File, Failure> {
        std::fs::create_dir_all(&self.root).map_err(|e| Failure::io(&self.root, &e))?;
        let path = self.root.join("lock");
        let file = std::fs::File::create(&path).map_err(|e| Failure::io(&path, &e))?;
        file.lock().map_err(|e| Failure::io(&path, &e))?;
        Ok(file)
    }

    /// What is known about a package, if it has been fetched.
    #[must_use]
    pub fn record(&self, package: &str) -> Option<Record> {
        let path = self.root.join("packages").join(package).join("record.toml");
        toml::from_str(&std::fs::read_to_string(path).ok()?).ok()
    }

    fn fetch(&self, package: &str, folder: &Path) -> Result<(), Failure> {
        for tool in ["apt-get", "apt-cache", "dpkg"] {
            if process::which(tool).is_none() {
                return Err(unavailable(package, &format!("`{tool}` is not here")));
            }
        }
        let step = Step::new(format!("fetching Debian's {package} (arm64)"));
        self.update(&step, package)?;
        let real = self.resolve(package)?;
        let downloads = self.root.join("download").join(package);
        let _ = std::fs::remove_dir_all(&downloads);
        std::fs::create_dir_all(&downloads).map_err(|e| Failure::io(&downloads, &e))?;
        let mut download = self.apt("apt-get");
        download.current_dir(&downloads).args(["download", &real]);
        let outcome = process::run(&mut download, Some(&step))
            .map_err(|e| unavailable(package, &e.to_string()))?;
        if !outcome.ok {
            return Err(unavailable(package, outcome.err.trim()));
        }
        let file = std::fs::read_dir(&downloads)
            .map_err(|e| Failure::io(&downloads, &e))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| e == "deb"))
            .ok_or_else(|| unavailable(package, "apt-get fetched nothing"))?;
        step.detail("unpacking");
        self.install(package, &real, &file, folder)
    }

    fn install(
        &self,
        package: &str,
        real: &str,
        file: &Path,
        folder: &Path,
    ) -> Result<(), Failure> {
        let bytes = std::fs::read(file).map_err(|e| Failure::io(file, &e))?;
        let sha256: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let _ = std::fs::remove_dir_all(folder);
        let root = folder.join("root");
        std::fs::create_dir_all(&root).map_err(|e| Failure::io(&root, &e))?;
        let unpacked = process::run(Command::new("dpkg").arg("-x").arg(file).arg(&root), None);
        if !unpacked.is_ok_and(|o| o.ok) {
            return Err(unavailable(package, "dpkg could not unpack it"));
        }
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let version = name.split('_').nth(1).unwrap_or("").replace("%3a", ":");
        let record = Record {
            package: real.to_string(),
            version: version.clone(),
            file: name,
            sha256,
        };
        let text = toml::to_string(&record).map_err(|e| Failure::Internal(e.to_string()))?;
        project::write(&folder.join("record.toml"), text.as_bytes())?;
        let _ = std::fs::remove_file(file);
        say(&format!(
            "fetched {real} {version} (SHA-256 {}...)",
            &record.sha256[..16]
        ));
        Ok(())
    }

    /// A metapackage's kernel, or the package itself.
    fn resolve(&self, package: &str) -> Result<String, Failure> {
        let outcome = process::run(
            self.apt("apt-cache")
                .args(["show", "--no-all-versions", package]),
            None,
        )
        .map_err(|e| unavailable(package, &e.to_string()))?;
        if !outcome.ok || outcome.out.trim().is_empty() {
            return Err(unavailable(package, "the archive does not have it"));
        }
        Ok(kernel_of(&outcome.out).unwrap_or_else(|| package.to_string()))
    }

    /// Fetches the archive's lists, unless they are a day old at most.
    fn update(&self, step: &Step, package: &str) -> Result<(), Failure> {
        let stamp = self.root.join("updated");
        let fresh = std::fs::metadata(&stamp)
            .and_then(|m| m.modified())
            .is_ok_and(|t| t.elapsed().is_ok_and(|age| age.as_secs() < 86_400));
        if fresh {
            return Ok(());
        }
        for folder in ["state/lists/partial", "cache/archives/partial", "sources"] {
            let folder = self.root.join(folder);
            std::fs::create_dir_all(&folder).map_err(|e| Failure::io(&folder, &e))?;
        }
        project::write(&self.root.join("state/status"), b"")?;
        self.sources()?;
        let outcome = process::run(self.apt("apt-get").arg("update"), Some(step))
            .map_err(|e| unavailable(package, &e.to_string()))?;
        if !outcome.ok {
            return Err(unavailable(package, outcome.err.trim()));
        }
        project::write(&stamp, b"")
    }

    /// Debian's archive as this machine reaches it, or as everybody does.
    fn sources(&self) -> Result<(), Failure> {
        let folder = self.root.join("sources");
        let mut any = false;
        let parts = std::fs::read_dir("/etc/apt/sources.list.d")
            .into_iter()
            .flatten()
            .flatten();
        let files = parts
            .map(|e| e.path())
            .chain([PathBuf::from("/etc/apt/sources.list")]);
        for path in files.filter(|_| is_debian()) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let archive = text
                .lines()
                .any(|l| !l.starts_with('#') && l.contains("/debian"));
            if let Some(name) = path.file_name().filter(|_| archive) {
                project::write(&folder.join(name), text.as_bytes())?;
                any = true;
            }
        }
        if !any {
            project::write(&folder.join("debian.sources"), SOURCES.as_bytes())?;
        }
        Ok(())
    }

    fn apt(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        let mut set = |name: &str, value: &Path| {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        };
        set("Dir::State", &self.root.join("state"));
        set("Dir::State::status", &self.root.join("state/status"));
        set("Dir::Cache", &self.root.join("cache"));
        set("Dir::Etc::sourcelist", Path::new("/dev/null"));
        set("Dir::Etc::sourceparts", &self.root.join("sources"));
        command
            .args([
                "-q",
                "-o",
                "APT::Architecture=arm64",
                "-o",
                "APT::Architectures=arm64",
            ])
            .args(["-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"])
            .args([
                "-o",
                "Acquire::Retries=2",
                "-o",
                "Acquire::http::Timeout=20",
            ]);
        command
    }
}

/// Whether this machine runs Debian itself.
#[must_use]
pub fn is_debian() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian")
}

/// The kernel that a metapackage stands for, in what `apt-cache show` prints.
fn kernel_of(show: &str) -> Option<String> {
    let depends = show
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))?;
    let names = depends
        .split([',', '|'])
        .filter_map(|d| d.split_whitespace().next());
    let meta = show
        .lines()
        .any(|l| l == "Section: metapackages" || l.starts_with("Source: linux-signed"));
    names
        .filter(|_| meta)
        .find(|n| n.starts_with("linux-image-") && n.chars().any(|c| c.is_ascii_digit()))
        .map(str::to_string)
}

fn unavailable(package: &str, why: &str) -> Failure {
    Failure::Missing(Missing {
        what: vec![
            format!("Debian's package {package} (arm64) cannot be fetched: {why}"),
            "A machine without it can use any image: give its path as `image` in the description."
                .into(),
        ],
        commands: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metapackage_stands_for_the_kernel_it_depends_on() {
        let show = "Package: linux-image-cloud-arm64\nSource: linux-signed-arm64 (6.1.1+1)\n\
                    Depends: linux-image-6.1.0-40-cloud-arm64 (= 6.1.153-1)\nSection: kernel\n";
        assert_eq!(
            kernel_of(show).as_deref(),
            Some("linux-image-6.1.0-40-cloud-arm64")
        );
    }

    #[test]
    fn an_ordinary_package_stands_for_itself() {
        let show = "Package: rt-tests\nDepends: libc6 (>= 2.34), libnuma1\nSection: utils\n";
        assert_eq!(kernel_of(show), None);
    }
}
