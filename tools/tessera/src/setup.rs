//! Finds what the tool needs on this machine, and installs it where it may.
//!
//! It says what it installs before it does. Where it cannot - no rights, not Debian,
//! `--no-install` - it says the exact commands.

use crate::debian::is_debian;
use crate::failure::{Failure, Missing};
use crate::process::{self, which};
use crate::progress::{Step, say};
use crate::project::Project;
use crate::rust::{DEBIAN_PACKAGES, Route, TARGET};
use std::path::PathBuf;
use std::process::Command;

/// The oldest QEMU that is good enough.
pub const QEMU_FLOOR: (u32, u32) = (7, 2);

/// What the tool may do to this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Install what is missing.
    Install,
    /// Only look.
    Look,
}

/// How packages are installed here, if they can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    Root,
    Sudo,
    None,
}

/// Finds or installs everything that running a system needs, and says at once all that is missing.
///
/// # Errors
///
/// Something is missing and cannot be installed.
pub fn everything(project: &Project, permission: Permission) -> Result<(), Failure> {
    let mut missing = Missing::default();
    for result in [
        rust(project, permission).map(drop),
        qemu(permission).map(drop),
    ] {
        match result {
            Ok(()) => {}
            Err(Failure::Missing(more)) => {
                missing.what.extend(more.what);
                let new = more
                    .commands
                    .into_iter()
                    .filter(|c| !missing.commands.contains(c));
                let new: Vec<String> = new.collect();
                missing.commands.extend(new);
            }
            Err(other) => return Err(other),
        }
    }
    if missing.what.is_empty() {
        Ok(())
    } else {
        Err(Failure::Missing(missing))
    }
}

/// Finds QEMU, or installs it.
///
/// # Errors
///
/// It is missing and cannot be installed.
pub fn qemu(permission: Permission) -> Result<PathBuf, Failure> {
    if let Some((path, _)) = find_qemu() {
        return Ok(path);
    }
    let (major, minor) = QEMU_FLOOR;
    let what = match any_qemu() {
        Some((path, version, _)) => format!(
            "QEMU {major}.{minor} or newer for 64-bit Arm; {} is {version}",
            path.display()
        ),
        None => "QEMU for 64-bit Arm, which is the board".into(),
    };
    install(&["qemu-system-arm"], &what, permission)?;
    find_qemu().map(|(path, _)| path).ok_or_else(|| {
        Failure::Missing(Missing {
            what: vec![format!(
                "the installed qemu-system-aarch64 is older than {}.{}",
                QEMU_FLOOR.0, QEMU_FLOOR.1
            )],
            commands: Vec::new(),
        })
    })
}

/// QEMU and its version, if it is good enough.
#[must_use]
pub fn find_qemu() -> Option<(PathBuf, String)> {
    let (path, version, numbers) = any_qemu()?;
    (numbers >= QEMU_FLOOR).then_some((path, version))
}

/// QEMU, its version, and that as numbers.
fn any_qemu() -> Option<(PathBuf, String, (u32, u32))> {
    let path = which("qemu-system-aarch64")?;
    let line = process::first_line(&path, &["--version"])?;
    let version = line.split_whitespace().nth(3)?.to_string();
    let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    let found = (numbers.next()?, numbers.next()?);
    Some((path, version, found))
}

/// Finds a Rust for the Arm machine, or installs one.
///
/// # Errors
///
/// It is missing and cannot be installed.
pub fn rust(project: &Project, permission: Permission) -> Result<Route, Failure> {
    if let Some(route) = Route::find(project.root()) {
        return Ok(route);
    }
    if permission == Permission::Install
        && which("rustup").is_some()
        && add_target(project)
        && let Some(route) = Route::find(project.root())
    {
        return Ok(route);
    }
    install(
        &DEBIAN_PACKAGES,
        "a Rust compiler for the Arm machine",
        permission,
    )?;
    Route::find(project.root()).ok_or_else(|| {
        Failure::Missing(Missing {
            what: vec!["Debian's Rust here is too old to build this (1.95 is needed)".into()],
            commands: vec![format!("rustup target add {TARGET}")],
        })
    })
}

/// Asks rustup for the target; it may have no network for that, so it gets a minute.
fn add_target(project: &Project) -> bool {
    say(&format!(
        "installing the Rust target {TARGET}: rustup target add {TARGET}"
    ));
    let step = Step::new("rustup target add");
    let mut command = Command::new("timeout");
    command
        .args(["60", "rustup", "target", "add", TARGET])
        .current_dir(project.root());
    let ok = process::run(&mut command, Some(&step)).is_ok_and(|o| o.ok);
    drop(step);
    if !ok {
        say("rustup cannot fetch it here; taking Debian's packages instead");
    }
    ok
}

/// The command that installs packages, as a person types it.
#[must_use]
pub fn install_command(packages: &[&str]) -> String {
    let sudo = if rights() == Rights::Root {
        ""
    } else {
        "sudo "
    };
    format!(
        "{sudo}apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Installs Debian packages.
fn install(packages: &[&str], what: &str, permission: Permission) -> Result<(), Failure> {
    let list = packages.join(" ");
    let missing = |why: &str| {
        let mut missing = Missing {
            what: vec![format!("missing: {what} ({list}); {why}")],
            commands: Vec::new(),
        };
        if which("apt-get").is_some() {
            missing.commands = vec![update_command(), install_command(packages)];
        } else if packages.contains(&"qemu-system-arm") {
            missing
                .what
                .push("Install QEMU 7.2 or newer with qemu-system-aarch64.".into());
        } else {
            missing.commands = vec![format!("rustup target add {TARGET}")];
        }
        Failure::Missing(missing)
    };
    if permission == Permission::Look {
        return Err(missing("not installed, as --no-install asks"));
    }
    if !is_debian() || which("apt-get").is_none() {
        return Err(missing("this is not Debian"));
    }
    let prefix: &[&str] = match rights() {
        Rights::Root => &[],
        Rights::Sudo => &["sudo", "-n"],
        Rights::None => return Err(missing("this user may not install packages")),
    };
    say(&format!("installing {what}: {list}"));
    apt(prefix, &["update"], "reading Debian's package lists").map_err(|e| missing(&e))?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend_from_slice(packages);
    apt(prefix, &args, &format!("installing {list}")).map_err(|e| missing(&e))
}

fn update_command() -> String {
    let sudo = if rights() == Rights::Root {
        ""
    } else {
        "sudo "
    };
    format!("{sudo}apt-get update")
}

/// Runs `apt-get` and shows its last line; its own errors are the reason if it fails.
fn apt(prefix: &[&str], args: &[&str], what: &str) -> Result<(), String> {
    let mut words: Vec<&str> = prefix.to_vec();
    words.push("apt-get");
    words.extend_from_slice(args);
    let step = Step::new(what);
    let (program, rest) = words.split_first().ok_or("nothing to run")?;
    let mut command = Command::new(program);
    command.args(rest).env("DEBIAN_FRONTEND", "noninteractive");
    let outcome = process::run(&mut command, Some(&step)).map_err(|e| e.to_string())?;
    if outcome.ok {
        return Ok(());
    }
    let reason = outcome
        .err
        .lines()
        .find(|l| l.starts_with("E:"))
        .unwrap_or("apt-get failed");
    Err(reason.to_string())
}

fn rights() -> Rights {
    if rustix::process::geteuid().is_root() {
        return Rights::Root;
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).output();
    if sudo.is_ok_and(|o| o.status.success()) {
        Rights::Sudo
    } else {
        Rights::None
    }
}
