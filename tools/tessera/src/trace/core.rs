//! The track of a core: whose instructions it executed, what EL2 did in between and why, and when it waited.

use super::cause::cause;
use super::chrome::Names;
use super::ring::{Record, Ring};
use super::track::Track;
use serde_json::json;
use trace::{Kind, State};

/// Makes the track of a core that goes on to `end`.
pub fn track(ring: &Ring, names: &Names, end: u64) -> Track {
    let mut track = Track::new(format!("core {}", ring.core));
    let mut before = Before::Unknown;
    for record in &ring.records {
        let Record { at, kind, argument } = *record;
        let context = || names.context(argument.partition(), argument.vcpu());
        // Whatever is written while nobody is known to run, or after the core waited, EL2 writes.
        if kind != Kind::Exit && before != Before::El2 {
            match before {
                Before::Unknown => track.begin(at, "EL2"),
                Before::Idle => track.begin(at, "EL2: woken"),
                Before::Guest | Before::El2 => {}
            }
        }
        before = match kind {
            Kind::Exit => {
                track.begin(at, format!("EL2: {}", cause(argument.low())));
                if let Some(slice) = track.now() {
                    slice.details.insert("from".into(), json!(context()));
                    let esr = format!("{:#010x}", argument.low());
                    slice.details.insert("ESR_EL2".into(), json!(esr));
                }
                Before::El2
            }
            Kind::Entry => {
                track.begin(at, context());
                Before::Guest
            }
            Kind::Idle => {
                track.begin(at, "idle");
                Before::Idle
            }
            _ => {
                happens(&mut track, record, names);
                match before {
                    Before::Guest => Before::Guest,
                    _ => Before::El2,
                }
            }
        };
    }
    track.end(end);
    track
}

/// Who had the core before a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// The ring has nothing older.
    Unknown,
    /// A guest.
    Guest,
    /// The kernel.
    El2,
    /// Nobody.
    Idle,
}

fn happens(track: &mut Track, record: &Record, names: &Names) {
    let Record { at, kind, argument } = *record;
    let context = names.context(argument.partition(), argument.vcpu());
    let partition = names.partition(argument.partition());
    match kind {
        Kind::Switch => track.happens(at, format!("registers of {context}"), json!({})),
        Kind::Interrupt => {
            let intid = argument.low();
            if let Some(slice) = track.now() {
                // Which interrupt it was is known only now.
                let interrupts = slice.details.entry("INTIDs").or_insert_with(|| json!([]));
                if let Some(list) = interrupts.as_array_mut() {
                    list.push(json!(intid));
                }
                if ["EL2: interrupt", "EL2: woken"].contains(&slice.name.as_str()) {
                    slice.name = format!("{} {intid}", slice.name);
                }
            }
            track.happens(at, format!("interrupt {intid}"), json!({ "INTID": intid }));
        }
        Kind::Budget => track.happens(at, format!("{context}: budget used up"), json!({})),
        Kind::Console => {
            let characters = json!({ "characters": argument.low() });
            track.happens(at, format!("console, {partition}"), characters);
        }
        Kind::Wake => track.happens(at, format!("{context}: woken"), json!({})),
        Kind::State => {
            let state = u8::try_from(argument.low()).ok().and_then(State::decode);
            let state = state.map_or("in an unknown state", super::guest::state);
            track.happens(at, format!("{partition}: {state}"), json!({}));
        }
        Kind::Exit | Kind::Entry | Kind::Idle => {}
    }
}
