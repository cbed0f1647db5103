//! The budgets of `bench/budgets.toml`, and the rows of a report that are over theirs.

use crate::bench::report::{Report, Setting};
use crate::failure::Failure;
use crate::project::Project;
use serde::Deserialize;
use std::fmt;

/// The system that has budgets.
const SYSTEM: &str = "tessera";
/// The interrupt controller that they are for.
const GIC: u8 = 3;

/// All budgets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// What the kernel weighs.
    #[serde(default)]
    pub kernel: Kernel,
    /// What events cost.
    #[serde(default)]
    event: Vec<Event>,
    /// What operations cost in a guest's view.
    #[serde(default)]
    view: Vec<View>,
    #[serde(default)]
    latency: Latency,
    #[serde(default)]
    workload: Vec<Workload>,
    /// Rows that do not meet their budgets yet, and what they are held to meanwhile.
    #[serde(default)]
    held: Vec<Held>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    name: String,
    unit: String,
    most: f64,
}

/// A row that is over its budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// The row's name.
    pub name: String,
    /// Under which conditions.
    pub setting: String,
    /// What is counted: `instructions at EL2`, `cache lines`, `in the guest's view`...
    pub unit: &'static str,
    /// How much it was.
    pub measured: f64,
    /// How much it may be.
    pub budget: f64,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            setting,
            unit,
            measured,
            budget,
        } = self;
        write!(f, "{name} ({setting}): {measured} {unit}, budget {budget}")
    }
}

/// Of the kernel.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Executable code.
    pub text_bytes: Option<u64>,
    /// Memory beside code and constants.
    pub static_ram_bytes: Option<u64>,
    /// The boot core's stack.
    pub stack_bytes: Option<u64>,
    /// A running core's stack.
    pub running_stack_bytes: Option<u64>,
    /// Lines of source.
    pub source_lines: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    name: String,
    policy: Option<String>,
    instructions: u64,
    lines: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct View {
    name: String,
    policy: Option<String>,
    instructions: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    masked: Option<u64>,
    missed: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Workload {
    name: String,
    policy: Option<String>,
    ratio: f64,
}

/// Whether a budget for a name and perhaps a policy is one for a row.
fn fits(budget: (&str, Option<&str>), row: (&str, &Setting)) -> bool {
    let ((name, policy), (row, setting)) = (budget, row);
    name == row
        && setting.system == SYSTEM
        && setting.gic == GIC
        && policy.is_none_or(|p| p == setting.policy)
}

impl Budgets {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// The file cannot be read as budgets.
    pub fn read(project: &Project) -> Result<Self, Failure> {
        let path = project.root().join("bench/budgets.toml");
        let text = std::fs::read_to_string(&path).map_err(|e| Failure::io(&path, &e))?;
        toml::from_str(&text).map_err(|e| Failure::Internal(format!("{}: {e}", path.display())))
    }

    /// What is wrong with a report: rows over their budgets that are not held to something else, or are beyond that; and rows
    /// that are held though they meet their budgets.
    #[must_use]
    pub fn wrong(&self, report: &Report) -> Vec<String> {
        let over = over(report);
        let held = |row: &Over| {
            let fits = |h: &&Held| h.name == row.name && h.unit == row.unit;
            self.held.iter().find(fits).map_or(row.budget, |h| h.most)
        };
        let mut wrong: Vec<String> = over
            .iter()
            .filter(|row| row.measured > held(row))
            .map(|row| format!("{row} (held to {})", held(row)))
            .collect();
        let met = |h: &&Held| !over.iter().any(|o| o.name == h.name && o.unit == h.unit);
        wrong.extend(self.held.iter().filter(met).map(|h| {
            format!(
                "{}, {}: it meets its budget; take it out of `held` in bench/budgets.toml",
                h.name, h.unit
            )
        }));
        wrong
    }

    /// Writes them into a report's rows.
    pub fn apply(&self, report: &mut Report) {
        for row in &mut report.events {
            let fitting =
                |b: &&Event| fits((&b.name, b.policy.as_deref()), (&row.name, &row.setting));
            let budget = self.event.iter().find(fitting);
            row.budget = budget.map(|b| b.instructions);
            row.lines_budget = budget.and_then(|b| b.lines);
        }
        for row in &mut report.views {
            let fitting =
                |b: &&View| fits((&b.name, b.policy.as_deref()), (&row.name, &row.setting));
            row.budget = self
                .view
                .iter()
                .find(fitting)
                .map(|b| b.instructions as f64);
        }
        for row in &mut report.latencies {
            let ours = row.setting.system == SYSTEM;
            row.masked_budget = self.latency.masked.filter(|_| ours);
            row.missed_budget = self.latency.missed.filter(|_| ours);
        }
        for row in &mut report.workloads {
            let fitting =
                |b: &&Workload| fits((&b.name, b.policy.as_deref()), (&row.name, &row.setting));
            row.budget = self.workload.iter().find(fitting).map(|b| b.ratio);
        }
    }
}

/// The rows that are over their budgets.
#[must_use]
pub fn over(report: &Report) -> Vec<Over> {
    let mut lines = Vec::new();
    let mut line = |name: &str, setting: &str, unit, measured: f64, budget: Option<f64>| {
        if let Some(budget) = budget.filter(|b| measured > *b) {
            lines.push(Over {
                name: name.into(),
                setting: setting.into(),
                unit,
                measured,
                budget,
            });
        }
    };
    let number = |n: Option<u64>| n.map(|n| n as f64);
    for row in &report.events {
        let at = row.setting.to_string();
        let median = row.instructions.median as f64;
        line(
            &row.name,
            &at,
            "instructions at EL2",
            median,
            number(row.budget),
        );
        let cache = (row.code_lines.median + row.data_lines.median) as f64;
        line(
            &row.name,
            &at,
            "cache lines",
            cache,
            number(row.lines_budget),
        );
    }
    for row in &report.views {
        let (at, unit) = (row.setting.to_string(), "in the guest's view");
        line(&row.name, &at, unit, row.instructions, row.budget);
    }
    for row in &report.latencies {
        let at = format!("{}, {}", row.situation, row.setting);
        let masked = row.masked.as_ref().map_or(0, |m| m.instructions) as f64;
        line(
            "masked",
            &at,
            "instructions",
            masked,
            number(row.masked_budget),
        );
        line(
            "missed",
            &at,
            "deadlines",
            row.missed as f64,
            number(row.missed_budget),
        );
    }
    for row in &report.workloads {
        let at = format!("{}, {}", row.kernel, row.setting);
        line(&row.name, &at, "times native", row.ratio, row.budget);
    }
    for row in &report.sizes {
        line(
            &row.name,
            &row.system,
            "",
            row.value as f64,
            number(row.budget),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{Counts, Event as Row, Latency as LatencyRow, Stretch};

    const TEXT: &str = "[[event]]\nname = \"hypercall\"\npolicy = \"pinned\"\ninstructions = 60\n\
                        lines = 24\n[latency]\nmasked = 100\nmissed = 0\n";

    fn report(gic: u8, policy: &str, median: u64) -> Report {
        let setting = Setting {
            system: "tessera".into(),
            gic,
            policy: policy.into(),
            cores: 1,
        };
        let mut report = Report {
            events: vec![Row {
                name: "hypercall".into(),
                setting: setting.clone(),
                instructions: Counts {
                    median,
                    ..Counts::default()
                },
                ..Row::default()
            }],
            latencies: vec![LatencyRow {
                situation: "alone".into(),
                setting,
                masked: Some(Stretch {
                    instructions: 99,
                    path: String::new(),
                }),
                ..LatencyRow::default()
            }],
            ..Report::default()
        };
        toml::from_str::<Budgets>(TEXT).unwrap().apply(&mut report);
        report
    }

    #[test]
    fn a_row_over_its_budget_is_named_with_setting_and_both_numbers() {
        let lines = over(&report(3, "pinned", 61));
        assert_eq!(lines.len(), 1);
        for part in ["hypercall", "pinned", "GICv3", "61", "60"] {
            assert!(lines[0].to_string().contains(part), "{}", lines[0]);
        }
        assert!(over(&report(3, "pinned", 60)).is_empty());
    }

    #[test]
    fn a_row_that_is_held_may_be_over_its_budget_and_no_further() {
        let text = format!(
            "{TEXT}[[held]]\nname = \"hypercall\"\nunit = \"instructions at EL2\"\nmost = 70\n"
        );
        let budgets: Budgets = toml::from_str(&text).unwrap();
        assert!(budgets.wrong(&report(3, "pinned", 70)).is_empty());
        let beyond = budgets.wrong(&report(3, "pinned", 71));
        assert!(
            beyond.len() == 1 && beyond[0].starts_with("hypercall ("),
            "{beyond:?}"
        );
        // One that meets its budget must not stay in the list.
        assert_eq!(budgets.wrong(&report(3, "pinned", 60)).len(), 1);
    }

    #[test]
    fn gicv2_and_other_policies_have_no_budget() {
        assert!(over(&report(2, "pinned", 1000)).is_empty());
        assert!(over(&report(3, "shared", 1000)).is_empty());
    }

    #[test]
    fn the_projects_own_file_is_understood() {
        let text = include_str!("../../../../bench/budgets.toml");
        let budgets: Budgets = toml::from_str(text).unwrap();
        assert!(budgets.event.iter().any(|b| b.name == "preempt"));
        assert!(budgets.kernel.text_bytes.is_some());
    }
}
