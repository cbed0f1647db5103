//! A report whose every number is made up, and says so.

use tessera::bench::report::{
    Counts, Event, Latency, Missing, Operations, Report, Run, Setting, Size, Span, Stretch,
    Timeline, View, Workload,
};

const TESSERA: (&str, u8, &str) = ("tessera", 3, "pinned");
const SHARED: (&str, u8, &str) = ("tessera", 3, "shared");
const OLD: (&str, u8, &str) = ("tessera", 2, "pinned");
const NATIVE: (&str, u8, &str) = ("native", 3, "");
const XEN: (&str, u8, &str) = ("xen", 3, "pinned");
const BAO: (&str, u8, &str) = ("bao", 3, "pinned");

fn setting((system, gic, policy): (&str, u8, &str)) -> Setting {
    Setting {
        system: system.into(),
        gic,
        policy: policy.into(),
        cores: 1,
    }
}

/// The report.
pub fn report() -> Report {
    Report {
        format: 1,
        run: Run {
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            modified: true,
            qemu: "7.2.19 (SAMPLE)".into(),
            host: "SAMPLE: every number on this page is made up".into(),
            date: "2026-01-31".into(),
            quick: true,
            peers: vec!["xen 4.17 (SAMPLE)".into(), "bao 2.0 (SAMPLE)".into()],
        },
        events: events(),
        views: views(),
        latencies: latencies(),
        workloads: workloads(),
        sizes: sizes(),
        timelines: vec![timeline(), gateway()],
        missing: vec![
            Missing {
                what: "jailhouse".into(),
                why: "There is no package of it in this release. Give its image with --image jailhouse=FILE.".into(),
                known: true,
            },
            Missing {
                what: "ipi_send, bao".into(),
                why: "Its configuration gives a guest one core only. Build it with two.".into(),
                known: true,
            },
        ],
    }
}

fn counts(median: u64, spread: u64) -> Counts {
    Counts {
        count: 1000,
        min: median - median.min(spread / 4),
        median,
        p99: median + spread / 2,
        max: median + spread,
    }
}

fn events() -> Vec<Event> {
    type Row = ((&'static str, u8, &'static str), u64, u64, [u64; 2]);
    type Group = (&'static str, &'static str, u64, Option<u64>, &'static [Row]);
    let all: [Group; 7] = [
        (
            "hypercall",
            "A call that does nothing",
            60,
            Some(14),
            &[
                (TESSERA, 54, 0, [6, 4]),
                (SHARED, 54, 0, [6, 4]),
                (OLD, 54, 0, [6, 4]),
                (XEN, 470, 60, [31, 22]),
                (BAO, 202, 4, [14, 12]),
            ],
        ),
        (
            "gicd_read",
            "A read of a distributor register",
            140,
            None,
            &[
                (TESSERA, 131, 9, [11, 7]),
                (OLD, 133, 9, [11, 7]),
                (XEN, 593, 40, [38, 25]),
                (BAO, 226, 0, [16, 11]),
            ],
        ),
        (
            "uart_read",
            "A read of an emulated UART's register",
            140,
            None,
            &[(TESSERA, 152, 12, [13, 8]), (XEN, 633, 80, [41, 25])],
        ),
        (
            "interrupt",
            "A hardware interrupt to a guest that owns its core",
            120,
            Some(24),
            &[
                (TESSERA, 104, 30, [12, 9]),
                (XEN, 1_418, 700, [112, 56]),
                (BAO, 188, 0, [26, 18]),
            ],
        ),
        (
            "ipi_send",
            "An interrupt to another vCPU, the sender's part",
            180,
            None,
            &[(TESSERA, 171, 22, [15, 10]), (XEN, 1_266, 300, [70, 43])],
        ),
        (
            "switch",
            "An interrupt to a guest that waits while another runs",
            400,
            None,
            &[(SHARED, 372, 48, [24, 19]), (XEN, 7_726, 1_900, [301, 167])],
        ),
        (
            "wfi",
            "Waiting for an interrupt",
            300,
            None,
            &[(SHARED, 290, 30, [17, 12]), (XEN, 240, 30, [20, 14])],
        ),
    ];
    let mut events = Vec::new();
    for (name, title, budget, lines_budget, rows) in all {
        for (who, median, spread, [code, data]) in rows {
            let ours = who.0 == "tessera";
            events.push(Event {
                name: name.into(),
                title: title.into(),
                setting: setting(*who),
                fp: "untouched".into(),
                entries: 1,
                instructions: counts(*median, *spread),
                masked: *median,
                code_lines: counts(*code, 2),
                data_lines: counts(*data, 2),
                operations: Operations {
                    isb: 1,
                    msr: 3,
                    mrs: 4,
                    eret: 1,
                    ..Operations::default()
                },
                budget: ours.then_some(budget),
                lines_budget: lines_budget.filter(|_| ours),
            });
        }
    }
    events
}

fn views() -> Vec<View> {
    type Row = ((&'static str, u8, &'static str), f64, Option<f64>);
    let all: [(&str, &str, f64, &[Row]); 4] = [
        (
            "psci_version",
            "PSCI_VERSION",
            110.0,
            &[
                (NATIVE, 41.0, None),
                (TESSERA, 98.0, None),
                (XEN, 511.0, None),
                (BAO, 243.0, None),
            ],
        ),
        (
            "sgi_self",
            "An SGI to itself, to the handler and back",
            800.0,
            &[
                (NATIVE, 531.0, None),
                (TESSERA, 688.5, None),
                (XEN, 1_627.0, None),
                (BAO, 1_305.0, None),
            ],
        ),
        (
            "timer",
            "Lateness of a 10 ms virtual timer",
            280.0,
            &[
                (NATIVE, 149.0, Some(160.0)),
                (TESSERA, 251.0, Some(412.0)),
                (XEN, 1_056.0, Some(3_100.0)),
            ],
        ),
        (
            "boot",
            "From reset to the first instruction of a small guest",
            350_000.0,
            &[
                (TESSERA, 331_204.0, None),
                (XEN, 29_600_000.0, None),
                (BAO, 410_000.0, None),
            ],
        ),
    ];
    let mut views = Vec::new();
    for (name, title, budget, rows) in all {
        views.extend(rows.iter().map(|(who, instructions, max)| View {
            name: name.into(),
            title: title.into(),
            setting: setting(*who),
            instructions: *instructions,
            max: *max,
            budget: (who.0 == "tessera").then_some(budget),
        }));
    }
    views
}

/// A histogram with a hump, a shoulder and a few late ones; deterministic.
fn latency(situation: &str, who: (&str, u8, &str), base: f64, tail: f64, missed: u64) -> Latency {
    let mut values: Vec<u64> = Vec::new();
    let mut state = 0x2545_f491_4f6c_dd1du64 ^ base.to_bits() ^ tail.to_bits();
    for _ in 0..20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let part = (state >> 11) as f64 / (1u64 << 53) as f64;
        let late = base * (1.0 + 0.25 * part) + tail * part.powi(40) + tail * 0.05 * part.powi(6);
        values.push(late as u64);
    }
    values.sort_unstable();
    let at = |part: f64| values[(values.len() as f64 * part) as usize];
    let mut buckets: Vec<[u64; 3]> = Vec::new();
    for value in &values {
        let width = (value / 32).next_power_of_two().max(1);
        let from = value / width * width;
        match buckets.last_mut() {
            Some([start, _, count]) if *start == from => *count += 1,
            _ => buckets.push([from, from + width - 1, 1]),
        }
    }
    let max = values[values.len() - 1];
    Latency {
        situation: situation.into(),
        setting: setting(who),
        count: values.len() as u64,
        missed,
        min: values[0],
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        max,
        buckets,
        masked: (who.0 == "tessera").then(|| Stretch {
            instructions: (tail * 0.8) as u64 + 300,
            path: "data abort from linux: exit::abort::data > vmm::write > console::Ring::push"
                .into(),
        }),
        masked_budget: (who.0 == "tessera").then_some(1500),
        missed_budget: None,
    }
}

fn latencies() -> Vec<Latency> {
    vec![
        latency("alone", NATIVE, 140.0, 20.0, 0),
        latency("alone", SHARED, 236.0, 90.0, 0),
        latency("alone", XEN, 980.0, 2_000.0, 0),
        latency("linux idle", SHARED, 402.0, 500.0, 0),
        latency("linux idle", XEN, 2_400.0, 9_000.0, 0),
        latency("linux under load", SHARED, 410.0, 1_150.0, 0),
        latency("linux under load", XEN, 2_600.0, 38_000.0, 3),
        latency("linux restarting", SHARED, 415.0, 1_600.0, 0),
    ]
}

fn workloads() -> Vec<Workload> {
    let all: [(&str, [f64; 4]); 4] = [
        ("boot", [1.0, 1.0021, 1.0044, 1.108]),
        ("hackbench", [1.0, 1.0007, 1.0061, 1.052]),
        ("cyclictest", [1.0, 1.0011, 1.0029, 1.031]),
        ("syscall", [1.0, 1.0, 1.0002, 1.0009]),
    ];
    let mut rows = Vec::new();
    for (i, (name, ratios)) in all.into_iter().enumerate() {
        for (who, ratio) in [NATIVE, TESSERA, SHARED, XEN].into_iter().zip(ratios) {
            let base = [965e6, 410e6, 88e6, 51e6][i];
            let seeds = [(0.9991, 0.6), (1.0013, 1.5), (0.9996, 0.9)];
            let instructions =
                seeds.map(|(seed, spread)| (base * seed * (1.0 + (ratio - 1.0) * spread)) as u64);
            rows.push(Workload {
                name: name.into(),
                kernel: "debian".into(),
                setting: setting(who),
                instructions: instructions.to_vec(),
                ratio,
                latency: (name == "cyclictest").then_some([4.0 * ratio, 17.0 * ratio * ratio]),
                budget: (who.0 == "tessera").then_some(1.005),
            });
        }
    }
    rows
}

fn sizes() -> Vec<Size> {
    type Row = (&'static str, u64);
    let all: [(&str, &str, Option<u64>, &[Row]); 5] = [
        (
            "text",
            "Executable code, bytes",
            Some(81_920),
            &[("tessera", 78_344), ("xen", 701_440), ("bao", 78_848)],
        ),
        (
            "static_ram",
            "Memory besides code and constants, bytes",
            Some(524_288),
            &[("tessera", 412_672)],
        ),
        (
            "running_stack",
            "The deepest that a core's stack can get, bytes",
            Some(6_144),
            &[("tessera", 6_320)],
        ),
        (
            "source_lines",
            "Lines of source that run at EL2",
            Some(8_000),
            &[("tessera", 7_412), ("xen", 158_000), ("bao", 10_300)],
        ),
        (
            "unsafe_blocks",
            "Blocks marked unsafe",
            None,
            &[("tessera", 131)],
        ),
    ];
    let mut sizes = Vec::new();
    for (name, title, budget, rows) in all {
        sizes.extend(rows.iter().map(|(system, value)| Size {
            name: name.into(),
            title: title.into(),
            system: (*system).into(),
            value: *value,
            budget: budget.filter(|_| *system == "tessera"),
        }));
    }
    sizes
}

/// Adds a stretch behind the last one.
fn then(spans: &mut Vec<Span>, who: &str, length: u64) {
    let from = spans.last().map_or(0, |s| s.to);
    let (to, who) = (from + length, who.into());
    spans.push(Span { from, to, who });
}

fn timeline() -> Timeline {
    let mut core = Vec::new();
    for round in 0..5 {
        then(&mut core, "EL2", 410);
        then(&mut core, "rt", 200_000 + round * 3000);
        then(&mut core, "EL2", 290);
        for piece in [90_000, 240_000, 130_000] {
            then(&mut core, "linux", piece);
            then(&mut core, "EL2", 800);
        }
        then(&mut core, "linux", 150_000);
        then(&mut core, "EL2", 350);
        then(&mut core, "idle", 180_000 - round * 3000);
    }
    Timeline {
        title: "phone: five periods of the real-time guest, Linux under load".into(),
        setting: setting(SHARED),
        cores: vec![core],
    }
}

fn gateway() -> Timeline {
    let core = |who: &str, lengths: &[u64]| {
        let mut spans = Vec::new();
        for (i, length) in lengths.iter().enumerate() {
            then(&mut spans, [who, "EL2", "idle", "EL2"][i % 4], *length);
        }
        spans
    };
    Timeline {
        title: "gateway: four cores".into(),
        setting: Setting {
            cores: 4,
            ..setting(TESSERA)
        },
        cores: vec![
            core(
                "linux",
                &[400_000, 900, 100_000, 600, 300_000, 900, 200_000],
            ),
            core("linux", &[100_000, 900, 500_000, 600, 400_000]),
            core("rtos", &[1_000_000]),
            core("net", &[50_000, 700, 200_000, 700, 90_000, 900, 600_000]),
        ],
    }
}
