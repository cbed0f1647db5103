//! Counts from outside: the plugin `tools/meter` in a machine, and its report.

use crate::case::{Failure, ensure};
use crate::context::Context;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use tessera::machine::Config;
use tessera::peer::Counting;
use tessera::process;
use tessera::product::Product;
use tessera::progress::Step;
use tessera::project::{self, Project};
use tessera::rust;
use tessera::symbols::Program;

/// A meter in a machine that is about to start.
#[derive(Debug)]
pub struct Meter {
    out: PathBuf,
    program: Option<Program>,
}

/// A report, after the machine has ended.
#[derive(Debug)]
pub struct Report {
    value: Value,
    program: Option<Program>,
}

impl Meter {
    /// Puts a meter into a machine that runs a system.
    pub fn for_system(
        context: &Context<'_>,
        config: &mut Config,
        product: &Product,
    ) -> Result<Self, Failure> {
        let program = Program::read(&product.elf)?;
        let address = |name: &str| {
            let found = program.address(name);
            found.ok_or_else(|| Failure::new(format!("the kernel has no symbol `{name}`")))
        };
        let low = address("__image_start")?;
        let words = format!(
            "el2={low:#x}-{:#x},vectors={:#x}",
            address("__text_end")?,
            address("vectors")?
        );
        let marks = context.file("marks");
        project::write(&marks, names(&program).as_bytes())?;
        let out = Self::add(
            context,
            config,
            &format!("{words},marks={}", marks.display()),
        )?;
        Ok(Self {
            out,
            program: Some(program),
        })
    }

    /// Puts a meter into a machine that runs another hypervisor.
    pub fn for_peer(
        context: &Context<'_>,
        config: &mut Config,
        counting: &Counting,
    ) -> Result<Self, Failure> {
        let out = Self::add(context, config, &counting.words())?;
        Ok(Self { out, program: None })
    }

    /// Puts a meter into a machine without Tessera.
    pub fn native(context: &Context<'_>, config: &mut Config) -> Result<Self, Failure> {
        let out = Self::add(context, config, "")?;
        Ok(Self { out, program: None })
    }

    fn add(context: &Context<'_>, config: &mut Config, words: &str) -> Result<PathBuf, Failure> {
        let plugin = plugin(&context.shared().project)?;
        let extension = if words.is_empty() {
            "native.json"
        } else {
            "json"
        };
        let out = context.file(extension);
        let _ = std::fs::remove_file(&out);
        let words = if words.is_empty() {
            String::new()
        } else {
            format!(",{words}")
        };
        config
            .plugins
            .push(format!("{},out={}{words}", plugin.display(), out.display()));
        Ok(out)
    }

    /// Reads what it has written; the machine has ended.
    pub fn report(self) -> Result<Report, Failure> {
        let text = std::fs::read_to_string(&self.out).map_err(|e| {
            Failure::new(format!(
                "no report of the meter in {}: {e}",
                self.out.display()
            ))
        })?;
        let value = serde_json::from_str(&text)
            .map_err(|e| Failure::new(format!("the meter's report: {e}")))?;
        let report = Report {
            value,
            program: self.program,
        };
        let lost = report.number("/el2/lost").unwrap_or(0);
        ensure(lost == 0, || format!("the meter lost {lost} events"))?;
        Ok(report)
    }
}

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
fn plugin(project: &Project) -> Result<PathBuf, Failure> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build(project))
        .clone()
        .map_err(Failure::new)
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

/// The longest stretch at EL2 with interrupts masked.
#[derive(Debug)]
pub struct Stretch {
    /// Its instructions.
    pub instructions: u64,
    /// Where it began and ended, and the functions on the way.
    pub path: String,
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
    pub fn others(&self) -> Result<u64, Failure> {
        self.number("/instructions/other")
            .ok_or_else(|| Failure::new("the meter's report has no total"))
    }

    /// Instructions below EL2 from physical addresses in a range.
    pub fn others_between(&self, low: u64, high: u64) -> Result<u64, Failure> {
        let pages = self.value.get("pages").and_then(Value::as_array);
        let pages = pages.ok_or_else(|| Failure::new("the meter's report has no pages"))?;
        let inside = pages.iter().filter(|page| {
            let text = page.get("address").and_then(Value::as_str).unwrap_or("");
            let address = u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(0);
            (low..high).contains(&address)
        });
        Ok(inside.filter_map(|page| page.get("other")?.as_u64()).sum())
    }

    /// How often an operation, as `msr hcr_el2`, or a class of them, as `tlbi`, was executed at EL2
    /// after a core's first guest had been entered.
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
    pub fn longest_masked(&self) -> Result<Stretch, Failure> {
        let at = "/el2/longest_masked";
        let instructions = self
            .number(&format!("{at}/instructions"))
            .ok_or_else(|| Failure::new("the meter saw nothing at EL2"))?;
        let path = self
            .value
            .pointer(&format!("{at}/path"))
            .and_then(Value::as_array);
        let names: Vec<&str> = path
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let path = format!(
            "{}, from {} to {}: {}",
            self.text(&format!("{at}/cause")),
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
            |f| format!("{address} ({})", f.name),
        )
    }
}
