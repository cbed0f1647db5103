//! `cargo tessera doctor`: what is here, what is missing, and how to get it.

use crate::debian::{self, Debian};
use crate::failure::{Failure, Missing};
use crate::process::{first_line, which};
use crate::project::Project;
use crate::rust::{DEBIAN_PACKAGES, Route, TARGET};
use crate::setup::{self, QEMU_FLOOR};

/// The packages that the systems of this project use.
const PACKAGES: [&str; 8] = [
    "linux-image-cloud-arm64",
    "linux-image-rt-arm64",
    "linux-image-arm64",
    "busybox-static",
    "rt-tests",
    "libc6",
    "libnuma1",
    "u-boot-qemu",
];

/// Looks at everything the tool needs.
///
/// # Errors
///
/// Something is missing; the commands that install it are in the failure.
pub fn doctor(project: &Project) -> Result<(), Failure> {
    let mut missing = Missing::default();
    line(true, "source", &project.root().display().to_string());
    host();
    rust(project, &mut missing);
    qemu(&mut missing);
    packages(project);
    if missing.what.is_empty() {
        println!("everything that is needed is here");
        return Ok(());
    }
    Err(Failure::Missing(missing))
}

fn line(ok: bool, what: &str, found: &str) {
    println!(
        "{} {what:<10} {found}",
        if ok { "ok     " } else { "missing" }
    );
}

fn host() {
    let name = std::fs::read_to_string("/etc/os-release")
        .ok()
        .and_then(|text| {
            let pretty = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
            Some(pretty.trim_matches('"').to_string())
        });
    line(true, "host", name.as_deref().unwrap_or("unknown"));
    let tools = ["apt-get", "apt-cache", "dpkg"];
    let absent: Vec<&str> = tools.into_iter().filter(|t| which(t).is_none()).collect();
    if absent.is_empty() {
        let also = if debian::is_debian() {
            ""
        } else {
            ", from Debian's own archive"
        };
        line(
            true,
            "packages",
            &format!("Debian's arm64 packages can be fetched with apt-get{also}"),
        );
    } else {
        // Only images named `debian:` need them, so this alone is no reason to fail.
        line(
            false,
            "packages",
            &format!("no {}: give images by path", absent.join(", ")),
        );
    }
}

fn rust(project: &Project, missing: &mut Missing) {
    if let Some(route) = Route::find(project.root()) {
        return line(true, "rust", &route.describe());
    }
    line(false, "rust", &format!("no compiler for {TARGET}"));
    missing
        .what
        .push(format!("a Rust compiler for {TARGET}: one of these two"));
    missing.commands.push(format!("rustup target add {TARGET}"));
    missing
        .commands
        .push(setup::install_command(&DEBIAN_PACKAGES));
}

fn qemu(missing: &mut Missing) {
    match setup::find_qemu() {
        Some((path, version)) => line(true, "qemu", &format!("{version} at {}", path.display())),
        None => {
            let found = which("qemu-system-aarch64").and_then(|p| first_line(p, &["--version"]));
            let (major, minor) = QEMU_FLOOR;
            line(
                false,
                "qemu",
                &found.unwrap_or_else(|| "no qemu-system-aarch64".into()),
            );
            missing
                .what
                .push(format!("qemu-system-aarch64 {major}.{minor} or newer"));
            missing
                .commands
                .push(setup::install_command(&["qemu-system-arm"]));
        }
    }
}

fn packages(project: &Project) {
    let debian = Debian::new(project);
    for package in PACKAGES {
        match debian.record(package) {
            Some(record) => line(
                true,
                "cached",
                &format!("{} {}", record.package, record.version),
            ),
            None => println!(
                "later   {:<10} {package} (fetched when a system needs it)",
                "cached"
            ),
        }
    }
}
