//! What a UART's line ends in, for tests.

use std::collections::VecDeque;

use tessera_devices::Sink;

/// A sink of limited capacity, and everything that it ever took.
#[derive(Default)]
pub struct Wire {
    pub capacity: usize,
    pub waiting: VecDeque<u8>,
    pub sent: Vec<u8>,
}

impl Wire {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// Sends up to `count` characters on. Returns the room that there is now.
    pub fn drain(&mut self, count: usize) -> usize {
        let count = count.min(self.waiting.len());
        self.sent.extend(self.waiting.drain(..count));
        self.room()
    }
}

impl Sink for Wire {
    fn put(&mut self, byte: u8) {
        assert!(self.room() > 0, "a character for which there is no room");
        self.waiting.push_back(byte);
    }

    fn room(&self) -> usize {
        self.capacity - self.waiting.len()
    }
}
