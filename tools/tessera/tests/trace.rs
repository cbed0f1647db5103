//! From the bytes of rings to the file that a viewer opens; and out of a machine's memory.

use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tessera::board::Board;
use tessera::check;
use tessera::description::Description;
use tessera::machine::Config;
use tessera::setup;
use tessera::trace::chrome::{Names, chrome};
use tessera::trace::recorder::{self, Limits};
use tessera::trace::ring::Ring;
use trace::{Argument, Kind, RECORD_LEN, State, words};

/// The first partition is the more urgent one.
const RT: u8 = 0;
const LINUX: u8 = 1;
const WFI: u32 = 0x0600_0000;

const TEXT: &str = r#"
name = "phone"
[[core]]
[[core]]
[guest.rt]
image = "rt"
memory = "4MiB"
cores = [0]
priority = 200
[guest.linux]
image = "linux"
memory = "64MiB"
cores = [0, 1]
"#;

fn names() -> Names {
    let (description, source) = Description::parse(Path::new("phone.toml"), TEXT).unwrap();
    Names::of(&check::check(&description, &source).unwrap())
}

type Put = (u64, Kind, Argument);

/// The bytes of a ring of a 1 GHz counter, so that ticks are nanoseconds.
fn bytes(core: u16, capacity: usize, records: &[Put]) -> Vec<u8> {
    let mut memory = vec![0; words(capacity * RECORD_LEN)];
    let mut ring = trace::Ring::new(&mut memory, core, 1_000_000_000).unwrap();
    for (time, kind, argument) in records {
        ring.put(*time, *kind, *argument);
    }
    memory.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn ring(core: u16, records: &[Put]) -> Ring {
    Ring::read(&bytes(core, 1024, records)).unwrap()
}

/// A file as a viewer sees it.
struct Picture {
    /// Names of tracks by process and thread.
    tracks: BTreeMap<(u64, u64), String>,
    events: Vec<Value>,
}

impl Picture {
    fn of(rings: &[Ring]) -> Self {
        let file: Value = serde_json::from_str(&chrome(rings, &names())).expect("JSON");
        let events = file["traceEvents"].as_array().expect("events").clone();
        let name = |process: bool, id: u64| {
            let (what, key) = match process {
                true => ("process_name", "pid"),
                false => ("thread_name", "tid"),
            };
            let found = events.iter().find(|e| e["name"] == what && e[key] == id);
            found
                .and_then(|e| e["args"]["name"].as_str())
                .expect("a name")
                .to_string()
        };
        let tracks = events.iter().filter(|e| e["ph"] != "M").map(|e| {
            let (process, thread) = (e["pid"].as_u64().unwrap(), e["tid"].as_u64().unwrap());
            let name = format!("{}/{}", name(true, process), name(false, thread));
            ((process, thread), name)
        });
        Self {
            tracks: tracks.collect(),
            events,
        }
    }

    /// The events of a kind on a track, named `process/thread`: name, begin and length in nanoseconds.
    fn on(&self, track: &str, ph: &str) -> Vec<(&str, u64, u64)> {
        let ids = self
            .tracks
            .iter()
            .find(|(_, name)| *name == track)
            .map(|(ids, _)| *ids);
        let here = |e: &&Value| {
            e["ph"] == ph
                && (e["pid"].as_u64(), e["tid"].as_u64()) == (ids.map(|i| i.0), ids.map(|i| i.1))
        };
        let ns = |v: &Value| (v.as_f64().unwrap_or(0.0) * 1000.0).round() as u64;
        let shown = self.events.iter().filter(here);
        shown
            .map(|e| (e["name"].as_str().unwrap(), ns(&e["ts"]), ns(&e["dur"])))
            .collect()
    }
}

/// `rt` wakes while Linux runs, and waits again.
fn a_period() -> Vec<Put> {
    vec![
        (1000, Kind::Entry, Argument::context(LINUX, 0)),
        (2000, Kind::Exit, Argument::exit(0, LINUX, 0)),
        (2020, Kind::Interrupt, Argument::interrupt(26)),
        (2040, Kind::Wake, Argument::context(RT, 0)),
        (2100, Kind::Switch, Argument::context(RT, 0)),
        (2200, Kind::Entry, Argument::context(RT, 0)),
        (5000, Kind::Exit, Argument::exit(WFI, RT, 0)),
        (5100, Kind::Switch, Argument::context(LINUX, 0)),
        (5200, Kind::Entry, Argument::context(LINUX, 0)),
        (6000, Kind::Exit, Argument::exit(0x9200_0047, LINUX, 0)),
        (6100, Kind::Entry, Argument::context(LINUX, 0)),
        (7000, Kind::Exit, Argument::exit(WFI, LINUX, 0)),
        (7100, Kind::Idle, Argument::NONE),
        (9000, Kind::Interrupt, Argument::interrupt(33)),
        (9100, Kind::Entry, Argument::context(LINUX, 0)),
        (9500, Kind::Console, Argument::console(12, LINUX)),
    ]
}

#[test]
fn a_core_shows_who_ran_and_what_el2_did() {
    let picture = Picture::of(&[ring(0, &a_period())]);
    let slices = picture.on("cores/core 0", "X");
    let expected = [
        ("linux.0", 1000, 1000),
        ("EL2: interrupt 26", 2000, 200),
        ("rt", 2200, 2800),
        ("EL2: WFI", 5000, 200),
        ("linux.0", 5200, 800),
        ("EL2: write to a device", 6000, 100),
        ("linux.0", 6100, 900),
        ("EL2: WFI", 7000, 100),
        ("idle", 7100, 1900),
        ("EL2: woken 33", 9000, 100),
        ("linux.0", 9100, 400),
    ];
    assert_eq!(slices, expected);
    let instants = picture.on("cores/core 0", "i");
    let expected = [
        ("interrupt 26", 2020, 0),
        ("rt: woken", 2040, 0),
        ("registers of rt", 2100, 0),
        ("registers of linux.0", 5100, 0),
        ("interrupt 33", 9000, 0),
        ("console, linux", 9500, 0),
    ];
    assert_eq!(instants, expected);
}

#[test]
fn a_guest_shows_when_it_ran_where_and_why_not() {
    let picture = Picture::of(&[ring(0, &a_period())]);
    let linux = [
        ("running on core 0", 1000, 1000),
        ("preempted", 2200, 3000),
        ("running on core 0", 5200, 800),
        ("running on core 0", 6100, 900),
        ("waiting", 7100, 2000),
        ("running on core 0", 9100, 400),
    ];
    assert_eq!(picture.on("linux/linux.0", "X"), linux);
    let rt = [
        ("ready", 2040, 160),
        ("running on core 0", 2200, 2800),
        ("waiting", 5200, 4300),
    ];
    assert_eq!(picture.on("rt/rt", "X"), rt);
    assert_eq!(picture.on("rt/rt", "i"), [("woken", 2040, 0)]);
}

#[test]
fn a_guest_shows_its_states_and_no_vcpu_while_it_is_loaded() {
    let state = |time, state| (time, Kind::State, Argument::state(state, LINUX));
    let picture = Picture::of(&[ring(
        0,
        &[
            (100, Kind::Entry, Argument::context(LINUX, 0)),
            (200, Kind::Exit, Argument::exit(WFI, LINUX, 0)),
            (250, Kind::Idle, Argument::NONE),
            state(300, State::Stopping),
            state(400, State::Loading),
            state(700, State::Running),
            (800, Kind::Entry, Argument::context(LINUX, 0)),
            (900, Kind::Budget, Argument::context(LINUX, 0)),
        ],
    )]);
    let states = [
        ("stopping", 300, 100),
        ("loading", 400, 300),
        ("running", 700, 200),
    ];
    assert_eq!(picture.on("linux/state", "X"), states);
    let vcpu = [
        ("running on core 0", 100, 100),
        ("waiting", 250, 150),
        ("running on core 0", 800, 100),
    ];
    assert_eq!(picture.on("linux/linux.0", "X"), vcpu);
    assert_eq!(
        picture.on("linux/linux.0", "i"),
        [("budget used up", 900, 0)]
    );
}

#[test]
fn a_ring_that_begins_anywhere_is_shown_from_there() {
    let all = a_period();
    for first in 0..all.len() {
        let picture = Picture::of(&[ring(0, &all[first..])]);
        let slices = picture.on("cores/core 0", "X");
        let begin = all[first].0;
        let end = all[all.len() - 1].0;
        let length: u64 = slices.iter().map(|(_, _, length)| length).sum();
        assert_eq!(length, end - begin, "no gap, from record {first}");
    }
    let woken = &all[3..6];
    let picture = Picture::of(&[ring(0, woken)]);
    assert_eq!(picture.on("cores/core 0", "X"), [("EL2", 2040, 160)]);
}

#[test]
fn a_vcpu_is_woken_by_another_core() {
    let (zero, one) = (Argument::context(RT, 0), Argument::context(LINUX, 1));
    let rings = [
        ring(
            0,
            &[
                (10, Kind::Entry, zero),
                (300, Kind::Wake, one),
                (900, Kind::Budget, zero),
            ],
        ),
        ring(
            1,
            &[
                (20, Kind::Entry, one),
                (100, Kind::Exit, Argument::exit(WFI, LINUX, 1)),
                (120, Kind::Idle, Argument::NONE),
                (400, Kind::Entry, one),
            ],
        ),
    ];
    let picture = Picture::of(&rings);
    let expected = [
        ("running on core 1", 20, 80),
        ("waiting", 120, 180),
        ("ready", 300, 100),
        ("running on core 1", 400, 500),
    ];
    assert_eq!(picture.on("linux/linux.1", "X"), expected);
    assert_eq!(
        picture.on("cores/core 1", "X").len(),
        4,
        "both cores go on to the same end"
    );
}

fn put() -> impl Strategy<Value = Put> {
    let syndrome = prop_oneof![Just(0), Just(WFI), any::<u32>()];
    (0u64..50, 0..Kind::ALL.len(), syndrome, 0u8..4, 0u8..3).prop_map(
        |(step, kind, low, partition, vcpu)| {
            let kind = Kind::ALL[kind];
            let low = if kind == Kind::State { low % 5 } else { low };
            (step, kind, Argument::exit(low, partition, vcpu))
        },
    )
}

proptest! {
    #[test]
    fn nothing_overlaps_on_a_track_whatever_was_written(
        mut first in prop::collection::vec(put(), 0..200),
        mut second in prop::collection::vec(put(), 0..200),
    ) {
        for records in [&mut first, &mut second] {
            let mut time = 0;
            for record in records.iter_mut() {
                time += record.0;
                record.0 = time;
            }
        }
        let end = first.iter().chain(&second).map(|r| r.0).max().unwrap_or(0);
        let read = |core, records: &[Put]| Ring::read(&bytes(core, 64, records)).unwrap();
        let picture = Picture::of(&[read(0, &first), read(1, &second)]);
        for track in picture.tracks.values() {
            let mut free = 0;
            for (name, from, length) in picture.on(track, "X") {
                prop_assert!(length > 0 && from >= free, "{name} on {track} at {from}, free from {free}");
                free = from + length;
            }
            prop_assert!(free <= end);
        }
    }

    #[test]
    fn any_memory_is_a_ring_or_refused(mut memory in prop::collection::vec(any::<u8>(), 0..600), power in 0u32..6) {
        if let Some(header) = memory.first_chunk_mut::<16>() {
            header[..12].copy_from_slice(b"TSSTRACE\x01\0\0\0");
            header[12..].copy_from_slice(&(1u32 << power).to_le_bytes());
        }
        if let Ok(ring) = Ring::read(&memory) {
            Picture::of(&[ring]);
        }
    }
}

/// A program that says where a ring is, and waits for ever.
fn announcer(address: u64, size: usize) -> Vec<u8> {
    let code: [u32; 8] = [
        0xd2a1_2000, // mov  x0, #0x09000000: the port of `virt`
        0x1000_00e1, // adr  x1, text
        0x3840_1422, // ldrb w2, [x1], #1
        0x3400_0062, // cbz  w2, wait
        0xb900_0002, // str  w2, [x0]
        0x17ff_fffd, // b    the ldrb
        0xd503_207f, // wait: wfi
        0x17ff_ffff, // b    wait
    ];
    let text = format!("[tessera] trace: core 0 at {address:#x}, {size} bytes\r\n\0");
    let mut bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[test]
fn a_ring_is_taken_out_of_a_machines_memory() {
    let Some((qemu, _)) = setup::find_qemu() else {
        eprintln!("no QEMU here: not tried");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let address = 0x4c00_0000u64;
    let ring = bytes(0, 1024, &a_period());
    let (program, memory) = (folder.path().join("program"), folder.path().join("ring"));
    std::fs::write(&program, announcer(address, ring.len())).unwrap();
    std::fs::write(&memory, &ring).unwrap();
    let mut config = Config::tessera(qemu, Board::VirtGicv3, 1, 256, program, memory.clone());
    config.initrd = None;
    config.icount = true;
    let loader = format!(
        "loader,file={},addr={address:#x},force-raw=on",
        memory.display()
    );
    config.extra = vec!["-device".into(), loader.into()];
    let limits = |seconds| Limits {
        virtual_time: Duration::from_nanos(9000),
        patience: Duration::from_secs(seconds),
    };
    let recording = recorder::record(&config, 1, limits(60)).unwrap();
    assert!(recording.whole);
    let [ring] = &recording.rings[..] else {
        panic!("{:?}", recording.rings)
    };
    assert_eq!((ring.core, ring.records.len()), (0, a_period().len()));
    assert!(recording.transcript.contains("trace: core 0"));
    let none = recorder::record(&config, 2, limits(2)).unwrap_err();
    assert!(
        matches!(none, recorder::Error::NoRings { cores: 2, .. }),
        "{none}"
    );
}
