//! The command line on the host: what it refuses, with the exit code and the words that a person
//! needs. (Each refusal by itself is tested in `tools/tessera/tests`.)

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use tessera::{project, rust};

/// The exit code of a description that is refused.
const REFUSED: i32 = 3;

/// A change to `phone` and words that the refusal must have.
const REFUSALS: [(&str, &str, &str, &str); 6] = [
    ("unknown-key", "on_fault", "on_faults", "on_faults"),
    (
        "no-such-core",
        "memory = \"512MiB\"\ncores = [0]",
        "memory = \"512MiB\"\ncores = [3]",
        "core",
    ),
    (
        "two-on-one-core",
        "memory = \"512MiB\"\ncores = [0]",
        "memory = \"512MiB\"\ncores = [0, 0]",
        "core",
    ),
    (
        "too-much-work",
        "budget = \"400us\"",
        "budget = \"1200us\"",
        "budget",
    ),
    (
        "missing-image",
        "\"debian:linux-cloud\"",
        "\"no/such/Image\"",
        "no/such/Image",
    ),
    (
        "not-an-image",
        "\"debian:linux-cloud\"",
        "\"not-an-image.toml\"",
        "not an image",
    ),
];

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "check accepts every system that comes with the project",
            accepts,
        ),
        case(
            "check refuses bad descriptions with exit code 3, file, line and reason",
            refuses,
        ),
        case(
            "run --until ends with 0 when a line matches and with 5 when time is over",
            until,
        ),
    ]
}

/// The command line, as a user has it.
pub fn command(context: &Context<'_>) -> Command {
    let mut command = Command::new("cargo");
    rust::clean(&mut command);
    // Where this program was built, the tool has been as well.
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
        .current_dir(context.shared().project.root())
        .args(["run", "--quiet", "--package", "tessera", "--"])
        .stdin(std::process::Stdio::null());
    command
}

/// Runs it to its end; what it said is in the transcript.
pub fn output(context: &Context<'_>, command: &mut Command) -> Result<Output, Failure> {
    let output = command.output()?;
    context.record(&output.stdout);
    context.record(&output.stderr);
    Ok(output)
}

fn tessera<S: AsRef<OsStr>>(context: &Context<'_>, arguments: &[S]) -> Result<Output, Failure> {
    output(context, command(context).args(arguments))
}

fn systems(root: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let entries = std::fs::read_dir(root.join("systems"))?;
    let mut found: Vec<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension() == Some(OsStr::new("toml")))
        .collect();
    found.sort();
    Ok(found)
}

fn accepts(context: &Context<'_>) -> Result<(), Failure> {
    let found = systems(context.shared().project.root())?;
    ensure(found.len() >= 4, || format!("only {} systems", found.len()))?;
    for path in found {
        let output = tessera(context, &[OsStr::new("check"), path.as_os_str()])?;
        ensure(output.status.success(), || {
            format!("{}: {}", path.display(), output.status)
        })?;
    }
    Ok(())
}

fn refuses(context: &Context<'_>) -> Result<(), Failure> {
    let phone =
        std::fs::read_to_string(context.shared().project.root().join("systems/phone.toml"))?;
    let folder = context.shared().folder.join("refused");
    project::write(
        &folder.join("not-an-image.toml"),
        b"name = \"this is text\"\n",
    )?;
    for (name, from, to, word) in REFUSALS {
        let text = phone.replacen(from, to, 1);
        ensure(text != phone, || {
            format!("{name}: `{from}` is not in phone.toml")
        })?;
        let path = folder.join(format!("{name}.toml"));
        project::write(&path, text.as_bytes())?;
        let output = tessera(context, &[OsStr::new("check"), path.as_os_str()])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure(output.status.code() == Some(REFUSED), || {
            format!("{name}: {}: {said}", output.status)
        })?;
        for needed in [format!("{name}.toml:"), word.to_string()] {
            ensure(said.contains(&needed), || {
                format!("{name}: `{needed}` is not in: {said}")
            })?;
        }
    }
    Ok(())
}

fn until(context: &Context<'_>) -> Result<(), Failure> {
    let output = tessera(
        context,
        &[
            "run",
            "--icount",
            "--timeout",
            "120",
            "--until",
            "rt: start, period",
        ],
    )?;
    ensure(output.status.success(), || {
        format!("a line that comes: {}", output.status)
    })?;
    let output = tessera(
        context,
        &["run", "--timeout", "2", "--until", "this never comes"],
    )?;
    ensure(output.status.code() == Some(5), || {
        format!("a line that never comes: {}", output.status)
    })
}
