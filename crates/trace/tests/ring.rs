//! What is put into a ring comes out of it: all that fits, in order, whatever lies about it.

use proptest::prelude::*;
use tessera_trace::{
    Argument, Error, HEADER_LEN, Kind, RECORD_LEN, Record, Ring, State, Trace, size, words,
};

/// The memory of a ring as a machine's memory has it.
fn bytes(memory: &[u64]) -> Vec<u8> {
    memory.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn record() -> impl Strategy<Value = Record> {
    (any::<u32>(), 0..Kind::ALL.len(), any::<u64>()).prop_map(|(time, kind, argument)| Record {
        time: time.into(),
        kind: Kind::ALL[kind],
        argument: Argument(argument),
    })
}

/// The memory of a ring with that capacity, into which these records were put.
fn written(capacity: usize, records: &[Record]) -> Vec<u8> {
    let mut memory = vec![u64::MAX; words(capacity * RECORD_LEN)];
    let mut ring = Ring::new(&mut memory, 3, 62_500_000).unwrap();
    for record in records {
        ring.put(record.time, record.kind, record.argument);
    }
    assert_eq!(ring.written(), records.len() as u64);
    bytes(&memory)
}

/// The records that a ring with that capacity must give back.
fn expected(capacity: usize, records: &[Record]) -> &[Record] {
    if records.len() < capacity {
        records
    } else {
        &records[records.len() - capacity + 1..]
    }
}

/// Where in memory the n-th record lies that was ever written.
fn slot(capacity: usize, n: usize) -> std::ops::Range<usize> {
    let start = HEADER_LEN + n % capacity * RECORD_LEN;
    start..start + RECORD_LEN
}

proptest! {
    #[test]
    fn the_youngest_come_back_in_order(power in 0u32..6, records in prop::collection::vec(record(), 0..150)) {
        let capacity = 1 << power;
        let bytes = written(capacity, &records);
        let trace = Trace::read(&bytes).unwrap();
        prop_assert_eq!(trace.header.core, 3);
        prop_assert_eq!(trace.header.frequency, 62_500_000);
        prop_assert_eq!(trace.header.capacity as usize, capacity);
        let expected = expected(capacity, &records);
        prop_assert_eq!(trace.records().collect::<Vec<_>>(), expected);
        prop_assert_eq!(trace.lost(), (records.len() - expected.len()) as u64);
    }

    #[test]
    fn a_stop_in_the_middle_of_a_record_costs_nothing_more(
        power in 0u32..6,
        records in prop::collection::vec(record(), 0..150),
        next in record(),
        first_word: bool,
    ) {
        let capacity = 1 << power;
        let mut bytes = written(capacity, &records);
        let at = slot(capacity, records.len());
        let half = if first_word { at.start..at.start + 8 } else { at.start + 8..at.end };
        let word = next.encode()[usize::from(!first_word)];
        bytes[half].copy_from_slice(&word.to_le_bytes());
        let trace = Trace::read(&bytes).unwrap();
        prop_assert_eq!(trace.records().collect::<Vec<_>>(), expected(capacity, &records));
    }

    #[test]
    fn a_slot_of_an_unknown_kind_is_left_out_alone(
        power in 1u32..6,
        records in prop::collection::vec(record(), 1..150),
        which: prop::sample::Index,
        kind in 10u8..,
    ) {
        let capacity = 1 << power;
        let mut bytes = written(capacity, &records);
        let mut kept = expected(capacity, &records).to_vec();
        let lost = records.len() - kept.len();
        let which = which.index(kept.len());
        kept.remove(which);
        bytes[slot(capacity, lost + which)][7] = kind;
        let trace = Trace::read(&bytes).unwrap();
        prop_assert_eq!(trace.records().collect::<Vec<_>>(), kept);
    }

    #[test]
    fn no_memory_is_too_strange(mut memory in prop::collection::vec(any::<u8>(), 0..400), power in 0u32..6, count: u64) {
        if let Some(header) = memory.first_chunk_mut::<32>() {
            header[..12].copy_from_slice(b"TSSTRACE\x01\0\0\0");
            header[12..16].copy_from_slice(&(1u32 << power).to_le_bytes());
            header[24..].copy_from_slice(&count.to_le_bytes());
        }
        if let Ok(trace) = Trace::read(&memory) {
            prop_assert!(trace.records().count() <= 1 << power);
        }
    }
}

#[test]
fn a_ring_needs_a_power_of_two_of_slots() {
    for records in [0, 3, 6, 1023] {
        let mut memory = vec![0; words(records * RECORD_LEN)];
        let refused = Ring::new(&mut memory, 0, 1).map(drop);
        assert_eq!(refused, Err(Error::Capacity { found: records }));
    }
    let mut odd = vec![0; words(4 * RECORD_LEN) + 1];
    let refused = Ring::new(&mut odd, 0, 1).map(drop);
    assert_eq!(refused, Err(Error::Capacity { found: 4 }));
    let refused = Ring::new(&mut [0; 7], 0, 1).map(drop);
    let (have, need) = (56, size(RECORD_LEN));
    assert_eq!(refused, Err(Error::Short { have, need }));
}

#[test]
fn a_ring_needs_a_counter() {
    let mut memory = vec![0; words(RECORD_LEN)];
    let refused = Ring::new(&mut memory, 0, 0).map(drop);
    assert_eq!(refused, Err(Error::Frequency));
}

#[test]
fn a_ring_of_64_kib_of_records_holds_4096_of_them() {
    let mut memory = vec![0; words(64 << 10)];
    assert_eq!(memory.len() * 8, (64 << 10) + HEADER_LEN);
    let ring = Ring::new(&mut memory, 0, 1).unwrap();
    assert_eq!(ring.capacity(), 4096);
}

#[test]
fn a_ring_that_is_cut_short_is_refused() {
    let bytes = written(4, &[]);
    let (need, have) = (bytes.len(), bytes.len() - 1);
    let cut = Trace::read(&bytes[..have]).map(drop);
    assert_eq!(cut, Err(Error::Short { have, need }));
}

#[test]
fn the_bytes_of_a_ring_are_those_of_the_format() {
    let state = Record {
        time: 0x0011_2233_4455_6677,
        kind: Kind::State,
        argument: Argument::state(State::Running, 1),
    };
    let bytes = written(1, &[state, state]);
    assert_eq!(bytes[24..32], 2u64.to_le_bytes());
    let record = [
        0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 9, 2, 0, 0, 0, 1, 0, 0, 0,
    ];
    assert_eq!(bytes[64..], record);
}
