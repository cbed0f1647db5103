//! Systems side by side: for each thing that was measured under like conditions one row, with Tessera,
//! the bare machine and each peer.

use crate::bench::report::{Report, Setting};
use std::collections::BTreeSet;

const TESSERA: &str = "tessera";
const NATIVE: &str = "native";

/// What differs by less than one per cent is taken to be equal.
const EQUAL: f64 = 1.01;

/// One thing that was measured on several systems. What it costs is instructions, unless its table
/// says otherwise; less is better.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is.
    pub title: String,
    /// The core's policy.
    pub policy: String,
    /// Physical cores.
    pub cores: u8,
    /// The budget of Tessera.
    pub budget: Option<f64>,
    /// Tessera on GICv3.
    pub ours: Option<f64>,
    /// Tessera on GICv2.
    pub ours_v2: Option<f64>,
    /// The bare machine on GICv3.
    pub native: Option<f64>,
    /// The peers on GICv3, in the order of [`peers`].
    pub peers: Vec<Option<f64>>,
}

/// One measurement: its name, what it is, its setting, value, and budget.
type Measured<'a> = (&'a str, &'a str, &'a Setting, f64, Option<f64>);

/// The peers that the report has rows of.
#[must_use]
pub fn peers(report: &Report) -> Vec<String> {
    let settings = report.events.iter().map(|r| &r.setting);
    let settings = settings.chain(report.views.iter().map(|r| &r.setting));
    let settings = settings.chain(report.latencies.iter().map(|r| &r.setting));
    let settings = settings.chain(report.workloads.iter().map(|r| &r.setting));
    let names: BTreeSet<&str> = settings.map(|s| s.system.as_str()).collect();
    let others = names.into_iter().filter(|n| ![TESSERA, NATIVE].contains(n));
    others.map(String::from).collect()
}

/// Events at EL2: the median's instructions.
#[must_use]
pub fn events(report: &Report) -> Vec<Row> {
    let all = report.events.iter().map(|r| {
        let value = r.instructions.median as f64;
        let budget = r.budget.map(|b| b as f64);
        (r.name.as_str(), r.title.as_str(), &r.setting, value, budget)
    });
    rows(report, all)
}

/// Operations in the guest's view.
#[must_use]
pub fn views(report: &Report) -> Vec<Row> {
    let all = report.views.iter().map(|r| {
        let (name, title) = (r.name.as_str(), r.title.as_str());
        (name, title, &r.setting, r.instructions, r.budget)
    });
    rows(report, all)
}

/// Lateness of the real-time guest: the largest, in virtual nanoseconds.
#[must_use]
pub fn latencies(report: &Report) -> Vec<Row> {
    let measured = report.latencies.iter().filter(|r| r.count > 0);
    let all = measured.map(|r| {
        let name = r.situation.as_str();
        (name, name, &r.setting, r.max as f64, None)
    });
    rows(report, all)
}

/// Linux's work: its instructions over those on the bare machine.
#[must_use]
pub fn workloads(report: &Report) -> Vec<Row> {
    let all = report.workloads.iter().map(|r| {
        let (name, kernel) = (r.name.as_str(), r.kernel.as_str());
        (name, kernel, &r.setting, r.ratio, r.budget)
    });
    rows(report, all)
}

fn rows<'a>(report: &Report, all: impl Iterator<Item = Measured<'a>>) -> Vec<Row> {
    let peers = peers(report);
    let all: Vec<Measured<'a>> = all.collect();
    let mut rows: Vec<Row> = Vec::new();
    // The bare machine has no policy: its values go to every policy.
    for (name, title, setting, value, budget) in &all {
        if setting.system == NATIVE {
            continue;
        }
        let same = |r: &&mut Row| {
            (r.name.as_str(), r.policy.as_str(), r.cores)
                == (*name, setting.policy.as_str(), setting.cores)
                && r.title == *title
        };
        let found = rows.iter_mut().find(same);
        let row = match found {
            Some(row) => row,
            None => {
                rows.push(Row {
                    name: (*name).into(),
                    title: (*title).into(),
                    policy: setting.policy.clone(),
                    cores: setting.cores,
                    peers: vec![None; peers.len()],
                    ..Row::default()
                });
                let Some(row) = rows.last_mut() else { continue };
                row
            }
        };
        match (setting.system.as_str(), setting.gic) {
            (TESSERA, 2) => row.ours_v2 = Some(*value),
            (TESSERA, _) => {
                row.ours = Some(*value);
                row.budget = *budget;
            }
            (peer, 3) => {
                let index = peers.iter().position(|p| p == peer);
                if let Some(place) = index.and_then(|i| row.peers.get_mut(i)) {
                    *place = Some(*value);
                }
            }
            _ => {}
        }
    }
    for row in &mut rows {
        let native = all.iter().find(|(name, title, setting, ..)| {
            setting.system == NATIVE
                && setting.gic == 3
                && (*name, *title, setting.cores) == (&row.name, &row.title, row.cores)
        });
        row.native = native.map(|n| n.3);
    }
    rows
}

impl Row {
    /// Whether it is over its budget.
    #[must_use]
    pub fn over(&self) -> bool {
        matches!((self.ours, self.budget), (Some(ours), Some(budget)) if ours > budget)
    }

    /// The hypervisor that costs least, of two or more that were measured; of equals Tessera.
    #[must_use]
    pub fn winner<'a>(&self, peers: &'a [String]) -> Option<&'a str> {
        let theirs = self.peers.iter().zip(peers);
        let theirs = theirs.filter_map(|(value, name)| Some(((*value)?, name.as_str())));
        let best = theirs.min_by(|a, b| a.0.total_cmp(&b.0))?;
        let ours = self.ours?;
        // A guest's view is as coarse as its clock's tick over its rounds.
        Some(if ours <= best.0 * EQUAL {
            TESSERA
        } else {
            best.1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::View;

    fn view(system: &str, gic: u8, policy: &str, instructions: f64) -> View {
        View {
            name: "timer".into(),
            setting: Setting {
                system: system.into(),
                gic,
                policy: policy.into(),
                cores: 1,
            },
            instructions,
            budget: (system == TESSERA && gic == 3).then_some(280.0),
            ..View::default()
        }
    }

    #[test]
    fn like_conditions_are_one_row_and_the_bare_machine_is_beside_each() {
        let report = Report {
            views: vec![
                view(TESSERA, 3, "pinned", 113.0),
                view(TESSERA, 2, "pinned", 97.0),
                view(TESSERA, 3, "shared", 391.0),
                view(NATIVE, 3, "", 1.0),
                view("xen", 3, "pinned", 100.0),
            ],
            ..Report::default()
        };
        let rows = views(&report);
        let peers = peers(&report);
        assert_eq!(peers, ["xen"]);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].ours, rows[0].ours_v2), (Some(113.0), Some(97.0)));
        assert_eq!((rows[0].native, rows[1].native), (Some(1.0), Some(1.0)));
        assert_eq!(rows[0].winner(&peers), Some("xen"));
        assert_eq!(rows[1].winner(&peers), None);
        assert!(!rows[0].over() && rows[1].over());
    }
}
