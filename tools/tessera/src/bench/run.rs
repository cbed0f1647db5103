//! One run of a machine that nobody types to: until it ends or has said all that it is waited for.
//!
//! Everything in it depends on virtual time only. It must be waited for what comes last: after it
//! the machine goes on until the tool, in its own time, ends it, so nothing may be left to count.
//! Where the last thing to be counted says nothing, it is given time: [`End::Rest`].

use crate::failure::Failure;
use crate::machine::{Config, Machine, Reading};
use regex::Regex;
use std::time::{Duration, Instant};

/// How often an unfinished line is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// How a run ends.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// The machine switches itself off.
    Off,
    /// Lines that match each of these have come.
    Lines(&'a [&'a str]),
    /// The same, and then the guest has done the little that is left of it, of which nobody says anything.
    Rest(&'a [&'a str]),
}

/// What is left of a guest after its last line: some thousand instructions until it has switched itself
/// off. QEMU does some hundred million in this time.
const REST: Duration = Duration::from_millis(500);

impl End<'_> {
    /// All lines have come: ends the machine.
    fn reached(self, mut machine: Machine) {
        if matches!(self, End::Rest(_)) {
            let until = Instant::now() + REST;
            while machine.receive(until).is_some() {}
        }
        machine.end();
    }
}

/// Runs a machine; returns its console's lines.
///
/// # Errors
///
/// It did not start, came to no end within `patience`, or a guest or the kernel died.
pub fn run(config: &Config, end: End<'_>, patience: Duration) -> Result<Vec<String>, Failure> {
    let mut left = match end {
        End::Off => Vec::new(),
        End::Lines(lines) | End::Rest(lines) => {
            lines.iter().map(|l| pattern(l)).collect::<Result<_, _>>()?
        }
    };
    let mut machine = Machine::start(config).map_err(|e| {
        Failure::Internal(format!(
            "{} could not be started: {e}",
            config.qemu.display()
        ))
    })?;
    let until = Instant::now() + patience;
    let mut lines = Vec::new();
    loop {
        // The last line has no end until another one comes: look at it now and then.
        let soon = until.min(Instant::now() + GLANCE);
        match machine.next_line(soon) {
            Reading::Line(line) => {
                if line.starts_with("[tessera] kernel ") || line.contains(": fault: ") {
                    return Err(Failure::Ended(format!(
                        "a guest or the kernel died: {line}"
                    )));
                }
                left.retain(|p| !p.is_match(&line));
                lines.push(line);
                if left.is_empty() && !matches!(end, End::Off) {
                    end.reached(machine);
                    return Ok(lines);
                }
            }
            Reading::Ended => {
                let failed = machine.status().is_some_and(|s| !s.success());
                let last = lines.last().map_or("nothing", String::as_str);
                return match (left.first(), failed) {
                    (None, false) => Ok(lines),
                    (None, true) => Err(Failure::Ended(format!("QEMU failed: {last}"))),
                    (Some(p), _) => Err(Failure::Ended(format!(
                        "the machine ended before a line matched `{p}`; its last words: {last}"
                    ))),
                };
            }
            Reading::Timeout if Instant::now() < until => {
                let partial = machine.partial();
                left.retain(|p| !p.is_match(&partial));
                if left.is_empty() && !matches!(end, End::Off) {
                    lines.push(partial);
                    end.reached(machine);
                    return Ok(lines);
                }
            }
            Reading::Timeout => {
                let last = lines.last().map_or("nothing", String::as_str);
                let waited = left.first().map_or("its end", Regex::as_str);
                return Err(Failure::Timeout(format!(
                    "{} s were not enough for {waited}; its last words: {last}",
                    patience.as_secs()
                )));
            }
        }
    }
}

fn pattern(text: &str) -> Result<Regex, Failure> {
    Regex::new(text).map_err(|e| Failure::Internal(e.to_string()))
}
