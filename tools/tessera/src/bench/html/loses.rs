//! Where Tessera loses, and what is missing.

use super::findings::{Finding, Findings};
use super::label::system;
use super::markup::{Element, classed, element};
use super::number::trimmed;
use super::section::section;
use super::table::{Cell, table};
use crate::bench::report::Report;

/// Where Tessera loses: over a budget, against a peer, against the bare machine.
#[must_use]
pub fn loses(found: &Findings) -> Element {
    let part = section(
        "loses",
        "Computed from all of the above: every number of which a budget, a peer or the bare machine has less. Compared is only \
         what was measured with the same interrupt controller and as many cores; with the same core policy where there is one.",
    );
    let over = match (found.budgets, found.over.len()) {
        (0, _) => "No number in this run has a budget.".into(),
        (1, 0) => "The one budget is kept.".into(),
        (n, 0) => format!("All {n} budgets are kept."),
        (n, over) => format!("{over} of {n} budgets are exceeded."),
    };
    let peers = match (found.compared, found.peers.len()) {
        (0, _) => "No peer was measured in this run.".into(),
        (n, 0) => format!("No peer is better in any of {n} comparisons."),
        (n, better) => format!("A peer is better in {better} of {n} comparisons."),
    };
    let native = match (found.bare, found.native.len()) {
        (0, _) => "The bare machine was not measured in this run.".into(),
        (n, 0) => format!("It is better in none of {n} comparisons."),
        (n, better) => format!(
            "It is better in {better} of {n} comparisons: the price of having a hypervisor at all."
        ),
    };
    let parts = [
        ("Budgets", over, &found.over, "budget"),
        ("Peers", peers, &found.peers, "theirs"),
        ("The bare machine", native, &found.native, "without"),
    ];
    part.children(parts.map(|(heading, said, list, theirs)| {
        let part = classed("div", "verdict")
            .child(element("h3").text(heading))
            .child(element("p").text(said));
        match list.is_empty() {
            true => part,
            false => part.child(rows(heading, list, theirs)),
        }
    }))
}

fn rows(heading: &str, list: &[Finding], theirs: &str) -> Element {
    let row = |f: &Finding| {
        let factor = match f.factor.is_finite() {
            true => Cell::Number(f.factor, format!("× {}", trimmed(f.factor, 3))),
            false => Cell::Number(f64::MAX, "–".into()),
        };
        let mut row = vec![
            Cell::text(&f.what),
            Cell::text(f.part),
            Cell::text(&f.condition),
            Cell::text(&f.ours),
            Cell::text(&f.theirs),
            factor,
        ];
        if theirs == "theirs" {
            row.insert(4, Cell::text(system(&f.who)));
        }
        row
    };
    let mut list: Vec<&Finding> = list.iter().collect();
    list.sort_by(|a, b| b.factor.total_cmp(&a.factor));
    let rows: Vec<Vec<Cell>> = list.into_iter().map(row).collect();
    let mut heads = vec!["what", "part", "conditions", "Tessera", theirs, "factor"];
    if theirs == "theirs" {
        heads.insert(4, "better");
    }
    table(heading, &heads, &rows)
}

/// What could not be measured.
#[must_use]
pub fn missing(report: &Report) -> Element {
    let part = section(
        "missing",
        "What was asked for and is not in this report, why, and what to do about it.",
    );
    if report.missing.is_empty() {
        let nothing = classed("p", "nothing")
            .text("Nothing is missing: all that was asked for was measured.");
        return part.child(nothing);
    }
    let row = |m: &crate::bench::report::Missing| vec![Cell::text(&m.what), Cell::text(&m.why)];
    let rows: Vec<Vec<Cell>> = report.missing.iter().map(row).collect();
    part.child(table("Missing", &["what", "why, and what to do"], &rows))
}
