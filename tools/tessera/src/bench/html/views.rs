//! What operations cost as the guest sees them.

use super::bars::Bar;
use super::events::titled;
use super::label::{Labels, Peers, condition, groups, system};
use super::markup::{Element, classed};
use super::number::measured;
use super::section::{nothing, section, sign};
use super::table::{Cell, folded};
use crate::bench::report::{Report, View};

/// The part of the page.
#[must_use]
pub fn views(report: &Report, peers: &Peers) -> Element {
    let part = section(
        "views",
        "Instructions for one operation around which the guest counts: its own loop, EL2, everything. \
         “No hypervisor” is the same program on the same machine without EL2: the floor.",
    );
    if report.views.is_empty() {
        return part.child(nothing("No operations were timed by a guest"));
    }
    let systems = report.views.iter().map(|v| v.setting.system.as_str());
    let legend = peers.legend(systems);
    let legend = legend.child(sign("mark budget-mark", "", "budget"));
    let groups = groups(&report.views, |v| &v.name);
    let figures = groups.into_iter().map(|(_, rows)| group(rows, peers));
    let heads = [
        "operation",
        "what it is",
        "system",
        "conditions",
        "instructions",
        "largest sample",
        "budget",
    ];
    let row = |v: &View| {
        vec![
            Cell::text(&v.name),
            Cell::text(&v.title),
            Cell::text(system(&v.setting.system)),
            Cell::text(condition(&v.setting)),
            Cell::measured(v.instructions),
            Cell::maybe(v.max, Cell::measured),
            Cell::maybe(v.budget, Cell::measured),
        ]
    };
    let rows: Vec<Vec<Cell>> = report.views.iter().map(row).collect();
    part.child(legend)
        .child(classed("div", "grid").children(figures))
        .child(folded("As the guest sees it", &heads, &rows))
}

fn group(mut rows: Vec<&View>, peers: &Peers) -> Element {
    rows.sort_by_key(|v| peers.order(&v.setting.system));
    let labels = Labels::of(rows.iter().map(|v| (&v.setting, "")));
    let bar = |(view, label): (&&View, String)| {
        let largest = view.max.map(|m| format!(", largest {}", measured(m)));
        Bar {
            note: format!(
                "{label}: {}{}",
                measured(view.instructions),
                largest.unwrap_or_default()
            ),
            label,
            class: peers.class(&view.setting.system),
            value: view.instructions,
            reach: view.max,
            budget: view.budget,
            number: measured(view.instructions),
            ..Bar::default()
        }
    };
    let bars: Vec<Bar> = rows.iter().zip(labels.each).map(bar).collect();
    let (name, title) = rows.first().map_or(("", ""), |v| (&v.name, &v.title));
    titled(
        name,
        title,
        &labels.common,
        &bars,
        "instructions, as the guest counts them",
    )
}
