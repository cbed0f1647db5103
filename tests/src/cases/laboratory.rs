//! The laboratory: its quick form is within the budgets, repeats exactly, and sees a slower kernel.

use crate::case::{Case, Failure, case, ensure, long_case};
use crate::context::Context;
use crate::copy::Copy;
use std::path::Path;
use tessera::bench::bench_guest::{self, Amount, Form};
use tessera::bench::budgets::{self, Budgets};
use tessera::bench::lab::Lab;
use tessera::bench::report::Report;
use tessera::bench::same::differences;
use tessera::bench::source::Count;
use tessera::bench::{line_table, size};
use tessera::board::Board;
use tessera::commands::bench::{Request, measure};
use tessera::program::Profile;
use tessera::project::Project;
use tessera::setup::Permission;

/// Enough to see what an event costs.
const SHORT: Amount = Amount {
    rounds: 50,
    samples: 5,
};

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "everything that `bench --quick` measures is within its budget",
            quick,
        ),
        case(
            "two runs of the bench guest cost the same, to the instruction",
            same,
        ),
        long_case(
            "two runs of `bench --quick --peer xen` give the same report, to the instruction",
            same_report,
        ),
        case(
            "source at EL2 is counted as far as the kernel is made of it",
            source,
        ),
        case(
            "a kernel with a slower hypercall is over the budget of `hypercall`",
            slower,
        ),
    ]
}

fn quick(context: &Context<'_>) -> Result<(), Failure> {
    let project = &context.shared().project;
    let mut report = measure(project, &request(&[]));
    let budgets = Budgets::read(project)?;
    budgets.apply(&mut report);
    let mut wrong = budgets.wrong(&report);
    let missing = report.missing.iter().filter(|m| !m.known);
    wrong.extend(missing.map(|m| format!("{} was not measured: {}", m.what, m.why)));
    context.note(format!(
        "{} events, {} views, {} latencies, {} workloads",
        report.events.len(),
        report.views.len(),
        report.latencies.len(),
        report.workloads.len()
    ));
    ensure(wrong.is_empty(), || wrong.join("; "))
}

fn request(peers: &[&str]) -> Request {
    Request {
        quick: true,
        peers: peers.iter().map(ToString::to_string).collect(),
        only: None,
        json: None,
        html: None,
        save: false,
        permission: Permission::Install,
    }
}

/// Everything that is measured, twice.
fn same_report(context: &Context<'_>) -> Result<(), Failure> {
    let project = &context.shared().project;
    let run = |name: &str| -> Result<Report, Failure> {
        let report = measure(project, &request(&["xen"]));
        let wrong = report.missing.iter().find(|m| !m.known);
        ensure(wrong.is_none(), || {
            let what = wrong.map_or_else(String::new, |m| format!("{}: {}", m.what, m.why));
            format!("not measured: {what}")
        })?;
        let json = serde_json::to_vec_pretty(&report).map_err(|e| Failure::new(e.to_string()))?;
        std::fs::write(context.file(name), json)?;
        Ok(report)
    };
    let (first, second) = (run("first.json")?, run("second.json")?);
    context.note(format!(
        "{} events, {} views, {} latencies, {} workloads",
        first.events.len(),
        first.views.len(),
        first.latencies.len(),
        first.workloads.len()
    ));
    let differ = differences(&first, &second);
    ensure(differ.is_empty(), || differ.join("; "))
}

fn lab(context: &Context<'_>, project: Project) -> Result<Lab, Failure> {
    Ok(Lab::new(
        project,
        context.file("lab"),
        Permission::Install,
        true,
    )?)
}

fn same(context: &Context<'_>) -> Result<(), Failure> {
    let lab = lab(context, context.shared().project.clone())?;
    for form in [Form::Pinned, Form::Beside] {
        let run = || bench_guest::tessera(&lab, form, Board::VirtGicv3, SHORT);
        let (first, second) = (run()?, run()?);
        ensure(
            !first.events.is_empty() && !first.timelines.is_empty() | (form == Form::Pinned),
            || format!("nothing was measured, {}", form.name()),
        )?;
        let differ = differences(&first, &second);
        ensure(differ.is_empty(), || {
            format!("two runs differ, {}: {}", form.name(), differ.join("; "))
        })?;
    }
    Ok(())
}

/// Files of the kernel's packages that only the host uses.
const OF_THE_HOST: [&str; 2] = ["crates/sched/src/rta.rs", "crates/trace/src/read.rs"];

fn source(context: &Context<'_>) -> Result<(), Failure> {
    let project = &context.shared().project;
    let elf = &context.system("phone", Profile::Release)?.elf;
    let counted = size::source(project, elf)?;
    let text = |path: &Path| counted.get(path).map_or("", String::as_str);
    for path in OF_THE_HOST {
        let known = counted.contains_key(Path::new(path));
        let lines = Count::of(text(Path::new(path))).lines;
        ensure(known && lines == 0, || {
            format!("{lines} lines of {path} are counted")
        })?;
    }
    let mut there = 0;
    for (path, lines) in line_table::read(elf, project.root())? {
        if !counted.contains_key(&path) {
            continue;
        }
        let kept: Vec<&str> = text(&path).lines().collect();
        // Line 0 is what the compiler made of nothing that is written.
        for line in lines.into_iter().filter(|l| *l > 0) {
            let is_kept = kept.get(line - 1).is_some_and(|l| !l.trim().is_empty());
            ensure(is_kept, || {
                format!("{}:{line} is in the kernel and not counted", path.display())
            })?;
            there += 1;
        }
    }
    let sum: u64 = counted.values().map(|t| Count::of(t).lines).sum();
    context.note(format!(
        "{sum} lines, {there} of them with instructions of their own"
    ));
    ensure(there > 3000, || format!("only {there} lines were found"))
}

/// Where the delay goes, and what it is: enough rounds to exceed any budget of an event.
const PLACE: (&str, &str) = (
    "pub extern \"C\" fn quick(frame: *mut Frame, esr: u64) -> Quick {\n",
    "    for _ in 0..100 {\n        core::hint::spin_loop();\n    }\n",
);

fn slower(context: &Context<'_>) -> Result<(), Failure> {
    let project = &context.shared().project;
    let copy = Copy::of(context)?;
    let call = copy.root().join("kernel/src/exit/call.rs");
    let text = std::fs::read_to_string(&call)?;
    ensure(text.matches(PLACE.0).count() == 1, || {
        format!("the place for the delay is not in {}", call.display())
    })?;
    let slow = text.replace(PLACE.0, &format!("{}{}", PLACE.0, PLACE.1));
    std::fs::write(&call, slow)?;

    let over = |project: Project| -> Result<Vec<String>, Failure> {
        let budgets = Budgets::read(&project)?;
        let lab = lab(context, project)?;
        let mut report: Report = bench_guest::tessera(&lab, Form::Pinned, Board::VirtGicv3, SHORT)?;
        budgets.apply(&mut report);
        Ok(budgets::over(&report)
            .iter()
            .map(ToString::to_string)
            .collect())
    };
    let names = |lines: &[String]| lines.iter().any(|l| l.starts_with("hypercall ("));
    let now = over(project.clone())?;
    ensure(!names(&now), || format!("over already: {}", now.join("; ")))?;
    let slow = over(Project::at(copy.root())?)?;
    ensure(names(&slow), || {
        format!("not noticed; over are: {}", slow.join("; "))
    })?;
    context.note(
        slow.into_iter()
            .find(|l| l.starts_with("hypercall ("))
            .unwrap_or_default(),
    );
    Ok(())
}
