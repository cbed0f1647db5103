//! `cargo tessera run`: builds a system, boots it in QEMU and connects the terminal.

use crate::failure::Failure;
use crate::machine::Machine;
use crate::product::{self, Options};
use crate::progress::say;
use crate::project::Project;
use crate::setup;
use crate::terminal::{Raw, Screen};
use regex::Regex;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How a system is run.
#[derive(Debug)]
pub struct Run {
    /// How it is built.
    pub options: Options,
    /// One instruction takes one virtual nanosecond.
    pub icount: bool,
    /// Ends with success when a console line matches.
    pub until: Option<Regex>,
    /// Ends after this time in any case.
    pub timeout: Option<Duration>,
}

/// Runs a system until it ends, `until` matches, or the time is over.
///
/// # Errors
///
/// See [`Failure`].
pub fn run(project: &Project, system: &Path, run: &Run) -> Result<(), Failure> {
    let described = product::describe(&project.system(system))?;
    setup::everything(project, run.options.permission)?;
    let folder = project.target().join("run").join(&described.system.name);
    let product = product::build(project, described, run.options, &folder)?;
    let config = product.machine(project, run.options, run.icount)?;
    let mut machine = Machine::start(&config).map_err(|e| {
        Failure::Internal(format!(
            "{} could not be started: {e}",
            config.qemu.display()
        ))
    })?;
    say(&format!(
        "{} on {}; Ctrl-T opens the menu, Ctrl-T q ends",
        product.system.name,
        run.options.board.name()
    ));
    let result = watch(&mut machine, run);
    machine.end();
    result
}

/// Connects terminal and machine.
fn watch(machine: &mut Machine, run: &Run) -> Result<(), Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&interrupted));
    }
    let raw = Raw::enter();
    let keys = keyboard();
    let mut screen = Screen::new(io::stdout().is_terminal());
    let end = run.timeout.map(|t| Instant::now() + t);
    let result = loop {
        let soon = Instant::now() + Duration::from_millis(20);
        let fresh = machine.receive(soon).map(<[u8]>::to_vec);
        if let Some(bytes) = &fresh {
            let _ = screen.show(bytes, &mut io::stdout().lock());
        }
        if matched(machine, run.until.as_ref()) {
            break Ok(());
        }
        while let Ok(bytes) = keys.try_recv() {
            let _ = machine.send(&bytes);
        }
        if machine.has_ended() {
            break ended(machine, run);
        }
        if interrupted.load(Ordering::Relaxed) {
            break Err(Failure::Ended("interrupted".into()));
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            break match &run.until {
                Some(pattern) => Err(Failure::Timeout(format!(
                    "no console line matched `{pattern}` in time"
                ))),
                None => Ok(()),
            };
        }
    };
    drop(raw);
    let _ = io::stdout().lock().write_all(b"\n");
    result
}

/// Whether a line that has come since, or the unfinished one, matches.
fn matched(machine: &mut Machine, until: Option<&Regex>) -> bool {
    let Some(until) = until else { return false };
    while let Some(line) = machine.buffered_line() {
        if until.is_match(&line) {
            return true;
        }
    }
    until.is_match(&machine.partial())
}

fn ended(machine: &mut Machine, run: &Run) -> Result<(), Failure> {
    let failed = machine.status().is_some_and(|s| !s.success());
    match &run.until {
        Some(pattern) => Err(Failure::Ended(format!(
            "the machine ended before a console line matched `{pattern}`"
        ))),
        None if failed => Err(Failure::Ended("QEMU ended with an error".into())),
        None => Ok(()),
    }
}

/// What is typed, or piped in.
fn keyboard() -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(n) = io::stdin().read(&mut buffer) {
            if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
