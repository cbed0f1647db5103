//! One record: when, what, about whom.

use crate::{Argument, Kind};

/// Size of a record in bytes.
pub const RECORD_LEN: usize = 16;

/// The bits of the first word that are the time.
pub const TIME: u64 = (1 << 56) - 1;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// When, in ticks of the counter; 56 bits, which at 1 GHz are two years.
    pub time: u64,
    /// What happened.
    pub kind: Kind,
    /// About whom, and what more there is to say.
    pub argument: Argument,
}

impl Record {
    /// Its two words. Of the time the low 56 bits are kept.
    #[inline]
    #[must_use]
    pub const fn encode(self) -> [u64; 2] {
        let kind = (self.kind as u64) << 56;
        [self.time & TIME | kind, self.argument.0]
    }

    /// The record that two words are; `None` for an empty slot and for a kind that has no meaning.
    #[must_use]
    pub const fn decode([first, second]: [u64; 2]) -> Option<Self> {
        match Kind::decode((first >> 56) as u8) {
            Some(kind) => Some(Self {
                time: first & TIME,
                kind,
                argument: Argument(second),
            }),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(time in 0..=TIME, kind in 0..Kind::ALL.len(), argument: u64) {
            let record = Record { time, kind: Kind::ALL[kind], argument: Argument(argument) };
            prop_assert_eq!(Record::decode(record.encode()), Some(record));
        }

        #[test]
        fn any_words_decode_to_a_record_with_these_words_or_to_none(first: u64, second: u64) {
            match Record::decode([first, second]) {
                Some(record) => prop_assert_eq!(record.encode(), [first, second]),
                None => prop_assert!(Kind::decode((first >> 56) as u8).is_none()),
            }
        }
    }

    #[test]
    fn a_time_of_more_bits_leaves_the_kind_alone() {
        let (time, argument) = (u64::MAX, Argument::NONE);
        let record = Record {
            time,
            kind: Kind::Idle,
            argument,
        };
        assert_eq!(record.encode(), [0x07ff_ffff_ffff_ffff, 0]);
    }

    #[test]
    fn an_empty_slot_is_no_record() {
        assert_eq!(Record::decode([0, 0]), None);
        assert_eq!(Record::decode([TIME, 1]), None);
    }
}
