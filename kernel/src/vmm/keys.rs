//! Keys that a partition's UART has no room for yet.

/// A short queue; what finds it full is lost, as on a line without flow control.
#[derive(Clone, Debug)]
pub struct Keys {
    bytes: [u8; Self::MOST],
    first: usize,
    count: usize,
}

impl Keys {
    /// Keys that are kept: a pasted line.
    const MOST: usize = 128;

    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; Self::MOST],
            first: 0,
            count: 0,
        }
    }

    /// Whether there is none.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a key.
    pub fn push(&mut self, byte: u8) {
        if self.count < Self::MOST {
            self.bytes[(self.first + self.count) % Self::MOST] = byte;
            self.count += 1;
        }
    }

    /// Takes the oldest key.
    pub fn pop(&mut self) -> Option<u8> {
        if self.count == 0 {
            return None;
        }
        let byte = self.bytes[self.first % Self::MOST];
        self.first = (self.first + 1) % Self::MOST;
        self.count -= 1;
        Some(byte)
    }
}
