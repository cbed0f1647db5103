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
    /// Systems that never enter EL2 for it: the hardware does it.
    pub by_hardware: Vec<String>,
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
    let mut rows = rows(report, all);
    for event in report.events.iter().filter(|e| e.entries == 0) {
        let setting = &event.setting;
        let row = rows.iter_mut().find(|r| {
            (&r.name, &r.policy, r.cores) == (&event.name, &setting.policy, setting.cores)
        });
        if let Some(row) = row
            && !row.by_hardware.contains(&setting.system)
        {
            row.by_hardware.push(setting.system.clone());
        }
    }
    rows
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

    /// The hypervisors that cost least, of two or more that were measured: all of them on a tie.
    #[must_use]
    pub fn fewest<'a>(&self, peers: &'a [String]) -> Vec<&'a str> {
        let theirs = self.peers.iter().zip(peers);
        let mut all: Vec<(f64, &str)> = theirs
            .filter_map(|(value, name)| Some(((*value)?, name.as_str())))
            .collect();
        let Some(ours) = self.ours.filter(|_| !all.is_empty()) else {
            return Vec::new();
        };
        all.insert(0, (ours, TESSERA));
        let least = all.iter().map(|(value, _)| *value).fold(f64::MAX, f64::min);
        // A guest's view is as coarse as its clock's tick over its rounds.
        all.retain(|(value, _)| *value <= least * EQUAL);
        all.into_iter().map(|(_, name)| name).collect()
    }

    /// The peer that costs least, if Tessera costs more.
    #[must_use]
    pub fn loses_to<'a>(&self, peers: &'a [String]) -> Option<&'a str> {
        let fewest = self.fewest(peers);
        fewest.first().copied().filter(|name| *name != TESSERA)
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
        assert_eq!(rows[0].fewest(&peers), ["xen"]);
        assert_eq!(rows[0].loses_to(&peers), Some("xen"));
        assert_eq!(rows[1].fewest(&peers), [""; 0]);
        assert_eq!(rows[1].loses_to(&peers), None);
        assert!(!rows[0].over() && rows[1].over());
    }

    #[test]
    fn all_who_need_fewest_are_named_on_a_tie() {
        let peers = ["bao", "xen"].map(String::from);
        let row = |ours: f64, theirs: [Option<f64>; 2]| Row {
            ours: Some(ours),
            peers: theirs.into(),
            ..Row::default()
        };
        let fewest = |row: &Row| row.fewest(&peers).join(", ");
        assert_eq!(
            fewest(&row(2.0, [Some(2.0), Some(2.016)])),
            "tessera, bao, xen"
        );
        assert_eq!(fewest(&row(0.0, [Some(0.0), Some(1.0)])), "tessera, bao");
        assert_eq!(fewest(&row(100.0, [Some(130.0), Some(90.0)])), "xen");
        assert_eq!(fewest(&row(100.0, [None, Some(130.0)])), "tessera");
        let lost = row(100.0, [Some(90.0), Some(90.0)]);
        assert_eq!(fewest(&lost), "bao, xen");
        assert_eq!(lost.loses_to(&peers), Some("bao"));
        assert_eq!(row(2.0, [Some(2.0), None]).loses_to(&peers), None);
    }
}
