//! The first 64 bytes of a ring.

use crate::{Error, RECORD_LEN};

/// Size of the header in bytes.
pub const HEADER_LEN: usize = 64;

/// The bytes that open every ring.
pub const MAGIC: [u8; 8] = *b"TSSTRACE";

/// Version of the format. A reader refuses every other.
pub const VERSION: u16 = 1;

/// What a ring says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The core that writes into it.
    pub core: u16,
    /// How many records it holds: a power of two.
    pub capacity: u32,
    /// Frequency of the counter in Hz, never 0.
    pub frequency: u64,
    /// How many records have ever been written into it.
    pub written: u64,
}

impl Header {
    /// The word of the header that counts what has been written.
    pub(crate) const WRITTEN: usize = 3;

    /// Its eight words, as they lie in memory.
    #[must_use]
    pub const fn encode(self) -> [u64; 8] {
        let [c0, c1] = self.core.to_le_bytes();
        let [v0, v1] = VERSION.to_le_bytes();
        let [n0, n1, n2, n3] = self.capacity.to_le_bytes();
        [
            u64::from_ne_bytes(MAGIC),
            u64::from_ne_bytes([v0, v1, c0, c1, n0, n1, n2, n3]),
            self.frequency.to_le(),
            self.written.to_le(),
            0,
            0,
            0,
            0,
        ]
    }

    /// Reads the header of a ring that `bytes` begin with. Whether its records are there too is not looked at.
    ///
    /// # Errors
    ///
    /// There is no ring, or its header has a field without meaning.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(Error::Short {
                have: bytes.len(),
                need: HEADER_LEN,
            });
        };
        if !header.starts_with(&MAGIC) {
            return Err(Error::Magic);
        }
        let found = word(header, 8) as u16;
        if found != VERSION {
            return Err(Error::Version { found });
        }
        let header = Self {
            core: (word(header, 8) >> 16) as u16,
            capacity: (word(header, 8) >> 32) as u32,
            frequency: word(header, 16),
            written: word(header, 24),
        };
        if !header.capacity.is_power_of_two() {
            return Err(Error::Capacity {
                found: header.capacity as usize,
            });
        }
        if header.frequency == 0 {
            return Err(Error::Frequency);
        }
        Ok(header)
    }

    /// Size of the whole ring in bytes.
    #[must_use]
    pub const fn ring_len(self) -> usize {
        (self.capacity as usize)
            .saturating_mul(RECORD_LEN)
            .saturating_add(HEADER_LEN)
    }
}

/// The 64-bit number at an offset; 0 behind the end.
pub(crate) fn word(bytes: &[u8], offset: usize) -> u64 {
    let rest = bytes.get(offset..).unwrap_or(&[]);
    rest.first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(header: Header) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        for (place, word) in bytes.chunks_exact_mut(8).zip(header.encode()) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    const GOOD: Header = Header {
        core: 0x0203,
        capacity: 0x0400_0000,
        frequency: 62_500_000,
        written: 0x1122_3344_5566_7788,
    };

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(core: u16, power in 0u32..32, frequency in 1..u64::MAX, written: u64) {
            let header = Header { core, capacity: 1 << power, frequency, written };
            prop_assert_eq!(Header::decode(&bytes(header)), Ok(header));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: [u8; 70], magic: bool, len in 0usize..=70) {
            let mut bytes = bytes;
            if magic {
                bytes[..10].copy_from_slice(b"TSSTRACE\x01\0");
            }
            let _ = Header::decode(&bytes[..len]);
        }
    }

    #[test]
    fn the_fields_are_where_the_format_says() {
        let bytes = bytes(GOOD);
        assert_eq!(&bytes[..8], b"TSSTRACE");
        assert_eq!(bytes[8..16], [1, 0, 3, 2, 0, 0, 0, 4]);
        assert_eq!(bytes[16..24], 62_500_000u64.to_le_bytes());
        assert_eq!(bytes[24..32], 0x1122_3344_5566_7788u64.to_le_bytes());
        assert_eq!(bytes[32..], [0; 32]);
    }

    #[test]
    fn what_is_no_header_is_refused_with_its_reason() {
        let changed = |at: usize, value: u8| {
            let mut bytes = bytes(GOOD);
            bytes[at] = value;
            Header::decode(&bytes)
        };
        assert_eq!(changed(0, b'X'), Err(Error::Magic));
        assert_eq!(changed(8, 2), Err(Error::Version { found: 2 }));
        let found = 0x0400_0001;
        assert_eq!(changed(12, 1), Err(Error::Capacity { found }));
        let stopped = Header {
            frequency: 0,
            ..GOOD
        };
        assert_eq!(Header::decode(&bytes(stopped)), Err(Error::Frequency));
        let none = Header {
            capacity: 0,
            ..GOOD
        };
        let found = 0;
        assert_eq!(Header::decode(&bytes(none)), Err(Error::Capacity { found }));
        let (have, need) = (63, HEADER_LEN);
        let short = Header::decode(&bytes(GOOD)[..have]);
        assert_eq!(short, Err(Error::Short { have, need }));
    }
}
