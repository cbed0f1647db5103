//! The console: lines wait in a ring and leave it a byte at a time, between jobs.
//!
//! Nothing here waits. When the UART's FIFO is full its interrupt says when to go on; keys are
//! read at task level after the receive interrupt. The handler itself only masks the UART and
//! raises [`EVENT`].

use bare::text::Line;
use bare::uart::Uart;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The UART interrupted since the console looked last.
pub static EVENT: AtomicBool = AtomicBool::new(false);

const RING: usize = 4096;

/// The output ring.
pub struct Console {
    uart: Option<Uart>,
    ring: [u8; RING],
    /// Bytes ever queued and ever sent; their difference is at most `RING`.
    queued: usize,
    sent: usize,
    /// The FIFO was full and its interrupt was asked for.
    blocked: bool,
}

impl Console {
    /// A console on a UART, or one that drops everything.
    pub fn new(uart: Option<Uart>) -> Self {
        Self {
            uart,
            ring: [0; RING],
            queued: 0,
            sent: 0,
            blocked: false,
        }
    }

    /// Queues a line with its end. Without room for all of it, it is dropped whole.
    pub fn line(&mut self, line: &Line) {
        if self.uart.is_none() || self.room() < line.as_bytes().len() + 2 {
            return;
        }
        for byte in line.as_bytes().iter().chain(b"\r\n") {
            if let Some(place) = self.ring.get_mut(self.queued % RING) {
                *place = *byte;
            }
            self.queued = self.queued.wrapping_add(1);
        }
    }

    /// Bytes that can be queued.
    pub fn room(&self) -> usize {
        RING - self.queued.wrapping_sub(self.sent)
    }

    /// Whether everything was sent.
    pub fn is_empty(&self) -> bool {
        self.queued == self.sent
    }

    /// Whether [`Console::step`] has something to do now.
    pub fn is_busy(&self) -> bool {
        EVENT.load(Relaxed) || !(self.is_empty() || self.blocked)
    }

    /// Sends one byte, or finds the FIFO full and asks to be told.
    pub fn step(&mut self) {
        let Some(uart) = self.uart else { return };
        if self.blocked || self.is_empty() {
            return;
        }
        let byte = self.ring.get(self.sent % RING).copied().unwrap_or(b'?');
        if uart.try_send(byte) {
            self.sent = self.sent.wrapping_add(1);
        } else {
            self.blocked = true;
            uart.allow_interrupts(true);
        }
    }

    /// Tries a full FIFO again, in case its interrupt does not come.
    pub fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Sends everything now. For the end of a run: nothing periodic is kept waiting by it.
    pub fn flush(&mut self) {
        for _ in 0..100_000_000 {
            if self.uart.is_none() || self.is_empty() {
                break;
            }
            self.unblock();
            self.step();
        }
    }

    /// After the UART's interrupt: a typed byte, until there is none.
    pub fn key(&mut self) -> Option<u8> {
        if !EVENT.load(Relaxed) {
            return None;
        }
        let uart = self.uart?;
        let key = uart.receive();
        if key.is_none() {
            self.blocked = false;
            EVENT.store(false, Relaxed);
            uart.allow_interrupts(false);
        }
        key
    }
}
