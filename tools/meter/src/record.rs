//! The binary log: records of 80 bytes, little-endian. README.md has the table.

use crate::context::ContextId;
use crate::phase::{PhaseId, Totals};

/// The first 8 bytes of the file.
pub const MAGIC: [u8; 8] = *b"TSRMETER";
/// Changes when a reader of the old form could not read the new one.
pub const VERSION: u32 = 1;
/// Bytes of a record.
pub const SIZE: usize = 80;
/// Bytes of the header.
pub const HEADER: usize = 16;
/// No interrupt.
const NO_INTERRUPT: u32 = u32::MAX;

const FROM_AARCH32: u8 = 1 << 0;
const ESR_KNOWN: u8 = 1 << 1;
const INTERRUPT_KNOWN: u8 = 1 << 2;
const FAR_KNOWN: u8 = 1 << 3;
const CUT: u8 = 1 << 4;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An event at EL2.
    Event(Event),
    /// A phase from its marker to the next.
    Span(Span),
    /// The end of the log: what was executed in the whole run.
    Totals(Totals),
    /// Another context runs on a core.
    Switch(Switch),
}

/// An event at EL2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The core.
    pub core: usize,
    /// 0 synchronous, 1 IRQ, 2 FIQ, 3 SError, 4 wake, 5 boot.
    pub vector: u8,
    /// Taken from AArch32.
    pub from_aarch32: bool,
    /// The phase that it began in.
    pub phase: PhaseId,
    /// What ran before.
    pub left: ContextId,
    /// What ran after.
    pub returned: ContextId,
    /// The first mark, plus 1.
    pub mark: u16,
    /// Its instructions.
    pub instructions: u64,
    /// Those of its longest masked stretch.
    pub longest: u64,
    /// Where that began, from the start of `el2`.
    pub longest_from: u64,
    /// Cache lines of code.
    pub code_lines: u64,
    /// Cache lines of data.
    pub data_lines: u64,
    /// ISB, DSB, TLBI, MSR, MRS and ERET that it executed.
    pub operations: [u64; 6],
    /// The syndrome.
    pub esr: Option<u32>,
    /// The first interrupt that it acknowledged.
    pub interrupt: Option<u32>,
    /// How many it acknowledged.
    pub acknowledges: u64,
    /// The virtual address that was accessed.
    pub far: Option<u64>,
    /// Where the exception was taken; 0 when that is unknown.
    pub elr: u64,
    /// Instructions that all cores had executed when it began.
    pub at: u64,
    /// Exceptions taken at EL2 in it.
    pub nested: u64,
}

/// A phase from its marker to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The core that executed the marker.
    pub core: usize,
    /// The phase.
    pub phase: PhaseId,
    /// Instructions that all cores had executed when it began, the marker too.
    pub at: u64,
    /// Instructions below EL2 in it.
    pub below: u64,
    /// Instructions at EL2 in it.
    pub el2: u64,
    /// Events that began in it.
    pub events: u64,
    /// The machine ended before it did.
    pub cut: bool,
}

/// Another context runs on a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The core.
    pub core: usize,
    /// The phase.
    pub phase: PhaseId,
    /// What ran there before.
    pub from: ContextId,
    /// What runs now.
    pub to: ContextId,
    /// Instructions that all cores had executed.
    pub at: u64,
}

/// The header of the file.
pub fn header() -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..].copy_from_slice(&(SIZE as u32).to_le_bytes());
    bytes
}

/// The bytes of a record under construction or being read.
struct Bytes([u8; SIZE]);

impl Bytes {
    fn put<const N: usize>(&mut self, offset: usize, value: [u8; N]) {
        self.0[offset..offset + N].copy_from_slice(&value);
    }

    fn put8(&mut self, offset: usize, value: usize) {
        self.put(offset, [u8::try_from(value).unwrap_or(u8::MAX)]);
    }

    fn put16(&mut self, offset: usize, value: u64) {
        self.put(
            offset,
            u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes(),
        );
    }

    fn put32(&mut self, offset: usize, value: u64) {
        self.put(
            offset,
            u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes(),
        );
    }

    fn put64(&mut self, offset: usize, value: u64) {
        self.put(offset, value.to_le_bytes());
    }

    fn get<const N: usize>(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.0[offset..offset + N]);
        u64::from_le_bytes(bytes)
    }

    fn get16(&self, offset: usize) -> u16 {
        self.get::<2>(offset) as u16
    }

    fn get32(&self, offset: usize) -> u32 {
        self.get::<4>(offset) as u32
    }
}

impl Record {
    /// The record's bytes. What does not fit its field is the largest that does.
    pub fn write(&self) -> [u8; SIZE] {
        let mut bytes = Bytes([0; SIZE]);
        match self {
            Self::Event(event) => event.write(&mut bytes),
            Self::Span(span) => {
                bytes.put8(0, 2);
                bytes.put8(1, span.core);
                bytes.put(3, [if span.cut { CUT } else { 0 }]);
                bytes.put16(4, span.phase.into());
                bytes.put32(12, span.events);
                bytes.put64(48, span.below);
                bytes.put64(56, span.el2);
                bytes.put64(64, span.at);
            }
            Self::Totals(totals) => {
                bytes.put8(0, 3);
                bytes.put64(48, totals.below);
                bytes.put64(56, totals.el2);
                bytes.put64(64, totals.all());
            }
            Self::Switch(switch) => {
                bytes.put8(0, 4);
                bytes.put8(1, switch.core);
                bytes.put16(4, switch.phase.into());
                bytes.put16(6, switch.from.into());
                bytes.put16(8, switch.to.into());
                bytes.put64(64, switch.at);
            }
        }
        bytes.0
    }

    /// The record that has these bytes; nothing for a kind that is not known.
    pub fn read(bytes: &[u8; SIZE]) -> Option<Self> {
        let bytes = Bytes(*bytes);
        let core = usize::from(bytes.0[1]);
        let phase = bytes.get16(4);
        Some(match bytes.0[0] {
            1 => Self::Event(Event::read(&bytes)),
            2 => Self::Span(Span {
                core,
                phase,
                at: bytes.get::<8>(64),
                below: bytes.get::<8>(48),
                el2: bytes.get::<8>(56),
                events: bytes.get::<4>(12),
                cut: bytes.0[3] & CUT != 0,
            }),
            3 => Self::Totals(Totals {
                below: bytes.get::<8>(48),
                el2: bytes.get::<8>(56),
            }),
            4 => Self::Switch(Switch {
                core,
                phase,
                from: bytes.get16(6),
                to: bytes.get16(8),
                at: bytes.get::<8>(64),
            }),
            _ => return None,
        })
    }

    /// The records of a file; nothing when it is none, or was cut off inside a record.
    pub fn read_all(file: &[u8]) -> Option<Vec<Self>> {
        let records = file.strip_prefix(&header())?.chunks(SIZE);
        records
            .map(|bytes| Self::read(bytes.try_into().ok()?))
            .collect()
    }
}

impl Event {
    fn write(&self, bytes: &mut Bytes) {
        let flags = [
            (self.from_aarch32, FROM_AARCH32),
            (self.esr.is_some(), ESR_KNOWN),
            (self.interrupt.is_some(), INTERRUPT_KNOWN),
            (self.far.is_some(), FAR_KNOWN),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag);
        bytes.put8(0, 1);
        bytes.put8(1, self.core);
        bytes.put(2, [self.vector]);
        bytes.put(3, [flags.sum()]);
        bytes.put16(4, self.phase.into());
        bytes.put16(6, self.left.into());
        bytes.put16(8, self.returned.into());
        bytes.put16(10, self.mark.into());
        bytes.put32(12, self.instructions);
        bytes.put32(16, self.longest);
        bytes.put16(20, self.code_lines);
        bytes.put16(22, self.data_lines);
        for (index, count) in self.operations.iter().enumerate() {
            bytes.put16(24 + 2 * index, *count);
        }
        bytes.put32(36, self.esr.unwrap_or(0).into());
        bytes.put32(40, self.interrupt.unwrap_or(NO_INTERRUPT).into());
        bytes.put32(44, self.acknowledges);
        bytes.put64(48, self.far.unwrap_or(0));
        bytes.put64(56, self.elr);
        bytes.put64(64, self.at);
        bytes.put32(72, self.longest_from);
        bytes.put32(76, self.nested);
    }

    fn read(bytes: &Bytes) -> Self {
        let flag = |flag| bytes.0[3] & flag != 0;
        Self {
            core: bytes.0[1].into(),
            vector: bytes.0[2],
            from_aarch32: flag(FROM_AARCH32),
            phase: bytes.get16(4),
            left: bytes.get16(6),
            returned: bytes.get16(8),
            mark: bytes.get16(10),
            instructions: bytes.get::<4>(12),
            longest: bytes.get::<4>(16),
            code_lines: bytes.get::<2>(20),
            data_lines: bytes.get::<2>(22),
            operations: std::array::from_fn(|index| bytes.get::<2>(24 + 2 * index)),
            esr: flag(ESR_KNOWN).then(|| bytes.get32(36)),
            interrupt: flag(INTERRUPT_KNOWN).then(|| bytes.get32(40)),
            acknowledges: bytes.get::<4>(44),
            far: flag(FAR_KNOWN).then(|| bytes.get::<8>(48)),
            elr: bytes.get::<8>(56),
            at: bytes.get::<8>(64),
            longest_from: bytes.get::<4>(72),
            nested: bytes.get::<4>(76),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_field_is_where_the_table_has_it() {
        let event = Event {
            core: 2,
            vector: 1,
            from_aarch32: true,
            phase: 0x0504,
            left: 0x0706,
            returned: 0x0908,
            mark: 0x0B0A,
            instructions: 0x0F0E_0D0C,
            longest: 0x1312_1110,
            code_lines: 0x1514,
            data_lines: 0x1716,
            operations: [0x1918, 0x1B1A, 0x1D1C, 0x1F1E, 0x2120, 0x2322],
            esr: Some(0x2726_2524),
            interrupt: Some(0x2B2A_2928),
            acknowledges: 0x2F2E_2D2C,
            far: Some(0x3736_3534_3332_3130),
            elr: 0x3F3E_3D3C_3B3A_3938,
            at: 0x4746_4544_4342_4140,
            longest_from: 0x4B4A_4948,
            nested: 0x4F4E_4D4C,
        };
        let bytes = Record::Event(event).write();
        assert_eq!(bytes[..4], [1, 2, 1, 0b1111]);
        // The value of every byte after the fourth is its offset.
        let offsets: Vec<u8> = (4..80).collect();
        assert_eq!(bytes[4..], offsets);
    }

    #[test]
    fn the_header_says_what_follows() {
        let expected = b"TSRMETER\x01\0\0\0\x50\0\0\0";
        assert_eq!(header(), *expected);
    }

    #[test]
    fn what_does_not_fit_is_the_largest_that_does() {
        let event = Event {
            instructions: u64::MAX,
            code_lines: 1 << 16,
            ..Event::default()
        };
        let bytes = Record::Event(event).write();
        assert_eq!(bytes[12..16], [0xFF; 4]);
        assert_eq!(bytes[20..22], [0xFF; 2]);
        assert_eq!(bytes[40..44], [0xFF; 4]);
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        let totals = Record::Totals(Totals { below: 1, el2: 2 });
        let mut file = header().to_vec();
        file.extend(totals.write());
        assert_eq!(Record::read_all(&file), Some(vec![totals]));
        assert_eq!(Record::read_all(&file[..file.len() - 1]), None);
        assert_eq!(Record::read_all(&file[1..]), None);
    }

    prop_compose! {
        fn event()(
            (core, vector, from_aarch32, phase) in (0usize..256, 0u8..6, any::<bool>(), any::<u16>()),
            (left, returned, mark) in any::<(u16, u16, u16)>(),
            (instructions, longest, longest_from, acknowledges, nested) in
                any::<(u32, u32, u32, u32, u32)>(),
            (code_lines, data_lines, operations) in any::<(u16, u16, [u16; 6])>(),
            (esr, interrupt, far) in any::<(Option<u32>, Option<u32>, Option<u64>)>(),
            (elr, at) in any::<(u64, u64)>(),
        ) -> Event {
            Event {
                core, vector, from_aarch32, phase, left, returned, mark,
                instructions: instructions.into(),
                longest: longest.into(),
                longest_from: longest_from.into(),
                code_lines: code_lines.into(),
                data_lines: data_lines.into(),
                operations: operations.map(u64::from),
                esr, interrupt,
                acknowledges: acknowledges.into(),
                far, elr, at,
                nested: nested.into(),
            }
        }
    }

    prop_compose! {
        fn span()(
            (core, phase, events, cut) in (0usize..256, any::<u16>(), any::<u32>(), any::<bool>()),
            (at, below, el2) in any::<(u64, u64, u64)>(),
        ) -> Span {
            Span { core, phase, at, below, el2, events: events.into(), cut }
        }
    }

    prop_compose! {
        fn switch()(
            core in 0usize..256,
            (phase, from, to, at) in any::<(u16, u16, u16, u64)>(),
        ) -> Switch {
            Switch { core, phase, from, to, at }
        }
    }

    fn record() -> impl Strategy<Value = Record> {
        prop_oneof![
            event().prop_map(Record::Event),
            span().prop_map(Record::Span),
            switch().prop_map(Record::Switch),
            (0..u64::MAX / 2, 0..u64::MAX / 2)
                .prop_map(|(below, el2)| Record::Totals(Totals { below, el2 })),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(records in proptest::collection::vec(record(), 0..8)) {
            let mut file = header().to_vec();
            records.iter().for_each(|record| file.extend(record.write()));
            prop_assert_eq!(Record::read_all(&file), Some(records));
        }
    }
}
