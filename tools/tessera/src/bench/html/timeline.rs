//! Who ran when on each core.

use super::bars::axis;
use super::label::{TESSERA, full};
use super::markup::{Element, classed, element};
use super::number::{trimmed, whole};
use super::scale::Scale;
use super::section::{figure, nothing, section};
use super::table::{Cell, folded, table};
use crate::bench::report::{Report, Span, Timeline};

/// The part of the page.
#[must_use]
pub fn timelines(report: &Report) -> Element {
    let part = section(
        "time",
        "A stretch of each core's time, to the instruction. What EL2 does stands out above and below; what is too short to \
         be seen is drawn as a hair line.",
    );
    if report
        .timelines
        .iter()
        .all(|t| t.cores.iter().all(Vec::is_empty))
    {
        return part.child(nothing("No time line was recorded"));
    }
    // (Somebody has one colour on the whole page.)
    let names = everybody(&report.timelines);
    part.children(report.timelines.iter().map(|t| one(t, &names)))
}

const WIDTH: f64 = 1140.0;
const LANE: f64 = 40.0;
const BLOCK: f64 = 24.0;
const EL2: f64 = 34.0;
const LEFT: f64 = 60.0;
/// Rows of the full table; the JSON has all.
const ROWS: usize = 400;

/// Everybody who ran, in the order in which they came.
fn everybody<'a>(timelines: impl IntoIterator<Item = &'a Timeline>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for span in timelines.into_iter().flat_map(|t| t.cores.iter().flatten()) {
        if !names.contains(&span.who.as_str()) {
            names.push(&span.who);
        }
    }
    names
}

/// The class that gives somebody a colour.
fn class(who: &str, names: &[&str]) -> String {
    let guests = names.iter().filter(|n| !["EL2", "idle"].contains(*n));
    match who {
        "EL2" => "who-el2".into(),
        "idle" => "who-idle".into(),
        who => {
            let index = guests.into_iter().position(|n| *n == who);
            format!("who{}", index.unwrap_or(0) % 4)
        }
    }
}

fn one(timeline: &Timeline, names: &[&str]) -> Element {
    let ends = timeline.cores.iter().flatten().map(|s| s.to);
    let starts = timeline.cores.iter().flatten().map(|s| s.from);
    let (from, to) = (starts.min().unwrap_or(0), ends.max().unwrap_or(1));
    let scale = Scale::linear((from as f64, to.max(from + 1) as f64), (LEFT, WIDTH - 10.0));
    let bottom = LANE * timeline.cores.len() as f64;
    let picture = classed("svg", "picture")
        .with("viewBox", format!("0 0 {WIDTH} {}", bottom + 30.0))
        .with("role", "img")
        .with(
            "aria-label",
            format!("{}: {}", timeline.title, said(timeline)),
        )
        .child(axis(&scale, "instructions", (0.0, bottom)));
    let lanes = timeline.cores.iter().enumerate();
    let lanes = lanes.map(|(core, spans)| lane(core, spans, names, &scale));
    let key = |who: &&str| {
        let class = class(who, names);
        element("li")
            .child(classed("span", format!("swatch {class}")))
            .text(who)
    };
    let below = match timeline.setting.system.as_str() {
        "" | TESSERA => super::label::condition(&timeline.setting),
        _ => full(&timeline.setting),
    };
    figure(&timeline.title, &below, picture.children(lanes))
        .with("class", "wide")
        .child(classed("ul", "legend").children(everybody([timeline]).iter().map(key)))
        .child(table(
            &format!("{}: who had how much", timeline.title),
            &SHARES,
            &shares(timeline),
        ))
        .child(folded(&timeline.title, &SPANS, &spans(timeline)))
}

fn lane(core: usize, spans: &[Span], names: &[&str], scale: &Scale) -> Element {
    let middle = LANE * (core as f64 + 0.5);
    let label = classed("text", "label")
        .at("x", LEFT - 8.0)
        .at("y", middle + 4.0)
        .with("text-anchor", "end")
        .text(format!("core {core}"));
    let mut lane = element("g").child(label);
    // At most one hair line of each for half a pixel, or a long recording would not be a picture any more.
    let mut drawn: Vec<Option<i64>> = vec![None; names.len()];
    for span in spans {
        let (x, end) = (scale.at(span.from as f64), scale.at(span.to as f64));
        let cell = (x * 2.0) as i64;
        let index = names.iter().position(|n| *n == span.who);
        let last = index.and_then(|i| drawn.get_mut(i));
        let known = last.is_some_and(|last| last.replace(cell) == Some(cell));
        if end - x < 0.5 && known {
            continue;
        }
        lane = lane.child(block(span, (x, end), middle, &class(&span.who, names)));
    }
    lane
}

fn block(span: &Span, (x, end): (f64, f64), middle: f64, class: &str) -> Element {
    let height = if span.who == "EL2" { EL2 } else { BLOCK };
    let note = format!(
        "{}: {} instructions, from {} to {}",
        span.who,
        whole(span.to.saturating_sub(span.from)),
        whole(span.from),
        whole(span.to)
    );
    let rect = classed("rect", class)
        .at("x", x)
        .at("y", middle - height / 2.0)
        .at("width", (end - x).max(0.6))
        .at("height", height)
        .child(element("title").text(note));
    let group = element("g").child(rect);
    if end - x < span.who.chars().count() as f64 * 7.0 + 8.0 {
        return group;
    }
    let text = classed("text", format!("inside {class}"))
        .at("x", (x + end) / 2.0)
        .at("y", middle + 4.0);
    group.child(text.with("text-anchor", "middle").text(&span.who))
}

const SHARES: [&str; 5] = ["core", "who", "instructions", "share, %", "stretches"];

/// For each core and everybody on it: instructions and stretches.
fn totals(timeline: &Timeline) -> Vec<(usize, &str, u64, usize)> {
    let names = everybody([timeline]);
    let mut totals = Vec::new();
    for (core, spans) in timeline.cores.iter().enumerate() {
        for who in &names {
            let own = spans.iter().filter(|s| s.who == *who);
            let sum = own.clone().map(|s| s.to.saturating_sub(s.from)).sum();
            totals.push((core, *who, sum, own.count()));
        }
    }
    totals.retain(|(_, _, _, stretches)| *stretches != 0);
    totals
}

fn share(timeline: &Timeline, core: usize, instructions: u64) -> f64 {
    let spans = timeline.cores.get(core).map_or(&[][..], Vec::as_slice);
    let all: u64 = spans.iter().map(|s| s.to.saturating_sub(s.from)).sum();
    100.0 * instructions as f64 / all.max(1) as f64
}

fn shares(timeline: &Timeline) -> Vec<Vec<Cell>> {
    let row = |(core, who, instructions, stretches): (usize, &str, u64, usize)| {
        let percent = share(timeline, core, instructions);
        vec![
            Cell::text(format!("core {core}")),
            Cell::text(who),
            Cell::whole(instructions),
            Cell::Number(percent, trimmed(percent, 2)),
            Cell::whole(stretches as u64),
        ]
    };
    totals(timeline).into_iter().map(row).collect()
}

fn said(timeline: &Timeline) -> String {
    let say = |(core, who, instructions, _): (usize, &str, u64, usize)| {
        let percent = trimmed(share(timeline, core, instructions), 1);
        format!("core {core}, {who} {percent} %")
    };
    let all: Vec<String> = totals(timeline).into_iter().map(say).collect();
    all.join("; ")
}

const SPANS: [&str; 5] = ["core", "who", "from", "to", "instructions"];

fn spans(timeline: &Timeline) -> Vec<Vec<Cell>> {
    let all = timeline.cores.iter().enumerate();
    let all = all.flat_map(|(core, spans)| spans.iter().map(move |s| (core, s)));
    let count = all.clone().count();
    let row = |(core, s): (usize, &Span)| {
        let mut row = vec![Cell::text(format!("core {core}")), Cell::text(&s.who)];
        row.extend([s.from, s.to, s.to.saturating_sub(s.from)].map(Cell::whole));
        row
    };
    let mut rows: Vec<Vec<Cell>> = all.take(ROWS).map(row).collect();
    if count > ROWS {
        let rest = format!("{} more are in the JSON", whole((count - ROWS) as u64));
        rows.push(vec![Cell::text("…"), Cell::text(rest)]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: u64, to: u64, who: &str) -> Span {
        let who = who.into();
        Span { from, to, who }
    }

    #[test]
    fn a_long_recording_stays_a_picture() {
        let many = |n: u64| span(n, n + 1, ["rt", "EL2"][n as usize % 2]);
        let timeline = Timeline {
            cores: vec![(0..100_000).map(many).collect()],
            ..Timeline::default()
        };
        let rects = one(&timeline, &["rt", "EL2"])
            .to_string()
            .matches("<rect")
            .count();
        assert!((1000..6000).contains(&rects), "{rects}");
    }

    #[test]
    fn shares_are_of_each_core() {
        let timeline = Timeline {
            cores: vec![
                vec![span(0, 75, "linux"), span(75, 100, "EL2")],
                vec![span(0, 100, "idle")],
            ],
            ..Timeline::default()
        };
        assert_eq!(
            said(&timeline),
            "core 0, linux 75 %; core 0, EL2 25 %; core 1, idle 100 %"
        );
    }
}
