//! Runs cases, some at a time, and says how each ended.

use crate::case::{Case, Failure};
use crate::context::{Context, Shared};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Lines of a failed case's transcript that are shown.
const TAIL: usize = 30;

/// Runs all cases, `jobs` at a time; returns how many failed.
pub fn run(cases: &[Case], jobs: usize, long: bool) -> usize {
    if cases.is_empty() {
        return 0;
    }
    let shared = match Shared::prepare(long) {
        Ok(shared) => shared,
        Err(failure) => {
            println!("FAIL nothing can be run: {failure}");
            return cases.len();
        }
    };
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !one(&shared, case) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    failed.into_inner()
}

/// Runs one case and says how it ended.
fn one(shared: &Shared, case: &Case) -> bool {
    let start = Instant::now();
    let context = Context::new(shared, &case.name);
    let result = catch_unwind(AssertUnwindSafe(|| (case.run)(&context)))
        .unwrap_or_else(|_| Err(Failure::new("the test itself panicked")));
    let (log, notes) = context.close();
    let mut text = outcome(&case.name, start.elapsed(), &result);
    for note in notes {
        text.push_str(&format!("\n          {note}"));
    }
    if result.is_err() {
        text.push_str(&tail(&log));
    }
    println!("{text}");
    result.is_ok()
}

fn outcome(name: &str, took: Duration, result: &Result<(), Failure>) -> String {
    let seconds = took.as_secs_f64();
    match result {
        Ok(()) => format!("ok   {seconds:6.1} s  {name}"),
        Err(failure) => format!("FAIL {seconds:6.1} s  {name}: {failure}"),
    }
}

fn tail(log: &Path) -> String {
    let Ok(bytes) = std::fs::read(log) else {
        return "\n          (no machine was started)".into();
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    let mut shown = String::new();
    for line in lines.iter().skip(from) {
        shown.push_str(&format!("\n        | {}", line.trim_end()));
    }
    format!("{shown}\n          whole transcript: {}", log.display())
}
