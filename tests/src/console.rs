//! A machine seen through its console: waits for lines, types, and notes on the way what must
//! never come and what the real-time guest says.

use crate::case::{Failure, ensure};
use crate::context::Context;
use regex::Regex;
use std::time::{Duration, Instant};
use tessera::bench::summary::Summary;
use tessera::machine::{Machine, Reading};

/// The key that opens the menu: Ctrl-T.
pub const ESCAPE: u8 = 0x14;

/// How long a line is waited for, several times what it takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// Between two keys, so that a guest that is slow to read loses none.
const TYPING: Duration = Duration::from_millis(4);

/// A machine seen through its console.
#[derive(Debug)]
pub struct Console<'a> {
    context: &'a Context<'a>,
    machine: Option<Machine>,
    /// Whether a guest may fault.
    faults_expected: bool,
    /// Lines read so far.
    lines: Vec<String>,
    /// What the guest `rt` has said of itself.
    summaries: Vec<Summary>,
}

impl<'a> Console<'a> {
    /// Of a machine that has just been started.
    pub fn new(context: &'a Context<'a>, machine: Machine) -> Self {
        Self {
            context,
            machine: Some(machine),
            faults_expected: false,
            lines: Vec::new(),
            summaries: Vec::new(),
        }
    }

    /// A guest's fault is no failure from here on.
    pub fn expect_faults(&mut self) {
        self.faults_expected = true;
    }

    /// Waits for a line, or the beginning of one, that matches; returns it.
    pub fn wait(&mut self, pattern: &str) -> Result<String, Failure> {
        self.wait_within(pattern, PATIENCE)
    }

    /// The same, for so long.
    pub fn wait_within(&mut self, pattern: &str, patience: Duration) -> Result<String, Failure> {
        let regex = Regex::new(pattern).map_err(|e| Failure::new(e.to_string()))?;
        self.wait_until(patience, |line, _| regex.is_match(line))?
            .ok_or_else(|| {
                Failure::new(format!(
                    "no line matched `{pattern}` in {} s",
                    patience.as_secs()
                ))
            })
    }

    /// Reads until a line satisfies `wanted`, or the time is over. A machine that ends is a failure.
    /// The second argument of `wanted` says whether the line is whole; one that is not comes again.
    fn wait_until(
        &mut self,
        patience: Duration,
        mut wanted: impl FnMut(&str, bool) -> bool,
    ) -> Result<Option<String>, Failure> {
        let end = Instant::now() + patience;
        loop {
            let soon = end.min(Instant::now() + Duration::from_millis(50));
            let machine = self
                .machine
                .as_mut()
                .ok_or_else(|| Failure::new("the machine is off"))?;
            match machine.next_line(soon) {
                Reading::Line(line) => {
                    self.observe(&line)?;
                    let found = wanted(&line, true);
                    self.lines.push(line.clone());
                    if found {
                        return Ok(Some(line));
                    }
                    if Instant::now() >= end {
                        return Ok(None);
                    }
                }
                Reading::Ended => {
                    return Err(Failure::new("the machine ended while more was expected"));
                }
                Reading::Timeout => {
                    let partial = machine.partial();
                    if wanted(&partial, false) {
                        return Ok(Some(partial));
                    }
                    if Instant::now() >= end {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Waits for so many more lines of one guest; stops early at a line that matches `last`.
    /// Returns whether it was stopped so.
    pub fn skip_lines(&mut self, guest: &str, count: u64, last: &str) -> Result<bool, Failure> {
        let last = Regex::new(last).map_err(|e| Failure::new(e.to_string()))?;
        let mark = format!("[{guest}] ");
        let mut left = count;
        let mut stopped = false;
        let reached = self.wait_until(PATIENCE, |line, whole| {
            stopped = last.is_match(line);
            left = left.saturating_sub(u64::from(whole && line.starts_with(&mark)));
            stopped || left == 0
        })?;
        ensure(reached.is_some(), || format!("{guest} fell silent"))?;
        Ok(stopped)
    }

    /// Goes on reading for so long.
    pub fn linger(&mut self, time: Duration) -> Result<(), Failure> {
        self.wait_until(time, |_, _| false).map(drop)
    }

    /// Nothing that matches may come for so long.
    pub fn silence(&mut self, pattern: &str, time: Duration) -> Result<(), Failure> {
        let regex = Regex::new(pattern).map_err(|e| Failure::new(e.to_string()))?;
        match self.wait_until(time, |line, _| regex.is_match(line))? {
            Some(line) => Err(Failure::new(format!("this should not have come: {line}"))),
            None => Ok(()),
        }
    }

    fn observe(&mut self, line: &str) -> Result<(), Failure> {
        if line.starts_with("[tessera] kernel ") {
            return Err(Failure::new(format!("the kernel died: {line}")));
        }
        if !self.faults_expected && line.starts_with("[tessera] ") && line.contains(": fault: ") {
            return Err(Failure::new(format!("a guest ended: {line}")));
        }
        if line.starts_with("[rt] ") {
            self.summaries.extend(Summary::read(line));
        }
        Ok(())
    }

    /// Types, one key at a time.
    pub fn type_in(&mut self, keys: &[u8]) -> Result<(), Failure> {
        let machine = self
            .machine
            .as_mut()
            .ok_or_else(|| Failure::new("the machine is off"))?;
        for key in keys {
            machine.send(&[*key])?;
            std::thread::sleep(TYPING);
        }
        Ok(())
    }

    /// Types all keys at once, as a terminal pastes.
    pub fn paste(&mut self, keys: &[u8]) -> Result<(), Failure> {
        let machine = self
            .machine
            .as_mut()
            .ok_or_else(|| Failure::new("the machine is off"))?;
        Ok(machine.send(keys)?)
    }

    /// Opens the menu and presses some keys there.
    pub fn menu(&mut self, keys: &str) -> Result<(), Failure> {
        self.type_in(&[ESCAPE])?;
        self.type_in(keys.as_bytes())
    }

    /// Waits until Linux's shell waits for a command.
    pub fn shell(&mut self) -> Result<(), Failure> {
        self.wait(r"^\[linux\] .*tessera-shell-ready")?;
        self.wait(r"^\[linux\] .*# ").map(drop)
    }

    /// Types a command at Linux's shell and waits for a line of its output.
    pub fn command(&mut self, command: &str, answer: &str) -> Result<String, Failure> {
        self.type_in(command.as_bytes())?;
        self.type_in(b"\n")?;
        self.wait(&format!(r"^\[linux\] (.*# )?{answer}"))
    }

    /// Waits until `rt` has run for so many more seconds of its own.
    pub fn rt_seconds(&mut self, seconds: u64) -> Result<(), Failure> {
        let mut wanted = None;
        // A second takes a few of ours; a loaded machine, or a debug build, several times that.
        let patience = Duration::from_secs(60 * (seconds + 2));
        let reached = self.wait_until(patience, |line, whole| {
            let Some(summary) = Summary::read(line).filter(|_| whole && line.starts_with("[rt] "))
            else {
                return false;
            };
            summary.seconds >= *wanted.get_or_insert(summary.seconds + seconds)
        })?;
        ensure(reached.is_some(), || {
            format!("rt did not run for {seconds} s")
        })
    }

    /// What `rt` has said of itself.
    pub fn summaries(&self) -> &[Summary] {
        &self.summaries
    }

    /// Lines that were read.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// How many of them match.
    pub fn count(&self, pattern: &str) -> Result<usize, Failure> {
        let regex = Regex::new(pattern).map_err(|e| Failure::new(e.to_string()))?;
        Ok(self
            .lines
            .iter()
            .filter(|line| regex.is_match(line))
            .count())
    }

    /// Waits for the machine to end by itself.
    pub fn wait_end(&mut self) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            let machine = self
                .machine
                .as_mut()
                .ok_or_else(|| Failure::new("the machine is off"))?;
            match machine.next_line(end) {
                Reading::Line(line) => {
                    self.observe(&line)?;
                    self.lines.push(line);
                }
                Reading::Ended => return Ok(()),
                Reading::Timeout => return Err(Failure::new("the machine did not end")),
            }
        }
    }

    /// Switches the machine off and waits until QEMU has ended, so that plugins have written.
    pub fn end(mut self) -> Vec<String> {
        self.switch_off();
        std::mem::take(&mut self.lines)
    }

    fn switch_off(&mut self) {
        if let Some(machine) = self.machine.take() {
            self.context.record(machine.end().as_bytes());
            self.context.record(b"\n");
        }
    }
}

impl Drop for Console<'_> {
    fn drop(&mut self) {
        self.switch_off();
    }
}
