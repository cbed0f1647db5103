//! Where a report comes from: the commit, QEMU, the machine, the day.

use crate::bench::report::Run;
use crate::process::first_line;
use crate::project::Project;
use crate::setup;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is known of this run.
#[must_use]
pub fn of(project: &Project, quick: bool) -> Run {
    Run {
        commit: git(project.root(), &["rev-parse", "HEAD"]).unwrap_or_default(),
        modified: git(
            project.root(),
            &["status", "--porcelain", "--untracked-files=no"],
        )
        .is_some(),
        qemu: setup::find_qemu()
            .map(|(_, version)| version)
            .unwrap_or_default(),
        host: host(),
        date: date(SystemTime::now()),
        quick,
        peers: Vec::new(),
    }
}

fn git(root: &Path, words: &[&str]) -> Option<String> {
    let root = root.to_string_lossy();
    let mut args = vec!["-C", root.as_ref()];
    args.extend(words);
    first_line("git", &args)
}

/// Processor and operating system.
fn host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|l| l.starts_with(key))?;
        let (_, value) = line.split_once([':', '='])?;
        Some(value.trim().trim_matches('"').to_string())
    };
    let processor = value(&read("/proc/cpuinfo"), "model name");
    let system = value(&read("/etc/os-release"), "PRETTY_NAME");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{}, {cores} core(s), {}",
        processor.unwrap_or_else(|| std::env::consts::ARCH.into()),
        system.unwrap_or_else(|| std::env::consts::OS.into())
    )
}

/// The day in UTC, as YYYY-MM-DD.
fn date(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut day = seconds / 86_400;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn days_are_those_of_the_calendar() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(951_782_400), "2000-02-29");
        assert_eq!(at(1_735_689_599), "2024-12-31");
        assert_eq!(at(1_735_689_600), "2025-01-01");
    }
}
