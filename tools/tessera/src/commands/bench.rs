//! `cargo tessera bench`: the laboratory.

use crate::bench::budgets::{self, Budgets};
use crate::bench::job::{self, Job};
use crate::bench::lab::Lab;
use crate::bench::markdown;
use crate::bench::report::{Missing, Report};
use crate::bench::{bench_guest, html, latency, linux, origin, peers, same, size};
use crate::board::Board;
use crate::failure::Failure;
use crate::product::Options;
use crate::program::Profile;
use crate::progress::say;
use crate::project::{self, Project};
use crate::setup::Permission;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Short measurements.
    pub quick: bool,
    /// Other hypervisors, by name.
    pub peers: Vec<String>,
    /// Only measurements with this in their names.
    pub only: Option<String>,
    /// Where the report goes as data.
    pub json: Option<PathBuf>,
    /// Where it goes as a page.
    pub html: Option<PathBuf>,
    /// Whether `bench/results` and the table in the README are written.
    pub save: bool,
    /// What may be installed.
    pub permission: Permission,
}

/// Compares two reports that `--json` has written, and names what differs.
///
/// # Errors
///
/// They differ, or one is no report.
pub fn compare(first: &Path, second: &Path) -> Result<(), Failure> {
    let read = |path: &Path| -> Result<Report, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::Usage(format!("{} cannot be read: {e}", path.display())))?;
        serde_json::from_str(&text)
            .map_err(|e| Failure::Usage(format!("{} is no report: {e}", path.display())))
    };
    let (first, second) = (read(first)?, read(second)?);
    let differences = same::differences(&first, &second);
    if differences.is_empty() {
        println!("the reports are the same, to the instruction");
        return Ok(());
    }
    for line in &differences {
        println!("{line}");
    }
    Err(Failure::Differ(differences.len()))
}

/// Measures and reports.
///
/// # Errors
///
/// A budget is exceeded, or something that was asked for is missing; the report is written
/// nevertheless.
pub fn bench(project: &Project, request: &Request) -> Result<(), Failure> {
    if request.save && request.only.is_some() {
        return Err(Failure::Usage(
            "--save writes whole reports: leave out --only".into(),
        ));
    }
    let start = Instant::now();
    let mut report = measure(project, request);
    Budgets::read(project)?.apply(&mut report);
    let tables = markdown::tables(&report);
    print!("{tables}");
    write(project, request, &report, &tables)?;
    for Missing { what, why, .. } in &report.missing {
        say(&format!("not measured: {what}: {why}"));
    }
    let took = start.elapsed().as_secs();
    say(&format!("measured in {} min {} s", took / 60, took % 60));
    verdict(&report)
}

/// Does all measurements. Whatever cannot be done is a sentence in the report.
#[must_use]
pub fn measure(project: &Project, request: &Request) -> Report {
    let mut report = Report {
        format: 1,
        run: origin::of(project, request.quick),
        ..Report::default()
    };
    let options = Options {
        board: Board::VirtGicv3,
        profile: Profile::Release,
        permission: request.permission,
    };
    let peers = peers::known(&request.peers, &mut report);
    let folder = project.target().join("bench");
    match Lab::new(project.clone(), folder, request.permission, request.quick) {
        Ok(lab) => machines(&lab, request, &peers, &mut report),
        Err(failure) => {
            let why = failure.to_string();
            report
                .missing
                .push(Missing::new("everything that runs in a machine", why));
        }
    }
    match size::measure(project, options) {
        Ok(part) => report.add(part),
        Err(failure) => report
            .missing
            .push(Missing::new("sizes", failure.to_string())),
    }
    report
}

/// Everything that runs in a machine, two at a time.
fn machines(lab: &Lab, request: &Request, peers: &[String], report: &mut Report) {
    let peers = peers::find(lab, peers, report);
    let mut jobs: Vec<Job<'_>> = linux::jobs(lab);
    jobs.extend(latency::jobs(lab));
    jobs.extend(bench_guest::jobs(lab));
    jobs.extend(peers.iter().flat_map(|peer| peers::jobs(lab, peer)));
    if let Some(only) = &request.only {
        jobs.retain(|job| job.name.contains(only.as_str()));
    }
    job::all(&jobs, report);
    linux::ratios(report);
}

fn write(
    project: &Project,
    request: &Request,
    report: &Report,
    tables: &str,
) -> Result<(), Failure> {
    let json =
        serde_json::to_string_pretty(report).map_err(|e| Failure::Internal(e.to_string()))?;
    let json = format!("{json}\n");
    let put = |path: &Path, text: &str| {
        project::write(path, text.as_bytes())?;
        say(&format!("wrote {}", path.display()));
        Ok::<_, Failure>(())
    };
    if let Some(path) = &request.json {
        put(path, &json)?;
    }
    if let Some(path) = &request.html {
        put(path, &html::html(report))?;
    }
    if !request.save {
        return Ok(());
    }
    let results = project.root().join("bench/results");
    put(&results.join("report.json"), &json)?;
    put(&results.join("table.md"), tables)?;
    put(&results.join("report.html"), &html::html(report))?;
    let path = project.root().join("README.md");
    let readme = std::fs::read_to_string(&path).map_err(|e| Failure::io(&path, &e))?;
    let readme = markdown::into_readme(&readme, tables).ok_or_else(|| {
        let (begin, end) = (markdown::BEGIN, markdown::END);
        Failure::Internal(format!(
            "{} has no lines `{begin}` and `{end}`",
            path.display()
        ))
    })?;
    put(&path, &readme)
}

/// How it ends: rows over their budget first, then what is missing and should not be.
fn verdict(report: &Report) -> Result<(), Failure> {
    let over = budgets::over(report);
    if !over.is_empty() {
        return Err(Failure::Budget(
            over.iter().map(ToString::to_string).collect(),
        ));
    }
    let missing = report.missing.iter().filter(|m| !m.known).count();
    if missing > 0 {
        return Err(Failure::Incomplete(missing));
    }
    Ok(())
}
