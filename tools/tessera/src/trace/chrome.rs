//! The Chrome trace-event format ("Trace Event Format", Google, sections "JSON Object Format", "Complete Events", "Instant
//! Events", "Metadata Events"), which Perfetto reads.

use super::core;
use super::guest;
use super::ring::Ring;
use super::track::Track;
use crate::system::System;
use serde_json::{Value, json};

/// What partitions and vCPUs are called.
#[derive(Clone, Debug, Default)]
pub struct Names {
    system: String,
    /// The partitions in the manifest's order, each with its number of vCPUs.
    partitions: Vec<(String, usize)>,
}

impl Names {
    /// Those of a system.
    #[must_use]
    pub fn of(system: &System) -> Self {
        let guests = system.guests.iter();
        Self {
            system: system.name.clone(),
            partitions: guests.map(|g| (g.name.clone(), g.vcpus.len())).collect(),
        }
    }

    /// A partition's name.
    #[must_use]
    pub fn partition(&self, partition: u8) -> String {
        match self.partitions.get(usize::from(partition)) {
            Some((name, _)) => name.clone(),
            None => format!("partition {partition}"),
        }
    }

    /// A vCPU's name: its guest's, with a number if there are several.
    #[must_use]
    pub fn context(&self, partition: u8, vcpu: u8) -> String {
        let name = self.partition(partition);
        match self.partitions.get(usize::from(partition)) {
            Some((_, 1)) if vcpu == 0 => name,
            _ => format!("{name}.{vcpu}"),
        }
    }
}

/// The process under which all cores are.
const CORES: u64 = 1;

/// The events of a trace as they are written.
struct Events(Vec<Value>);

/// Makes the file: a JSON object, a line for each event.
#[must_use]
pub fn chrome(rings: &[Ring], names: &Names) -> String {
    let end = rings.iter().filter_map(Ring::times).map(|(_, last)| last);
    let end = end.max().unwrap_or(0);
    let mut events = Events(Vec::new());
    events.name("process_name", CORES, CORES, "cores");
    for ring in rings {
        let thread = CORES + 1 + u64::from(ring.core);
        events.track(CORES, thread, "core", &core::track(ring, names, end));
    }
    for (partition, tracks) in guest::tracks(rings, names, end) {
        // (Every thread has a number of its own in the whole file: some readers know no others.)
        let process = 1000 * (1 + u64::from(partition));
        let name = names.partition(partition);
        events.name("process_name", process, process, &name);
        events.track(process, process, "guest", &tracks.state);
        for (vcpu, track) in tracks.vcpus {
            let thread = process + 1 + u64::from(vcpu);
            events.track(process, thread, "guest", &track);
        }
    }
    let lines: Vec<String> = events.0.iter().map(Value::to_string).collect();
    let system = json!(names.system);
    format!(
        "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"system\":{system}}},\"traceEvents\":[\n{}\n]}}\n",
        lines.join(",\n")
    )
}

impl Events {
    fn name(&mut self, what: &str, process: u64, thread: u64, name: &str) {
        let order = what.replace("name", "sort_index");
        let place = if what == "process_name" {
            process
        } else {
            thread
        };
        self.0.push(json!({ "ph": "M", "name": what, "pid": process, "tid": thread, "args": { "name": name } }));
        self.0.push(json!({ "ph": "M", "name": order, "pid": process, "tid": thread, "args": { "sort_index": place } }));
    }

    fn track(&mut self, process: u64, thread: u64, category: &str, track: &Track) {
        self.name("thread_name", process, thread, &track.name);
        let slices = track.slices.iter().map(|slice| {
            let event = json!({
                "ph": "X", "name": slice.name, "cat": category, "pid": process, "tid": thread,
                "ts": microseconds(slice.from), "dur": microseconds(slice.to - slice.from), "args": slice.details,
            });
            (slice.from, event)
        });
        let instants = track.instants.iter().map(|instant| {
            let event = json!({
                "ph": "i", "s": "t", "name": instant.name, "cat": category, "pid": process, "tid": thread,
                "ts": microseconds(instant.at), "args": instant.details,
            });
            (instant.at, event)
        });
        // In the order of their times; what begins then comes before what happens then.
        let mut all: Vec<(u64, Value)> = slices.chain(instants).collect();
        all.sort_by_key(|(at, _)| *at);
        self.0.extend(all.into_iter().map(|(_, event)| event));
    }
}

/// The format's unit.
fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1000.0
}
