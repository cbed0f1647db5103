//! How late the real-time guest is woken: one picture for each situation, all on the same axis.

use super::bars::axis;
use super::label::{Labels, Peers, condition, groups, system};
use super::markup::{Element, classed, element};
use super::number::{time, whole};
use super::scale::Scale;
use super::section::{figure, nothing, section, sign};
use super::table::{Cell, folded, table};
use crate::bench::report::{Latency, Report};

/// The part of the page.
#[must_use]
pub fn latency(report: &Report, peers: &Peers) -> Element {
    let part = section(
        "latency",
        "Virtual time from the programmed deadline of a timer to the first instruction of the guest's handler, of every single \
         wake-up. Both axes are logarithmic, so that one late wake-up in a million is seen. All pictures have the same axis.",
    );
    let rows: Vec<&Latency> = report.latencies.iter().collect();
    let Some(scale) = scale(&rows) else {
        return part.child(nothing("No wake-ups were measured"));
    };
    let legend = peers
        .legend(rows.iter().map(|l| l.setting.system.as_str()))
        .child(sign("glyph", "┃", "median"))
        .child(sign("glyph", "◇", "99 %"))
        .child(sign("glyph", "△", "99.9 %"))
        .child(sign("glyph", "●", "latest"));
    let groups = groups(&report.latencies, |l| &l.situation);
    let figures = groups
        .into_iter()
        .map(|(name, rows)| situation(name, rows, peers, scale));
    part.child(legend)
        .child(classed("div", "grid").children(figures))
        .child(folded(
            "How late the real-time guest is woken",
            &HEADS,
            &rows.iter().map(|l| cells(l)).collect::<Vec<_>>(),
        ))
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 150.0;
const STRIP: f64 = 22.0;
/// Where the plots begin; their labels are before.
const LEFT: f64 = 150.0;
/// Where they end; the latest's number is behind.
const RIGHT: f64 = 480.0;

/// The axis of all pictures; none if nothing was measured.
fn scale(rows: &[&Latency]) -> Option<Scale> {
    let least = rows.iter().map(|l| l.min.max(1)).min()? as f64;
    let most = rows.iter().map(|l| l.max.max(2)).max()? as f64;
    Some(Scale {
        log: true,
        values: (least * 0.85, most * 1.2),
        places: (LEFT, RIGHT),
    })
}

fn situation(name: &str, mut rows: Vec<&Latency>, peers: &Peers, scale: Scale) -> Element {
    rows.sort_by_key(|l| peers.order(&l.setting.system));
    let labels = Labels::of(rows.iter().map(|l| (&l.setting, "")));
    let rows: Vec<(&Latency, String)> = rows.into_iter().zip(labels.each).collect();
    let heads = [
        "who", "wake-ups", "missed", "median", "99 %", "99.9 %", "latest",
    ];
    let short: Vec<Vec<Cell>> = rows.iter().map(|(l, label)| numbers(l, label)).collect();
    figure(name, &labels.common, picture(name, &rows, peers, scale))
        .child(table(&format!("How late, {name}"), &heads, &short))
        .children(rows.iter().filter_map(|(l, label)| cause(l, label)))
}

/// What made the longest stretch with interrupts masked, in words.
fn cause(latency: &Latency, label: &str) -> Option<Element> {
    let stretch = latency.masked.as_ref()?;
    let instructions = whole(stretch.instructions);
    let p = classed("p", "cause")
        .child(element("b").text(label))
        .text(format!(
            ": longest stretch with interrupts masked {instructions} instructions"
        ));
    let p = match latency.masked_budget {
        Some(budget) if stretch.instructions > budget => {
            p.child(classed("span", "bad").text(format!(" ▲ over budget {}", whole(budget))))
        }
        Some(budget) => p.text(format!(", budget {}", whole(budget))),
        None => p,
    };
    Some(match stretch.path.as_str() {
        "" => p.text("."),
        path => p.text(": ").child(element("code").text(path)),
    })
}

fn numbers(l: &Latency, label: &str) -> Vec<Cell> {
    let ns = |value: u64| Cell::Number(value as f64, time(value as f64));
    let mut row = vec![Cell::text(label), Cell::whole(l.count)];
    row.push(match l.missed {
        0 => Cell::whole(0),
        n => Cell::Bad(n as f64, format!("▲ {}", whole(n))),
    });
    row.extend([l.p50, l.p99, l.p999, l.max].map(ns));
    row
}

const HEADS: [&str; 13] = [
    "situation",
    "system",
    "conditions",
    "wake-ups",
    "missed",
    "min, ns",
    "p50, ns",
    "p99, ns",
    "p99.9, ns",
    "max, ns",
    "masked, instructions",
    "budget",
    "path",
];

fn cells(l: &Latency) -> Vec<Cell> {
    let mut row = vec![
        Cell::text(&l.situation),
        Cell::text(system(&l.setting.system)),
        Cell::text(condition(&l.setting)),
    ];
    row.extend([l.count, l.missed, l.min, l.p50, l.p99, l.p999, l.max].map(Cell::whole));
    row.push(Cell::maybe(l.masked.as_ref(), |m| {
        Cell::whole(m.instructions)
    }));
    row.push(Cell::maybe(l.masked_budget, Cell::whole));
    row.push(Cell::maybe(l.masked.as_ref(), |m| Cell::text(&m.path)));
    row
}

/// The histograms over each other, and below them a strip for each with its marks.
fn picture(name: &str, rows: &[(&Latency, String)], peers: &Peers, scale: Scale) -> Element {
    let most = rows.iter().map(|(l, _)| l.count).max().unwrap_or(1).max(10) as f64;
    let shares = Scale {
        log: true,
        values: (10f64.powf((0.9 / most).log10().floor()), 1.0),
        places: (HEIGHT, 8.0),
    };
    let bottom = HEIGHT + 8.0 + STRIP * rows.len() as f64;
    let said = rows.iter().map(|(l, label)| {
        let [p50, p99, p999, max] = [l.p50, l.p99, l.p999, l.max].map(|n| time(n as f64));
        format!(
            "{label}: median {p50}, 99 % {p99}, 99.9 % {p999}, latest {max}, {} missed",
            l.missed
        )
    });
    let said: Vec<String> = said.collect();
    let frame = classed("svg", "picture")
        .with("viewBox", format!("0 0 {WIDTH} {}", bottom + 30.0))
        .with("role", "img")
        .with("aria-label", format!("{name}. {}", said.join("; ")))
        .child(axis(&scale, "virtual nanoseconds", (8.0, bottom)))
        .child(share_axis(&shares));
    let curves = rows.iter().enumerate();
    let curves =
        curves.map(|(i, (l, _))| curve(l, &peers.class(&l.setting.system), i, &scale, &shares));
    let strips = rows.iter().enumerate().map(|(i, (l, label))| {
        let middle = HEIGHT + 8.0 + STRIP * (i as f64 + 0.5);
        strip(l, label, &peers.class(&l.setting.system), middle, &scale)
    });
    frame.children(curves).children(strips)
}

fn share_axis(shares: &Scale) -> Element {
    let mut group = classed("g", "axis").with("aria-hidden", "true");
    for mark in shares.marks(5) {
        let y = shares.at(mark);
        let percent = format!("{} %", super::number::trimmed(mark * 100.0, 6));
        let line = element("line").at("x1", LEFT).at("x2", RIGHT);
        let text = element("text").at("x", LEFT - 6.0).at("y", y + 3.5);
        group = group
            .child(line.at("y1", y).at("y2", y))
            .child(text.with("text-anchor", "end").text(percent));
    }
    let title = element("text").at("x", 0.0).at("y", HEIGHT / 2.0 - 4.0);
    let more = element("text").at("x", 0.0).at("y", HEIGHT / 2.0 + 9.0);
    group
        .child(title.text("share of"))
        .child(more.text("wake-ups"))
}

/// Columns of a histogram in a factor of ten.
const COLUMNS: f64 = 24.0;

/// The outline of a histogram. Buckets are put together to columns of the same width on the axis.
fn curve(l: &Latency, class: &str, index: usize, scale: &Scale, shares: &Scale) -> Element {
    let (from, to) = scale.values;
    let columns = ((to / from).log10() * COLUMNS).ceil() as usize;
    let edge = |column: usize| from * 10f64.powf(column as f64 / COLUMNS);
    let mut counts = vec![0u64; columns];
    for [least, most, count] in &l.buckets {
        let middle = (*least as f64 + *most as f64) / 2.0;
        let column = ((middle.max(from) / from).log10() * COLUMNS) as usize;
        if let Some(sum) = counts.get_mut(column.min(columns.saturating_sub(1))) {
            *sum = sum.saturating_add(*count);
        }
    }
    let all = counts.iter().map(|n| *n as f64).sum::<f64>().max(1.0);
    let ground = shares.places.0;
    let mut path = String::new();
    let mut high = false;
    for (column, count) in counts.iter().enumerate() {
        let (x, next) = (scale.at(edge(column)), scale.at(edge(column + 1)));
        if *count == 0 {
            if high {
                path += &format!("V{ground:.1}");
            }
            high = false;
            continue;
        }
        let y = shares.at(*count as f64 / all);
        if !high {
            path += &format!("M{x:.1} {ground:.1}");
        }
        path += &format!("V{y:.1}H{next:.1}");
        high = true;
    }
    if high {
        path += &format!("V{ground:.1}");
    }
    classed("path", format!("curve dash{} {class}", index % 4)).with("d", path)
}

/// One line with the marks of a histogram.
fn strip(l: &Latency, label: &str, class: &str, y: f64, scale: &Scale) -> Element {
    let x = |ns: u64| scale.at(ns as f64);
    let text = |anchor: &str, at: f64| {
        let text = classed("text", "label").at("x", at).at("y", y + 4.0);
        text.with("text-anchor", anchor)
    };
    let line = |x1: f64, x2: f64, y1: f64, y2: f64| {
        let line = element("line").at("x1", x1).at("x2", x2);
        line.at("y1", y1).at("y2", y2)
    };
    let shape = |points: [(f64, f64); 4], at: f64| {
        let points = points.map(|(dx, dy)| format!("{:.1},{:.1}", at + dx, y + dy));
        element("polygon").with("points", points.join(" "))
    };
    let diamond = [(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)];
    let triangle = [(0.0, -5.0), (5.0, 4.0), (-5.0, 4.0), (0.0, -5.0)];
    let latest = element("circle")
        .at("cx", x(l.max))
        .at("cy", y)
        .at("r", 4.0);
    let [p50, p99, p999] = [l.p50, l.p99, l.p999].map(x);
    let marks = classed("g", format!("marks {class}"))
        .child(line(x(l.min), x(l.max), y, y))
        .child(shape(triangle, p999))
        .child(shape(diamond, p99))
        .child(line(p50, p50, y - 7.0, y + 7.0).with("class", "median"))
        .child(latest);
    element("g")
        .child(text("end", LEFT - 8.0).text(label))
        .child(marks)
        .child(
            text("start", RIGHT + 8.0).child(classed("tspan", "number").text(time(l.max as f64))),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_is_in_the_outline() {
        let scale = Scale {
            log: true,
            values: (10.0, 1000.0),
            places: (0.0, 100.0),
        };
        let shares = Scale {
            log: true,
            values: (0.01, 1.0),
            places: (100.0, 0.0),
        };
        let latency = Latency {
            buckets: vec![[10, 10, 90], [99, 103, 10]],
            ..Latency::default()
        };
        let path = curve(&latency, "of-tessera", 0, &scale, &shares).to_string();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert!(path.contains("V50.0"), "a tenth is half-way: {path}");
        assert!(
            path.contains("V2.3"),
            "nine tenths are near the top: {path}"
        );
    }
}
