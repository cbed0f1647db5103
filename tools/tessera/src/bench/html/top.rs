//! The top of the page: what was measured, where, with what, and how far it can be trusted.

use super::findings::Findings;
use super::label::TESSERA;
use super::markup::{Element, classed, element};
use super::number::{ratio, time, whole};
use super::section::PARTS;
use crate::bench::report::{Report, Run};

/// The top of the page.
#[must_use]
pub fn top(report: &Report, found: &Findings) -> Element {
    element("header")
        .child(element("h1").text("Tessera, measured"))
        .child(classed("p", "what").text(
            "What the kernel costs, how late it wakes a real-time guest, and what it takes from Linux: counted from outside, \
             beside the bare machine and other hypervisors.",
        ))
        .child(facts(&report.run))
        .child(caveat(&report.run))
        .child(tiles(report, found))
        .child(contents())
}

/// A value, or that it is not known.
fn known(text: &str) -> &str {
    match text {
        "" => "not known",
        text => text,
    }
}

fn facts(run: &Run) -> Element {
    let commit = match (run.commit.get(..12), run.modified) {
        (Some(short), false) => short.to_string(),
        (Some(short), true) => format!("{short}, with changes that are not in it"),
        (None, _) => known(&run.commit).to_string(),
    };
    let peers = match run.peers.is_empty() {
        true => "none".into(),
        false => run.peers.join(", "),
    };
    let extent = match run.quick {
        true => "--quick: fewer repetitions and a part of the rows",
        false => "full",
    };
    let facts = [
        ("Commit", commit.as_str(), run.commit.as_str()),
        ("Date", known(&run.date), ""),
        ("QEMU", known(&run.qemu), ""),
        ("Machine", known(&run.host), ""),
        ("Peers", &peers, ""),
        ("Extent", extent, ""),
    ];
    let fact = |(name, value, title): (&str, &str, &str)| {
        let value = element("dd").text(value);
        let value = match title {
            "" => value,
            title => value.with("title", title),
        };
        element("div").child(element("dt").text(name)).child(value)
    };
    classed("dl", "facts").children(facts.map(fact))
}

fn caveat(run: &Run) -> Element {
    let p = |text: &str| element("p").text(text);
    let mut box_ = classed("div", "caveat").with("role", "note").child(
        p("")
            .child(element("b").text("These are counts of instructions, not times of a board. "))
            .text(
                "QEMU's translator (TCG) executes them; it has no caches, no bus and no pipeline. One instruction is one virtual \
                 nanosecond, so a run repeats exactly and two systems can be compared; how long anything takes on silicon, this \
                 report does not say.",
            ),
    );
    if run.quick {
        box_ = box_.child(p("This was a quick run: look at it, do not cite it."));
    }
    if run.modified {
        box_ = box_.child(p(
            "Files differed from the commit: nobody else can repeat exactly this.",
        ));
    }
    box_
}

/// The few numbers that somebody in a hurry looks for.
fn tiles(report: &Report, found: &Findings) -> Element {
    let mut tiles: Vec<(String, String, &str, bool)> = Vec::new();
    if found.budgets != 0 {
        let kept = found.budgets - found.over.len();
        let figure = format!("{kept} of {}", found.budgets);
        tiles.push((
            figure,
            "budgets kept".into(),
            "#loses",
            !found.over.is_empty(),
        ));
    }
    if found.compared != 0 {
        let figure = format!(
            "{} of {}",
            found.compared - found.peers.len(),
            found.compared
        );
        let text = "comparisons with peers not lost".to_string();
        tiles.push((figure, text, "#loses", !found.peers.is_empty()));
    }
    let ours = || {
        report
            .latencies
            .iter()
            .filter(|l| l.setting.system == TESSERA)
    };
    if let Some(latest) = ours().max_by_key(|l| l.max) {
        let missed: u64 = ours().map(|l| l.missed).sum();
        let all: u64 = ours().map(|l| l.count).sum();
        let text = format!("deadlines missed in {} wake-ups", whole(all));
        tiles.push((whole(missed), text, "#latency", missed != 0));
        let text = format!("latest wake-up: {}", latest.situation);
        tiles.push((time(latest.max as f64), text, "#latency", false));
    }
    let work = report
        .workloads
        .iter()
        .filter(|w| w.setting.system == TESSERA);
    if let Some(most) = work.max_by(|a, b| a.ratio.total_cmp(&b.ratio)) {
        let text = format!("Linux's work at most, native = 1: {}", most.name);
        let over = most.budget.is_some_and(|b| most.ratio > b);
        tiles.push((ratio(most.ratio), text, "#work", over));
    }
    if !report.missing.is_empty() {
        let text = "asked for and missing".to_string();
        tiles.push((whole(report.missing.len() as u64), text, "#missing", true));
    }
    let tile = |(figure, text, to, bad): (String, String, &str, bool)| {
        let class = if bad { "tile attention" } else { "tile" };
        let tile = classed("a", class).with("href", to);
        tile.child(classed("span", "figure").text(figure))
            .child(classed("span", "of").text(text))
    };
    classed("div", "tiles").children(tiles.into_iter().map(tile))
}

fn contents() -> Element {
    let entry = |(id, heading): (&str, &str)| {
        let link = element("a").with("href", format!("#{id}")).text(heading);
        element("li").child(link)
    };
    element("nav")
        .with("aria-label", "Contents")
        .child(element("ul").children(PARTS.map(entry)))
}
