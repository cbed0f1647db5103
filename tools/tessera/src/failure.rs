//! How a command ends when it does not succeed: each way has an exit code of its own.

use crate::refusal::Refusal;
use std::fmt;
use std::path::Path;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Something that should not happen: a file that cannot be written, a defect.
    Internal(String),
    /// The command line is wrong.
    Usage(String),
    /// The description, or what it names, is refused.
    Refused(Vec<Refusal>),
    /// Something must be installed, and the tool may not or cannot do it.
    Missing(Missing),
    /// No console line matched `--until` in time.
    Timeout(String),
    /// A program did not build, or is over its budget.
    Build(String),
    /// The machine ended before a console line matched.
    Ended(String),
    /// Tests failed; they have said so themselves.
    Tests,
    /// Rows of a report over their budgets, one line each.
    Budget(Vec<String>),
    /// So many things that were asked for are not in a report, which says why.
    Incomplete(usize),
    /// So many things differ in two reports that were compared; they have been named.
    Differ(usize),
}

/// What is missing and how a person installs it.
#[derive(Debug, Default)]
pub struct Missing {
    /// What, and why the tool did not install it.
    pub what: Vec<String>,
    /// The commands to type, in order.
    pub commands: Vec<String>,
}

impl Failure {
    /// The exit code of the process.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Internal(_) | Self::Tests | Self::Differ(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Missing(_) => 4,
            Self::Timeout(_) => 5,
            Self::Build(_) => 6,
            Self::Ended(_) => 7,
            Self::Budget(_) => 8,
            Self::Incomplete(_) => 9,
        }
    }

    /// An input or output error with the path it concerns.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Internal(format!("{}: {error}", path.display()))
    }
}

/// The table of exit codes, as `--help` shows it.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  success (with --until: a console line matched)
  1  an internal error, tests failed, or the reports of bench --compare differ
  2  the command line is wrong
  3  the description, or an image that it names, is refused
  4  something must be installed and the tool may not or cannot do it; the commands are printed
  5  --until: no console line matched within --timeout
  6  a program did not build, or is over its budget
  7  the machine ended by itself before a console line matched --until
  8  bench: something is over its budget; the report is written
  9  bench: something could not be measured; the report is written and says why";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internal(text)
            | Self::Usage(text)
            | Self::Timeout(text)
            | Self::Build(text)
            | Self::Ended(text) => f.write_str(text),
            Self::Refused(all) => {
                for (i, refusal) in all.iter().enumerate() {
                    if i > 0 {
                        writeln!(f)?;
                    }
                    write!(f, "{refusal}")?;
                }
                Ok(())
            }
            Self::Missing(missing) => {
                for what in &missing.what {
                    writeln!(f, "{what}")?;
                }
                if !missing.commands.is_empty() {
                    write!(f, "type this, then try again:")?;
                    for command in &missing.commands {
                        write!(f, "\n    {command}")?;
                    }
                }
                Ok(())
            }
            Self::Tests => f.write_str("tests failed"),
            Self::Budget(lines) => {
                write!(f, "over budget:")?;
                lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Self::Incomplete(count) => write!(f, "{count} thing(s) could not be measured"),
            Self::Differ(count) => write!(f, "{count} thing(s) differ"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}
