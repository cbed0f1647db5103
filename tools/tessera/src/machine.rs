//! A machine in QEMU: started, talked to over its console, read with a time limit, ended.

use regex::Regex;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::board::Board;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program `qemu-system-aarch64`.
    pub qemu: PathBuf,
    /// The board.
    pub board: Board,
    /// Whether there is an EL2. Without it an operating system runs natively.
    pub virtualization: bool,
    /// The number of cores (`virt` only).
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The program that is started: an arm64 `Image`.
    pub kernel: PathBuf,
    /// The initial RAM disk; Tessera's bundle.
    pub initrd: Option<PathBuf>,
    /// The device tree, for a board or a run that needs one of its own.
    pub tree: Option<PathBuf>,
    /// The command line, for a native run.
    pub append: Option<String>,
    /// One instruction takes one nanosecond of virtual time, and every run is the same.
    pub icount: bool,
    /// With `icount`: what QEMU's random numbers begin with.
    pub seed: u32,
    /// A plugin and its arguments, as `file.so,key=value`.
    pub plugins: Vec<String>,
    /// Anything else.
    pub extra: Vec<OsString>,
}

impl Config {
    /// Tessera on a board.
    #[must_use]
    pub fn tessera(
        qemu: PathBuf,
        board: Board,
        cores: usize,
        memory_mib: u64,
        kernel: PathBuf,
        bundle: PathBuf,
    ) -> Self {
        Self {
            qemu,
            board,
            virtualization: true,
            cores,
            memory_mib,
            kernel,
            initrd: Some(bundle),
            tree: None,
            append: None,
            icount: false,
            seed: 1,
            plugins: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// An operating system on the same board without Tessera, for comparison: same CPU, image,
    /// initial RAM disk and device tree.
    #[must_use]
    pub fn native(
        self,
        image: PathBuf,
        initrd: Option<PathBuf>,
        tree: Option<PathBuf>,
        append: &str,
    ) -> Self {
        Self {
            virtualization: false,
            kernel: image,
            initrd,
            tree,
            append: (!append.is_empty()).then(|| append.to_string()),
            ..self
        }
    }

    /// The arguments for QEMU; its console is on standard input and output.
    #[must_use]
    pub fn arguments(&self, control: &Path) -> Vec<OsString> {
        let on = if self.virtualization { "on" } else { "off" };
        let machine = match self.board {
            Board::VirtGicv3 => format!("virt,virtualization={on},gic-version=3"),
            Board::VirtGicv2 => format!("virt,virtualization={on},gic-version=2"),
            Board::Zcu102 => format!("xlnx-zcu102,virtualization={on}"),
        };
        let mut args: Vec<OsString> = vec!["-M".into(), machine.into()];
        let mut add = |name: &str, value: OsString| args.extend([name.into(), value]);
        if self.board != Board::Zcu102 {
            add("-cpu", "cortex-a53".into());
            add("-smp", self.cores.to_string().into());
        }
        add("-m", format!("{}M", self.memory_mib).into());
        add("-kernel", self.kernel.clone().into());
        for (name, value) in [("-initrd", &self.initrd), ("-dtb", &self.tree)] {
            if let Some(value) = value {
                add(name, value.clone().into());
            }
        }
        if let Some(append) = &self.append {
            add("-append", append.into());
        }
        if self.icount {
            add("-icount", "shift=0,sleep=off".into());
            // The day of the host would count: an instruction more or less for each digit that a guest prints.
            add("-rtc", "clock=vm,base=1970-01-01T00:00:00".into());
            add("-seed", self.seed.to_string().into());
        }
        for plugin in &self.plugins {
            add("-plugin", plugin.into());
        }
        add("-display", "none".into());
        add("-monitor", "none".into());
        add("-chardev", "stdio,id=console,signal=off".into());
        add("-serial", "chardev:console".into());
        let mut socket = OsString::from("unix:");
        socket.push(control);
        socket.push(",server=on,wait=off");
        add("-qmp", socket);
        if self.board == Board::Zcu102 {
            // Its sound device would look for this machine's.
            add("-audiodev", "none,id=none".into());
        }
        args.extend(["-nodefaults", "-no-reboot"].map(OsString::from));
        args.extend(self.extra.iter().cloned());
        args
    }
}

/// A running machine. It is ended when it is dropped.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    /// Everything that the console has shown.
    transcript: Vec<u8>,
    /// How much of it has been given out as lines.
    read: usize,
    ended: bool,
    control: tempfile::TempDir,
}

/// What reading the console gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A line, without its end.
    Line(String),
    /// Nothing in time. What stands on the last, unfinished line is in [`Machine::partial`].
    Timeout,
    /// The machine has ended and everything has been read.
    Ended,
}

/// Why a pattern was not seen.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Not in time.
    #[error("no console line matched `{0}` in time")]
    Timeout(String),
    /// The machine ended first.
    #[error("the machine ended before a console line matched `{0}`")]
    Ended(String),
}

impl Machine {
    /// Starts a machine.
    ///
    /// # Errors
    ///
    /// QEMU could not be started.
    pub fn start(config: &Config) -> io::Result<Self> {
        let control = tempfile::Builder::new().prefix("tessera").tempdir()?;
        let mut child = Command::new(&config.qemu)
            .args(config.arguments(&control.path().join("qmp")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let (sender, output) = channel();
        if let Some(stdout) = child.stdout.take() {
            let sender = sender.clone();
            std::thread::spawn(move || forward(stdout, &sender));
        }
        // What QEMU itself has to say belongs to the transcript too.
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || complain(stderr, &sender));
        }
        Ok(Self {
            child,
            input,
            output,
            transcript: Vec::new(),
            read: 0,
            ended: false,
            control,
        })
    }

    /// Types on its console.
    ///
    /// # Errors
    ///
    /// The machine has ended.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(bytes).and_then(|()| input.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Waits for more output; returns the new bytes, or `None` when there are none in time or at all.
    pub fn receive(&mut self, until: Instant) -> Option<&[u8]> {
        if self.ended {
            return None;
        }
        let wait = until.saturating_duration_since(Instant::now());
        match self.output.recv_timeout(wait) {
            Ok(bytes) => {
                let from = self.transcript.len();
                self.transcript.extend_from_slice(&bytes);
                self.transcript.get(from..)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                None
            }
        }
    }

    /// The next whole line of the console.
    pub fn next_line(&mut self, until: Instant) -> Reading {
        loop {
            if let Some(line) = self.buffered_line() {
                return Reading::Line(line);
            }
            if self.receive(until).is_none() {
                if !self.ended {
                    return Reading::Timeout;
                }
                let rest = self.partial();
                self.read = self.transcript.len();
                return if rest.is_empty() {
                    Reading::Ended
                } else {
                    Reading::Line(rest)
                };
            }
        }
    }

    /// A line that has arrived whole and has not been given out.
    pub fn buffered_line(&mut self) -> Option<String> {
        let rest = self.transcript.get(self.read..)?;
        let end = rest.iter().position(|&b| b == b'\n')?;
        let line = rest.get(..end)?;
        let text = text(line);
        self.read += end + 1;
        Some(text)
    }

    /// What stands on the console's last line, which has not ended.
    #[must_use]
    pub fn partial(&self) -> String {
        text(self.transcript.get(self.read..).unwrap_or(&[]))
    }

    /// Reads until a line, or the beginning of one, matches; returns that line.
    ///
    /// # Errors
    ///
    /// The time is over, or the machine has ended.
    pub fn wait_for(&mut self, pattern: &Regex, timeout: Duration) -> Result<String, WaitError> {
        let until = Instant::now() + timeout;
        loop {
            // Wake up now and then to look at a prompt, which has no line end.
            let soon = until.min(Instant::now() + Duration::from_millis(100));
            match self.next_line(soon) {
                Reading::Line(line) if pattern.is_match(&line) => return Ok(line),
                Reading::Line(_) => {}
                Reading::Ended => return Err(WaitError::Ended(pattern.to_string())),
                Reading::Timeout => {
                    let partial = self.partial();
                    if pattern.is_match(&partial) {
                        return Ok(partial);
                    }
                    if Instant::now() >= until {
                        return Err(WaitError::Timeout(pattern.to_string()));
                    }
                }
            }
        }
    }

    /// Everything that the console has shown.
    #[must_use]
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }

    /// Whether the machine has ended and all its output has been read.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The status that QEMU ended with, if it has.
    pub fn status(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks one thing over QEMU's machine protocol, as `{"execute": "stop"}`; returns its answer.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn control(&self, command: &str) -> io::Result<String> {
        let mut socket = UnixStream::connect(self.control.path().join("qmp"))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.write_all(b"{\"execute\": \"qmp_capabilities\"}\n")?;
        socket.write_all(command.as_bytes())?;
        socket.write_all(b"\n")?;
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        // The greeting, the answer to the first command, the answer to ours.
        while answer.iter().filter(|&&b| b == b'\n').count() < 3 {
            match socket.read(&mut buffer)? {
                0 => break,
                n => answer.extend_from_slice(&buffer[..n]),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Ends the machine, politely at first so that plugins write their results, and returns the
    /// whole transcript.
    pub fn end(mut self) -> String {
        self.shut_down();
        while !self.ended
            && self
                .receive(Instant::now() + Duration::from_millis(200))
                .is_some()
        {}
        self.transcript()
    }

    fn shut_down(&mut self) {
        self.input = None;
        if self.status().is_some() {
            return;
        }
        let heard = self.control("{\"execute\": \"quit\"}").is_ok();
        let grace = Instant::now() + Duration::from_secs(if heard { 5 } else { 0 });
        while self.status().is_none() {
            if Instant::now() >= grace {
                // QEMU 7.2 sometimes hears nothing while a guest idles.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Passes the console on, as it comes.
fn forward(mut stream: impl Read, sender: &Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
            break;
        }
    }
}

/// What QEMU says and means nothing: of a zcu102, which has four network interfaces and a sound device;
/// and under `-icount` when all guests are off and no alarm is set, in the middle of a console's line.
const ALWAYS: [&str; 3] = [
    "warning: nic cadence_gem",
    "audiodev default parameter is deprecated",
    "warning: icount sleep disabled and no active timers",
];

/// Passes QEMU's own lines on, without those that mean nothing.
fn complain(stream: impl Read, sender: &Sender<Vec<u8>>) {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(n) if n > 0) {
        let text = String::from_utf8_lossy(&line);
        let noise = ALWAYS.iter().any(|a| text.contains(a));
        if !noise && sender.send(line.clone()).is_err() {
            break;
        }
        line.clear();
    }
}

/// A line as text, without the carriage return before its end.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}
