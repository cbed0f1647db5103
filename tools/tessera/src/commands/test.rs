//! `cargo tessera test`: everything that CI runs, ending in one line `N passed, N failed`.

use crate::failure::Failure;
use crate::progress::say;
use crate::project::Project;
use crate::rust;
use crate::setup::{self, Permission};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Packages that are programs for the Arm machine, with nothing that a host can test.
const NOT_ON_HOST: [&str; 1] = ["tessera-kernel"];

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
}

/// Runs the host's tests, then the whole-system tests.
///
/// # Errors
///
/// A test failed, or something that tests need is missing.
pub fn test(
    project: &Project,
    long: bool,
    filter: Option<&str>,
    permission: Permission,
) -> Result<(), Failure> {
    setup::everything(project, permission)?;
    let mut count = host(project, filter)?;
    count.add(system(project, long, filter)?);
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.failed == 0 {
        Ok(())
    } else {
        Err(Failure::Tests)
    }
}

fn host(project: &Project, filter: Option<&str>) -> Result<Count, Failure> {
    say("the host's tests");
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--no-fail-fast"]);
    for package in NOT_ON_HOST {
        command.args(["--exclude", package]);
    }
    if let Some(filter) = filter {
        command.arg(filter);
    }
    watch(command, project, "the host's tests")
}

fn system(project: &Project, long: bool, filter: Option<&str>) -> Result<Count, Failure> {
    say("the whole-system tests");
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--package", "tessera-tests", "--"]);
    if long {
        command.arg("--long");
    }
    if let Some(filter) = filter {
        command.arg(filter);
    }
    watch(command, project, "the whole-system tests")
}

/// Runs tests, shows what they print and adds it up. Tests that failed without saying so, as by
/// not building, count as one failure.
fn watch(mut command: Command, project: &Project, what: &str) -> Result<Count, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    rust::clean(&mut command);
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    let mut child = command
        .current_dir(project.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| Failure::Internal(format!("cargo could not be started: {e}")))?;
    let mut count = Count::default();
    if let Some(stream) = child.stdout.take() {
        let mut lines = BufReader::new(stream);
        let mut raw = Vec::new();
        while matches!(lines.read_until(b'\n', &mut raw), Ok(n) if n > 0) {
            let line = String::from_utf8_lossy(&raw);
            match Count::in_line(&line) {
                Some((closing, more)) => {
                    count.add(more);
                    // Only one closing line for all, at the very end.
                    if !closing {
                        show(&raw);
                    }
                }
                None => show(&raw),
            }
            raw.clear();
        }
    }
    let status = child.wait().map_err(|e| Failure::Internal(e.to_string()))?;
    if !status.success() && count.failed == 0 {
        say(&format!("{what} ended with {status}"));
        count.failed = 1;
    }
    Ok(count)
}

fn show(raw: &[u8]) {
    let _ = std::io::stdout().lock().write_all(raw);
}

impl Count {
    fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
    }

    /// The numbers in a line that closes tests, and whether it is a closing line of our own form.
    #[must_use]
    pub fn in_line(line: &str) -> Option<(bool, Self)> {
        let line = line.trim();
        let (closing, numbers) = match line.strip_prefix("test result: ") {
            Some(rest) => (false, rest.split_once(". ")?.1.replace(';', ",")),
            None => (true, line.to_string()),
        };
        let mut parts = numbers.split(", ");
        let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
        let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
        Some((closing, Self { passed, failed }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_results_and_our_own_closing_line_are_counted() {
        let libtest =
            "test result: FAILED. 17 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            Count::in_line(libtest),
            Some((
                false,
                Count {
                    passed: 17,
                    failed: 2
                }
            ))
        );
        assert_eq!(
            Count::in_line("31 passed, 0 failed\n"),
            Some((
                true,
                Count {
                    passed: 31,
                    failed: 0
                }
            ))
        );
        for other in [
            "test result: ok",
            "running 3 tests",
            "3 passed",
            "x passed, 1 failed",
            "",
        ] {
            assert_eq!(Count::in_line(other), None, "{other}");
        }
    }
}
