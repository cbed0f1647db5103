//! The report as Markdown tables: for the terminal, for `bench/results/table.md`, and for the README.

use crate::bench::budgets;
use crate::bench::compare::{self, Row};
use crate::bench::report::{Latency, Report};
use std::fmt::Write;

/// What stands around the tables in the README.
pub const BEGIN: &str = "<!-- bench: begin -->";
/// The end of them.
pub const END: &str = "<!-- bench: end -->";

/// The whole report.
#[must_use]
pub fn tables(report: &Report) -> String {
    let peers = compare::peers(report);
    let mut text = origin(report);
    let mut section = |title: &str, table: &str| {
        if !table.is_empty() {
            let _ = write!(text, "\n{title}\n\n{table}");
        }
    };
    let events = compare::events(report);
    section(
        "Instructions at EL2 for one event, from entry to return:",
        &with(&events, &peers, report, true),
    );
    let views = compare::views(report);
    section(
        "Instructions for one operation as the guest sees it, its own loop included (of timers and SGIs \
         to another core virtual nanoseconds, one for each instruction):",
        &with(&views, &peers, report, false),
    );
    section(
        "How late a 1 ms real-time guest is woken, in instructions:",
        &latencies(report),
    );
    section(
        "Linux's own instructions, natively = 1:",
        &workloads(report, &peers),
    );
    section("What the kernel weighs:", &sizes(report));
    let all = [
        events,
        views,
        compare::latencies(report),
        compare::workloads(report),
    ]
    .concat();
    section(
        "Where Tessera is not the best, or not good enough:",
        &losses(&all, &peers, report),
    );
    text
}

/// A README with the tables between the marks, or none if it has no marks.
#[must_use]
pub fn into_readme(readme: &str, tables: &str) -> Option<String> {
    let begin = readme.find(BEGIN)? + BEGIN.len();
    let end = begin + readme.get(begin..)?.find(END)?;
    let (before, after) = (readme.get(..begin)?, readme.get(end..)?);
    Some(format!("{before}\n{}\n{after}", tables.trim_end()))
}

fn origin(report: &Report) -> String {
    let run = &report.run;
    let commit = run.commit.get(..12).unwrap_or("no commit");
    let modified = if run.modified { ", modified" } else { "" };
    let form = if run.quick { "quick" } else { "full" };
    format!(
        "Commit {commit}{modified}, QEMU {}, {}, {form} measurements on {}.\n",
        run.qemu, run.date, run.host
    )
}

/// Rows with a column for each system.
fn with(rows: &[Row], peers: &[String], report: &Report, lines: bool) -> String {
    let mut head = vec!["what", "core", "budget", "Tessera"];
    if lines {
        head.push("cache lines");
    }
    head.push("on GICv2");
    if !lines {
        head.push("native");
    }
    head.extend(peers.iter().map(String::as_str));
    if !peers.is_empty() {
        head.push("fewest");
    }
    let mut table = Table::new(&head);
    for row in rows {
        let mut cells = vec![
            format!("`{}` {}{}", row.name, row.title, note(row)),
            core(&row.policy, row.cores),
            cell(row.budget),
            ours(row),
        ];
        if lines {
            cells.push(cache_lines(report, row));
        }
        cells.push(cell(row.ours_v2));
        if !lines {
            cells.push(cell(row.native));
        }
        cells.extend(row.peers.iter().map(|p| cell(*p)));
        if !peers.is_empty() {
            cells.push(row.fewest(peers).join(", "));
        }
        table.add(cells);
    }
    table.text()
}

/// Why a row has zeros.
fn note(row: &Row) -> String {
    if row.by_hardware.is_empty() {
        return String::new();
    }
    format!(
        " (the hardware does it, EL2 is not entered: {})",
        row.by_hardware.join(", ")
    )
}

/// What Tessera needs; marked when it is over its budget.
fn ours(row: &Row) -> String {
    let value = cell(row.ours);
    if row.over() {
        format!("**{value}** (over)")
    } else {
        value
    }
}

/// Code and data, of the same row on GICv3.
fn cache_lines(report: &Report, row: &Row) -> String {
    let found = report.events.iter().find(|e| {
        (e.name.as_str(), e.setting.policy.as_str(), e.setting.cores)
            == (row.name.as_str(), row.policy.as_str(), row.cores)
            && e.setting.system == "tessera"
            && e.setting.gic == 3
    });
    let Some(event) = found else {
        return String::new();
    };
    let both = format!("{} + {}", event.code_lines.median, event.data_lines.median);
    match event.lines_budget {
        Some(most) if event.code_lines.median + event.data_lines.median > most => {
            format!("**{both}** (over {most})")
        }
        Some(most) => format!("{both} (of {most})"),
        None => both,
    }
}

fn latencies(report: &Report) -> String {
    let head = [
        "situation",
        "system",
        "core",
        "wake-ups",
        "missed",
        "median",
        "99 %",
        "largest",
    ];
    let mut table = Table::new(&[&head[..], &["longest masked", "budget"]].concat());
    for row in report.latencies.iter().filter(|r| r.setting.gic == 3) {
        let number = |n: u64| {
            if row.count == 0 {
                String::new()
            } else {
                n.to_string()
            }
        };
        table.add(vec![
            row.situation.clone(),
            row.setting.system.clone(),
            core(&row.setting.policy, row.setting.cores),
            number(row.count),
            number(row.missed),
            number(row.p50),
            number(row.p99),
            number(row.max),
            masked(row),
            row.masked_budget
                .map_or_else(String::new, |b| b.to_string()),
        ]);
    }
    table.text()
}

fn masked(row: &Latency) -> String {
    let Some(stretch) = &row.masked else {
        return String::new();
    };
    let value = stretch.instructions;
    if row.masked_budget.is_some_and(|b| value > b) {
        format!("**{value}** (over)")
    } else {
        value.to_string()
    }
}

fn workloads(report: &Report, peers: &[String]) -> String {
    let mut head = vec!["work", "kernel", "core", "budget", "Tessera", "on GICv2"];
    head.extend(peers.iter().map(String::as_str));
    head.push("spread natively");
    let mut table = Table::new(&head);
    let ratio = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.4}"));
    for row in compare::workloads(report) {
        let tessera = ratio(row.ours);
        let tessera = if row.over() {
            format!("**{tessera}** (over)")
        } else {
            tessera
        };
        let mut cells = vec![
            row.name.clone(),
            row.title.clone(),
            core(&row.policy, row.cores),
            ratio(row.budget),
            tessera,
            ratio(row.ours_v2),
        ];
        cells.extend(row.peers.iter().map(|p| ratio(*p)));
        cells.push(spread(report, &row));
        table.add(cells);
    }
    table.text()
}

/// How much the native runs differ among their seeds, in percent.
fn spread(report: &Report, row: &Row) -> String {
    let native = report.workloads.iter().find(|w| {
        (w.name.as_str(), w.kernel.as_str()) == (row.name.as_str(), row.title.as_str())
            && w.setting.system == "native"
            && w.setting.gic == 3
    });
    let all = native
        .map(|w| w.instructions.as_slice())
        .unwrap_or_default();
    match (all.iter().min(), all.iter().max()) {
        (Some(min), Some(max)) if all.len() > 1 && *min > 0 => {
            format!("{:.2} %", (max - min) as f64 * 100.0 / *min as f64)
        }
        _ => String::new(),
    }
}

fn sizes(report: &Report) -> String {
    let mut table = Table::new(&["what", "value", "budget"]);
    for size in &report.sizes {
        let over = size.budget.is_some_and(|b| size.value > b);
        let value = size.value.to_string();
        table.add(vec![
            size.title.clone(),
            if over {
                format!("**{value}** (over)")
            } else {
                value
            },
            size.budget.map_or_else(String::new, |b| b.to_string()),
        ]);
    }
    table.text()
}

/// Where Tessera is not the best, in plain words.
fn losses(rows: &[Row], peers: &[String], report: &Report) -> String {
    let mut text = String::new();
    for row in rows {
        let Some(winner) = row.loses_to(peers) else {
            continue;
        };
        let index = peers.iter().position(|p| p == winner);
        let theirs = index.and_then(|i| row.peers.get(i).copied().flatten());
        let (name, core) = (&row.name, core(&row.policy, row.cores));
        let (ours, theirs) = (cell(row.ours), cell(theirs));
        let _ = writeln!(
            text,
            "- Tessera loses to {winner}: `{name}`, {core}: {ours}, {winner} {theirs}."
        );
    }
    for over in budgets::over(report) {
        let _ = writeln!(text, "- Over its budget: {over}.");
    }
    text
}

fn core(policy: &str, cores: u8) -> String {
    match (policy, cores) {
        ("", 1) => String::new(),
        (policy, 1) => policy.to_string(),
        (policy, n) => format!("{n} {policy}").trim_end().to_string(),
    }
}

/// A value without more digits than it needs.
fn cell(value: Option<f64>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let text = if value < 10.0 {
        format!("{value:.4}")
    } else {
        format!("{value:.1}")
    };
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A table whose columns stand below each other in plain text, too.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(ToString::to_string).collect()],
        }
    }

    fn add(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Nothing, if there are no rows.
    fn text(&self) -> String {
        let Some(head) = self.rows.first().filter(|_| self.rows.len() > 1) else {
            return String::new();
        };
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(column));
            cells.map(|c| c.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = String::new();
        for (i, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
            if i == 0 {
                for width in &widths {
                    let _ = write!(text, "| {} ", "-".repeat(*width));
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{Counts, Event, Setting};

    fn event(system: &str, median: u64, budget: Option<u64>) -> Event {
        Event {
            name: "interrupt".into(),
            title: "a timer".into(),
            setting: Setting {
                system: system.into(),
                gic: 3,
                policy: "pinned".into(),
                cores: 1,
            },
            instructions: Counts {
                median,
                ..Counts::default()
            },
            entries: 1,
            budget,
            ..Event::default()
        }
    }

    #[test]
    fn a_lost_comparison_and_a_broken_budget_are_said_plainly() {
        let report = Report {
            events: vec![event("tessera", 130, Some(120)), event("bao", 110, None)],
            ..Report::default()
        };
        let text = tables(&report);
        assert!(text.contains("**130** (over)"), "{text}");
        assert!(
            text.contains("Tessera loses to bao: `interrupt`, pinned: 130, bao 110"),
            "{text}"
        );
        assert!(
            text.contains("Over its budget: interrupt (tessera, pinned, GICv3, 1 core): 130 instructions at EL2, budget 120."),
            "{text}"
        );
    }

    #[test]
    fn all_who_need_fewest_are_named_and_a_zero_says_whose_work_it_is() {
        let eoi = |system: &str, entries: u64, median: u64| Event {
            name: "eoi".into(),
            title: "acknowledge and end".into(),
            entries,
            ..event(system, median, None)
        };
        let report = Report {
            events: vec![
                event("tessera", 110, None),
                event("xen", 110, None),
                eoi("tessera", 0, 0),
                eoi("xen", 1, 500),
            ],
            ..Report::default()
        };
        let text = tables(&report);
        let row = |name: &str| text.lines().find(|l| l.contains(name)).unwrap_or_default();
        assert!(row("`interrupt`").contains("| tessera, xen |"), "{text}");
        let note = "end (the hardware does it, EL2 is not entered: tessera)";
        assert!(row("`eoi`").contains(note), "{text}");
        assert!(row("`eoi`").contains("| tessera"), "{text}");
        assert!(!text.contains("loses"), "{text}");
    }

    #[test]
    fn the_tables_replace_what_stood_between_the_marks() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = into_readme(&readme, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(into_readme("no marks", "new"), None);
    }

    #[test]
    fn numbers_have_no_more_digits_than_they_need() {
        assert_eq!(cell(Some(113.0)), "113");
        assert_eq!(cell(Some(1.00450)), "1.0045");
        assert_eq!(cell(Some(3.0)), "3");
        assert_eq!(cell(Some(0.0)), "0");
        assert_eq!(cell(None), "");
    }
}
