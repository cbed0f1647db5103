//! Linux's work: a dot for each seed, 1 being the same work without a hypervisor.

use super::bars::axis;
use super::label::{Labels, NATIVE, Peers, condition, groups, system};
use super::markup::{Element, classed, element};
use super::number::{ratio, trimmed, whole};
use super::scale::Scale;
use super::section::{figure, nothing, section, sign};
use super::table::{Cell, folded};
use crate::bench::report::{Report, Workload};

/// The part of the page.
#[must_use]
pub fn workloads(report: &Report, peers: &Peers) -> Element {
    let part = section(
        "work",
        "All instructions of Linux's own that a piece of work takes, over those of the same work with the same seeds and no \
         hypervisor. What EL2 executes is not in it. A dot is a seed, the upright stroke their mean.",
    );
    if report.workloads.is_empty() {
        return part.child(nothing("No work of Linux was measured"));
    }
    let legend = peers
        .legend(report.workloads.iter().map(|w| w.setting.system.as_str()))
        .child(sign("mark budget-mark", "", "budget"));
    let groups = groups(&report.workloads, |w| (&w.name, &w.kernel));
    let figures = groups
        .into_iter()
        .map(|((name, kernel), rows)| group(name, kernel, rows, peers));
    let rows: Vec<Vec<Cell>> = report.workloads.iter().map(cells).collect();
    let heads = [
        "work",
        "kernel",
        "system",
        "conditions",
        "ratio",
        "budget",
        "instructions, by seed",
        "average, µs",
        "latest, µs",
    ];
    part.child(legend)
        .child(classed("div", "grid").children(figures))
        .child(folded("Linux's work", &heads, &rows))
}

fn cells(w: &Workload) -> Vec<Cell> {
    let by_seed: Vec<String> = w.instructions.iter().map(|n| whole(*n)).collect();
    let of = |i: usize| Cell::maybe(w.latency.map(|l| l[i]), Cell::measured);
    vec![
        Cell::text(&w.name),
        Cell::text(&w.kernel),
        Cell::text(system(&w.setting.system)),
        Cell::text(condition(&w.setting)),
        Cell::ratio(w.ratio),
        Cell::maybe(w.budget, Cell::ratio),
        Cell::text(by_seed.join("  ")),
        of(0),
        of(1),
    ]
}

/// What each seed's work is to the native work with the same seed; to the native mean, if that has other seeds.
fn dots(work: &Workload, group: &[&Workload]) -> Vec<f64> {
    let same =
        |w: &&&Workload| w.setting.gic == work.setting.gic && w.setting.cores == work.setting.cores;
    let native = || group.iter().filter(|w| w.setting.system == NATIVE);
    let Some(native) = native().find(same).or_else(|| native().next()) else {
        return Vec::new();
    };
    let base = &native.instructions;
    let mean = base.iter().map(|n| *n as f64).sum::<f64>() / base.len().max(1) as f64;
    let pairs = work.instructions.iter().enumerate();
    let over = |(i, n): (usize, &u64)| match base.get(i) {
        Some(base_n) if base.len() == work.instructions.len() => *n as f64 / *base_n as f64,
        _ => *n as f64 / mean,
    };
    pairs.map(over).filter(|r| r.is_finite()).collect()
}

const WIDTH: f64 = 560.0;
const ROW: f64 = 26.0;
const TOP: f64 = 6.0;

fn group(name: &str, kernel: &str, mut rows: Vec<&Workload>, peers: &Peers) -> Element {
    rows.sort_by_key(|w| peers.order(&w.setting.system));
    let labels = Labels::of(rows.iter().map(|w| (&w.setting, "")));
    let all: Vec<Vec<f64>> = rows.iter().map(|w| dots(w, &rows)).collect();
    let seen = rows.iter().zip(&all);
    let seen = seen.flat_map(|(w, dots)| dots.iter().copied().chain([w.ratio]).chain(w.budget));
    let seen: Vec<f64> = seen.chain([1.0]).filter(|v| v.is_finite()).collect();
    let least = seen.iter().copied().fold(f64::INFINITY, f64::min);
    let most = seen.iter().copied().fold(0.0, f64::max);
    let spare = ((most - least) * 0.06).max(0.0005);
    let scale = Scale::linear((least - spare, most + spare), (150.0, 400.0));
    let bottom = TOP + ROW * rows.len() as f64;
    let said = rows.iter().zip(&labels.each);
    let said: Vec<String> = said
        .map(|(w, label)| format!("{label}: {}", ratio(w.ratio)))
        .collect();
    let lateness: Vec<Element> = rows
        .iter()
        .zip(&labels.each)
        .filter_map(|(w, label)| {
            let [average, latest] = w.latency?.map(|us| trimmed(us, 1));
            let said = format!(": late by {average} µs on average, {latest} µs at most (virtual)");
            Some(
                classed("p", "cause")
                    .child(element("b").text(label))
                    .text(said),
            )
        })
        .collect();
    let one = scale.at(1.0);
    let picture = classed("svg", "picture")
        .with("viewBox", format!("0 0 {WIDTH} {}", bottom + 30.0))
        .with("role", "img")
        .with("aria-label", format!("{name}. {}", said.join("; ")))
        .child(axis(&scale, "instructions, native = 1", (TOP, bottom)))
        .child(upright("one", one, (TOP, bottom)));
    let rows = rows.iter().zip(&all).zip(&labels.each).enumerate();
    let rows = rows.map(|(i, ((work, dots), label))| {
        let middle = TOP + ROW * (i as f64 + 0.5);
        row(
            work,
            dots,
            label,
            &peers.class(&work.setting.system),
            middle,
            &scale,
        )
    });
    let below = match (kernel, labels.common.as_str()) {
        (kernel, "") => kernel.to_string(),
        ("", common) => common.to_string(),
        (kernel, common) => format!("{kernel} · {common}"),
    };
    figure(name, &below, picture.children(rows)).children(lateness)
}

fn upright(class: &str, x: f64, (top, bottom): (f64, f64)) -> Element {
    let line = classed("line", class).at("x1", x).at("x2", x);
    line.at("y1", top).at("y2", bottom)
}

fn row(
    work: &Workload,
    dots: &[f64],
    label: &str,
    class: &str,
    middle: f64,
    scale: &Scale,
) -> Element {
    let text = |x: f64| classed("text", "label").at("x", x).at("y", middle + 4.0);
    let dot = |(seed, over): (usize, &f64)| {
        let instructions = work.instructions.get(seed).copied().unwrap_or(0);
        element("circle")
            .at("cx", scale.at(*over))
            .at("cy", middle)
            .at("r", 4.0)
            .child(element("title").text(format!(
                "{label}, seed {}: {} instructions, {}",
                seed + 1,
                whole(instructions),
                ratio(*over)
            )))
    };
    let over = work.budget.is_some_and(|budget| work.ratio > budget);
    let mut row = element("g")
        .child(text(142.0).with("text-anchor", "end").text(label))
        .child(classed("g", format!("dots {class}")).children(dots.iter().enumerate().map(dot)))
        .child(upright(
            "mean",
            scale.at(work.ratio),
            (middle - 8.0, middle + 8.0),
        ));
    let mut number = text(410.0).child(classed("tspan", "number").text(ratio(work.ratio)));
    if let Some(budget) = work.budget {
        row = row.child(upright(
            "budget",
            scale.at(budget),
            (middle - 11.0, middle + 11.0),
        ));
        let (class, word) = if over {
            ("bad", "▲ over ")
        } else {
            ("aside", "budget ")
        };
        number = number.child(
            classed("tspan", class)
                .with("dx", 6)
                .text(format!("{word}{}", trimmed(budget, 4))),
        );
    }
    row.child(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(system: &str, instructions: &[u64]) -> Workload {
        let mut work = Workload {
            instructions: instructions.to_vec(),
            ..Workload::default()
        };
        work.setting.system = system.into();
        work
    }

    #[test]
    fn a_dot_compares_the_same_seed() {
        let native = work(NATIVE, &[100, 200]);
        let ours = work("tessera", &[110, 210]);
        assert_eq!(dots(&ours, &[&native, &ours]), [1.1, 1.05]);
        let one = work("xen", &[165]);
        assert_eq!(
            dots(&one, &[&native, &one]),
            [1.1],
            "with other seeds, the mean"
        );
        assert_eq!(dots(&ours, &[&ours]), [0.0; 0]);
    }
}
