//! The report as a page: one file with everything in it, for a browser or a printer, with or without scripts.
//!
//! Pictures are SVG inside of the page; each has its numbers as a table below it and in words for those who hear the
//! page. Light or dark is the reader's choice. Nothing is loaded from anywhere.

mod bars;
mod events;
mod findings;
mod label;
mod latency;
mod loses;
mod markup;
mod number;
mod scale;
mod section;
mod sizes;
mod table;
mod timeline;
mod top;
mod views;
mod workloads;

use super::report::Report;
use findings::Findings;
use label::Peers;
use markup::{Element, element};

/// The page of a report.
#[must_use]
pub fn html(report: &Report) -> String {
    let page = element("html")
        .with("lang", "en")
        .child(head(report))
        .child(body(report));
    format!("<!DOCTYPE html>\n{page}\n")
}

fn head(report: &Report) -> Element {
    let title = match report.run.date.as_str() {
        "" => "Tessera, measured".into(),
        date => format!("Tessera, measured {date}"),
    };
    let meta = |name, content| element("meta").with("name", name).with("content", content);
    element("head")
        .child(element("meta").with("charset", "utf-8"))
        .child(meta("viewport", "width=device-width, initial-scale=1"))
        .child(meta("color-scheme", "light dark"))
        .child(element("title").text(title))
        .child(element("style").code(include_str!("page.css")))
}

fn body(report: &Report) -> Element {
    let peers = Peers::of(report);
    let found = Findings::of(report);
    let parts = [
        events::events(report, &peers),
        views::views(report, &peers),
        latency::latency(report, &peers),
        workloads::workloads(report, &peers),
        events::lines(report, &peers),
        sizes::sizes(report, &peers),
        timeline::timelines(report),
        loses::loses(&found),
        loses::missing(report),
    ];
    element("body")
        .child(top::top(report, &found))
        .child(element("main").children(parts))
        .child(element("footer").child(element("p").text(format!(
            "Made by cargo tessera bench from its JSON, format {}; the JSON has every number of this page.",
            report.format
        ))))
        .child(element("script").code(include_str!("page.js")))
}
