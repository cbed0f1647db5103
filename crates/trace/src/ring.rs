//! The writer's side: one core, plain stores.

use crate::{Argument, Error, HEADER_LEN, Header, Kind, RECORD_LEN, Record};

/// Bytes of memory that a ring takes whose records take `records` bytes: [`HEADER_LEN`] more.
#[must_use]
pub const fn size(records: usize) -> usize {
    records.saturating_add(HEADER_LEN)
}

/// The same in words of eight bytes, as [`Ring::new`] takes it.
#[must_use]
pub const fn words(records: usize) -> usize {
    size(records).div_ceil(size_of::<u64>())
}

/// The ring of a core, as the core has it that writes into it.
#[derive(Debug)]
pub struct Ring<'a> {
    header: &'a mut [u64; HEADER_LEN / 8],
    slots: &'a mut [[u64; 2]],
    /// How many have been written: the header's count, which is not read back.
    written: u64,
}

impl<'a> Ring<'a> {
    /// Makes an empty ring: writes the header and clears every slot. `frequency` is the counter's, in Hz.
    ///
    /// All of `memory` is used: eight words for the header, then two for each record.
    ///
    /// # Errors
    ///
    /// The records are not a power of two, or more than 32 bits can count, or the frequency is zero.
    pub fn new(memory: &'a mut [u64], core: u16, frequency: u64) -> Result<Self, Error> {
        let have = size_of_val(memory);
        let Some((header, rest)) = memory.split_first_chunk_mut() else {
            let need = size(RECORD_LEN);
            return Err(Error::Short { have, need });
        };
        let (slots, odd) = rest.as_chunks_mut::<2>();
        let found = slots.len();
        let capacity = match u32::try_from(found) {
            Ok(capacity) if capacity.is_power_of_two() && odd.is_empty() => capacity,
            _ => return Err(Error::Capacity { found }),
        };
        if frequency == 0 {
            return Err(Error::Frequency);
        }
        slots.fill([0; 2]);
        let written = 0;
        *header = Header {
            core,
            capacity,
            frequency,
            written,
        }
        .encode();
        Ok(Self {
            header,
            slots,
            written,
        })
    }

    /// Writes a record, over the oldest one if the ring is full. `time` is the counter's value.
    #[inline]
    pub fn put(&mut self, time: u64, kind: Kind, argument: Argument) {
        let [first, second] = Record {
            time,
            kind,
            argument,
        }
        .encode();
        let mask = self.slots.len().wrapping_sub(1);
        let slot = self.slots.get_mut(self.written as usize & mask);
        if let Some(slot) = slot {
            *slot = [first.to_le(), second.to_le()];
        }
        self.written = self.written.wrapping_add(1);
        self.header[Header::WRITTEN] = self.written.to_le();
    }

    /// How many records have ever been written into it.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// How many records it holds.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.slots.len()
    }
}
