//! What single events cost at EL2.

use super::bars::{Bar, picture};
use super::label::{Labels, Peers, condition, groups, system};
use super::markup::{Element, classed};
use super::number::whole;
use super::section::{figure, nothing, section, sign};
use super::table::{Cell, folded};
use crate::bench::report::{Counts, Event, Report};

/// The part of the page.
#[must_use]
pub fn events(report: &Report, peers: &Peers) -> Element {
    let part = section(
        "events",
        "Instructions executed at EL2, from exception entry to return, counted from outside. \
         The bar is the median of all times that it happened, the thin line reaches to the 99th percentile.",
    );
    if report.events.is_empty() {
        return part.child(nothing("No events were counted"));
    }
    let systems = report.events.iter().map(|e| e.setting.system.as_str());
    let legend = peers.legend(systems).child(sign(
        "mark budget-mark",
        "",
        "budget: most that the median may be",
    ));
    let groups = groups(&report.events, |e| &e.name);
    let figures = groups.into_iter().map(|(_, rows)| group(rows, peers));
    part.child(legend)
        .child(classed("div", "grid").children(figures))
        .child(folded("Events at EL2", &HEADS, &table(&report.events)))
}

/// What tells the rows of a picture apart; what FP has to do with it is a condition too.
fn labels(rows: &[&Event]) -> Labels {
    let fp = |e: &&Event| match e.fp.as_str() {
        "" => String::new(),
        fp => format!("FP {fp}"),
    };
    let fp: Vec<String> = rows.iter().map(fp).collect();
    Labels::of(
        rows.iter()
            .zip(&fp)
            .map(|(e, fp)| (&e.setting, fp.as_str())),
    )
}

fn group(mut rows: Vec<&Event>, peers: &Peers) -> Element {
    rows.sort_by_key(|e| peers.order(&e.setting.system));
    let labels = labels(&rows);
    let bars: Vec<Bar> = rows
        .iter()
        .zip(labels.each)
        .map(|(event, label)| Bar {
            note: format!("{label}: {}", spread(&event.instructions)),
            label,
            class: peers.class(&event.setting.system),
            value: event.instructions.median as f64,
            reach: Some(event.instructions.p99 as f64),
            budget: event.budget.map(|b| b as f64),
            number: number(event),
            ..Bar::default()
        })
        .collect();
    let (name, title) = rows.first().map_or(("", ""), |e| (&e.name, &e.title));
    titled(name, title, &labels.common, &bars, "instructions at EL2")
}

/// What an event costs; a zero says why.
fn number(event: &Event) -> String {
    let median = whole(event.instructions.median);
    match event.entries {
        0 => format!("{median}: the hardware does it"),
        _ => median,
    }
}

/// A picture of bars with its title, the row's name and what all bars have in common.
#[must_use]
pub fn titled(name: &str, title: &str, common: &str, bars: &[Bar], unit: &str) -> Element {
    let heading = if title.is_empty() { name } else { title };
    let below = match common {
        "" => name.to_string(),
        common => format!("{name} · {common}"),
    };
    figure(heading, &below, picture(heading, unit, bars))
}

/// Statistics as a sentence.
#[must_use]
pub fn spread(counts: &Counts) -> String {
    format!(
        "median {}, from {} to {}, 99th percentile {}, {} times",
        whole(counts.median),
        whole(counts.min),
        whole(counts.max),
        whole(counts.p99),
        whole(counts.count)
    )
}

const HEADS: [&str; 21] = [
    "event",
    "what happens",
    "system",
    "conditions",
    "FP",
    "times",
    "entries",
    "median",
    "min",
    "p99",
    "max",
    "budget",
    "masked",
    "code lines",
    "data lines",
    "ISB",
    "DSB",
    "TLBI",
    "MSR",
    "MRS",
    "ERET",
];

fn table(events: &[Event]) -> Vec<Vec<Cell>> {
    let row = |e: &Event| {
        let (n, o) = (&e.instructions, &e.operations);
        let mut row = vec![
            Cell::text(&e.name),
            Cell::text(&e.title),
            Cell::text(system(&e.setting.system)),
            Cell::text(condition(&e.setting)),
            Cell::text(&e.fp),
        ];
        row.extend([n.count, e.entries, n.median, n.min, n.p99, n.max].map(Cell::whole));
        row.push(Cell::maybe(e.budget, Cell::whole));
        let lines = (e.code_lines.median, e.data_lines.median);
        row.extend([e.masked, lines.0, lines.1].map(Cell::whole));
        row.extend([o.isb, o.dsb, o.tlbi, o.msr, o.mrs, o.eret].map(Cell::whole));
        row
    };
    events.iter().map(row).collect()
}

/// Cache lines of each event, code and data apart.
#[must_use]
pub fn lines(report: &Report, peers: &Peers) -> Element {
    let part = section(
        "lines",
        "Distinct cache lines of 64 bytes that EL2 touches in one event, as the median: what a cold cache has to fetch, \
         and what the guest loses from its own.",
    );
    let seen = |e: &&Event| e.code_lines.median.saturating_add(e.data_lines.median) != 0;
    let rows: Vec<&Event> = report.events.iter().filter(seen).collect();
    if rows.is_empty() {
        return part.child(nothing("No cache lines were counted"));
    }
    let legend = peers
        .legend(rows.iter().map(|e| e.setting.system.as_str()))
        .child(sign("swatch of-native", "", "full: code"))
        .child(sign("swatch pale of-native", "", "pale: data"))
        .child(sign("mark budget-mark", "", "budget, both together"));
    let figures = groups(&rows, |e| &e.name).into_iter().map(|(_, rows)| {
        let rows = rows.into_iter().copied().collect();
        lines_group(rows, peers)
    });
    let cells = |e: &&Event| {
        let mut row = vec![
            Cell::text(&e.name),
            Cell::text(system(&e.setting.system)),
            Cell::text(condition(&e.setting)),
        ];
        let (code, data) = (&e.code_lines, &e.data_lines);
        let counts = [code.median, data.median, code.median + data.median];
        row.extend(counts.map(Cell::whole));
        row.extend([code.max, data.max].map(Cell::whole));
        row.push(Cell::maybe(e.lines_budget, Cell::whole));
        row
    };
    let cells: Vec<Vec<Cell>> = rows.iter().map(cells).collect();
    let heads = [
        "event",
        "system",
        "conditions",
        "code",
        "data",
        "both",
        "code, max",
        "data, max",
        "budget",
    ];
    part.child(legend)
        .child(classed("div", "grid").children(figures))
        .child(folded("Cache lines", &heads, &cells))
}

fn lines_group(mut rows: Vec<&Event>, peers: &Peers) -> Element {
    rows.sort_by_key(|e| peers.order(&e.setting.system));
    let labels = labels(&rows);
    let bar = |(event, label): (&&Event, String)| {
        let (code, data) = (event.code_lines.median, event.data_lines.median);
        Bar {
            note: format!("{label}: {code} lines of code and {data} of data"),
            label,
            class: peers.class(&event.setting.system),
            value: (code + data) as f64,
            second: data as f64,
            budget: event.lines_budget.map(|b| b as f64),
            number: format!("{} = {} + {}", whole(code + data), whole(code), whole(data)),
            ..Bar::default()
        }
    };
    let bars: Vec<Bar> = rows.iter().zip(labels.each).map(bar).collect();
    let (name, title) = rows.first().map_or(("", ""), |e| (&e.name, &e.title));
    titled(name, title, &labels.common, &bars, "cache lines")
}
