//! Builds a program for the Arm machine: the kernel, or a guest of this project.

use crate::failure::Failure;
use crate::process;
use crate::progress::Step;
use crate::project::Project;
use crate::rust::{Route, TARGET};
use clap::ValueEnum;
use std::path::PathBuf;

/// How programs are optimised and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Optimised.
    #[default]
    Release,
    /// With overflow checks and debug assertions.
    Debug,
}

impl Profile {
    fn cargo(self) -> &'static str {
        match self {
            Self::Release => "kernel",
            Self::Debug => "kernel-debug",
        }
    }
}

/// Builds a package; its binary has the package's name.
///
/// # Errors
///
/// The compiler's messages.
pub fn build(
    project: &Project,
    route: &Route,
    package: &str,
    profile: Profile,
) -> Result<PathBuf, Failure> {
    let step = Step::new(format!("building {package} ({})", profile.cargo()));
    let target = project.target().join("aarch64");
    let mut command = route.cargo_build(project.root());
    command
        .args([
            "-p",
            package,
            "--bin",
            package,
            "--profile",
            profile.cargo(),
        ])
        .arg("--target-dir")
        .arg(&target);
    let outcome = process::run(&mut command, Some(&step))
        .map_err(|e| Failure::Build(format!("cargo could not be started: {e}")))?;
    drop(step);
    if !outcome.ok {
        return Err(Failure::Build(format!(
            "{}\n{package} did not build",
            outcome.err.trim_end()
        )));
    }
    // A profile's line about the crate `compiler_builtins` is only for one of the two routes.
    let warns =
        |l: &str| l.starts_with("warning") && !l.starts_with("warning: profile package spec");
    if outcome.err.lines().any(warns) {
        eprint!("{}", outcome.err);
    }
    Ok(target.join(TARGET).join(profile.cargo()).join(package))
}
