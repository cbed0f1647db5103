//! What the kernel weighs: bytes, lines of source, and what it is built of.
//!
//! Lines are those of this project's packages in the kernel, as far as the kernel is made of them ([`compiled`]); blanks,
//! comments and tests are none ([`Count`]).

use crate::bench::budgets::Budgets;
use crate::bench::report::{Report, Size};
use crate::bench::source::Count;
use crate::bench::{compiled, line_table};
use crate::failure::Failure;
use crate::process;
use crate::product::{self, Options};
use crate::progress::Step;
use crate::project::Project;
use crate::rust::{self, TARGET};
use crate::weight::Weight;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package that runs at EL2.
const KERNEL: &str = "tessera-kernel";

/// Weighs the kernel.
///
/// # Errors
///
/// It does not build, or what it is made of cannot be found out.
pub fn measure(project: &Project, options: Options) -> Result<Report, Failure> {
    let (elf, _) = product::kernel(project, options)?;
    let weight = Weight::of(&elf)?;
    let step = Step::new("counting the kernel's source");
    let parts = Parts::find(project)?;
    let count = parts.count(project, &elf)?;
    drop(step);
    let budgets = Budgets::read(project)?.kernel;
    let row = |name: &str, title: &str, value: u64, budget: Option<u64>| Size {
        name: name.into(),
        title: title.into(),
        system: "tessera".into(),
        value,
        budget,
    };
    let (stack, running) = (weight.stack.bytes, weight.stack.running);
    let sizes = vec![
        row(
            "text",
            "executable code, bytes",
            weight.text,
            budgets.text_bytes,
        ),
        row("read_only", "constants, bytes", weight.read_only, None),
        row(
            "static_ram",
            "memory beside code and constants, bytes",
            weight.static_ram,
            budgets.static_ram_bytes,
        ),
        row(
            "stack",
            "deepest stack while booting, bytes",
            stack,
            budgets.stack_bytes,
        ),
        row(
            "running_stack",
            "deepest stack of a core that runs guests, bytes",
            running,
            budgets.running_stack_bytes,
        ),
        row(
            "source_lines",
            "lines of source at EL2, without blanks, comments and tests",
            count.lines,
            budgets.source_lines,
        ),
        row(
            "crates",
            "crates of others that are linked into the kernel",
            parts.others as u64,
            None,
        ),
        row(
            "unsafe_blocks",
            "unsafe blocks in that source",
            count.unsafe_blocks,
            None,
        ),
    ];
    Ok(Report {
        sizes,
        ..Report::default()
    })
}

/// What the kernel is linked of.
#[derive(Debug)]
struct Parts {
    /// The source folders of this project's packages.
    own: Vec<PathBuf>,
    /// How many packages of others.
    others: usize,
}

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Parts {
    fn find(project: &Project) -> Result<Self, Failure> {
        let mut command = Command::new("cargo");
        rust::clean(&mut command);
        command.current_dir(project.root()).args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            TARGET,
        ]);
        let failed = |why: String| Failure::Internal(format!("cargo metadata: {why}"));
        let outcome = process::run(&mut command, None).map_err(|e| failed(e.to_string()))?;
        if !outcome.ok {
            return Err(failed(outcome.err.trim().into()));
        }
        let metadata = serde_json::from_str(&outcome.out).map_err(|e| failed(e.to_string()))?;
        Self::read(&metadata).ok_or_else(|| failed(format!("there is no package {KERNEL}")))
    }

    fn read(metadata: &Metadata) -> Option<Self> {
        let packages: BTreeMap<&str, &Package> = metadata
            .packages
            .iter()
            .map(|p| (p.id.as_str(), p))
            .collect();
        let nodes: BTreeMap<&str, &Node> = metadata
            .resolve
            .nodes
            .iter()
            .map(|n| (n.id.as_str(), n))
            .collect();
        let kernel = metadata.packages.iter().find(|p| p.name == KERNEL)?;
        let mut waiting = vec![kernel.id.as_str()];
        let mut seen = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            let (Some(package), Some(node)) = (packages.get(id), nodes.get(id)) else {
                continue;
            };
            // A procedural macro runs in the compiler, with all that it needs.
            let is_macro = |t: &Target| t.kind.iter().any(|k| k == "proc-macro");
            if package.targets.iter().any(is_macro) || !seen.insert(id) {
                continue;
            }
            let linked = |d: &&Dependency| d.dep_kinds.iter().any(|k| k.kind.is_none());
            waiting.extend(node.deps.iter().filter(linked).map(|d| d.pkg.as_str()));
        }
        let linked = || seen.iter().filter_map(|id| packages.get(id));
        let folder = |p: &&Package| Some(p.manifest_path.parent()?.join("src"));
        Some(Self {
            own: linked()
                .filter(|p| p.source.is_none())
                .filter_map(folder)
                .collect(),
            others: linked().filter(|p| p.source.is_some()).count(),
        })
    }

    fn count(&self, project: &Project, elf: &Path) -> Result<Count, Failure> {
        let mut sum = Count::default();
        for text in source_of(project, &self.own, elf)?.values() {
            sum.add(Count::of(text));
        }
        Ok(sum)
    }
}

/// The source that a kernel is made of: of each file of this project's packages in it, by its path from the project's root,
/// the text without what does not count ([`compiled`]).
///
/// # Errors
///
/// What it is made of cannot be found out.
pub fn source(project: &Project, elf: &Path) -> Result<BTreeMap<PathBuf, String>, Failure> {
    source_of(project, &Parts::find(project)?.own, elf)
}

fn source_of(
    project: &Project,
    folders: &[PathBuf],
    elf: &Path,
) -> Result<BTreeMap<PathBuf, String>, Failure> {
    let mut files = Vec::new();
    for folder in folders {
        in_folder(folder, project.root(), &mut files)?;
    }
    let lines = line_table::read(elf, project.root())?;
    if !files.iter().any(|(path, _)| lines.contains_key(path)) {
        return Err(Failure::Internal(format!(
            "{} has no lines of {}",
            elf.display(),
            project.root().display()
        )));
    }
    let texts = compiled::compiled(&files, &lines)?;
    let paths = files.into_iter().map(|(path, _)| path);
    Ok(paths.zip(texts).collect())
}

fn in_folder(
    folder: &Path,
    root: &Path,
    files: &mut Vec<(PathBuf, String)>,
) -> Result<(), Failure> {
    let entries = std::fs::read_dir(folder).map_err(|e| Failure::io(folder, &e))?;
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() {
            in_folder(&path, root, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).map_err(|e| Failure::io(&path, &e))?;
            let below = path.strip_prefix(root).map(Path::to_path_buf);
            files.push((below.unwrap_or(path), text));
        }
    }
    Ok(())
}
