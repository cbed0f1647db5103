//! Counts from outside: the plugin `tools/meter` in a machine, and its report.
//!
//! The plugin's arguments and its two outputs, a JSON report and a binary log, are described in
//! `tools/meter/README.md`. It is under another licence and shares no code with this.

use crate::bench::record::Log;
use crate::bench::report::Stretch;
use crate::bench::way::{short, way};
use crate::failure::Failure;
use crate::machine::Config;
use crate::peer::Counting;
use crate::process;
use crate::product::Product;
use crate::progress::Step;
use crate::project::{self, Project};
use crate::rust;
use crate::symbols::Program;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where a run's files go: each is called by the run's name and an extension.
#[derive(Clone, Debug)]
pub struct Files {
    /// Folder and name, without extension.
    pub stem: PathBuf,
}

impl Files {
    /// The file with an extension.
    #[must_use]
    pub fn file(&self, extension: &str) -> PathBuf {
        let mut name = self.stem.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }
}

/// What is to be known beside the report.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A record of each event: of all of them, or of those in phases.
    pub events: Option<Which>,
    /// The cache lines that each touches.
    pub lines: bool,
    /// Why EL2 was entered: QEMU's own log is read.
    pub causes: bool,
    /// The guests by the physical addresses of their RAM; the first is context 1.
    pub contexts: Vec<(String, Range<u64>)>,
    /// Each change of the context that a core runs.
    pub timeline: bool,
}

/// Which events are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that begin inside a phase.
    Phases,
}

impl Wanted {
    fn words(&self, files: &Files) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(which) = self.events {
            words.push(format!("events={}", files.file("events").display()));
            if which == Which::Phases {
                words.push("record=phases".into());
            }
        }
        if self.lines {
            words.push("lines=on".into());
        }
        if self.causes {
            words.push(format!("log={}", files.file("qemu").display()));
        }
        for (name, range) in &self.contexts {
            words.push(format!(
                "context={name}:{:#x}-{:#x}",
                range.start, range.end
            ));
        }
        if self.timeline {
            words.push("timeline=on".into());
        }
        words
    }
}

/// A meter in a machine that is about to start.
#[derive(Debug)]
pub struct Meter {
    files: Files,
    recorded: bool,
    program: Option<Program>,
}

/// A report, after the machine has ended.
#[derive(Debug)]
pub struct Report {
    value: Value,
    program: Option<Program>,
    /// The binary log, if it was wanted.
    pub log: Option<Log>,
}

impl Meter {
    /// Puts a meter into a machine that runs a system.
    ///
    /// # Errors
    ///
    /// The plugin does not build, or the kernel's file cannot be read.
    pub fn for_system(
        project: &Project,
        files: Files,
        config: &mut Config,
        product: &Product,
        wanted: &Wanted,
    ) -> Result<Self, Failure> {
        let program = Program::read(&product.elf)?;
        let address = |name: &str| {
            let found = program.address(name);
            found.ok_or_else(|| Failure::Internal(format!("the kernel has no symbol `{name}`")))
        };
        let low = address("__image_start")?;
        let marks = files.file("marks");
        project::write(&marks, names(&program).as_bytes())?;
        let words = vec![
            format!("el2={low:#x}-{:#x}", address("__text_end")?),
            format!("vectors={:#x}", address("vectors")?),
            format!("marks={}", marks.display()),
        ];
        let mut meter = Self::add(project, files, config, words, wanted)?;
        meter.program = Some(program);
        Ok(meter)
    }

    /// Puts a meter into a machine that runs another hypervisor.
    ///
    /// # Errors
    ///
    /// The plugin does not build.
    pub fn for_peer(
        project: &Project,
        files: Files,
        config: &mut Config,
        counting: &Counting,
        wanted: &Wanted,
    ) -> Result<Self, Failure> {
        Self::add(project, files, config, vec![counting.words()], wanted)
    }

    /// Puts a meter into a machine without a hypervisor.
    ///
    /// # Errors
    ///
    /// The plugin does not build.
    pub fn native(
        project: &Project,
        files: Files,
        config: &mut Config,
        wanted: &Wanted,
    ) -> Result<Self, Failure> {
        Self::add(project, files, config, Vec::new(), wanted)
    }

    fn add(
        project: &Project,
        files: Files,
        config: &mut Config,
        mut words: Vec<String>,
        wanted: &Wanted,
    ) -> Result<Self, Failure> {
        let plugin = plugin(project)?;
        for old in ["json", "events", "qemu"] {
            let _ = std::fs::remove_file(files.file(old));
        }
        words.insert(
            0,
            format!("{},out={}", plugin.display(), files.file("json").display()),
        );
        words.extend(wanted.words(&files));
        config.plugins.push(words.join(","));
        if wanted.causes {
            config.extra.extend(["-d", CAUSES, "-D"].map(Into::into));
            config.extra.push(files.file("qemu").into());
        }
        Ok(Self {
            files,
            recorded: wanted.events.is_some(),
            program: None,
        })
    }

    /// Whether it has written its report.
    #[must_use]
    pub fn has_written(&self) -> bool {
        self.files.file("json").exists()
    }

    /// Reads what it has written; the machine has ended.
    ///
    /// # Errors
    ///
    /// It has written nothing, or it lost events.
    pub fn report(self) -> Result<Report, Failure> {
        let path = self.files.file("json");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Failure::Internal(format!("no report of the meter in {}: {e}", path.display()))
        })?;
        let value = serde_json::from_str(&text)
            .map_err(|e| Failure::Internal(format!("the meter's report: {e}")))?;
        let path = self.files.file("events");
        let log = self.recorded.then(|| Log::read(&path)).transpose()?;
        // Read, it is of no more use, and there are megabytes of it.
        for done in ["events", "qemu"] {
            let _ = std::fs::remove_file(self.files.file(done));
        }
        let report = Report {
            value,
            program: self.program,
            log,
        };
        match report.number("/el2/lost").unwrap_or(0) {
            0 => Ok(report),
            lost => Err(Failure::Internal(format!("the meter lost {lost} events"))),
        }
    }
}

/// What QEMU logs so that the plugin knows causes.
const CAUSES: &str = "int,trace:gicv3_icc_iar1_read,trace:gic_acknowledge_irq";

/// Every function of the kernel, as `NAME ADDRESS`. The functions that every event begins with are
/// no causes.
fn names(program: &Program) -> String {
    const DISPATCHERS: [&str; 4] = [
        "trap_entry",
        "call::entry",
        "interrupt::entry",
        "serror::entry",
    ];
    let functions = program.functions.values();
    let named = functions.filter(|f| !DISPATCHERS.iter().any(|d| f.name.ends_with(d)));
    named
        .map(|f| format!("{} {:#x}\n", plain(&f.name), f.address))
        .collect()
}

/// A name without what has a meaning in the meter's arguments.
fn plain(name: &str) -> String {
    name.replace([' ', ','], "")
}

/// Builds the plugin, once.
///
/// # Errors
///
/// The compiler's messages.
pub fn plugin(project: &Project) -> Result<PathBuf, Failure> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build(project))
        .clone()
        .map_err(Failure::Build)
}

fn build(project: &Project) -> Result<PathBuf, String> {
    let step = Step::new("building tessera-meter");
    let target = project.target().join("meter");
    let mut command = Command::new("cargo");
    rust::clean(&mut command);
    command
        .current_dir(project.root())
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "tessera-meter",
            "--target-dir",
        ])
        .arg(&target);
    let outcome = process::run(&mut command, Some(&step)).map_err(|e| e.to_string())?;
    if outcome.ok {
        Ok(target.join("release/libtessera_meter.so"))
    } else {
        Err(outcome.err)
    }
}

/// Whether a QEMU counts instructions and takes the plugin; if not, what it said.
///
/// It is asked with a word that the plugin does not know and says so about.
///
/// # Errors
///
/// A sentence: why it cannot, and what to do.
pub fn probe(qemu: &Path, plugin: &Path) -> Result<(), String> {
    const WORD: &str = "is-it-there";
    let mut command = Command::new(qemu);
    command.args(["-M", "none", "-display", "none", "-nodefaults", "-S"]);
    command.args(["-accel", "tcg", "-icount", "shift=0,sleep=off", "-plugin"]);
    command.arg(format!("{},{WORD}=on", plugin.display()));
    let outcome = process::run(&mut command, None)
        .map_err(|e| format!("{} could not be started: {e}", qemu.display()))?;
    if outcome.err.contains(&format!("{WORD}=on: not understood")) {
        return Ok(());
    }
    let said = outcome.err.lines().next().unwrap_or("nothing").trim();
    Err(format!(
        "{} does not take the instruction counter or -icount (it says: {said}); a QEMU that is built \
         with TCG and plugins is needed, as Debian's qemu-system-arm",
        qemu.display()
    ))
}

/// What the events of one kind took at EL2, in instructions.
#[derive(Clone, Debug)]
pub struct Events {
    /// How many there were.
    pub count: u64,
    /// Half of them took so much at most.
    pub median: u64,
    /// The longest.
    pub max: u64,
}

impl Report {
    fn number(&self, pointer: &str) -> Option<u64> {
        self.value.pointer(pointer)?.as_u64()
    }

    fn text(&self, pointer: &str) -> &str {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("?")
    }

    /// Instructions below EL2.
    ///
    /// # Errors
    ///
    /// The report has no such number.
    pub fn others(&self) -> Result<u64, Failure> {
        self.number("/instructions/other")
            .ok_or_else(|| Failure::Internal("the meter's report has no total".into()))
    }

    /// Instructions below EL2 from physical addresses in a range.
    ///
    /// # Errors
    ///
    /// The report has no pages.
    pub fn others_between(&self, low: u64, high: u64) -> Result<u64, Failure> {
        let pages = self.value.get("pages").and_then(Value::as_array);
        let pages =
            pages.ok_or_else(|| Failure::Internal("the meter's report has no pages".into()))?;
        let inside = pages.iter().filter(|page| {
            let text = page.get("address").and_then(Value::as_str).unwrap_or("");
            let address = u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(0);
            (low..high).contains(&address)
        });
        Ok(inside.filter_map(|page| page.get("other")?.as_u64()).sum())
    }

    /// How often an operation, as `msr hcr_el2`, or a class of them, as `tlbi`, was executed at EL2
    /// after a core's first guest had been entered.
    #[must_use]
    pub fn operations_after_boot(&self, name: &str) -> u64 {
        let causes = self.value.pointer("/el2/causes").and_then(Value::as_array);
        let after = causes.into_iter().flatten().filter(|c| {
            let cause = c.get("cause").and_then(Value::as_str).unwrap_or("");
            !cause.starts_with("boot")
        });
        let counts = after.filter_map(|c| {
            let found = |table: &str| c.get(table)?.get(name)?.as_u64();
            found("operations").or_else(|| found("classes"))
        });
        counts.sum()
    }

    /// What each cause took, as `irq` or `sync/hvc`.
    #[must_use]
    pub fn events(&self) -> BTreeMap<String, Events> {
        let causes = self.value.pointer("/el2/causes").and_then(Value::as_array);
        let events = |cause: &Value| {
            let number = |name: &str| cause.get("instructions")?.get(name)?.as_u64();
            let events = Events {
                count: number("count")?,
                median: number("median")?,
                max: number("max")?,
            };
            Some((cause.get("cause")?.as_str()?.to_string(), events))
        };
        causes.into_iter().flatten().filter_map(events).collect()
    }

    /// The longest stretch with interrupts masked, boot left out.
    ///
    /// # Errors
    ///
    /// There was no event.
    pub fn longest_masked(&self) -> Result<Stretch, Failure> {
        let at = "/el2/longest_masked";
        let instructions = self
            .number(&format!("{at}/instructions"))
            .ok_or_else(|| Failure::Internal("the meter saw nothing at EL2".into()))?;
        let path = self
            .value
            .pointer(&format!("{at}/path"))
            .and_then(Value::as_array);
        let names = way(path.into_iter().flatten().filter_map(Value::as_str));
        let path = format!(
            "{}, from {} to {}: {}",
            short(self.text(&format!("{at}/cause"))),
            self.place(self.text(&format!("{at}/from"))),
            self.place(self.text(&format!("{at}/to"))),
            names.join(" > ")
        );
        Ok(Stretch { instructions, path })
    }

    /// An address with the function that it is in.
    fn place(&self, address: &str) -> String {
        let number = u64::from_str_radix(address.trim_start_matches("0x"), 16).ok();
        let function = self
            .program
            .as_ref()
            .zip(number)
            .and_then(|(p, n)| p.function_at(n));
        function.map_or_else(
            || address.to_string(),
            |f| format!("{address} ({})", short(&f.name)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qemu_that_cannot_count_is_told_from_one_that_can() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let qemu = folder.path().join("qemu");
        let plugin = Path::new("/p/libtessera_meter.so");
        let say = |text: &str| {
            let script = format!("#!/bin/sh\necho '{text}' >&2\nexit 1\n");
            std::fs::write(&qemu, script).unwrap();
            std::fs::set_permissions(&qemu, std::fs::Permissions::from_mode(0o755)).unwrap();
            probe(&qemu, plugin)
        };
        assert_eq!(say("meter: is-it-there=on: not understood"), Ok(()));
        let refused = say("qemu: -plugin: invalid option").unwrap_err();
        assert!(refused.contains("invalid option"), "{refused}");
        assert!(probe(Path::new("/nowhere/qemu"), plugin).is_err());
    }
}
