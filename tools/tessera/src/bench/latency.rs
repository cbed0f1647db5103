//! How late the real-time guest is woken, alone and beside Linux, and the longest stretch at EL2 with
//! interrupts masked meanwhile.
//!
//! Nobody types and nothing depends on the host's clock: `rt` measures for some seconds of virtual time
//! and switches itself off, and Linux does so later, by its own clock. Linux's boot is part of each
//! measurement beside it.

use crate::bench::describe::{self, Guest};
use crate::bench::events;
use crate::bench::job::Job;
use crate::bench::lab::{Lab, setting};
use crate::bench::meter::{Wanted, Which};
use crate::bench::report::{Latency, Missing, Report, Setting};
use crate::bench::run::{self, End};
use crate::bench::summary::{self, Summary};
use crate::bench::timeline;
use crate::board::Board;
use crate::failure::Failure;
use crate::program::Profile;
use std::ops::Range;

/// Where the guests' RAM is in the board's.
const RT: Range<u64> = 0x5000_0000..0x5080_0000;
const LINUX: Range<u64> = 0x6000_0000..0x8000_0000;
/// The machine's memory, in MiB.
const MACHINE_MIB: u64 = 1280;
/// Linux needs so long to its shell, about, in seconds of virtual time.
const BOOT: u64 = 2;

/// What else is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// Linux, on the same core, with these words on its command line.
    Linux(&'static str),
    /// Linux, on a core of its own.
    LinuxElsewhere(&'static str),
}

/// One situation.
#[derive(Clone, Copy, Debug)]
struct Situation {
    name: &'static str,
    policy: &'static str,
    beside: Beside,
    quick: bool,
}

const LOAD: &str = "tessera.run=load-cpu";

const SITUATIONS: [Situation; 7] = [
    Situation {
        name: "alone",
        policy: "pinned",
        beside: Beside::Nothing,
        quick: true,
    },
    Situation {
        name: "alone",
        policy: "shared",
        beside: Beside::Nothing,
        quick: true,
    },
    Situation {
        name: "linux idle",
        policy: "shared",
        beside: Beside::Linux(""),
        quick: false,
    },
    Situation {
        name: "linux under load",
        policy: "shared",
        beside: Beside::Linux(LOAD),
        quick: true,
    },
    Situation {
        name: "console flood",
        policy: "shared",
        beside: Beside::Linux("tessera.run=flood"),
        quick: true,
    },
    Situation {
        name: "linux restarting",
        policy: "shared",
        beside: Beside::Linux("tessera.run=restarts"),
        quick: false,
    },
    Situation {
        name: "linux under load on another core",
        policy: "pinned",
        beside: Beside::LinuxElsewhere(LOAD),
        quick: false,
    },
];

/// The jobs.
#[must_use]
pub fn jobs(lab: &Lab) -> Vec<Job<'_>> {
    let wanted = SITUATIONS.iter().filter(|s| s.quick || !lab.quick);
    let mut jobs: Vec<Job<'_>> = wanted
        .map(|s| {
            let name = format!("latency, {}, {}", s.name, s.policy);
            Job::new(name, move || tessera(lab, s))
        })
        .collect();
    jobs.push(Job::new("latency, native", move || native(lab)));
    jobs
}

/// Seconds that `rt` measures, and that Linux runs once it is up.
fn seconds(lab: &Lab, beside: Beside) -> (u64, u64) {
    let work = lab.quick_or_full(1, 10);
    match beside {
        Beside::Nothing => (work, 0),
        // Linux's time begins when it is up, the restarts' at power-on.
        Beside::Linux(words) if words.contains("restarts") => (work + BOOT, work + BOOT),
        _ => (work + BOOT, work + 1),
    }
}

/// `rt`'s arguments.
#[must_use]
pub fn arguments(seconds: u64) -> String {
    format!("period=1ms work=200us seconds={seconds} end=off")
}

fn description(lab: &Lab, situation: &Situation) -> String {
    let (rt_seconds, linux_seconds) = seconds(lab, situation.beside);
    let rt = Guest {
        name: "rt",
        image: "guest:rt",
        cores: "0",
        priority: 200,
        bootargs: &arguments(rt_seconds),
        place: RT,
        ..Guest::default()
    };
    let words = match situation.beside {
        Beside::Nothing => return describe::system("rt", &[situation.policy], &[rt]),
        Beside::Linux(words) | Beside::LinuxElsewhere(words) => words,
    };
    // Restarts end when the clock, which goes on over them, says so.
    let end = if words.contains("restarts") {
        "arg"
    } else {
        "off"
    };
    let bootargs =
        format!("console=ttyAMA0 panic=-1 tessera.shell=no {words} tessera.{end}={linux_seconds}");
    let linux = Guest {
        name: "linux",
        image: "debian:linux-cloud",
        initramfs: Some("rt-tests"),
        cores: "0",
        priority: 100,
        bootargs: &bootargs,
        place: LINUX,
        ..Guest::default()
    };
    match situation.beside {
        Beside::LinuxElsewhere(_) => {
            let rt = Guest { cores: "1", ..rt };
            describe::system("rt", &["shared", situation.policy], &[rt, linux])
        }
        // As in `systems/phone.toml`.
        _ => {
            let rt = Guest {
                budget: Some(("400us", "1ms")),
                ..rt
            };
            describe::system("rt", &[situation.policy], &[rt, linux])
        }
    }
}

fn tessera(lab: &Lab, situation: &Situation) -> Result<Report, Failure> {
    let board = Board::VirtGicv3;
    let Situation {
        name,
        policy,
        beside,
        ..
    } = *situation;
    let plain = format!("latency-{}-{policy}", name.replace(' ', "-"));
    let text = description(lab, situation);
    let product = lab.products.described(&plain, &text, Profile::Release)?;
    let mut config = lab.machine(&product, board)?;
    config.memory_mib = MACHINE_MIB;
    // What this run tells beside latencies: the price of FP, and a picture.
    let pictured = beside == Beside::Linux(LOAD);
    let wanted = if pictured {
        wanted()
    } else {
        Wanted::default()
    };
    let off = [r"^\[tessera\] rt: off", r"^\[tessera\] linux: off"];
    let off = if beside == Beside::Nothing {
        &off[..1]
    } else {
        &off
    };
    let (lines, meter) = lab.tessera(&plain, &product, config, &wanted, End::Lines(off))?;
    let cores = u8::from(matches!(beside, Beside::LinuxElsewhere(_))) + 1;
    let setting = setting("tessera", board, policy, cores);
    let mut latency = read(&lines, name, &setting)?;
    latency.masked = Some(meter.longest_masked()?);
    let mut report = Report::default();
    if cores > 1 {
        latency = Latency {
            masked: latency.masked,
            situation: latency.situation,
            setting: latency.setting,
            ..Latency::default()
        };
        report.missing.push(Missing::known(
            &format!("lateness: {name}"),
            "with -icount QEMU runs all cores on one thread, in turn, so that lateness beside another \
             core is the emulator's; only interrupts masked at EL2 are counted",
        ));
    }
    report.latencies.push(latency);
    if let Some(log) = &meter.log {
        report.events.extend(events::first_use_of_fp(log, &setting));
        report.timelines.extend(timeline::of_phone(log, &setting));
    }
    Ok(report)
}

fn wanted() -> Wanted {
    Wanted {
        events: Some(Which::All),
        lines: true,
        causes: true,
        contexts: vec![("rt".into(), RT), ("linux".into(), LINUX)],
        timeline: false,
    }
}

fn native(lab: &Lab) -> Result<Report, Failure> {
    let board = Board::VirtGicv3;
    let situation = &SITUATIONS[0];
    let text = description(lab, situation);
    let product = lab
        .products
        .described("latency-alone-pinned", &text, Profile::Release)?;
    let config = lab.native("latency-native", &product, "rt", board, false)?;
    let lines = run::run(&config, End::Off, lab.patience())?;
    let latency = read(&lines, situation.name, &setting("native", board, "", 1))?;
    Ok(Report {
        latencies: vec![latency],
        ..Report::default()
    })
}

/// What `rt` said at its end.
///
/// # Errors
///
/// It said nothing.
pub fn read(lines: &[String], situation: &str, setting: &Setting) -> Result<Latency, Failure> {
    let mut ends = lines.iter().filter(|l| l.contains("rt: done, "));
    let summary = ends.next_back().and_then(|line| Summary::read(line));
    let summary = summary.ok_or_else(|| Failure::Ended("rt never gave its summary".into()))?;
    Ok(Latency {
        situation: situation.into(),
        setting: setting.clone(),
        count: summary.wake_ups,
        missed: summary.missed,
        min: summary.min,
        p50: summary.median,
        p99: summary.p99,
        p999: summary.p999,
        max: summary.max,
        buckets: summary::buckets(lines),
        masked: None,
        masked_budget: None,
        missed_budget: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rt_says_at_its_end_is_a_row() {
        let lines = [
            "[rt] rt: 1 s, 1000 wake-ups, missed 9, lateness min 9 p50 9 p99 9 p999 9 max 9 ns, last max 9 ns",
            "[rt] rt: done, 2 s, 2000 wake-ups, missed 1, lateness min 2 p50 3 p99 4 p999 5 max 6 ns, mean 3 ns, 2000 releases",
            "[rt] rt: bucket 2..3 ns 1999",
            "[rt] rt: bucket 6..6 ns 1",
        ];
        let row = read(&lines.map(String::from), "alone", &Setting::default()).unwrap();
        assert_eq!((row.count, row.missed, row.min, row.max), (2000, 1, 2, 6));
        assert_eq!(row.buckets, [[2, 3, 1999], [6, 6, 1]]);
        assert!(read(&[], "alone", &Setting::default()).is_err());
    }
}
