//! The PL011's receive FIFO: 16 entries, or one (DDI 0183, receive FIFO and UARTLCR_H.FEN).
//!
//! An entry is what a read of UARTDR gives: a character in bits 7:0, its status above.

/// A FIFO of received characters. The depth is the caller's, so that it can change with FEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RxFifo {
    /// A ring: `count` entries from `first` on. Entries outside it are zero.
    entries: [u16; Self::DEPTH as usize],
    first: u8,
    count: u8,
}

impl RxFifo {
    /// The depth with FIFOs enabled, of a PL011 before revision r1p5.
    pub const DEPTH: u8 = 16;
    const MASK: u8 = 15;

    /// An empty FIFO.
    pub const fn new() -> Self {
        Self {
            entries: [0; Self::DEPTH as usize],
            first: 0,
            count: 0,
        }
    }

    /// How many characters wait.
    #[inline]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// Whether none waits.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes a character, or refuses it when `depth` already wait.
    pub fn push(&mut self, entry: u16, depth: u8) -> bool {
        if self.count >= depth || self.count >= Self::DEPTH {
            return false;
        }
        let at = self.first.wrapping_add(self.count) & Self::MASK;
        if let Some(slot) = self.entries.get_mut(usize::from(at)) {
            *slot = entry;
        }
        self.count = self.count.wrapping_add(1);
        true
    }

    /// Gives the oldest character.
    pub fn pop(&mut self) -> Option<u16> {
        if self.count == 0 {
            return None;
        }
        let entry = core::mem::take(self.entries.get_mut(usize::from(self.first & Self::MASK))?);
        self.first = self.first.wrapping_add(1) & Self::MASK;
        self.count = self.count.wrapping_sub(1);
        Some(entry)
    }

    /// Drops every character.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}
