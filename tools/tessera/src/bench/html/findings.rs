//! What the numbers say against Tessera: computed, so that nothing is left out.
//!
//! Everything in a report of which less is better becomes a [`Measure`]; then each of Tessera's is held against its budget
//! and against the same of everybody else under the same conditions.

use super::label::{NATIVE, TESSERA, condition};
use super::number;
use crate::bench::report::{Report, Setting};

/// Something of which less is better.
#[derive(Clone, Debug)]
struct Measure<'a> {
    /// The part of the report.
    part: &'static str,
    /// What it is.
    what: String,
    /// Whose, and under which conditions.
    setting: Setting,
    value: f64,
    budget: Option<f64>,
    unit: Unit<'a>,
}

/// How a value is shown.
#[derive(Clone, Copy, Debug)]
enum Unit<'a> {
    Count(&'a str),
    Time,
    Ratio,
}

impl Unit<'_> {
    fn show(self, value: f64) -> String {
        match self {
            Self::Count("") => number::measured(value),
            Self::Count(noun) => format!("{} {noun}", number::measured(value)),
            Self::Time => number::time(value),
            Self::Ratio => number::ratio(value),
        }
    }
}

/// Something that is better than Tessera, or more than Tessera may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The part of the report.
    pub part: &'static str,
    /// What it is.
    pub what: String,
    /// Tessera's conditions.
    pub condition: String,
    /// Tessera's value, as it is shown.
    pub ours: String,
    /// Whose is better, or `budget`.
    pub who: String,
    /// The other's value, as it is shown.
    pub theirs: String,
    /// By which factor Tessera's is more; infinite if the other's is zero.
    pub factor: f64,
}

/// All that the numbers say.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Budgets that there are.
    pub budgets: usize,
    /// Those that are exceeded.
    pub over: Vec<Finding>,
    /// Comparisons with peers that could be made.
    pub compared: usize,
    /// Those in which a peer is better.
    pub peers: Vec<Finding>,
    /// Comparisons with the bare machine that could be made.
    pub bare: usize,
    /// Those in which it is better.
    pub native: Vec<Finding>,
}

impl Findings {
    /// Computes them.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let measures = measures(report);
        let mut findings = Self::default();
        for ours in measures.iter().filter(|m| m.setting.system == TESSERA) {
            if let Some(budget) = ours.budget {
                findings.budgets += 1;
                if ours.value > budget {
                    findings.over.push(ours.finding("budget", budget));
                }
            }
            for theirs in ours.rivals(&measures) {
                let native = theirs.setting.system == NATIVE;
                let (count, list) = match native {
                    true => (&mut findings.bare, &mut findings.native),
                    false => (&mut findings.compared, &mut findings.peers),
                };
                *count += 1;
                if theirs.value < ours.value {
                    list.push(ours.finding(&theirs.setting.system, theirs.value));
                }
            }
        }
        findings
    }
}

impl Measure<'_> {
    fn finding(&self, who: &str, theirs: f64) -> Finding {
        Finding {
            part: self.part,
            what: self.what.clone(),
            condition: condition(&self.setting),
            ours: self.unit.show(self.value),
            who: who.to_string(),
            theirs: self.unit.show(theirs),
            factor: self.value / theirs,
        }
    }

    /// The same of everybody else, one of each: with the same policy if there is one, and the best of those.
    fn rivals<'m>(&self, all: &'m [Self]) -> Vec<&'m Self> {
        let same = |a: u8, b: u8| a == b || a == 0 || b == 0;
        let comparable = |m: &&'m Self| {
            m.setting.system != TESSERA
                && (m.part, &m.what) == (self.part, &self.what)
                && same(m.setting.gic, self.setting.gic)
                && same(m.setting.cores, self.setting.cores)
        };
        // The nearest first: sorted so that the one to keep of each system comes first.
        let mut rivals: Vec<&Self> = all.iter().filter(comparable).collect();
        rivals.sort_by(|a, b| {
            let other = |m: &Self| m.setting.policy != self.setting.policy;
            let key = |m: &Self| (m.setting.system.clone(), other(m));
            key(a).cmp(&key(b)).then(a.value.total_cmp(&b.value))
        });
        rivals.dedup_by(|later, first| later.setting.system == first.setting.system);
        rivals
    }
}

fn measures(report: &Report) -> Vec<Measure<'_>> {
    let mut all = Vec::new();
    let mut add = |part, what: String, setting: &Setting, value, budget: Option<f64>, unit| {
        let setting = setting.clone();
        all.push(Measure {
            part,
            what,
            setting,
            value,
            budget,
            unit,
        });
    };
    let float = |n: u64| n as f64;
    for e in &report.events {
        let value = float(e.instructions.median);
        let count = Unit::Count("instructions");
        add(
            "event",
            e.name.clone(),
            &e.setting,
            value,
            e.budget.map(float),
            count,
        );
        let masked = format!("{}: longest masked", e.name);
        add("event", masked, &e.setting, float(e.masked), None, count);
        let lines = e.code_lines.median.saturating_add(e.data_lines.median);
        if lines != 0 || e.lines_budget.is_some() {
            let what = format!("{}: cache lines", e.name);
            let budget = e.lines_budget.map(float);
            add(
                "event",
                what,
                &e.setting,
                float(lines),
                budget,
                Unit::Count("lines"),
            );
        }
    }
    for v in &report.views {
        let count = Unit::Count("instructions");
        add(
            "guest's view",
            v.name.clone(),
            &v.setting,
            v.instructions,
            v.budget,
            count,
        );
        if let Some(max) = v.max {
            let what = format!("{}: largest sample", v.name);
            add("guest's view", what, &v.setting, max, None, count);
        }
    }
    for l in &report.latencies {
        let times = [
            ("median", l.p50),
            ("99 %", l.p99),
            ("99.9 %", l.p999),
            ("latest", l.max),
        ];
        for (name, value) in times {
            let what = format!("{}: {name}", l.situation);
            add("lateness", what, &l.setting, float(value), None, Unit::Time);
        }
        let what = format!("{}: deadlines missed", l.situation);
        add(
            "lateness",
            what,
            &l.setting,
            float(l.missed),
            None,
            Unit::Count(""),
        );
        if let Some(stretch) = &l.masked {
            let what = format!("{}: longest masked", l.situation);
            let (value, budget) = (float(stretch.instructions), l.masked_budget.map(float));
            add(
                "lateness",
                what,
                &l.setting,
                value,
                budget,
                Unit::Count("instructions"),
            );
        }
    }
    for w in &report.workloads {
        let name = match w.kernel.as_str() {
            "" => w.name.clone(),
            kernel => format!("{}, {kernel}", w.name),
        };
        add(
            "Linux's work",
            name.clone(),
            &w.setting,
            w.ratio,
            w.budget,
            Unit::Ratio,
        );
        for (i, which) in ["average lateness", "greatest lateness"]
            .into_iter()
            .enumerate()
        {
            if let Some(latency) = w.latency {
                let what = format!("{name}: {which}");
                add(
                    "Linux's work",
                    what,
                    &w.setting,
                    latency[i],
                    None,
                    Unit::Count("µs"),
                );
            }
        }
    }
    for s in &report.sizes {
        let setting = Setting {
            system: s.system.clone(),
            ..Setting::default()
        };
        add(
            "size",
            s.name.clone(),
            &setting,
            float(s.value),
            s.budget.map(float),
            Unit::Count(""),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{Event, Size};

    fn event(system: &str, gic: u8, policy: &str, median: u64) -> Event {
        let mut event = Event {
            name: "hypercall".into(),
            ..Event::default()
        };
        event.setting = Setting {
            system: system.into(),
            gic,
            policy: policy.into(),
            cores: 1,
        };
        event.instructions.median = median;
        event
    }

    fn findings(events: Vec<Event>) -> Findings {
        Findings::of(&Report {
            events,
            ..Report::default()
        })
    }

    #[test]
    fn a_better_peer_is_named_with_its_factor() {
        let found = findings(vec![
            event("tessera", 3, "pinned", 90),
            event("xen", 3, "pinned", 60),
            event("bao", 3, "pinned", 90),
        ]);
        let [finding] = &found.peers[..] else {
            panic!("{:?}", found.peers)
        };
        assert_eq!((finding.who.as_str(), finding.factor), ("xen", 1.5));
        assert_eq!(
            (finding.ours.as_str(), finding.theirs.as_str()),
            ("90 instructions", "60 instructions")
        );
    }

    #[test]
    fn like_is_compared_with_like() {
        let ours = || event("tessera", 3, "pinned", 90);
        assert_eq!(
            findings(vec![ours(), event("xen", 2, "pinned", 1)]).peers,
            []
        );
        let both = vec![
            ours(),
            event("xen", 3, "shared", 1),
            event("xen", 3, "pinned", 100),
        ];
        assert_eq!(findings(both).peers, [], "the same policy is there");
        let other = findings(vec![ours(), event("xen", 3, "credit2", 1)]);
        assert_eq!(other.peers.len(), 1, "no other is there, so it counts");
    }

    #[test]
    fn the_bare_machine_is_no_peer() {
        let found = findings(vec![
            event("tessera", 3, "pinned", 90),
            event("native", 3, "", 15),
        ]);
        assert_eq!((found.peers.len(), found.native.len()), (0, 1));
    }

    #[test]
    fn a_budget_may_be_reached_and_not_exceeded() {
        let size = |value| Size {
            name: "text".into(),
            system: "tessera".into(),
            value,
            budget: Some(81_920),
            ..Size::default()
        };
        let of = |value| {
            let sizes = vec![size(value)];
            Findings::of(&Report {
                sizes,
                ..Report::default()
            })
        };
        assert_eq!((of(81_920).budgets, of(81_920).over.len()), (1, 0));
        assert_eq!(of(81_921).over[0].theirs, "81,920");
    }
}
