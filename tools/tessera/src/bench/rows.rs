//! What the guest `bench` says of its rows (`guests/bench/README.md`, "Output").

use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A row that the guest has measured, or could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number, which its markers carry.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// What came out.
    pub outcome: Outcome,
}

/// What came out of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A loop: rounds, and nanoseconds of all together.
    Loop {
        /// Rounds.
        rounds: u64,
        /// Nanoseconds of all together.
        total: u64,
    },
    /// Samples, in nanoseconds.
    Samples {
        /// How many.
        count: u64,
        /// The median.
        p50: u64,
        /// The largest.
        max: u64,
    },
    /// So many storms, all in order.
    Kept(u64),
    /// The storm that was out of order, and its order.
    Broken(String),
    /// It was not measured: why.
    Not(String),
}

static ROW: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"bench: row (\d+) (\w+) (.*?)\s*$").ok());
static LOOP: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^loop (\d+) total (\d+) ns$").ok());
static SAMPLES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^samples (\d+) min \d+ p50 (\d+) p99 \d+ p999 \d+ max (\d+) ns$").ok()
});
static KEPT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^(\d+) kept$").ok());

/// All rows in a console's lines, by number.
#[must_use]
pub fn read(lines: &[String]) -> BTreeMap<u16, Row> {
    let rows = lines.iter().filter_map(|line| row(line));
    rows.map(|row| (row.number, row)).collect()
}

fn row(line: &str) -> Option<Row> {
    let found = ROW.as_ref()?.captures(line)?;
    let number = found[1].parse().ok()?;
    Some(Row {
        number,
        name: found[2].to_string(),
        outcome: outcome(&found[3]),
    })
}

fn outcome(text: &str) -> Outcome {
    let numbers = |regex: &LazyLock<Option<Regex>>| -> Option<Vec<u64>> {
        let found = regex.as_ref()?.captures(text)?;
        let all = found.iter().skip(1).flatten();
        all.map(|m| m.as_str().parse().ok()).collect()
    };
    if let Some([rounds, total]) = numbers(&LOOP).as_deref() {
        let (rounds, total) = (*rounds, *total);
        return Outcome::Loop { rounds, total };
    }
    if let Some([count, p50, max]) = numbers(&SAMPLES).as_deref() {
        let (count, p50, max) = (*count, *p50, *max);
        return Outcome::Samples { count, p50, max };
    }
    if let Some([count]) = numbers(&KEPT).as_deref() {
        return Outcome::Kept(*count);
    }
    if text.contains("broken at") {
        return Outcome::Broken(text.to_string());
    }
    Outcome::Not(text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_row_is_read() {
        let lines = [
            "[bench] bench: start, GICv3",
            "[bench] bench: row 3 psci_version loop 1000 total 41000 ns\r",
            "bench: row 20 timer samples 100 min 96 p50 128 p99 240 p999 400 max 912 ns",
            "bench: row 30 storm 20 kept",
            "bench: row 22 sgi_other not possible: the tree names one CPU",
        ];
        let rows = read(&lines.map(String::from));
        let outcomes: Vec<_> = rows
            .values()
            .map(|r| (r.number, r.outcome.clone()))
            .collect();
        assert_eq!(
            outcomes,
            [
                (
                    3,
                    Outcome::Loop {
                        rounds: 1000,
                        total: 41000
                    }
                ),
                (
                    20,
                    Outcome::Samples {
                        count: 100,
                        p50: 128,
                        max: 912
                    }
                ),
                (
                    22,
                    Outcome::Not("not possible: the tree names one CPU".into())
                ),
                (30, Outcome::Kept(20)),
            ]
        );
        assert_eq!(rows[&3].name, "psci_version");
    }

    #[test]
    fn a_storm_out_of_order_is_broken() {
        let line = "bench: row 30 storm broken at 0, order 3 1 2".to_string();
        let rows = read(&[line]);
        assert!(matches!(rows[&30].outcome, Outcome::Broken(_)));
    }
}
