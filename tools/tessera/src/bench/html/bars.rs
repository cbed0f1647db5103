//! A picture of bars: one for each row, with its number beside it and a mark for its budget.

use super::markup::{Element, classed, element};
use super::number;
use super::scale::Scale;

/// A bar.
#[derive(Clone, Debug, Default)]
pub struct Bar {
    /// What stands before it.
    pub label: String,
    /// The class that gives it its colour.
    pub class: String,
    /// How long it is.
    pub value: f64,
    /// Of these, how many are its second, paler part; 0 for none.
    pub second: f64,
    /// Where the thin line ends that shows how far single values go.
    pub reach: Option<f64>,
    /// What it may be.
    pub budget: Option<f64>,
    /// Its number, as it is shown.
    pub number: String,
    /// What a pointer that rests on it shows.
    pub note: String,
}

impl Bar {
    /// Whether it is longer than it may be.
    #[must_use]
    pub fn over(&self) -> bool {
        self.budget.is_some_and(|budget| self.value > budget)
    }

    /// What stands behind it.
    fn verdict(&self) -> String {
        match self.budget {
            Some(budget) if self.over() => format!("▲ over budget {}", number::measured(budget)),
            Some(budget) => format!("budget {}", number::measured(budget)),
            None => String::new(),
        }
    }

    /// The values that its axis must hold.
    fn values(&self) -> impl Iterator<Item = f64> {
        [Some(self.value), self.reach, self.budget]
            .into_iter()
            .flatten()
    }
}

const WIDTH: f64 = 560.0;
const ROW: f64 = 26.0;
const BAR: f64 = 14.0;
const TOP: f64 = 4.0;
/// Width of a character, on average, in the pictures' type.
const LETTER: f64 = 6.5;

/// The picture of some bars. `unit` names what the axis counts.
#[must_use]
pub fn picture(title: &str, unit: &str, bars: &[Bar]) -> Element {
    let longest = |text: &dyn Fn(&Bar) -> usize| bars.iter().map(text).max().unwrap_or(0) as f64;
    let labels = (longest(&|b| b.label.chars().count()) * LETTER).clamp(60.0, 220.0);
    let behind = longest(&|b| b.number.chars().count() + b.verdict().chars().count() + 1) * LETTER;
    let places = (labels + 10.0, (WIDTH - behind - 12.0).max(labels + 110.0));
    let values: Vec<f64> = bars.iter().flat_map(Bar::values).collect();
    let scale = Scale::fitting(values.iter().copied(), places);
    let bottom = TOP + ROW * bars.len() as f64;
    let spoken: Vec<String> = bars.iter().map(spoken).collect();
    let frame = classed("svg", "picture")
        .with("viewBox", format!("0 0 {WIDTH} {}", bottom + 30.0))
        .with("role", "img")
        .with("aria-label", format!("{title}. {}", spoken.join("; ")))
        .child(axis(&scale, unit, (TOP, bottom)));
    let row = |(i, bar)| row(bar, TOP + ROW * i as f64 + ROW / 2.0, &scale);
    frame.children(bars.iter().enumerate().map(row))
}

/// A bar in words.
fn spoken(bar: &Bar) -> String {
    let verdict = bar.verdict();
    let verdict = verdict.trim_start_matches("▲ ");
    match verdict {
        "" => format!("{}: {}", bar.label, bar.number),
        _ => format!("{}: {}, {verdict}", bar.label, bar.number),
    }
}

/// The axis below a picture, with its lines through the picture.
#[must_use]
pub fn axis(scale: &Scale, unit: &str, (top, bottom): (f64, f64)) -> Element {
    let (from, to) = scale.places;
    let mut axis = classed("g", "axis").with("aria-hidden", "true");
    let apart = if scale.log { 36.0 } else { 60.0 };
    let text = |x: f64, y: f64| {
        let text = element("text").at("x", x).at("y", y);
        text.with("text-anchor", "middle")
    };
    for mark in scale.marks(((to - from) / apart) as usize) {
        let x = scale.at(mark);
        let line = element("line").at("x1", x).at("x2", x);
        axis = axis
            .child(line.at("y1", top).at("y2", bottom))
            .child(text(x, bottom + 12.0).text(number::short(mark)));
    }
    let kind = if scale.log { "logarithmic" } else { "" };
    let mut words = vec![unit, kind];
    words.retain(|w| !w.is_empty());
    axis.child(text((from + to) / 2.0, bottom + 25.0).text(words.join(", ")))
}

fn row(bar: &Bar, middle: f64, scale: &Scale) -> Element {
    let (start, end) = (scale.places.0, scale.at(bar.value));
    let cut = scale.at(bar.value - bar.second);
    let rect = |class: String, from: f64, to: f64| {
        classed("rect", class)
            .at("x", from)
            .at("y", middle - BAR / 2.0)
            .at("width", (to - from).max(0.0))
            .at("height", BAR)
    };
    let line = |class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)| {
        let line = classed("line", class).at("x1", x1).at("y1", y1);
        line.at("x2", x2).at("y2", y2)
    };
    let mut row = element("g").child(element("title").text(&bar.note)).child(
        classed("text", "label")
            .at("x", start - 8.0)
            .at("y", middle + 4.0)
            .with("text-anchor", "end")
            .text(&bar.label),
    );
    row = row.child(rect(format!("bar {}", bar.class), start, cut));
    if bar.second > 0.0 {
        row = row.child(rect(format!("bar pale {}", bar.class), cut, end));
    }
    let mut last = end;
    if let Some(reach) = bar.reach.map(|r| scale.at(r)).filter(|r| *r > end + 1.0) {
        row = row
            .child(line("reach", (end, middle), (reach, middle)))
            .child(line("reach", (reach, middle - 3.0), (reach, middle + 3.0)));
        last = reach;
    }
    if let Some(budget) = bar.budget.map(|b| scale.at(b)) {
        let (up, down) = (middle - BAR / 2.0 - 4.0, middle + BAR / 2.0 + 4.0);
        row = row.child(line("budget", (budget, up), (budget, down)));
        last = last.max(budget);
    }
    let verdict = bar.verdict();
    let mut number = classed("text", "label")
        .at("x", last + 7.0)
        .at("y", middle + 4.0)
        .child(classed("tspan", "number").text(&bar.number));
    if !verdict.is_empty() {
        let class = if bar.over() { "bad" } else { "aside" };
        number = number.child(classed("tspan", class).with("dx", 6).text(verdict));
    }
    row.child(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(value: f64, budget: Option<f64>) -> Bar {
        Bar {
            label: "Tessera".into(),
            value,
            budget,
            number: number::measured(value),
            ..Bar::default()
        }
    }

    #[test]
    fn a_bar_has_its_number_and_its_budget() {
        let text = picture("t", "instructions", &[bar(96.0, Some(120.0))]).to_string();
        assert!(text.contains(">96</tspan>"), "{text}");
        assert!(text.contains(">budget 120</tspan>"), "{text}");
        assert!(text.contains("class=\"budget\""), "{text}");
        assert!(!text.contains("logarithmic"), "{text}");
    }

    #[test]
    fn one_over_its_budget_says_so_in_words() {
        let text = picture("t", "instructions", &[bar(141.0, Some(120.0))]).to_string();
        assert!(text.contains("over budget 120</tspan>"), "{text}");
        assert!(
            !bar(120.0, Some(120.0)).over(),
            "the budget is the most that it may be"
        );
    }

    #[test]
    fn a_logarithmic_axis_is_named() {
        let bars = [bar(10.0, None), bar(7000.0, None)];
        let text = picture("t", "instructions", &bars).to_string();
        assert!(text.contains("instructions, logarithmic"), "{text}");
    }
}
