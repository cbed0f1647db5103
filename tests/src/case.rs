//! One case: a name that says what holds, and how to find out.

use crate::context::Context;
use std::fmt;
use tessera::failure;

/// How a case is run.
type Run = Box<dyn Fn(&Context<'_>) -> Result<(), Failure> + Send + Sync>;

/// A case.
pub struct Case {
    /// What holds.
    pub name: String,
    /// Finds out.
    pub run: Run,
    /// Too long for every run.
    pub long_only: bool,
}

/// A case that always runs.
pub fn case(
    name: impl Into<String>,
    run: impl Fn(&Context<'_>) -> Result<(), Failure> + Send + Sync + 'static,
) -> Case {
    Case {
        name: name.into(),
        run: Box::new(run),
        long_only: false,
    }
}

/// A case that only runs with `--long`.
pub fn long_case(
    name: impl Into<String>,
    run: impl Fn(&Context<'_>) -> Result<(), Failure> + Send + Sync + 'static,
) -> Case {
    Case {
        long_only: true,
        ..case(name, run)
    }
}

/// Why a case failed.
#[derive(Debug)]
pub struct Failure(pub String);

impl Failure {
    /// A failure with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<failure::Failure> for Failure {
    fn from(failure: failure::Failure) -> Self {
        Self(failure.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Fails with `reason` unless `holds`.
pub fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(Failure(reason()))
    }
}
