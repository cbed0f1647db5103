//! Other hypervisors with the same guests: events at EL2, the guests' views, lateness, Linux's boot.

use crate::bench::bench_guest::{self, Amount, BOARDS, Form, MEMORY};
use crate::bench::describe::{self, Guest as Described};
use crate::bench::job::Job;
use crate::bench::lab::{Lab, quiet, setting};
use crate::bench::latency;
use crate::bench::linux::{self, Work};
use crate::bench::meter::{Meter, Report as Metered, Wanted};
use crate::bench::report::{Missing, Report};
use crate::bench::run::End;
use crate::board::Board;
use crate::debian::Debian;
use crate::failure::Failure;
use crate::peer::xen::{self, Place};
use crate::peer::{Console, Guest, Lines, Scheduling};
use crate::product::Product;
use crate::program::Profile;
use manifest::LoadKind;

/// Names that `--peer` knows.
const KNOWN: [&str; 1] = ["xen"];

/// A peer that was found.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    name: String,
    /// Its image.
    image: Vec<u8>,
}

/// The names that are those of peers; of each other one a sentence is left.
#[must_use]
pub fn known(names: &[String], report: &mut Report) -> Vec<String> {
    let (known, unknown): (Vec<String>, Vec<String>) = names
        .iter()
        .cloned()
        .partition(|n| KNOWN.contains(&n.as_str()));
    for name in unknown {
        let why = format!(
            "no peer of this name is known; there is: {}",
            KNOWN.join(", ")
        );
        report
            .missing
            .push(Missing::new(&format!("peer {name}"), why));
    }
    known
}

/// Finds the peers that are asked for; of one that cannot be had a sentence is left.
#[must_use]
pub fn find(lab: &Lab, names: &[String], report: &mut Report) -> Vec<Found> {
    let mut found = Vec::new();
    for name in names {
        let what = format!("peer {name}");
        let debian = Debian::new(&lab.project);
        match xen::fetch(&debian) {
            Ok(image) => {
                let record = debian.record(xen::PACKAGE);
                let version = record.map(|r| r.version).unwrap_or_default();
                report
                    .run
                    .peers
                    .push(format!("{name} {version}").trim_end().into());
                found.push(Found {
                    name: name.clone(),
                    image,
                });
            }
            Err(failure) => report
                .missing
                .push(Missing::new(&what, failure.to_string())),
        }
    }
    found
}

/// The jobs of a peer.
#[must_use]
pub fn jobs<'a>(lab: &'a Lab, peer: &'a Found) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    let name = &peer.name;
    for board in BOARDS {
        for (form, scheduling) in FORMS {
            let title = format!("{name}, events, {}, {}", form.name(), board.name());
            jobs.push(Job::new(title, move || {
                events(lab, peer, form, scheduling, board)
            }));
        }
    }
    for (form, scheduling) in FORMS {
        let title = format!("{name}, latency, {}", form.name());
        jobs.push(Job::new(title, move || late(lab, peer, form, scheduling)));
    }
    for work in linux::for_peers(lab) {
        let title = format!("{name}, linux, {}", work.title());
        jobs.push(Job::new(title, move || workload(lab, peer, work)));
    }
    jobs.push(Job::new(format!("{name}, limits"), move || {
        Ok(Report {
            missing: limits(name),
            ..Report::default()
        })
    }));
    jobs
}

const FORMS: [(Form, Scheduling); 2] = [
    (Form::Pinned, Scheduling::Pinned),
    (Form::Shared, Scheduling::Shared),
];

/// What cannot be measured with it, as is known.
fn limits(name: &str) -> Vec<Missing> {
    vec![
        Missing::known(
            &format!("{name}: ipi_send, ipi_receive, sgi_other"),
            "with several cores it needs a QEMU newer than 7.2 for -icount: its cores wait for each \
             other in loops that QEMU 7.2 never leaves",
        ),
        Missing::known(
            &format!("{name}: preempt, block"),
            "it runs one guest here; compare `wake`, where the core idles instead of running another",
        ),
        Missing::known(
            &format!("{name}: lateness beside Linux"),
            "it runs one guest here",
        ),
    ]
}

/// Runs a guest of a description under the peer, with the meter.
struct Trial<'a> {
    name: String,
    product: &'a Product,
    guest: &'a str,
    console: Console,
    scheduling: Scheduling,
    board: Board,
    wanted: Wanted,
    end: End<'a>,
}

fn run(lab: &Lab, peer: &Found, trial: Trial<'_>) -> Result<(Vec<String>, Metered), Failure> {
    let files = lab.files(&trial.name);
    let folder = files.file("files");
    let place = Place {
        qemu: &lab.qemu,
        board: trial.board,
        cores: 1,
        folder: &folder,
    };
    let guest = guest(trial.product, trial.guest, trial.console)?;
    let mut prepared = xen::prepare(&peer.image, place, trial.scheduling, &guest)?;
    prepared.config = quiet(prepared.config);
    let counting = &prepared.counting;
    let (lines, metered) = lab.counted(prepared.config, trial.end, |config| {
        Meter::for_peer(&lab.project, files.clone(), config, counting, &trial.wanted)
    })?;
    let mut joined = Lines::new();
    let lines = match trial.console {
        Console::Emulated => lines.iter().filter_map(|l| joined.take(l)).collect(),
        Console::PassedThrough => lines,
    };
    Ok((lines, metered))
}

/// A guest of a description, as a peer is given it.
fn guest(product: &Product, name: &str, console: Console) -> Result<Guest, Failure> {
    let found = product.system.guest(name);
    let guest = found.ok_or_else(|| Failure::Internal(format!("there is no guest `{name}`")))?;
    let file = |kind: LoadKind| guest.loads.iter().find(|l| l.kind == kind);
    let image =
        file(LoadKind::Image).ok_or_else(|| Failure::Internal(format!("`{name}` has no image")))?;
    Ok(Guest {
        image: image.bytes.clone(),
        initramfs: file(LoadKind::Initrd).map(|l| l.bytes.clone()),
        bootargs: guest.bootargs.clone(),
        memory_mib: guest.ram().map(|r| r.size).sum::<u64>() >> 20,
        vcpus: 1,
        console,
    })
}

fn policy(form: Form) -> &'static str {
    if form == Form::Pinned {
        "pinned"
    } else {
        "shared"
    }
}

fn events(
    lab: &Lab,
    peer: &Found,
    form: Form,
    scheduling: Scheduling,
    board: Board,
) -> Result<Report, Failure> {
    let amount: Amount = bench_guest::amount(lab);
    let product = bench_guest::product(lab, form, amount)?;
    let wanted = Wanted {
        // Its only guest is whatever is not Xen: all of RAM behind the files that QEMU loads.
        contexts: vec![("bench".into(), GUEST_RAM)],
        ..bench_guest::wanted(false)
    };
    let trial = Trial {
        name: format!("{}-events-{}-{}", peer.name, policy(form), board.name()),
        product: &product,
        guest: "bench",
        console: Console::Emulated,
        scheduling,
        board,
        wanted,
        end: End::Lines(&["bench: done"]),
    };
    let (lines, meter) = run(lab, peer, trial)?;
    let setting = setting(&peer.name, board, policy(form), 1);
    let log = meter.log.unwrap_or_default();
    Ok(bench_guest::part(&lines, &log, &setting, form))
}

/// Where a peer's guest can be: in the machine's RAM, and not in the image of the peer itself, which is
/// never counted to a context.
const GUEST_RAM: std::ops::Range<u64> = 0x4000_0000..0x1_0000_0000;

fn late(lab: &Lab, peer: &Found, form: Form, scheduling: Scheduling) -> Result<Report, Failure> {
    let board = Board::VirtGicv3;
    let rt = Described {
        name: "rt",
        image: "guest:rt",
        cores: "0",
        priority: 100,
        bootargs: &latency::arguments(lab.quick_or_full(1, 10)),
        place: 0x5000_0000..0x5000_0000 + MEMORY,
        ..Described::default()
    };
    let text = describe::system("rt", &["pinned"], &[rt]);
    let product = lab.products.described("peer-rt", &text, Profile::Release)?;
    let trial = Trial {
        name: format!("{}-latency-{}", peer.name, policy(form)),
        product: &product,
        guest: "rt",
        // It drives a whole PL011.
        console: Console::PassedThrough,
        scheduling,
        board,
        wanted: Wanted::default(),
        end: End::Lines(&["rt: end of histogram"]),
    };
    let (lines, _) = run(lab, peer, trial)?;
    let setting = setting(&peer.name, board, policy(form), 1);
    Ok(Report {
        latencies: vec![latency::read(&lines, "alone", &setting)?],
        ..Report::default()
    })
}

fn workload(lab: &Lab, peer: &Found, work: Work) -> Result<Report, Failure> {
    let board = Board::VirtGicv3;
    let product = work.system(lab)?;
    let trial = Trial {
        name: format!("{}-linux-{}", peer.name, work.title().replace(' ', "-")),
        product: &product,
        guest: "linux",
        console: Console::Emulated,
        scheduling: Scheduling::Pinned,
        board,
        wanted: work.wanted(),
        // Of a boot all of Linux is counted, as natively, and its last instructions are those that switch it off.
        end: End::Rest(&["reboot: Power down"]),
    };
    let (lines, metered) = run(lab, peer, trial)?;
    let setting = setting(&peer.name, board, "pinned", 1);
    Ok(Report {
        workloads: vec![work.row(&lines, &metered, setting)?],
        ..Report::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_peer_is_a_sentence_and_the_others_are_measured() {
        let mut report = Report::default();
        let names = ["xen", "bao"].map(String::from);
        assert_eq!(known(&names, &mut report), ["xen"]);
        assert_eq!(report.missing.len(), 1);
        assert_eq!(report.missing[0].what, "peer bao");
        assert!(report.missing[0].why.contains("xen") && !report.missing[0].known);
    }
}
