//! The Rust that builds programs for the Arm machine, and how it is called.
//!
//! Two routes: a toolchain that has the target's `core` ready (rustup's), or Debian's packages,
//! which carry the standard library's source and build it. Either builds the same programs.

use crate::process::first_line;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that kernel and guests are built for.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";

/// A way to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The toolchain of this machine has the target.
    Toolchain {
        /// Where its target libraries are.
        sysroot: PathBuf,
    },
    /// Debian's compiler, with its source of `core`.
    Debian {
        /// The linker.
        linker: PathBuf,
    },
}

/// Debian's packages for the second route.
pub const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

impl Route {
    /// Finds a route that works now.
    #[must_use]
    pub fn find(root: &Path) -> Option<Self> {
        Self::toolchain(root).or_else(Self::debian)
    }

    fn toolchain(root: &Path) -> Option<Self> {
        let output = Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(root)
            .output()
            .ok()?;
        let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        let has_core = std::fs::read_dir(libraries)
            .ok()?
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"));
        has_core.then_some(Self::Toolchain { sysroot })
    }

    fn debian() -> Option<Self> {
        let sysroot = PathBuf::from(first_line(DEBIAN_RUSTC, &["--print", "sysroot"])?);
        let source = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
        let packaged = Path::new("/usr/share/rust-web-src").exists() || source.exists();
        let version = first_line(DEBIAN_RUSTC, &["--version"])?;
        let new_enough = minor(&version)? >= 95;
        let linker = crate::process::which("ld.lld")?;
        let ok = packaged && source.exists() && new_enough && Path::new(DEBIAN_CARGO).is_file();
        ok.then_some(Self::Debian { linker })
    }

    /// What it is, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Toolchain { sysroot } => {
                format!("the toolchain in {} has {TARGET}", sysroot.display())
            }
            Self::Debian { .. } => {
                let version = first_line(DEBIAN_RUSTC, &["--version"]).unwrap_or_default();
                format!("Debian's {version}, which builds core for {TARGET}")
            }
        }
    }

    /// A `cargo build` for the target.
    #[must_use]
    pub fn cargo_build(&self, root: &Path) -> Command {
        // Works around an erratum of the Cortex-A53 that QEMU does not show.
        let mut flags = vec!["-Clink-arg=--fix-cortex-a53-843419".to_string()];
        // Every program is smaller than 1 MiB: one instruction makes an address.
        flags.push("-Ccode-model=tiny".into());
        // The compiler looks twice for pieces that it can share.
        flags.push("-Cllvm-args=-machine-outliner-reruns=1".into());
        let mut command = match self {
            Self::Toolchain { .. } => Command::new("cargo"),
            Self::Debian { .. } => Command::new(DEBIAN_CARGO),
        };
        clean(&mut command);
        command
            .current_dir(root)
            .args(["build", "--target", TARGET])
            .args(["--config", "future-incompat-report.frequency=\"never\""]);
        match self {
            Self::Toolchain { .. } => {
                flags.push("-Clinker=rust-lld".into());
            }
            Self::Debian { linker } => {
                flags.push(format!("-Clinker={}", linker.display()));
                command
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .args(["-Z", "build-std=core,compiler_builtins"])
                    .args(["-Z", "build-std-features=compiler-builtins-mem"]);
            }
        }
        flags.push("-Clinker-flavor=ld.lld".into());
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        command
    }
}

/// Takes away what the outer `cargo run` has set for this process and must not reach another cargo.
pub fn clean(command: &mut Command) {
    const NAMES: [&str; 9] = [
        "CARGO",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
        "LD_LIBRARY_PATH",
        "CARGO_TARGET_DIR",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC",
        "OUT_DIR",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let set_by_cargo = NAMES.contains(&text.as_ref())
            || [
                "CARGO_PKG_",
                "CARGO_MANIFEST_",
                "CARGO_BIN_",
                "CARGO_PROFILE_",
            ]
            .iter()
            .any(|p| text.starts_with(p));
        if set_by_cargo {
            command.env_remove(&name);
        }
    }
}

/// The minor version in `rustc 1.96.0 (...)`.
fn minor(version: &str) -> Option<u32> {
    let mut parts = version.split_whitespace().nth(1)?.split('.');
    (parts.next()? == "1").then(|| parts.next()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_rustc_prints() {
        assert_eq!(minor("rustc 1.96.0 (ac68faa20 2026-05-25)"), Some(96));
        assert_eq!(minor("rustc 2.0.0"), None);
        assert_eq!(minor(""), None);
    }
}
