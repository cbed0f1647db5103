//! The report: what was counted, as JSON. README.md documents the form.

use crate::arguments::Arguments;
use crate::counts::{Counts, MarkId, OperationId, Results, Stretch};
use crate::decode::Operation;
use crate::distribution::Distribution;
use crate::json::Json;
use crate::vectors::{Origin, Vector};
use std::collections::BTreeMap;

/// Changes when a reader of the old form could not read the new one.
const FORMAT: u64 = 1;
/// More different values than this are not listed.
const MOST_VALUES: usize = 256;

/// Instructions executed in 2 MiB of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Where it begins: a physical address, when the plugin could tell.
    pub address: u64,
    /// Instructions of the hypervisor.
    pub el2: u64,
    /// All others.
    pub other: u64,
}

/// Everything that goes into a report.
pub struct Counted<'a> {
    /// What was asked for.
    pub arguments: &'a Arguments,
    /// The version of QEMU's plugin interface.
    pub interface: u64,
    /// Cores of the machine.
    pub cores: u64,
    /// What all cores counted.
    pub results: &'a Results,
    /// What operations there are.
    pub operations: &'a [Operation],
    /// By place.
    pub pages: &'a [Page],
    /// The physical address of the hypervisor's first byte, when it was seen.
    pub physical: Option<u64>,
    /// Its vector tables, as linked.
    pub vectors: &'a [u64],
    /// Blocks of others' code seen at the hypervisor's virtual addresses.
    pub aliases: u64,
    /// Instructions translated of which QEMU could not say where they are in memory.
    pub nowhere: u64,
    /// Instructions beyond the pages there was room for.
    pub beyond: u64,
}

impl Counted<'_> {
    /// The report.
    pub fn json(&self) -> Json {
        let el2 = self.results.instructions;
        let other = self.pages.iter().map(|page| page.other).sum::<u64>() + self.beyond;
        Json::object([
            ("format", Json::Number(FORMAT)),
            (
                "qemu",
                Json::object([
                    ("plugin_interface", Json::Number(self.interface)),
                    ("cores", Json::Number(self.cores)),
                ]),
            ),
            (
                "instructions",
                Json::object([
                    ("total", Json::Number(el2 + other)),
                    ("el2", Json::Number(el2)),
                    ("other", Json::Number(other)),
                    ("other_beyond_pages", Json::Number(self.beyond)),
                ]),
            ),
            ("el2", self.el2()),
            ("pages", Json::Array(self.pages.iter().map(page).collect())),
        ])
    }

    fn el2(&self) -> Json {
        let Some(range) = &self.arguments.el2 else {
            return Json::Null;
        };
        let causes = &self.results.causes;
        // What runs before the first guest does is no latency of anyone's.
        let longest = causes
            .iter()
            .filter(|((origin, _), _)| *origin != Origin::Boot)
            .max_by_key(|(_, counts)| counts.longest.instructions);
        let longest = longest.map_or(Json::Null, |((origin, mark), counts)| {
            let mut stretch = self.stretch(&counts.longest);
            if let Json::Object(members) = &mut stretch {
                let cause = Json::Text(self.cause(*origin, *mark));
                members.insert(0, ("cause".into(), cause));
            }
            stretch
        });
        let mut operations = BTreeMap::new();
        for counts in causes.values() {
            for (operation, count) in &counts.operations {
                *operations.entry(*operation).or_default() += count;
            }
        }
        let causes = causes
            .iter()
            .map(|((origin, mark), counts)| self.counts(*origin, *mark, counts));
        Json::object([
            ("low", Json::address(range.start)),
            ("high", Json::address(range.end)),
            ("physical", self.physical.map_or(Json::Null, Json::address)),
            (
                "vectors",
                Json::Array(self.vectors.iter().copied().map(Json::address).collect()),
            ),
            ("nested", Json::Number(self.results.nested)),
            ("lost", Json::Number(self.results.lost)),
            ("unfinished", Json::Number(self.results.unfinished)),
            ("aliases", Json::Number(self.aliases)),
            ("nowhere", Json::Number(self.nowhere)),
            ("longest_masked", longest),
            ("classes", self.classes(&operations)),
            ("operations", self.operations(&operations)),
            ("causes", Json::Array(causes.collect())),
        ])
    }

    fn counts(&self, origin: Origin, mark: Option<MarkId>, counts: &Counts) -> Json {
        let mut members = vec![
            ("cause".to_owned(), Json::Text(self.cause(origin, mark))),
            ("vector".into(), Json::text(vector(origin))),
            (
                "mark".into(),
                mark.map_or(Json::Null, |mark| Json::Text(self.mark(mark))),
            ),
            ("instructions".into(), distribution(&counts.instructions)),
        ];
        if self.arguments.lines {
            for (name, lines) in [
                ("lines", &counts.lines),
                ("code_lines", &counts.code_lines),
                ("data_lines", &counts.data_lines),
            ] {
                members.push((name.into(), distribution(lines)));
            }
        }
        members.push(("longest_masked".into(), self.stretch(&counts.longest)));
        members.push(("classes".into(), self.classes(&counts.operations)));
        members.push(("operations".into(), self.operations(&counts.operations)));
        Json::Object(members)
    }

    fn stretch(&self, stretch: &Stretch) -> Json {
        let path = stretch.path.iter().map(|mark| Json::Text(self.mark(*mark)));
        Json::object([
            ("instructions", Json::Number(stretch.instructions)),
            ("from", Json::address(stretch.from)),
            ("to", Json::address(stretch.to)),
            ("path", Json::Array(path.collect())),
        ])
    }

    /// The vector and the mark: `sync/hvc`.
    fn cause(&self, origin: Origin, mark: Option<MarkId>) -> String {
        match mark {
            None => vector(origin).to_owned(),
            Some(mark) => format!("{}/{}", vector(origin), self.mark(mark)),
        }
    }

    fn mark(&self, mark: MarkId) -> String {
        let mark = self.arguments.marks.get(usize::from(mark));
        mark.map_or_else(String::new, |mark| mark.name.clone())
    }

    fn classes(&self, operations: &BTreeMap<OperationId, u64>) -> Json {
        let mut classes = BTreeMap::<_, u64>::new();
        for (operation, count) in operations {
            if let Some(operation) = self.operations.get(usize::from(*operation)) {
                *classes.entry(operation.class).or_default() += count;
            }
        }
        let members = classes
            .into_iter()
            .map(|(class, count)| (class.name().to_owned(), Json::Number(count)));
        Json::Object(members.collect())
    }

    fn operations(&self, operations: &BTreeMap<OperationId, u64>) -> Json {
        let mut members: Vec<_> = operations
            .iter()
            .filter_map(|(operation, count)| {
                let operation = self.operations.get(usize::from(*operation))?;
                Some((operation.name.clone(), Json::Number(*count)))
            })
            .collect();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        Json::Object(members)
    }
}

fn distribution(distribution: &Distribution) -> Json {
    let values = distribution.values();
    let values = if values.len() <= MOST_VALUES {
        let pairs = values
            .map(|(value, count)| Json::Array(vec![Json::Number(value), Json::Number(count)]));
        Json::Array(pairs.collect())
    } else {
        Json::Null
    };
    Json::object([
        ("count", Json::Number(distribution.count())),
        ("min", Json::Number(distribution.min())),
        ("median", Json::Number(distribution.permille(500))),
        ("p99", Json::Number(distribution.permille(990))),
        ("max", Json::Number(distribution.max())),
        ("total", Json::Number(distribution.total())),
        ("values", values),
    ])
}

fn page(page: &Page) -> Json {
    Json::object([
        ("address", Json::address(page.address)),
        ("el2", Json::Number(page.el2)),
        ("other", Json::Number(page.other)),
    ])
}

fn vector(origin: Origin) -> &'static str {
    match origin {
        Origin::Boot => "boot",
        Origin::Wake => "wake",
        Origin::Lower(Vector::Sync) => "sync",
        Origin::Lower(Vector::Irq) => "irq",
        Origin::Lower(Vector::Fiq) => "fiq",
        Origin::Lower(Vector::SError) => "serror",
        Origin::Lower32(Vector::Sync) => "sync32",
        Origin::Lower32(Vector::Irq) => "irq32",
        Origin::Lower32(Vector::Fiq) => "fiq32",
        Origin::Lower32(Vector::SError) => "serror32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Flow, counted};
    use crate::engine::{Core, Instruction};
    use crate::vectors::Entry;

    #[test]
    fn a_report_says_what_was_counted() {
        let words = [
            "el2=0x8000-0x9000",
            "vectors=0x8000",
            "mark=hvc:0x8800",
            "lines=on",
        ];
        let arguments = Arguments::parse(words, |_| unreachable!()).unwrap();
        let operations = [counted(0xD51C_2100).unwrap(), counted(0xD69F_03E0).unwrap()];
        let mut core = Core::new(true);
        let instruction = |address, entry, flow, mark, operation| Instruction {
            address,
            entry,
            flow,
            mark,
            operation,
            class: None,
        };
        let none = Entry::Not;
        core.execute(&instruction(
            0x8400,
            Entry::at(0x400),
            Flow::Plain,
            None,
            None,
        ));
        core.execute(&instruction(0x8800, none, Flow::Plain, Some(0), Some(0)));
        core.execute(&instruction(0x8804, none, Flow::Return, None, Some(1)));
        let results = core.results();
        let pages = [Page {
            address: 0x4000_0000,
            el2: 3,
            other: 40,
        }];
        let counted = Counted {
            arguments: &arguments,
            interface: 1,
            cores: 2,
            results: &results,
            operations: &operations,
            pages: &pages,
            physical: Some(0x4000_8000),
            vectors: &[0x8000],
            aliases: 0,
            nowhere: 0,
            beyond: 2,
        };
        let read: serde_json::Value = serde_json::from_str(&counted.json().write()).unwrap();
        assert_eq!(read["instructions"]["total"], 45);
        assert_eq!(read["instructions"]["other"], 42);
        let cause = &read["el2"]["causes"][0];
        assert_eq!(cause["cause"], "sync/hvc");
        assert_eq!(cause["instructions"]["median"], 3);
        assert_eq!(cause["instructions"]["values"], serde_json::json!([[3, 1]]));
        assert_eq!(cause["lines"]["max"], 2);
        assert_eq!(cause["code_lines"]["max"], 2);
        assert_eq!(cause["data_lines"]["max"], 0);
        assert_eq!(cause["operations"]["msr vttbr_el2"], 1);
        assert_eq!(cause["classes"]["eret"], 1);
        let longest = &read["el2"]["longest_masked"];
        assert_eq!(longest["cause"], "sync/hvc");
        assert_eq!(longest["from"], "0x8400");
        assert_eq!(read["el2"]["vectors"], serde_json::json!(["0x8000"]));
        assert_eq!(longest["path"], serde_json::json!(["hvc"]));
        assert_eq!(read["pages"][0]["other"], 40);
    }

    #[test]
    fn a_native_run_has_no_el2() {
        let arguments = Arguments::parse([], |_| unreachable!()).unwrap();
        let counted = Counted {
            arguments: &arguments,
            interface: 1,
            cores: 1,
            results: &Results::default(),
            operations: &[],
            pages: &[],
            physical: None,
            vectors: &[],
            aliases: 0,
            nowhere: 0,
            beyond: 0,
        };
        let read: serde_json::Value = serde_json::from_str(&counted.json().write()).unwrap();
        assert!(read["el2"].is_null());
    }
}
