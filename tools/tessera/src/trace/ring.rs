//! A ring as the tool has it: read, in order, with its times in nanoseconds.

use trace::{Argument, Error, Kind, Trace};

/// A record, with its time in nanoseconds since the counter began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: u64,
    /// What happened.
    pub kind: Kind,
    /// About whom, and what more there is to say.
    pub argument: Argument,
}

/// The ring of a core.
#[derive(Clone, Debug)]
pub struct Ring {
    /// The core.
    pub core: u16,
    /// Its records, the oldest first; their times never go back.
    pub records: Vec<Record>,
    /// How many older ones were overwritten.
    pub lost: u64,
}

impl Ring {
    /// Reads a ring out of the memory that it lies in.
    ///
    /// # Errors
    ///
    /// There is none, or it is damaged.
    pub fn read(memory: &[u8]) -> Result<Self, Error> {
        let ring = Trace::read(memory)?;
        let all: Vec<trace::Record> = ring.records().collect();
        let last = all.last().map_or(0, |r| r.time);
        let mut time = 0;
        // A record that is later than the last, or earlier than the one before it, is a torn one.
        let sane = all.into_iter().filter(|r| {
            let sane = (time..=last).contains(&r.time);
            time = if sane { r.time } else { time };
            sane
        });
        let frequency = ring.header.frequency;
        let records = sane.map(|r| Record {
            at: nanoseconds(r.time, frequency),
            kind: r.kind,
            argument: r.argument,
        });
        Ok(Self {
            core: ring.header.core,
            records: records.collect(),
            lost: ring.lost(),
        })
    }

    /// The times of the first and the last record.
    #[must_use]
    pub fn times(&self) -> Option<(u64, u64)> {
        Some((self.records.first()?.at, self.records.last()?.at))
    }
}

/// Ticks as nanoseconds.
fn nanoseconds(ticks: u64, frequency: u64) -> u64 {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(frequency.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_by_the_frequency() {
        assert_eq!(nanoseconds(62_500_000, 62_500_000), 1_000_000_000);
        assert_eq!(nanoseconds(1, 62_500_000), 16);
        assert_eq!(nanoseconds(u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn a_torn_record_is_left_out_and_no_other() {
        let mut memory = vec![0; trace::words(16 * trace::RECORD_LEN)];
        let mut ring = trace::Ring::new(&mut memory, 2, 1_000_000_000).unwrap();
        for time in [10, 20, 15, 9000, 30, 40] {
            ring.put(time, Kind::Idle, Argument::NONE);
        }
        let bytes: Vec<u8> = memory.iter().flat_map(|w| w.to_le_bytes()).collect();
        let ring = Ring::read(&bytes).unwrap();
        let times: Vec<u64> = ring.records.iter().map(|r| r.at).collect();
        assert_eq!((ring.core, times.as_slice()), (2, &[10, 20, 30, 40][..]));
        assert_eq!(ring.times(), Some((10, 40)));
    }
}
