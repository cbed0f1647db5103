//! One serial port for all partitions.
//!
//! Every partition's output goes into a ring of its own; characters leave for the port line by
//! line, each line marked with the name of who wrote it, so that two guests never mix inside one. A
//! line without an end - a prompt - leaves when nothing has followed for a moment. Who fills the
//! ring pays for emptying it: the work is done in pieces by the partition's own vCPU 0, at its
//! priority and from its budget (see `sched`). A full ring shows the guest a full UART, so a flood
//! is slowed to the port's speed and loses nothing.
//!
//! The keyboard belongs to one partition. The escape key (Ctrl-T) leads to a small menu.

use crate::arch::cpu;
use crate::arch::sync::SpinLock;
use crate::platform::Uart;
use crate::system;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use manifest::Word;

/// Capacity of a ring in bytes; a power of two.
const RING: usize = 1024;
/// A line longer than this leaves in pieces.
const LONG: u32 = 512;
/// A line longer than this is broken when another source has something to say.
const LONGEST: u16 = 240;
/// Ctrl-T.
const ESCAPE: u8 = 0x14;
/// Characters that one piece of work brings to the port.
pub const PIECE: usize = 4;

/// Characters on the way to the port: one writer at a time (the partition's lock), one reader (the port's lock).
pub struct Ring {
    bytes: [AtomicU8; RING],
    head: AtomicU32,
    tail: AtomicU32,
    /// Ends of line among them.
    lines: AtomicU32,
    /// What is there may leave though its line has no end.
    flush: AtomicBool,
    /// A timer will say so.
    armed: AtomicBool,
}

impl Ring {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; RING],
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            lines: AtomicU32::new(0),
            flush: AtomicBool::new(false),
            armed: AtomicBool::new(false),
        }
    }

    fn len(&self) -> u32 {
        self.head
            .load(Ordering::Acquire)
            .wrapping_sub(self.tail.load(Ordering::Acquire))
    }

    /// Characters it can take.
    #[must_use]
    pub fn room(&self) -> usize {
        RING - self.len() as usize
    }

    /// Takes a character; one that finds no room is lost.
    #[inline(never)]
    pub fn push(&self, byte: u8) {
        if self.room() == 0 {
            return;
        }
        let head = self.head.load(Ordering::Relaxed);
        self.bytes[head as usize % RING].store(byte, Ordering::Relaxed);
        self.head.store(head.wrapping_add(1), Ordering::Release);
        if byte == b'\n' {
            self.lines.fetch_add(1, Ordering::Release);
        }
        if byte == b'\n' || self.len() > LONG {
            READY.store(true, Ordering::Release);
        }
    }

    /// Takes as many of `bytes` as there is room for; the rest is lost. Only the last one may be an end of line.
    #[inline(never)]
    pub fn extend(&self, bytes: &[u8]) {
        let head = self.head.load(Ordering::Relaxed);
        let room = self.room();
        let taken = bytes.len().min(room);
        let mut place = head as usize;
        for &byte in &bytes[..taken] {
            self.bytes[place % RING].store(byte, Ordering::Relaxed);
            place = place.wrapping_add(1);
        }
        self.head.store(head.wrapping_add(taken as u32), Ordering::Release);
        if bytes.len() <= room && bytes.ends_with(b"\n") {
            self.lines.fetch_add(1, Ordering::Release);
            READY.store(true, Ordering::Release);
        }
    }

    fn pop(&self) -> Option<u8> {
        if self.len() == 0 {
            self.flush.store(false, Ordering::Relaxed);
            return None;
        }
        let tail = self.tail.load(Ordering::Relaxed);
        let byte = self.bytes[tail as usize % RING].load(Ordering::Relaxed);
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        if byte == b'\n' {
            self.lines.fetch_sub(1, Ordering::Relaxed);
        }
        Some(byte)
    }

    /// Whether something in it may leave now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let len = self.len();
        len != 0
            && (self.lines.load(Ordering::Acquire) != 0
                || len > LONG
                || self.flush.load(Ordering::Acquire))
    }

    /// Whether it holds the beginning of a line that may not leave yet.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.len() != 0 && !self.is_ready()
    }

    /// Whether a timer must be set for the beginning of a line that it holds; only the first to ask is told so.
    #[must_use]
    pub fn wants_timer(&self) -> bool {
        self.is_partial() && !self.armed.swap(true, Ordering::Relaxed)
    }

    /// Lets what is there leave.
    pub fn flush(&self) {
        self.armed.store(false, Ordering::Relaxed);
        if self.len() != 0 {
            self.flush.store(true, Ordering::Relaxed);
            READY.store(true, Ordering::Release);
        }
    }
}

/// Whose line is being written: a partition's index, or [`KERNEL`].
type Source = u8;
const KERNEL: Source = 0xff;

/// The port and what is being written to it.
struct Output {
    uart: Option<Uart>,
    /// Whether input raises the port's interrupt: not while keys are being taken.
    listens: bool,
    /// Whose line it is.
    current: Option<Source>,
    /// Whose turn comes next.
    turn: u8,
    /// Characters of a mark or an end of line that must go first.
    first: [u8; 24],
    first_at: u8,
    first_len: u8,
    /// Characters of the line so far.
    column: u16,
    /// A carriage return that may be the beginning of an end of line.
    held_return: bool,
    /// The escape key was pressed: the next key is for the menu, and perhaps the one after it.
    menu: Menu,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Menu {
    Closed,
    Open,
    /// Waiting for the number of a partition.
    Choose(Command),
}

/// What the menu can do to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Restart it.
    Restart,
}

/// What a key asks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character for the partition that has the keyboard.
    Input(u8),
    /// Show the menu.
    Menu,
    /// Show every partition's status.
    Status,
    /// The keyboard has moved.
    Moved,
    /// Do this to a partition.
    Do(Command, u8),
    /// Turn the machine off.
    Quit,
    /// Nothing more.
    Nothing,
}

static OUTPUT: SpinLock<Output> = SpinLock::new(Output {
    uart: None,
    listens: false,
    current: None,
    turn: 0,
    first: [0; 24],
    first_at: 0,
    first_len: 0,
    column: 0,
    held_return: false,
    menu: Menu::Closed,
});

/// The kernel's own lines.
static KERNEL_RING: Ring = Ring::new();
/// Writers of the kernel's ring take turns.
static KERNEL_WRITER: SpinLock<()> = SpinLock::new(());
/// A ring may have something for the port.
static READY: AtomicBool = AtomicBool::new(false);
/// The port is full: nobody need try until its interrupt.
static FULL: AtomicBool = AtomicBool::new(false);
/// The end of a line, whose ring has nothing more, is not in the port yet.
static REST: AtomicBool = AtomicBool::new(false);
/// Keys are left in the port.
static INPUT: AtomicBool = AtomicBool::new(false);
/// The partition that has the keyboard.
static FOCUS: AtomicU8 = AtomicU8::new(0);

/// Gives the console its port.
pub fn open(uart: Uart) {
    OUTPUT.lock().uart = Some(uart);
}

/// Which partition has the keyboard.
pub fn focus() -> u8 {
    FOCUS.load(Ordering::Relaxed)
}

/// Gives the keyboard to a partition.
pub fn set_focus(partition: u8) {
    FOCUS.store(partition, Ordering::Relaxed);
}

/// Lets the port interrupt when input comes.
pub fn listen() {
    OUTPUT.lock().interrupt_for(true, false);
}

/// Whether [`has_work`] is worth asking.
#[inline(always)]
pub fn is_ready() -> bool {
    READY.load(Ordering::Acquire)
}

/// Whether there is something at the port that a partition's vCPU 0 should see to now.
#[inline(never)]
pub fn has_work(partition: u8, ring: &Ring) -> bool {
    is_ready() && {
        let focused = partition == focus();
        focused && has_input()
            || (ring.is_ready() || focused && KERNEL_RING.is_ready()) && !FULL.load(Ordering::Relaxed)
    }
}

/// Whether the kernel has lines to write; for a core with nothing else to do.
pub fn kernel_has_work() -> bool {
    (KERNEL_RING.is_ready() || REST.load(Ordering::Relaxed)) && !FULL.load(Ordering::Relaxed)
}

/// Brings up to [`PIECE`] characters to the port; how many.
pub fn work() -> u32 {
    let Some(mut output) = OUTPUT.try_lock() else {
        cpu::yield_now(); // another core is at it
        return 0;
    };
    for done in 0..PIECE {
        if !output.step() {
            // Whatever becomes ready from here on says so itself.
            READY.store(false, Ordering::SeqCst);
            if FULL.load(Ordering::Relaxed) || INPUT.load(Ordering::Relaxed) || output.next_source().is_some() {
                READY.store(true, Ordering::Relaxed);
            }
            REST.store(output.first_at < output.first_len, Ordering::Relaxed);
            return done as u32;
        }
    }
    REST.store(output.first_at < output.first_len, Ordering::Relaxed);
    PIECE as u32
}

/// Whether the kernel's last line is still on its way.
pub fn drain_all() {
    let mut output = OUTPUT.lock();
    let mut patience = 10_000_000u32;
    while KERNEL_RING.len() != 0 && patience > 0 {
        KERNEL_RING.flush();
        output.step();
        patience -= 1;
    }
}

impl Output {
    /// Moves one character. `false`: nothing to do, or no room.
    fn step(&mut self) -> bool {
        if self.first_at < self.first_len {
            let byte = self.first.get(usize::from(self.first_at)).copied().unwrap_or(b'?');
            if !self.put(byte) {
                return false;
            }
            self.first_at += 1;
            return true;
        }
        let Some(source) = self.current else {
            let Some(source) = self.next_source() else {
                return false;
            };
            self.current = Some(source);
            self.column = 0;
            self.mark(source);
            return true;
        };
        // A line that never ends gives way to another source.
        let paused = self.column >= LONGEST && self.next_source().is_some();
        let byte = if paused { None } else { ring(source).and_then(Ring::pop) };
        let Some(byte) = byte else {
            // Whose line it is has paused; if another is ready the line is broken for it.
            if self.next_source().is_none() {
                return false;
            }
            self.current = None;
            self.held_return = false;
            self.queue(&[b"\r\n"]);
            return true;
        };
        self.column = self.column.saturating_add(1);
        // Only who has the keyboard may move the cursor: nobody rewrites another's lines.
        let plain = byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t');
        let byte = if plain || source == focus() { byte } else { b'?' };
        let held = core::mem::take(&mut self.held_return);
        match byte {
            b'\n' => {
                self.current = None;
                self.queue(&[b"\r\n"]);
            }
            b'\r' => self.held_return = true,
            _ => {
                if held {
                    // The guest rewrites its line: the mark stays in front.
                    let name = name(source);
                    self.queue(&[b"\r[", name, b"] ", &[byte]]);
                } else if !self.put(byte) {
                    self.queue(&[&[byte]]);
                    return false;
                }
            }
        }
        true
    }

    /// Whose line comes next: all in turn.
    fn next_source(&mut self) -> Option<Source> {
        let partitions = system::partitions();
        // The kernel takes its turn after the last partition.
        let mut index = usize::from(self.turn);
        for _ in 0..=partitions.len() {
            index = if index < partitions.len() { index + 1 } else { 0 };
            let ready = partitions.get(index).map_or(&KERNEL_RING, |p| &p.output).is_ready();
            if ready {
                self.turn = index as u8;
                return Some(if index < partitions.len() { index as u8 } else { KERNEL });
            }
        }
        None
    }

    fn mark(&mut self, source: Source) {
        self.queue(&[b"[", name(source), b"] "]);
    }

    fn queue(&mut self, parts: &[&[u8]]) {
        let bytes = parts.iter().flat_map(|part| part.iter());
        self.first_len = 0;
        self.first_at = 0;
        for (place, byte) in self.first.iter_mut().zip(bytes) {
            *place = *byte;
            self.first_len += 1;
        }
    }

    fn put(&mut self, byte: u8) -> bool {
        let Some(uart) = &mut self.uart else {
            return true;
        };
        if uart.put(byte) {
            return true;
        }
        FULL.store(true, Ordering::Relaxed);
        self.interrupt_for(self.listens, true);
        false
    }

    fn interrupt_for(&mut self, input: bool, room: bool) {
        self.listens = input;
        if let Some(uart) = &mut self.uart {
            uart.interrupt_for(input, room);
        }
    }

    /// What a key means. Every key after the escape key closes the menu.
    fn key(&mut self, byte: u8) -> Key {
        let partitions = system::partitions().len() as u8;
        let number = |byte: u8| {
            let n = byte.wrapping_sub(b'1');
            (n < partitions).then_some(n)
        };
        let menu = core::mem::replace(&mut self.menu, Menu::Closed);
        match (menu, byte) {
            (Menu::Closed, ESCAPE) => {
                self.menu = Menu::Open;
                Key::Menu
            }
            (Menu::Closed, byte) => Key::Input(byte),
            (Menu::Open, ESCAPE) => Key::Input(ESCAPE),
            (Menu::Open, b's') => Key::Status,
            (Menu::Open, b'q') => Key::Quit,
            (Menu::Open, b'g') => self.choose(Command::Start),
            (Menu::Open, b'x') => self.choose(Command::Stop),
            (Menu::Open, b'r') => self.choose(Command::Restart),
            (Menu::Open, byte) => match number(byte) {
                Some(n) => {
                    set_focus(n);
                    Key::Moved
                }
                None => Key::Nothing,
            },
            (Menu::Choose(command), byte) => {
                number(byte).map_or(Key::Nothing, |n| Key::Do(command, n))
            }
        }
    }

    fn choose(&mut self, command: Command) -> Key {
        self.menu = Menu::Choose(command);
        Key::Nothing
    }
}

/// Name in the mark of a source's lines, at most 15 characters.
fn name(source: Source) -> &'static [u8] {
    system::partitions()
        .get(usize::from(source))
        .map_or(b"tessera", |partition| partition.name.as_bytes())
}

fn ring(source: Source) -> Option<&'static Ring> {
    if source == KERNEL {
        return Some(&KERNEL_RING);
    }
    system::partitions()
        .get(usize::from(source))
        .map(|partition| &partition.output)
}

/// The port has interrupted: quiets it. Keys and room are seen to as the work of the partition that has the keyboard.
pub fn attend() {
    OUTPUT.lock().interrupt_for(false, false);
    FULL.store(false, Ordering::Relaxed);
    INPUT.store(true, Ordering::Relaxed);
    READY.store(true, Ordering::Release);
}

/// Whether the port has interrupted and not all has been seen to.
#[inline]
pub fn has_input() -> bool {
    INPUT.load(Ordering::Relaxed)
}

/// Takes a key from the port. A port may interrupt only when its FIFO stops being empty, so this is to be called until
/// there is none; then the port listens again.
pub fn take_key() -> Option<Key> {
    let mut output = OUTPUT.lock();
    let byte = output.uart.as_mut().and_then(|uart| {
        uart.acknowledge();
        uart.get()
    });
    match byte {
        Some(byte) => Some(output.key(byte)),
        None => {
            INPUT.store(false, Ordering::Relaxed);
            output.interrupt_for(true, FULL.load(Ordering::Relaxed));
            None
        }
    }
}

/// A line of the kernel's own. It goes to the kernel's ring; while the kernel boots and when it dies, straight to the port.
pub struct Line {
    early: bool,
}

impl Line {
    #[inline(never)]
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        if self.early {
            let mut output = OUTPUT.lock();
            bytes.iter().for_each(|&byte| output.put_early(byte));
        } else {
            KERNEL_RING.extend(bytes);
        }
        self
    }

    /// Adds text.
    #[inline(never)]
    pub fn text(&mut self, text: &&str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a partition's name.
    #[inline(never)]
    pub fn name(&mut self, name: &manifest::Name) -> &mut Self {
        self.bytes(name.as_bytes())
    }

    /// Adds a number in hexadecimal.
    #[inline(never)]
    pub fn hex(&mut self, value: u64) -> &mut Self {
        self.text(&"0x").digits(value, 16)
    }

    /// Adds a number in decimal.
    #[inline(never)]
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.digits(value, 10)
    }

    #[inline(never)]
    fn digits(&mut self, mut value: u64, base: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut first = digits.len();
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            let low = (value % base) as u8;
            *digit = if low < 10 { b'0' + low } else { b'a' - 10 + low };
            first = place;
            value /= base;
            if value == 0 {
                break;
            }
        }
        self.bytes(digits.get(first..).unwrap_or(&[]))
    }

    /// Adds a word of an error.
    pub fn word(&mut self, word: Word<'_>) {
        match word {
            Word::Text(text) => self.text(&text),
            Word::Number(value) => self.number(value),
            Word::Hex(value) => self.hex(value),
        };
    }

    /// Ends the line.
    pub fn end(&mut self) {
        self.text(if self.early { &"\r\n" } else { &"\n" });
    }
}

/// Writes kernel lines while no other core does.
pub fn say(write: impl FnOnce(&mut Line)) {
    let _turn = KERNEL_WRITER.lock();
    write(&mut Line { early: false });
}

/// Begins a line straight to the port: while the kernel boots, and when it dies.
#[must_use]
pub fn early() -> Line {
    let mut line = Line { early: true };
    line.text(&"[tessera] ");
    line
}

impl Output {
    fn put_early(&mut self, byte: u8) {
        let Some(uart) = &mut self.uart else {
            return;
        };
        let mut patience = 1_000_000u32;
        while !uart.put(byte) && patience > 0 {
            patience -= 1;
        }
    }
}

/// Forgets who has the port: the kernel is dying, and the lock may be held by what died.
pub fn seize() {
    OUTPUT.force_unlock();
}
