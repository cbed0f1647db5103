//! What Linux's own work costs: its instructions with Tessera, on a core of its own, over those on
//! the bare machine - the same image, initramfs, memory, device tree and seed.
//!
//! Linux's instructions depend on its seed for random numbers (`/chosen/rng-seed`), by some
//! thousandths. QEMU writes a seed of its own into every tree that it is given, from `-seed`; so
//! that one is read out of the native machine before its first instruction, and is what Linux finds
//! with Tessera too.

use crate::bench::describe::{self, Guest};
use crate::bench::job::Job;
use crate::bench::lab::{Lab, setting};
use crate::bench::meter::{Files, Meter, Report as Metered, Wanted, Which};
use crate::bench::report::{Report, Setting, Workload};
use crate::bench::run::End;
use crate::bench::spy;
use crate::board::Board;
use crate::failure::Failure;
use crate::machine::Config;
use crate::product::Product;
use crate::program::Profile;
use crate::project;
use crate::tree;
use manifest::{Gic, LoadKind};
use regex::Regex;
use std::sync::Arc;

/// Where Linux's RAM is in the board's.
const PLACE: std::ops::Range<u64> = 0x6000_0000..0x8000_0000;
/// The machine's memory, in MiB.
const MACHINE_MIB: u64 = 1280;

/// A piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    name: &'static str,
    kernel: &'static str,
    initramfs: &'static str,
    quick: bool,
}

const fn work(name: &'static str, kernel: &'static str) -> Work {
    Work {
        name,
        kernel,
        initramfs: "rt-tests",
        quick: false,
    }
}

const DEBIAN: &str = "debian";
const DEBIAN_RT: &str = "debian-rt";

const WORKS: [Work; 7] = [
    Work {
        name: "boot",
        kernel: DEBIAN,
        initramfs: "busybox",
        quick: true,
    },
    work("hackbench", DEBIAN),
    work("gzip", DEBIAN),
    work("fork", DEBIAN),
    work("syscall", DEBIAN),
    work("cyclictest", DEBIAN),
    work("cyclictest", DEBIAN_RT),
];

impl Work {
    fn image(self) -> &'static str {
        match self.kernel {
            DEBIAN_RT => "debian:linux-rt",
            _ => "debian:linux-cloud",
        }
    }

    fn bootargs(self) -> String {
        let run = match self.name {
            // From reset to its shell, and no further.
            "boot" => "tessera.run=poweroff tessera.arg=-f".to_string(),
            name => format!("tessera.shell=no tessera.run=work tessera.arg={name}"),
        };
        format!("console=ttyAMA0 panic=-1 {run}")
    }

    /// Its name, and whose kernel does it.
    #[must_use]
    pub fn title(self) -> String {
        format!("{} of {}", self.name, self.kernel)
    }

    /// The system whose Linux does it.
    ///
    /// # Errors
    ///
    /// It cannot be built.
    pub fn system(self, lab: &Lab) -> Result<Arc<Product>, Failure> {
        self.product(lab, &format!("linux-{}-{}", self.name, self.kernel), None)
    }

    /// What is to be counted of it: work is between two markers, a boot is all of the run.
    #[must_use]
    pub fn wanted(self) -> Wanted {
        Wanted {
            events: (self.name != "boot").then_some(Which::Phases),
            ..Wanted::default()
        }
    }

    /// Its row, from one run on a core of its own.
    ///
    /// # Errors
    ///
    /// Linux has not done it.
    pub fn row(
        self,
        lines: &[String],
        metered: &Metered,
        setting: Setting,
    ) -> Result<Workload, Failure> {
        let ran = ran(self, lines, metered)?;
        Ok(Workload {
            name: self.name.into(),
            kernel: self.kernel.into(),
            setting,
            instructions: vec![ran.instructions],
            latency: ran.latency,
            ..Workload::default()
        })
    }

    fn product(self, lab: &Lab, name: &str, tree: Option<&str>) -> Result<Arc<Product>, Failure> {
        let linux = Guest {
            name: "linux",
            image: self.image(),
            initramfs: Some(self.initramfs),
            tree,
            cores: "0",
            priority: 100,
            bootargs: &self.bootargs(),
            place: PLACE,
            ..Guest::default()
        };
        let text = describe::system("linux", &["pinned"], &[linux]);
        lab.products.described(name, &text, Profile::Release)
    }
}

/// The jobs: each piece of work with all its seeds, natively and with Tessera.
#[must_use]
pub fn jobs(lab: &Lab) -> Vec<Job<'_>> {
    let mut jobs = Vec::new();
    for work in WORKS.iter().filter(|w| w.quick || !lab.quick) {
        let mut boards = vec![Board::VirtGicv3];
        if work.name == "boot" && !lab.quick {
            boards.push(Board::VirtGicv2);
        }
        for board in boards {
            let name = format!("linux, {}, {}", work.title(), board.name());
            jobs.push(Job::new(name, move || measure(lab, *work, board)));
        }
    }
    jobs
}

/// The pieces of work for a peer: natively and with Tessera they have several seeds, here one.
pub fn for_peers(lab: &Lab) -> impl Iterator<Item = Work> {
    let quick = lab.quick;
    WORKS.into_iter().filter(move |w| w.quick || !quick)
}

/// Sets each row's ratio to the native row of the same work, kernel and interrupt controller.
pub fn ratios(report: &mut Report) {
    let mean = |row: &Workload| {
        row.instructions.iter().sum::<u64>() as f64 / row.instructions.len().max(1) as f64
    };
    let native: Vec<Workload> = report
        .workloads
        .iter()
        .filter(|row| row.setting.system == "native")
        .cloned()
        .collect();
    for row in &mut report.workloads {
        let same = native.iter().find(|n| {
            (&n.name, &n.kernel, n.setting.gic) == (&row.name, &row.kernel, row.setting.gic)
        });
        row.ratio = same.map_or(0.0, |n| mean(row) / mean(n));
    }
}

/// What one run gave.
struct Ran {
    instructions: u64,
    latency: Option<[f64; 2]>,
}

fn measure(lab: &Lab, work: Work, board: Board) -> Result<Report, Failure> {
    let seeds = lab.quick_or_full(1, if work.name == "boot" { 5 } else { 3 });
    let (mut natively, mut with) = (Vec::new(), Vec::new());
    for seed in 1..=seeds {
        let name = format!(
            "linux-{}-{}-{}-{seed}",
            work.name,
            work.kernel,
            board.name()
        );
        let product = work.system(lab)?;
        let files = lab.files(&format!("{name}-native"));
        let mut config = lab.native(&format!("{name}-native"), &product, "linux", board, true)?;
        config.seed = seed;
        let bytes = spy::seed(&config)?;
        natively.push(native(lab, work, config, files)?);

        let path = lab.files(&name).file("dtb");
        project::write(&path, &seeded(&product, board, &bytes)?)?;
        let path = path.to_string_lossy();
        let product = work.product(lab, &name, Some(&path))?;
        with.push(tessera(lab, work, &name, &product, board)?);
    }
    let row = |runs: &[Ran], system: &str, policy: &str| Workload {
        name: work.name.into(),
        kernel: work.kernel.into(),
        setting: setting(system, board, policy, 1),
        instructions: runs.iter().map(|r| r.instructions).collect(),
        latency: worst(runs),
        ..Workload::default()
    };
    Ok(Report {
        workloads: vec![
            row(&natively, "native", ""),
            row(&with, "tessera", "pinned"),
        ],
        ..Report::default()
    })
}

/// The mean of averages and the largest of all.
fn worst(runs: &[Ran]) -> Option<[f64; 2]> {
    let all: Vec<[f64; 2]> = runs.iter().filter_map(|r| r.latency).collect();
    let average = all.iter().map(|l| l[0]).sum::<f64>() / all.len().max(1) as f64;
    let largest = all.iter().map(|l| l[1]).fold(0.0, f64::max);
    (!all.is_empty()).then_some([average, largest])
}

fn native(lab: &Lab, work: Work, config: Config, files: Files) -> Result<Ran, Failure> {
    let (lines, metered) = lab.counted(config, End::Off, |config| {
        Meter::native(&lab.project, files.clone(), config, &work.wanted())
    })?;
    ran(work, &lines, &metered)
}

fn tessera(
    lab: &Lab,
    work: Work,
    name: &str,
    product: &Product,
    board: Board,
) -> Result<Ran, Failure> {
    let mut config = lab.machine(product, board)?;
    config.memory_mib = MACHINE_MIB;
    let off = [r"^\[tessera\] linux: off"];
    let (lines, metered) = lab.tessera(name, product, config, &work.wanted(), End::Lines(&off))?;
    ran(work, &lines, &metered)
}

fn ran(work: Work, lines: &[String], metered: &Metered) -> Result<Ran, Failure> {
    let sign = if work.name == "boot" {
        "tessera-shell-ready"
    } else {
        "tessera-work: done"
    };
    if !lines.iter().any(|l| l.contains(sign)) {
        return Err(Failure::Ended(format!("Linux never said `{sign}`")));
    }
    let instructions = match &metered.log {
        None => metered.others()?,
        Some(log) => {
            let span = log.spans.iter().find(|s| s.phase == 1 && !s.cut);
            let span = span.ok_or_else(|| Failure::Ended("the work has no markers".into()))?;
            span.others
        }
    };
    Ok(Ran {
        instructions,
        latency: (work.name == "cyclictest")
            .then(|| latency(lines))
            .flatten(),
    })
}

/// Average and largest latency in microseconds, as cyclictest's histogram ends.
fn latency(lines: &[String]) -> Option<[f64; 2]> {
    let value = |name: &str| {
        let regex = Regex::new(&format!(r"# {name} Latencies: (\d+)")).ok()?;
        let mut found = lines.iter().filter_map(|l| regex.captures(l));
        found.next()?.get(1)?.as_str().parse().ok()
    };
    Some([value("Avg")?, value("Max")?])
}

/// Linux's device tree for a board, with a seed.
fn seeded(product: &Product, board: Board, seed: &[u8; tree::SEED]) -> Result<Vec<u8>, Failure> {
    let guest = product.system.guest("linux");
    let mut loads = guest.into_iter().flat_map(|g| &g.loads);
    let load = loads
        .find(|l| l.kind == LoadKind::DeviceTree && (l.gic == Gic::Any || l.gic == board.gic()));
    let load = load.ok_or_else(|| Failure::Internal("Linux has no device tree".into()))?;
    let mut bytes = load.bytes.clone();
    let at =
        spy::seed_in(&bytes).ok_or_else(|| Failure::Internal("a tree without a seed".into()))?;
    if let Some(place) = bytes.get_mut(at..at + tree::SEED) {
        place.copy_from_slice(seed);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_those_that_cyclictest_prints() {
        let lines = [
            "[linux] # Min Latencies: 00003\r",
            "[linux] # Avg Latencies: 00004\r",
            "[linux] # Max Latencies: 00017\r",
        ];
        assert_eq!(latency(&lines.map(String::from)), Some([4.0, 17.0]));
        assert_eq!(latency(&[]), None);
    }
}
