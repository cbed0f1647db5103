//! Runs a machine for so long by its own clock, stops it, and takes the rings out of its memory.

use super::ring::Ring;
use crate::machine::{Config, Machine, Reading};
use regex::Regex;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Where a ring lies, as the kernel says when it boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The core that writes into it.
    pub core: u16,
    /// Its physical address.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU could not be started.
    #[error("{0} could not be started: {1}")]
    Start(String, io::Error),
    /// The machine ended first.
    #[error("the machine ended before {0}; its last lines:\n{1}")]
    Ended(&'static str, String),
    /// The kernel never said where its rings are.
    #[error(
        "the kernel did not say where the trace rings of all {cores} core(s) are; its last lines:\n{lines}"
    )]
    NoRings {
        /// How many cores there are.
        cores: usize,
        /// The last lines of the console.
        lines: String,
    },
    /// QEMU did not give out the memory.
    #[error("QEMU did not give out the machine's memory: {0}")]
    Memory(String),
    /// What lies there is no ring.
    #[error("core {0}: {1}")]
    Ring(u16, trace::Error),
}

/// What was recorded.
#[derive(Debug)]
pub struct Recording {
    /// The rings, by core.
    pub rings: Vec<Ring>,
    /// Whether the machine's clock came as far as it should; if not, patience ended first.
    pub whole: bool,
    /// Everything that the console has shown.
    pub transcript: String,
}

/// How long a recording may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// By the machine's counter, since it began.
    pub virtual_time: Duration,
    /// By the clock on the wall, after which it ends in any case.
    pub patience: Duration,
}

static PLACE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^\[tessera\] trace: core (\d+) at 0x([0-9a-f]+), (\d+) bytes\s*$").ok()
});

impl Place {
    /// Reads the kernel's line.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let found = PLACE.as_ref()?.captures(line)?;
        Some(Self {
            core: found.get(1)?.as_str().parse().ok()?,
            address: u64::from_str_radix(found.get(2)?.as_str(), 16).ok()?,
            size: found.get(3)?.as_str().parse().ok()?,
        })
    }
}

/// Runs a machine of so many cores, and records.
///
/// # Errors
///
/// See [`Error`].
pub fn record(config: &Config, cores: usize, limits: Limits) -> Result<Recording, Error> {
    let mut machine =
        Machine::start(config).map_err(|e| Error::Start(config.qemu.display().to_string(), e))?;
    let end = Instant::now() + limits.patience;
    let places = places(&mut machine, cores, end)?;
    let folder = tempfile::Builder::new().prefix("tessera").tempdir();
    let folder = folder.map_err(|e| Error::Memory(e.to_string()))?;
    let whole = run(
        &mut machine,
        &places,
        folder.path(),
        limits.virtual_time,
        end,
    )?;
    // What is written while it is read would be torn, and the cores' rings would end at different times.
    stop(&machine)?;
    let mut rings = read(&machine, &places, folder.path())?;
    rings.sort_by_key(|ring| ring.core);
    Ok(Recording {
        rings,
        whole,
        transcript: machine.end(),
    })
}

/// Waits until the kernel has said where all rings are.
fn places(machine: &mut Machine, cores: usize, end: Instant) -> Result<Vec<Place>, Error> {
    let mut places: Vec<Place> = Vec::new();
    while places.len() < cores {
        match machine.next_line(end) {
            Reading::Line(line) => {
                let new = Place::read(&line);
                places.extend(new.filter(|p| places.iter().all(|known| known.core != p.core)));
                // The kernel says it before the first guest says anything.
                let guest = line.starts_with('[') && !line.starts_with("[tessera]");
                if guest && places.is_empty() {
                    let lines = last_lines(machine);
                    return Err(Error::NoRings { cores, lines });
                }
            }
            Reading::Timeout => {
                let lines = last_lines(machine);
                return Err(Error::NoRings { cores, lines });
            }
            Reading::Ended => {
                let what = "the kernel said where its trace rings are";
                return Err(Error::Ended(what, last_lines(machine)));
            }
        }
    }
    Ok(places)
}

/// Lets the machine run until the youngest record is so old; whether it came to that.
fn run(
    machine: &mut Machine,
    places: &[Place],
    folder: &Path,
    virtual_time: Duration,
    end: Instant,
) -> Result<bool, Error> {
    while Instant::now() < end {
        let soon = Instant::now() + Duration::from_millis(200);
        while Instant::now() < soon && machine.receive(soon).is_some() {}
        if machine.has_ended() {
            let what = "the time was over";
            return Err(Error::Ended(what, last_lines(machine)));
        }
        // (QEMU may not hear while a guest idles, and a ring that is being written may be torn: ask again.)
        let Ok(rings) = read(machine, places, folder) else {
            continue;
        };
        let now = rings.iter().filter_map(Ring::times).map(|(_, last)| last);
        if now
            .max()
            .is_some_and(|ns| u128::from(ns) >= virtual_time.as_nanos())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stops the machine.
fn stop(machine: &Machine) -> Result<(), Error> {
    let ask = json!({ "execute": "stop" }).to_string();
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match machine.control(&ask).map(|text| refusal(&text)) {
            Ok(None) => return Ok(()),
            Ok(Some(reason)) => return Err(Error::Memory(reason)),
            Err(error) => last = error.to_string(),
        }
    }
    Err(Error::Memory(last))
}

/// Takes all rings out of the machine's memory.
fn read(machine: &Machine, places: &[Place], folder: &Path) -> Result<Vec<Ring>, Error> {
    let one = |place: &Place| {
        let memory = memory(machine, *place, &folder.join("ring"))?;
        Ring::read(&memory).map_err(|e| Error::Ring(place.core, e))
    };
    places.iter().map(one).collect()
}

/// How often QEMU is asked before it is believed not to answer.
const ATTEMPTS: usize = 5;

/// A piece of the machine's physical memory, by way of a file that QEMU writes.
fn memory(machine: &Machine, place: Place, file: &Path) -> Result<Vec<u8>, Error> {
    let ask = json!({ "execute": "pmemsave", "arguments": {
        "val": place.address, "size": place.size, "filename": file.to_string_lossy(),
    }})
    .to_string();
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let _ = std::fs::remove_file(file);
        let answer = machine.control(&ask);
        match answer.map(|text| refusal(&text)) {
            Ok(None) => match std::fs::read(file) {
                Ok(bytes) if bytes.len() as u64 == place.size => return Ok(bytes),
                Ok(bytes) => last = format!("{} bytes of {}", bytes.len(), place.size),
                Err(error) => last = error.to_string(),
            },
            Ok(Some(reason)) => return Err(Error::Memory(reason)),
            Err(error) => last = error.to_string(),
        }
    }
    Err(Error::Memory(last))
}

/// The reason, if an answer of QEMU's is that it did not do it.
fn refusal(answer: &str) -> Option<String> {
    let lines = answer
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let error = lines.filter_map(|l| l.get("error").cloned()).next()?;
    let text = error.get("desc").and_then(Value::as_str);
    Some(text.map_or_else(|| error.to_string(), str::to_string))
}

/// The end of what the console has shown.
fn last_lines(machine: &Machine) -> String {
    let transcript = machine.transcript();
    let lines: Vec<&str> = transcript.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_says_where_a_ring_is() {
        let line = "[tessera] trace: core 1 at 0x7fe40000, 262208 bytes\r";
        let place = Place {
            core: 1,
            address: 0x7fe4_0000,
            size: 262_208,
        };
        assert_eq!(Place::read(line), Some(place));
        for other in [
            "[linux] [tessera] trace: core 1 at 0x7fe40000, 262208 bytes",
            "[tessera] trace: core 1 at 0x7fe40000, some bytes",
            "[tessera] trace: core 99999 at 0x7fe40000, 1 bytes",
        ] {
            assert_eq!(Place::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_refusal_is_found_among_qemus_answers() {
        let fine = "{\"QMP\": {}}\n{\"return\": {}}\n{\"return\": {}}\n";
        assert_eq!(refusal(fine), None);
        let bad = "{\"QMP\": {}}\n{\"return\": {}}\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n";
        assert_eq!(refusal(bad).as_deref(), Some("no"));
    }
}
