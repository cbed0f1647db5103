//! Who was measured: names, colours, and what tells rows of one picture apart.

use super::markup::{Element, classed, element};
use crate::bench::report::{Report, Setting};

/// The name of the system that all this is about, in a [`Setting`].
pub const TESSERA: &str = "tessera";

/// The name for nobody at EL2, in a [`Setting`].
pub const NATIVE: &str = "native";

/// A system's name for people.
#[must_use]
pub fn system(name: &str) -> String {
    let mut letters = name.chars();
    match (name, letters.next()) {
        (NATIVE, _) => "no hypervisor".into(),
        (_, Some(first)) => first.to_uppercase().chain(letters).collect(),
        (_, None) => "(no name)".into(),
    }
}

/// The peers of a report in the order in which they come, which gives them their colours.
#[derive(Clone, Debug, Default)]
pub struct Peers(Vec<String>);

/// How many colours there are for peers.
const COLOURS: usize = 4;

impl Peers {
    /// Finds them.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let settings = settings(report).map(|s| s.system.as_str());
        let sizes = report.sizes.iter().map(|s| s.system.as_str());
        let mut peers: Vec<String> = Vec::new();
        for name in settings.chain(sizes) {
            if ![TESSERA, NATIVE].contains(&name) && !peers.iter().any(|p| p == name) {
                peers.push(name.to_string());
            }
        }
        Self(peers)
    }

    /// The class that gives something the colour of a system.
    #[must_use]
    pub fn class(&self, system: &str) -> String {
        match self.0.iter().position(|p| p == system) {
            Some(index) => format!("of-peer{}", index % COLOURS),
            None if system == TESSERA => "of-tessera".into(),
            None => "of-native".into(),
        }
    }

    /// Where a system comes: Tessera, then nobody, then the peers.
    #[must_use]
    pub fn order(&self, system: &str) -> usize {
        match self.0.iter().position(|p| p == system) {
            Some(index) => index + 2,
            None => usize::from(system != TESSERA),
        }
    }

    /// What the colours mean, of those that a picture has.
    #[must_use]
    pub fn legend<'a>(&self, systems: impl Iterator<Item = &'a str>) -> Element {
        let mut names: Vec<&str> = systems.collect();
        names.sort_by_key(|name| self.order(name));
        names.dedup();
        let key = |name: &&str| {
            element("li")
                .child(classed("span", format!("swatch {}", self.class(name))))
                .text(system(name))
        };
        classed("ul", "legend").children(names.iter().map(key))
    }
}

/// Every setting of a report.
pub fn settings(report: &Report) -> impl Iterator<Item = &Setting> {
    let events = report.events.iter().map(|r| &r.setting);
    let views = report.views.iter().map(|r| &r.setting);
    let latencies = report.latencies.iter().map(|r| &r.setting);
    let workloads = report.workloads.iter().map(|r| &r.setting);
    let timelines = report.timelines.iter().map(|r| &r.setting);
    events
        .chain(views)
        .chain(latencies)
        .chain(workloads)
        .chain(timelines)
}

/// The conditions of a setting and one more, as text; empty where it says nothing.
fn conditions(setting: &Setting, more: &str) -> [String; 4] {
    let gic = match setting.gic {
        0 => String::new(),
        version => format!("GICv{version}"),
    };
    let cores = match setting.cores {
        0 => String::new(),
        1 => "1 core".into(),
        n => format!("{n} cores"),
    };
    [gic, setting.policy.clone(), cores, more.to_string()]
}

/// Labels for the rows of one picture: what tells them apart. And what all have in common.
#[derive(Clone, Debug)]
pub struct Labels {
    /// One for each row.
    pub each: Vec<String>,
    /// What all have in common; may be empty.
    pub common: String,
}

impl Labels {
    /// Labels for these settings, each with a further condition, which may be empty.
    #[must_use]
    pub fn of<'a>(rows: impl Iterator<Item = (&'a Setting, &'a str)> + Clone) -> Self {
        let all: Vec<_> = rows.clone().map(|(s, more)| conditions(s, more)).collect();
        let varies = |i: usize| {
            let mut said = all.iter().map(|c| &c[i]).filter(|text| !text.is_empty());
            let first = said.next();
            said.any(|text| Some(text) != first)
        };
        let varies = [0, 1, 2, 3].map(varies);
        let picked = |c: &[String; 4], wanted: bool| -> Vec<String> {
            let said = c.iter().zip(varies);
            let said = said.filter(|(text, varies)| !text.is_empty() && *varies == wanted);
            said.map(|(text, _)| text.clone()).collect()
        };
        let label = |(setting, c): (&Setting, &[String; 4])| {
            let mut parts = vec![system(&setting.system)];
            parts.extend(picked(c, true));
            parts.join(" · ")
        };
        let mut common: Vec<String> = Vec::new();
        for said in all.iter().flat_map(|c| picked(c, false)) {
            if !common.contains(&said) {
                common.push(said);
            }
        }
        Self {
            each: rows.map(|(s, _)| s).zip(&all).map(label).collect(),
            common: common.join(" · "),
        }
    }
}

/// A setting in full.
#[must_use]
pub fn full(setting: &Setting) -> String {
    let [gic, policy, cores, _] = conditions(setting, "");
    let mut parts = vec![system(&setting.system), gic, policy, cores];
    parts.retain(|p| !p.is_empty());
    parts.join(" · ")
}

/// A setting without its system.
#[must_use]
pub fn condition(setting: &Setting) -> String {
    let mut parts = conditions(setting, "").to_vec();
    parts.retain(|p| !p.is_empty());
    parts.join(" · ")
}

/// Rows that belong together, in the order in which the first of each comes.
#[must_use]
pub fn groups<'a, T, K: PartialEq>(
    rows: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Vec<(K, Vec<&'a T>)> {
    let mut groups: Vec<(K, Vec<&'a T>)> = Vec::new();
    for row in rows {
        let of = key(row);
        match groups.iter_mut().find(|(known, _)| *known == of) {
            Some((_, list)) => list.push(row),
            None => groups.push((of, vec![row])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(system: &str, gic: u8, policy: &str) -> Setting {
        Setting {
            system: system.into(),
            gic,
            policy: policy.into(),
            cores: 1,
        }
    }

    #[test]
    fn a_label_says_what_tells_rows_apart() {
        let rows = [
            setting("tessera", 3, "pinned"),
            setting("tessera", 3, "shared"),
            setting("native", 3, ""),
        ];
        let labels = Labels::of(rows.iter().map(|s| (s, "untouched")));
        let each = ["Tessera · pinned", "Tessera · shared", "no hypervisor"];
        assert_eq!(labels.each, each);
        assert_eq!(labels.common, "GICv3 · 1 core · untouched");
    }

    #[test]
    fn groups_keep_the_order_of_their_first_rows() {
        let groups = groups(&[3, 12, 7, 15, 1], |n| n / 10);
        assert_eq!(groups, [(0, vec![&3, &7, &1]), (1, vec![&12, &15])]);
    }

    #[test]
    fn each_peer_has_a_colour_of_its_own() {
        let mut report = Report::default();
        for name in ["xen", "tessera", "bao", "xen", "native"] {
            let mut view = crate::bench::report::View::default();
            view.setting.system = name.into();
            report.views.push(view);
        }
        let peers = Peers::of(&report);
        let classes = ["tessera", "native", "xen", "bao"].map(|s| peers.class(s));
        assert_eq!(classes, ["of-tessera", "of-native", "of-peer0", "of-peer1"]);
    }
}
