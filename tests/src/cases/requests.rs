//! A laboratory that cannot measure all that was asked for says what and why, measures the rest, and writes it.

use super::host;
use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use crate::copy::Copy;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tessera::bench::budgets;
use tessera::bench::report::{Missing, Report};
use tessera::project;

/// Exit codes: something is over its budget; something could not be measured.
const OVER: i32 = 8;
const INCOMPLETE: i32 = 9;

/// Instead of QEMU: one that was built without plugins.
const NO_PLUGINS: &str = r#"#!/bin/sh
case " $* " in *" -plugin "*)
    echo "qemu-system-aarch64: -plugin: invalid option" >&2
    exit 1
esac
exec REAL "$@"
"#;

/// Instead of QEMU: an old one.
const OLD: &str = r#"#!/bin/sh
echo "QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2ubuntu6)"
"#;

/// Instead of apt-get: a machine without a network.
const OFFLINE: &str = r#"#!/bin/sh
echo "E: Failed to fetch http://deb.debian.org/debian: Temporary failure resolving 'deb.debian.org'" >&2
exit 100
"#;

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "bench names an unknown peer and a QEMU without plugins, and writes the rest",
            no_plugins,
        ),
        case(
            "bench names a QEMU that is too old, and writes the rest",
            old_qemu,
        ),
        case(
            "bench without Debian's packages names what needs them, and measures the rest",
            offline,
        ),
        case(
            "bench with a guest that does not build names what needs it, and measures the rest",
            no_guest,
        ),
    ]
}

/// A report that was written, and what was said on standard error.
struct Written {
    report: Report,
    said: String,
}

/// Runs `bench --quick` with more words in a changed environment. It must end as the report is.
fn bench(
    context: &Context<'_>,
    words: &[&str],
    change: impl FnOnce(&mut Command),
) -> Result<Written, Failure> {
    let json = context.file("json");
    let _ = std::fs::remove_file(&json);
    let mut command = host::command(context);
    command.args(["bench", "--quick", "--no-install", "--json"]);
    command.arg(&json).args(words);
    change(&mut command);
    let output = host::output(context, &mut command)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read(&json).map_err(|e| Failure::new(format!("no report: {e}: {said}")))?;
    let report: Report =
        serde_json::from_slice(&text).map_err(|e| Failure::new(format!("the report: {e}")))?;
    let over = !budgets::over(&report).is_empty();
    let wanted = if over { OVER } else { INCOMPLETE };
    ensure(output.status.code() == Some(wanted), || {
        format!("{}, not {wanted}: {said}", output.status)
    })?;
    Ok(Written { report, said })
}

impl Written {
    /// Something is missing that begins so; its reason has all of `words`, and was said.
    fn misses(&self, what: &str, words: &[&str]) -> Result<(), Failure> {
        let all = || {
            let line = |m: &Missing| format!("{}: {}", m.what, m.why);
            let lines: Vec<String> = self.report.missing.iter().map(line).collect();
            lines.join("; ")
        };
        let mut missing = self.report.missing.iter().filter(|m| !m.known);
        let found = missing.find(|m| m.what.starts_with(what));
        let found = found
            .ok_or_else(|| Failure::new(format!("`{what}` is not missing; missing: {}", all())))?;
        for word in words {
            ensure(found.why.contains(word), || {
                format!("`{word}` is not in: {}", found.why)
            })?;
        }
        let line = format!("not measured: {}: ", found.what);
        ensure(self.said.contains(&line), || {
            format!("`{line}` was not said: {}", self.said)
        })
    }

    /// The kernel was weighed.
    fn weighs(&self) -> Result<(), Failure> {
        let has = |name: &str| self.report.sizes.iter().any(|s| s.name == name);
        ensure(has("text") && has("source_lines"), || {
            format!("no sizes: {}", self.said)
        })
    }
}

/// A folder with a program of this name, before all others in a path.
fn before_others(context: &Context<'_>, name: &str, script: &str) -> Result<OsString, Failure> {
    let folder: PathBuf = context.file("bin");
    let path = folder.join(name);
    project::write(&path, script.as_bytes())?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    let others = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder).chain(std::env::split_paths(&others));
    std::env::join_paths(all).map_err(|e| Failure::new(e.to_string()))
}

const QEMU: &str = "qemu-system-aarch64";
const MACHINES: &str = "everything that runs in a machine";

fn no_plugins(context: &Context<'_>) -> Result<(), Failure> {
    let real = context.shared().qemu.display().to_string();
    let path = before_others(context, QEMU, &NO_PLUGINS.replace("REAL", &real))?;
    let peers = ["--peer", "nosuch", "--peer", "xen"];
    let written = bench(context, &peers, |c| _ = c.env("PATH", path))?;
    written.misses("peer nosuch", &["no peer of this name", "there is: xen"])?;
    written.misses(MACHINES, &["plugins", "it says: ", "invalid option"])?;
    written.weighs()
}

fn old_qemu(context: &Context<'_>) -> Result<(), Failure> {
    let path = before_others(context, QEMU, OLD)?;
    let written = bench(context, &[], |c| _ = c.env("PATH", path))?;
    written.misses(MACHINES, &["6.2.0", "7.2 or newer", "--no-install"])?;
    written.weighs()
}

/// What is measured here: `rt` and Linux on a shared core, and the events on one.
const ONLY: [&str; 2] = ["--only", "shared"];
const LINUX: &str = "latency, linux under load, shared";

fn is_measured(written: &Written, events: bool, latencies: bool) -> Result<(), Failure> {
    let report = &written.report;
    let found = (!report.events.is_empty(), !report.latencies.is_empty());
    ensure(found == (events, latencies), || {
        format!(
            "{} events, {} latencies: {}",
            report.events.len(),
            report.latencies.len(),
            written.said
        )
    })
}

fn offline(context: &Context<'_>) -> Result<(), Failure> {
    let path = before_others(context, "apt-get", OFFLINE)?;
    // A copy has nothing of Debian's in its cache.
    let copy = Copy::of(context)?;
    let _ = std::fs::remove_dir_all(copy.root().join("target/debian"));
    let words = [&ONLY[..], &["--peer", "xen"]].concat();
    let written = bench(context, &words, |c| {
        c.env("PATH", path).env("TESSERA_ROOT", copy.root());
    })?;
    written.misses(
        "peer xen",
        &["xen-hypervisor-4.17-arm64", "Temporary failure resolving"],
    )?;
    let why = ["linux-image-cloud-arm64", "Temporary failure resolving"];
    written.misses(LINUX, &why)?;
    is_measured(&written, true, true)?;
    written.weighs()
}

fn no_guest(context: &Context<'_>) -> Result<(), Failure> {
    let copy = Copy::of(context)?;
    add(&copy.root().join("guests/rt/src/main.rs"), "fn broken( {\n")?;
    let written = bench(context, &ONLY, |c| _ = c.env("TESSERA_ROOT", copy.root()))?;
    written.misses(LINUX, &["guest-rt did not build"])?;
    is_measured(&written, true, false)?;
    written.weighs()
}

fn add(path: &Path, text: &str) -> Result<(), Failure> {
    let whole = std::fs::read_to_string(path)? + text;
    Ok(std::fs::write(path, whole)?)
}
