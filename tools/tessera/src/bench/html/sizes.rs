//! What the kernel weighs.

use super::bars::Bar;
use super::events::titled;
use super::label::{Peers, groups, system};
use super::markup::{Element, classed};
use super::number::whole;
use super::section::{nothing, section, sign};
use super::table::{Cell, folded};
use crate::bench::report::{Report, Size};

/// The part of the page.
#[must_use]
pub fn sizes(report: &Report, peers: &Peers) -> Element {
    let part = section(
        "sizes",
        "Less is better in all of them. A build that exceeds a budget fails.",
    );
    if report.sizes.is_empty() {
        return part.child(nothing("Nothing was weighed"));
    }
    let legend = peers.legend(report.sizes.iter().map(|s| s.system.as_str()));
    let legend = legend.child(sign("mark budget-mark", "", "budget"));
    let groups = groups(&report.sizes, |s| &s.name);
    let figures = groups.into_iter().map(|(_, rows)| group(rows, peers));
    let row = |s: &Size| {
        vec![
            Cell::text(&s.name),
            Cell::text(&s.title),
            Cell::text(system(&s.system)),
            Cell::whole(s.value),
            Cell::maybe(s.budget, Cell::whole),
        ]
    };
    let rows: Vec<Vec<Cell>> = report.sizes.iter().map(row).collect();
    let heads = ["figure", "what it is", "system", "value", "budget"];
    part.child(legend)
        .child(classed("div", "grid").children(figures))
        .child(folded("What the kernel weighs", &heads, &rows))
}

fn group(mut rows: Vec<&Size>, peers: &Peers) -> Element {
    rows.sort_by_key(|s| peers.order(&s.system));
    let bar = |size: &&Size| Bar {
        label: system(&size.system),
        class: peers.class(&size.system),
        value: size.value as f64,
        budget: size.budget.map(|b| b as f64),
        number: whole(size.value),
        note: format!("{}: {}", system(&size.system), whole(size.value)),
        ..Bar::default()
    };
    let bars: Vec<Bar> = rows.iter().map(bar).collect();
    let (name, title) = rows.first().map_or(("", ""), |s| (&s.name, &s.title));
    titled(name, title, "", &bars, "")
}
