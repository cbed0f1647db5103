//! `cargo tessera bench`: the laboratory.

use crate::bench::job;
use crate::bench::lab::Lab;
use crate::bench::linux;
use crate::bench::size;
use crate::board::Board;
use crate::product::Options;
use crate::program::Profile;
use crate::bench::origin;
use crate::bench::report::Report;
use crate::failure::Failure;
use crate::progress::say;
use crate::project::{self, Project};
use crate::setup::Permission;
use std::path::PathBuf;
use std::time::Instant;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Short measurements, in minutes.
    pub quick: bool,
    /// Other hypervisors, by name.
    pub peers: Vec<String>,
    /// Where the report goes as data.
    pub json: Option<PathBuf>,
    /// Where it goes as a page.
    pub html: Option<PathBuf>,
    /// Whether `bench/results` and the table in the README are written.
    pub save: bool,
    /// What may be installed.
    pub permission: Permission,
}

/// Measures and reports.
///
/// # Errors
///
/// Something is missing, or the report says so of a part, or a budget is exceeded; the report is
/// written nevertheless.
pub fn bench(project: &Project, request: &Request) -> Result<(), Failure> {
    let start = Instant::now();
    let folder = project.target().join("bench");
    let lab = Lab::new(project.clone(), folder, request.permission, request.quick)?;
    let mut report = Report {
        format: 1,
        run: origin::of(project, request.quick, &request.peers),
        ..Report::default()
    };
    let mut jobs = Vec::new();
    jobs.extend(linux::jobs(&lab));
    job::all(&jobs, &mut report);
    report.add(size::measure(project, Options { board: Board::VirtGicv3, profile: Profile::Release, permission: request.permission })?);
    if let Some(path) = &request.json {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        project::write(path, text.as_bytes())?;
    }
    say(&format!("measured in {} s", start.elapsed().as_secs()));
    Ok(())
}
