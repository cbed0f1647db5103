//! Two reports, number by number: what differs. Two runs of one commit give the same, to the instruction.
//!
//! All that a report has is compared but the day and the machine it was made on. Rows are found by
//! what they are - name, kernel, setting - so that a row that only one report has does not move the others.

use crate::bench::report::{Report, Setting};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is of the host and of no measurement.
const OF_THE_HOST: [&str; 2] = ["date", "host"];
/// What names a row: the first of these that it has.
const NAMES: [&str; 4] = ["name", "situation", "title", "what"];

/// Everything that differs, a line each: where it is, and both values.
#[must_use]
pub fn differences(first: &Report, second: &Report) -> Vec<String> {
    let mut found = Vec::new();
    match (value(first), value(second)) {
        (Some(first), Some(second)) => walk("", &first, &second, &mut found),
        // Its types can all be written; a comparison that was not made must not look like none.
        _ => found.push("a report cannot be written as JSON".into()),
    }
    found
}

fn value(report: &Report) -> Option<Value> {
    let mut value = serde_json::to_value(report).ok()?;
    let run = value.get_mut("run")?.as_object_mut()?;
    for key in OF_THE_HOST {
        run.remove(key);
    }
    Some(value)
}

fn walk(at: &str, first: &Value, second: &Value, found: &mut Vec<String>) {
    match (first, second) {
        (Value::Object(a), Value::Object(b)) => members(at, fields(a), fields(b), found),
        (Value::Array(a), Value::Array(b)) => members(at, rows(a), rows(b), found),
        _ if first == second => {}
        _ => found.push(format!("{at}: {first}, then {second}")),
    }
}

/// Members in their order, each with what it is called.
type Members<'a> = Vec<(String, &'a Value)>;

fn members(at: &str, first: Members<'_>, second: Members<'_>, found: &mut Vec<String>) {
    let inside = |name: &str| match at {
        "" => name.to_string(),
        _ => format!("{at}: {name}"),
    };
    let others: BTreeMap<&str, &Value> = second.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    for (name, value) in &first {
        match others.get(name.as_str()) {
            Some(other) => walk(&inside(name), value, other, found),
            None => found.push(format!("{}: only in the first", inside(name))),
        }
    }
    let known = |name: &str| first.iter().any(|(n, _)| n == name);
    let new = second.iter().filter(|(name, _)| !known(name));
    found.extend(new.map(|(name, _)| format!("{}: only in the second", inside(name))));
}

fn fields(object: &Map<String, Value>) -> Members<'_> {
    object.iter().map(|(k, v)| (k.clone(), v)).collect()
}

/// The elements of an array, by what they are; equals, and what has no name, by their places too.
fn rows(array: &[Value]) -> Members<'_> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let name = |value| {
        let label = label(value).unwrap_or_default();
        let place = seen.entry(label.clone()).or_default();
        *place += 1;
        match (label.as_str(), *place) {
            ("", place) => format!("[{}]", place - 1),
            (_, 1) => label,
            (_, place) => format!("{label} [{}]", place - 1),
        }
    };
    array.iter().map(name).zip(array).collect()
}

/// What a row is: its names and its setting.
fn label(value: &Value) -> Option<String> {
    let row = value.as_object()?;
    let text = |key: &str| row.get(key).and_then(Value::as_str);
    let name = NAMES.iter().find_map(|key| text(key));
    let words: Vec<&str> = name.into_iter().chain(text("kernel")).collect();
    let setting = row.get("setting").cloned();
    let setting: Option<Setting> = setting.and_then(|s| serde_json::from_value(s).ok());
    let words = words.join(", ");
    Some(match setting {
        Some(setting) => format!("{words} ({setting})"),
        None => words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{Event, Missing, Run, Workload};

    fn setting() -> Setting {
        Setting {
            system: "xen".into(),
            gic: 3,
            policy: "pinned".into(),
            cores: 1,
        }
    }

    fn report() -> Report {
        let event = |name: &str| Event {
            name: name.into(),
            setting: setting(),
            ..Event::default()
        };
        Report {
            run: Run {
                date: "2025-01-01".into(),
                ..Run::default()
            },
            events: vec![event("interrupt"), event("eoi")],
            workloads: vec![Workload {
                name: "boot".into(),
                kernel: "debian".into(),
                setting: setting(),
                instructions: vec![7, 8],
                ..Workload::default()
            }],
            ..Report::default()
        }
    }

    #[test]
    fn the_same_numbers_on_another_day_and_machine_are_the_same() {
        let mut second = report();
        second.run.date = "2025-01-02".into();
        second.run.host = "another".into();
        assert_eq!(differences(&report(), &second), [""; 0]);
    }

    #[test]
    fn each_number_that_differs_is_named_with_its_row_and_both_values() {
        let mut second = report();
        second.events[1].instructions.p99 = 3;
        second.workloads[0].instructions[1] = 9;
        second.workloads[0].ratio = 1.5;
        assert_eq!(
            differences(&report(), &second),
            [
                "events: eoi (xen, pinned, GICv3, 1 core): instructions: p99: 0, then 3",
                "workloads: boot, debian (xen, pinned, GICv3, 1 core): instructions: [1]: 8, then 9",
                "workloads: boot, debian (xen, pinned, GICv3, 1 core): ratio: 0.0, then 1.5",
            ]
        );
    }

    #[test]
    fn a_row_of_one_report_only_is_named_and_moves_no_other() {
        let mut second = report();
        second.events.remove(0);
        second.missing.push(Missing::new("interrupt", "why"));
        assert_eq!(
            differences(&report(), &second),
            [
                "events: interrupt (xen, pinned, GICv3, 1 core): only in the first",
                "missing: interrupt: only in the second",
            ]
        );
        let mut twice = report();
        let again = twice.events[0].clone();
        twice.events.push(again);
        assert_eq!(
            differences(&report(), &twice),
            ["events: interrupt (xen, pinned, GICv3, 1 core) [1]: only in the second"]
        );
    }

    #[test]
    fn another_commit_or_qemu_is_a_difference() {
        let mut second = report();
        second.run.qemu = "10.0.2".into();
        second.run.modified = true;
        let all = differences(&report(), &second);
        assert_eq!(
            all,
            [
                "run: modified: false, then true",
                "run: qemu: \"\", then \"10.0.2\""
            ]
        );
    }
}
