//! The reader's side: bytes that were taken out of a machine's memory, at any moment.

use crate::header::word;
use crate::{Error, HEADER_LEN, Header, RECORD_LEN, Record};

/// A ring that was taken out of a machine's memory.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    /// What it says of itself.
    pub header: Header,
    slots: &'a [[u8; RECORD_LEN]],
}

impl<'a> Trace<'a> {
    /// Reads the ring that `bytes` begin with.
    ///
    /// # Errors
    ///
    /// There is no ring, its header has a field without meaning, or it is cut short.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let header = Header::decode(bytes)?;
        let short = Error::Short {
            have: bytes.len(),
            need: header.ring_len(),
        };
        let slots = bytes.get(HEADER_LEN..header.ring_len()).ok_or(short)?;
        let (slots, _) = slots.as_chunks();
        Ok(Self { header, slots })
    }

    /// The records, the oldest first.
    ///
    /// A slot that is empty or whose kind is not known is left out. So is the oldest record of a
    /// full ring: the machine may have been stopped just while that slot was written anew.
    #[must_use]
    pub const fn records(&self) -> Records<'a> {
        let capacity = self.header.capacity as u64;
        let written = self.header.written;
        let next = if written < capacity {
            0
        } else {
            written.saturating_sub(capacity).saturating_add(1)
        };
        Records {
            slots: self.slots,
            next,
            end: written,
        }
    }

    /// How many records were overwritten before they were read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.records().next
    }
}

/// The records of a ring, the oldest first.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    slots: &'a [[u8; RECORD_LEN]],
    next: u64,
    end: u64,
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while self.next < self.end {
            // (The capacity is a power of two, so this is the remainder.)
            let mask = self.slots.len().wrapping_sub(1);
            let slot = self.slots.get(self.next as usize & mask)?;
            self.next = self.next.saturating_add(1);
            let record = Record::decode([word(slot, 0), word(slot, 8)]);
            if record.is_some() {
                return record;
            }
        }
        None
    }
}
