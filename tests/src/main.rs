//! Whole-system tests: every case boots a system in QEMU and looks at it from outside, through
//! its console and through an instruction counter.
//!
//!     cargo run -p tessera-tests -- [--long] [--jobs N] [--list] [FILTER]
//!
//! One line for each case as it ends, the transcript's tail when it fails, and a last line
//! `N passed, N failed`. Whole transcripts are in `target/tests`.
#![forbid(unsafe_code)]

mod case;
mod cases;
mod console;
mod context;
mod copy;
mod random;
mod runner;

use clap::Parser;
use std::process::ExitCode;

/// Whole-system tests in QEMU.
#[derive(Debug, Parser)]
struct CommandLine {
    /// Only cases with this in their name.
    filter: Option<String>,
    /// The long forms, which take hours.
    #[arg(long)]
    long: bool,
    /// How many machines run at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only show the names of the cases.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let mut cases = cases::all();
    cases.retain(|case| line.long || !case.long_only);
    if let Some(filter) = &line.filter {
        cases.retain(|case| case.name.contains(filter.as_str()));
    }
    if line.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    let failed = runner::run(&cases, line.jobs.max(1), line.long);
    println!("{} passed, {failed} failed", cases.len() - failed);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
