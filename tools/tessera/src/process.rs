//! Runs other programs and keeps what they say.

use crate::progress::Step;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// What a program did.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs a program to its end; `step` shows the last line of its standard error meanwhile.
///
/// # Errors
///
/// It could not be started.
pub fn run(command: &mut Command, step: Option<&Step>) -> std::io::Result<Outcome> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut out) = out {
            let _ = out.read_to_end(&mut bytes);
        }
        bytes
    });
    let mut err = String::new();
    if let Some(stream) = child.stderr.take() {
        let mut lines = BufReader::new(stream);
        let mut raw = Vec::new();
        while matches!(lines.read_until(b'\n', &mut raw), Ok(n) if n > 0) {
            let line = String::from_utf8_lossy(&raw).into_owned();
            if let Some(step) = step {
                step.detail(line.trim());
            }
            err.push_str(&line);
            raw.clear();
        }
    }
    let status = child.wait()?;
    let out = reader.join().unwrap_or_default();
    Ok(Outcome {
        ok: status.success(),
        out: String::from_utf8_lossy(&out).into_owned(),
        err,
    })
}

/// The first line that a program prints, if it runs and succeeds.
#[must_use]
pub fn first_line<S: AsRef<OsStr>>(program: S, args: &[&str]) -> Option<String> {
    let outcome = run(Command::new(program).args(args), None).ok()?;
    let line = outcome.out.lines().next()?.trim().to_string();
    (outcome.ok && !line.is_empty()).then_some(line)
}

/// Finds a program on the path.
#[must_use]
pub fn which(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| p.is_file());
    // A user's path often lacks the folders of system programs.
    found.or_else(|| {
        let dirs = ["/usr/bin", "/usr/sbin", "/sbin", "/bin"];
        dirs.iter()
            .map(|dir| std::path::Path::new(dir).join(name))
            .find(|p| p.is_file())
    })
}
