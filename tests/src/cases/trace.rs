//! What the kernel writes down while it runs says who had each core; the file that is made of it is a sound picture.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tessera::board::Board;
use tessera::product::Product;
use tessera::program::Profile;
use tessera::trace::chrome::{Names, chrome};
use tessera::trace::recorder::{self, Limits};

/// The real-time guest's period in microseconds, the unit of the file.
const PERIOD: f64 = 1000.0;
/// Two times that differ by less than this are the same: the file has them as decimal fractions of microseconds.
const SAME: f64 = 0.0005;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [Board::VirtGicv3, Board::VirtGicv2, Board::Zcu102]
        .map(|board| {
            case(
                format!(
                    "a trace of phone shows both guests on core 0, on {}",
                    board.name()
                ),
                move |context| both_guests(context, board),
            )
        })
        .into();
    cases.extend([Board::VirtGicv3, Board::Zcu102].map(|board| {
        case(
            format!(
                "a trace of gateway shows each guest on its cores, on {}",
                board.name()
            ),
            move |context| four_cores(context, board),
        )
    }));
    cases
}

/// Runs a system of `systems/` with tracing for a second of its own time; the events of the file, which is sound.
fn traced(context: &Context<'_>, system: &str, board: Board) -> Result<Picture, Failure> {
    let name = format!("name = \"{system}\"");
    let with = format!("{name}\ntrace = \"256KiB\"");
    let edit = (name.as_str(), with.as_str());
    let product: &Product = &*context.variant(
        system,
        &format!("{system}-trace"),
        &[edit],
        Profile::Release,
    )?;
    let config = context.machine(product, board)?;
    let limits = Limits {
        virtual_time: Duration::from_secs(1),
        patience: Duration::from_secs(150),
    };
    let recording = recorder::record(&config, product.system.cores.len(), limits)
        .map_err(|e| Failure::new(e.to_string()))?;
    context.record(recording.transcript.as_bytes());
    ensure(recording.whole, || {
        "the machine did not come to its first second".into()
    })?;
    let text = chrome(&recording.rings, &Names::of(&product.system));
    std::fs::write(context.file("trace.json"), &text)?;
    let picture = Picture::read(&text)?;
    picture.runs_where_it_is_said()?;
    Ok(picture)
}

/// The tracks of a file, by process and thread.
struct Picture(BTreeMap<(u64, u64), Track>);

#[derive(Default)]
struct Track {
    /// The name of its process, then its own.
    name: [String; 2],
    /// What lasts, in the file's order.
    spans: Vec<Span>,
    /// What happens.
    instants: Vec<(f64, String)>,
}

/// What lasts: when it begins, how long it takes, what it is.
#[derive(Clone, Debug)]
struct Span {
    at: f64,
    takes: f64,
    name: String,
}

impl Picture {
    /// Reads a file. Every event is on a track that has a name, begins no earlier than the one before on
    /// its track, and what lasts takes some time and is over before the next begins.
    fn read(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str, event: &Value| Failure::new(format!("{what}: {event}"));
        let file: Value = serde_json::from_str(text).map_err(|e| Failure::new(e.to_string()))?;
        let events = file.get("traceEvents").and_then(Value::as_array);
        let events = events.ok_or_else(|| Failure::new("the file has no events"))?;
        let place = |event: &Value| Some((event["pid"].as_u64()?, event["tid"].as_u64()?));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let mut processes: BTreeMap<u64, String> = BTreeMap::new();
        let mut tracks: BTreeMap<(u64, u64), Track> = BTreeMap::new();
        for event in events.iter().filter(|e| e["ph"] == "M") {
            let at = place(event).ok_or_else(|| wrong("no track", event))?;
            let name = text(&event["args"]["name"]);
            if event["name"] == "process_name" {
                processes.insert(at.0, name);
            } else if event["name"] == "thread_name" {
                tracks.entry(at).or_default().name = [String::new(), name];
            }
        }
        for ((process, _), track) in &mut tracks {
            track.name[0] = processes.get(process).cloned().unwrap_or_default();
        }
        for event in events.iter().filter(|e| e["ph"] != "M") {
            let track = place(event).and_then(|p| tracks.get_mut(&p));
            let track = track.filter(|t| t.name.iter().all(|n| !n.is_empty()));
            let track = track.ok_or_else(|| wrong("its track has no name", event))?;
            let at = event["ts"].as_f64().filter(|at| *at >= 0.0);
            let at = at.ok_or_else(|| wrong("no time", event))?;
            ensure(track.end() <= at + SAME, || {
                wrong("it begins before its track's last one", event).0
            })?;
            let name = text(&event["name"]);
            if event["ph"] == "X" {
                let takes = event["dur"].as_f64().filter(|d| *d > 0.0);
                let takes = takes.ok_or_else(|| wrong("it takes no time", event))?;
                let last = track.spans.last().map_or(0.0, |s| s.at + s.takes);
                ensure(last <= at + SAME, || {
                    wrong("it begins before the last one is over", event).0
                })?;
                track.spans.push(Span { at, takes, name });
            } else {
                ensure(event["ph"] == "i", || wrong("an unknown event", event).0)?;
                track.instants.push((at, name));
            }
        }
        Ok(Self(tracks))
    }

    /// The tracks of a process, as `cores` or a guest.
    fn of<'a>(&'a self, process: &'a str) -> impl Iterator<Item = &'a Track> {
        self.0.values().filter(move |t| t.name[0] == process)
    }

    fn core(&self, core: usize) -> Result<&Track, Failure> {
        let name = format!("core {core}");
        let mut cores = self.of("cores");
        cores
            .find(|t| t.name[1] == name)
            .ok_or_else(|| Failure::new(format!("there is no track `{name}`")))
    }

    /// Whenever a vCPU's own track says that it runs on a core, that core's track says so too, and for as long.
    fn runs_where_it_is_said(&self) -> Result<(), Failure> {
        for track in self.0.values().filter(|t| t.name[0] != "cores") {
            for span in &track.spans {
                let core = span.name.strip_prefix("running on core ");
                let Some(core) = core.and_then(|c| c.parse().ok()) else {
                    continue;
                };
                let spans = &self.core(core)?.spans;
                let place = spans.partition_point(|s| s.at < span.at - SAME);
                let same = spans.get(place).filter(|s| {
                    s.name == track.name[1]
                        && (s.at - span.at).abs() < SAME
                        && (s.takes - span.takes).abs() < SAME
                });
                ensure(same.is_some(), || {
                    format!(
                        "{} is said to run on core {core} at {} us for {} us, and the core has {:?}",
                        track.name[1],
                        span.at,
                        span.takes,
                        spans.get(place)
                    )
                })?;
            }
        }
        Ok(())
    }
}

impl Track {
    /// When its last event begins.
    fn end(&self) -> f64 {
        let span = self.spans.last().map_or(0.0, |s| s.at);
        self.instants.last().map_or(span, |i| span.max(i.0))
    }

    /// How often what is on it.
    fn count(&self, name: &str) -> usize {
        self.spans.iter().filter(|s| s.name == name).count()
    }

    /// Everybody whom it shows, on a core's track: no word of the kernel's.
    fn guests(&self) -> BTreeSet<&str> {
        let names = self.spans.iter().map(|s| s.name.as_str());
        names
            .filter(|n| *n != "idle" && !n.starts_with("EL2"))
            .collect()
    }
}

fn both_guests(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let picture = traced(context, "phone", board)?;
    let core = picture.core(0)?;
    let (rt, linux) = (core.count("rt"), core.count("linux"));
    context.note(format!(
        "{} spans; rt ran {rt} times, linux {linux} times",
        core.spans.len()
    ));
    for (name, count) in [("rt", rt), ("linux", linux)] {
        ensure(count >= 5, || {
            format!("{name} had core 0 only {count} times")
        })?;
    }
    periodic(core)
}

/// The real-time guest is woken in each of its periods.
fn periodic(core: &Track) -> Result<(), Failure> {
    let woken = core.instants.iter().filter(|(_, name)| name == "rt: woken");
    let woken: Vec<f64> = woken.map(|(at, _)| *at).collect();
    ensure(woken.len() >= 5, || {
        format!("rt was woken only {} times", woken.len())
    })?;
    let bad = woken.windows(2).find(|w| w[1] - w[0] > PERIOD * 1.05);
    ensure(bad.is_none(), || {
        format!("rt was woken at {bad:?} us, its period is {PERIOD} us")
    })
}

/// Linux has two cores of its own, `rt` and `logger` one each, as `systems/gateway.toml` says.
fn four_cores(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let picture = traced(context, "gateway", board)?;
    let mut shown = Vec::new();
    for (core, guest) in ["linux.0", "linux.1", "rt", "logger"].iter().enumerate() {
        let track = picture.core(core)?;
        let found = track.guests();
        ensure(found == BTreeSet::from([*guest]), || {
            format!("core {core} is {guest}'s, and shows {found:?}")
        })?;
        let count = track.count(guest);
        ensure(count >= 5, || {
            format!("{guest} had core {core} only {count} times")
        })?;
        shown.push(format!("{guest} {count} times on core {core}"));
    }
    context.note(shown.join(", "));
    let tracks = |guest: &'static str| picture.of(guest).count();
    let tracks = [tracks("linux"), tracks("rt"), tracks("logger")];
    // Its state, and one for each vCPU.
    ensure(tracks == [3, 2, 2], || format!("tracks: {tracks:?}"))
}
