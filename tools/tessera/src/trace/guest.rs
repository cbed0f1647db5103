//! The tracks of a guest: its state, and for each vCPU when it ran, could have run, or waited.

use super::cause::{cause, waits};
use super::chrome::Names;
use super::ring::{Record, Ring};
use super::track::Track;
use serde_json::json;
use std::collections::BTreeMap;
use trace::{Kind, State};

/// The tracks of a guest.
#[derive(Clone, Debug)]
pub struct Tracks {
    /// Its state.
    pub state: Track,
    /// Its vCPUs by their numbers.
    pub vcpus: BTreeMap<u8, Track>,
}

/// A partition's state in a word.
pub fn state(state: State) -> &'static str {
    match state {
        State::Off => "off",
        State::Loading => "loading",
        State::Running => "running",
        State::Stopping => "stopping",
    }
}

/// Makes the tracks of all guests, by partition, that go on to `end`.
///
/// A vCPU is told of by its own core, but woken by any: all rings are read as one, by time.
pub fn tracks(rings: &[Ring], names: &Names, end: u64) -> BTreeMap<u8, Tracks> {
    let mut all: Vec<(u16, &Record)> = Vec::new();
    for ring in rings {
        all.extend(ring.records.iter().map(|r| (ring.core, r)));
    }
    all.sort_by_key(|(_, record)| record.at);
    let mut guests = Guests {
        names,
        tracks: BTreeMap::new(),
        left: BTreeMap::new(),
    };
    for (core, record) in all {
        guests.record(core, record);
    }
    for tracks in guests.tracks.values_mut() {
        tracks.state.end(end);
        for track in tracks.vcpus.values_mut() {
            track.end(end);
        }
    }
    guests.tracks
}

struct Guests<'a> {
    names: &'a Names,
    tracks: BTreeMap<u8, Tracks>,
    /// Whom each core has left last, and how that goes on if it does not return there: who, and the word.
    left: BTreeMap<u16, ((u8, u8), &'static str)>,
}

impl Guests<'_> {
    fn record(&mut self, core: u16, record: &Record) {
        let Record { at, kind, argument } = *record;
        let who = (argument.partition(), argument.vcpu());
        match kind {
            Kind::Exit => {
                let track = self.vcpu(who);
                track.end(at);
                if let Some(slice) = track.slices.last_mut().filter(|s| s.to == at) {
                    let why = cause(argument.low());
                    slice.details.insert("left for".into(), json!(why));
                }
                let next = if waits(argument.low()) {
                    "waiting"
                } else {
                    "preempted"
                };
                self.left.insert(core, (who, next));
            }
            Kind::Entry => {
                self.leave(core, at, Some(who));
                let track = self.vcpu(who);
                track.begin(at, format!("running on core {core}"));
            }
            Kind::Idle => self.leave(core, at, None),
            Kind::Wake => self.wake(who, at),
            Kind::Budget => self.vcpu(who).happens(at, "budget used up", json!({})),
            Kind::State => self.state(who.0, argument.low(), at),
            Kind::Switch | Kind::Interrupt | Kind::Console => {}
        }
    }

    /// The core goes on with `next`; if that is not whom it has left, that one waits or was preempted from now on.
    fn leave(&mut self, core: u16, at: u64, next: Option<(u8, u8)>) {
        if let Some((who, word)) = self.left.remove(&core)
            && next != Some(who)
        {
            self.vcpu(who).begin(at, word);
        }
    }

    fn wake(&mut self, who: (u8, u8), at: u64) {
        // Woken while its core is still about to leave it: it does not wait, it could run.
        for (left, word) in self.left.values_mut() {
            if *left == who {
                *word = "ready";
            }
        }
        let track = self.vcpu(who);
        track.happens(at, "woken", json!({}));
        let runs = track.now().is_some_and(|s| s.name.starts_with("running"));
        let waits = track.now().is_some_and(|s| s.name == "waiting");
        if waits || (!runs && track.slices.is_empty() && track.now().is_none()) {
            track.begin(at, "ready");
        }
    }

    fn state(&mut self, partition: u8, number: u32, at: u64) {
        let Some(new) = u8::try_from(number).ok().and_then(State::decode) else {
            return;
        };
        if matches!(new, State::Off | State::Loading) {
            // Its vCPUs are off.
            self.left.retain(|_, (who, _)| who.0 != partition);
            for track in self.guest(partition).vcpus.values_mut() {
                track.end(at);
            }
        }
        self.guest(partition).state.begin(at, state(new));
    }

    fn guest(&mut self, partition: u8) -> &mut Tracks {
        self.tracks.entry(partition).or_insert_with(|| Tracks {
            state: Track::new("state"),
            vcpus: BTreeMap::new(),
        })
    }

    fn vcpu(&mut self, (partition, vcpu): (u8, u8)) -> &mut Track {
        let name = self.names.context(partition, vcpu);
        let vcpus = &mut self.guest(partition).vcpus;
        vcpus.entry(vcpu).or_insert_with(|| Track::new(name))
    }
}
