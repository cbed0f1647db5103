//! The binary log of the plugin, read: what it says of each entry to EL2, of phases, and of who ran.
//!
//! The format is that of `tools/meter/README.md`, "The binary log": a header of 16 bytes and records
//! of 80, all numbers little-endian.

use crate::failure::Failure;
use std::path::Path;

const MAGIC: &[u8] = b"TSRMETER";
const HEADER: usize = 16;
const RECORD: usize = 80;
const VERSION: u32 = 1;

/// Why EL2 was entered, as the vector tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {
    /// A synchronous exception.
    Synchronous,
    /// An interrupt.
    Irq,
    /// A fast interrupt.
    Fiq,
    /// An asynchronous error.
    SError,
    /// No exception: the core went on after a WFI at EL2.
    Wake,
    /// No exception: the core was switched on.
    Boot,
}

/// One entry to EL2, from the vector's first instruction to ERET or WFI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The core.
    pub core: u8,
    /// Why.
    pub vector: Vector,
    /// The phase that it began in; 0 is none.
    pub phase: u16,
    /// The context that ran before; 0 is none.
    pub left: u16,
    /// The context that ran after; 0 is none.
    pub returned: u16,
    /// Its first mark, counted from 1; 0 is none.
    pub mark: u16,
    /// Instructions.
    pub instructions: u64,
    /// The longest stretch of them with interrupts masked.
    pub masked: u64,
    /// Lines of code.
    pub code_lines: u64,
    /// Lines of data.
    pub data_lines: u64,
    /// ISB, DSB, TLBI, MSR, MRS, ERET.
    pub operations: [u64; 6],
    /// The syndrome, if it is known.
    pub esr: Option<u32>,
    /// The first interrupt that was acknowledged.
    pub interrupt: Option<u32>,
    /// Where the exception returns to; 0 if there was none.
    pub elr: u64,
    /// Instructions that all cores had executed before.
    pub at: u64,
}

impl Entry {
    /// The exception class (Arm ARM, ESR_EL2.EC), if the syndrome is known.
    #[must_use]
    pub fn class(&self) -> Option<u32> {
        self.esr.map(|esr| esr >> 26)
    }
}

/// What ran between two markers of one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The phase.
    pub phase: u16,
    /// Instructions below EL2.
    pub others: u64,
    /// Instructions at EL2.
    pub el2: u64,
    /// Instructions executed when it began.
    pub at: u64,
    /// The run ended first.
    pub cut: bool,
}

/// Another context runs on a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The core.
    pub core: u8,
    /// The context.
    pub now: u16,
    /// Instructions executed before its first.
    pub at: u64,
}

/// A whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Entries to EL2, in the order in which they ended.
    pub entries: Vec<Entry>,
    /// Spans of phases.
    pub spans: Vec<Span>,
    /// Changes of context.
    pub switches: Vec<Switch>,
}

impl Log {
    /// Reads a log.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no log, or has no end: the machine did not end well.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
        Self::parse(&bytes).map_err(|e| Failure::Internal(format!("{}: {e}", path.display())))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let header = bytes.get(..HEADER).ok_or("no log of the meter")?;
        if !header.starts_with(MAGIC) {
            return Err("no log of the meter".into());
        }
        let (version, length) = (u32_at(header, 8), u32_at(header, 12));
        if version != VERSION || length != RECORD as u32 {
            return Err(format!("version {version} with records of {length} bytes"));
        }
        let mut log = Self::default();
        let mut ended = false;
        for record in bytes.get(HEADER..).unwrap_or(&[]).chunks_exact(RECORD) {
            match record[0] {
                1 => log.entries.extend(entry(record)),
                2 => log.spans.push(Span {
                    phase: u16_at(record, 4),
                    others: u64_at(record, 48),
                    el2: u64_at(record, 56),
                    at: u64_at(record, 64),
                    cut: record[3] & 16 != 0,
                }),
                3 => ended = true,
                4 => log.switches.push(Switch {
                    core: record[1],
                    now: u16_at(record, 8),
                    at: u64_at(record, 64),
                }),
                _ => {}
            }
        }
        if ended {
            Ok(log)
        } else {
            Err("the log has no end".into())
        }
    }
}

fn entry(record: &[u8]) -> Option<Entry> {
    let vector = match record[2] {
        0 => Vector::Synchronous,
        1 => Vector::Irq,
        2 => Vector::Fiq,
        3 => Vector::SError,
        4 => Vector::Wake,
        5 => Vector::Boot,
        _ => return None,
    };
    let known = |bit: u8| record[3] & (1 << bit) != 0;
    let short = |at: usize| u64::from(u16_at(record, at));
    Some(Entry {
        core: record[1],
        vector,
        phase: u16_at(record, 4),
        left: u16_at(record, 6),
        returned: u16_at(record, 8),
        mark: u16_at(record, 10),
        instructions: u32_at(record, 12).into(),
        masked: u32_at(record, 16).into(),
        code_lines: short(20),
        data_lines: short(22),
        operations: [24, 26, 28, 30, 32, 34].map(short),
        esr: known(1).then(|| u32_at(record, 36)),
        interrupt: known(2).then(|| u32_at(record, 40)),
        elr: u64_at(record, 56),
        at: u64_at(record, 64),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(80_u32.to_le_bytes());
        bytes
    }

    fn record(fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; RECORD];
        for (at, value) in fields {
            bytes[*at..at + value.len()].copy_from_slice(value);
        }
        bytes
    }

    #[test]
    fn each_field_of_an_entry_is_read_from_its_place() {
        let mut bytes = header();
        bytes.extend(record(&[
            (0, &[1, 1, 1, 0b110]),
            (4, &7_u16.to_le_bytes()),
            (6, &1_u16.to_le_bytes()),
            (8, &2_u16.to_le_bytes()),
            (10, &3_u16.to_le_bytes()),
            (12, &100_u32.to_le_bytes()),
            (16, &90_u32.to_le_bytes()),
            (20, &11_u16.to_le_bytes()),
            (22, &12_u16.to_le_bytes()),
            (24, &1_u16.to_le_bytes()),
            (34, &6_u16.to_le_bytes()),
            (36, &0x5a00_0000_u32.to_le_bytes()),
            (40, &27_u32.to_le_bytes()),
            (56, &0x4020_0000_u64.to_le_bytes()),
            (64, &5000_u64.to_le_bytes()),
        ]));
        bytes.extend(record(&[(0, &[9])]));
        bytes.extend(record(&[(0, &[3])]));
        let log = Log::parse(&bytes).unwrap();
        assert_eq!(
            log.entries,
            [Entry {
                core: 1,
                vector: Vector::Irq,
                phase: 7,
                left: 1,
                returned: 2,
                mark: 3,
                instructions: 100,
                masked: 90,
                code_lines: 11,
                data_lines: 12,
                operations: [1, 0, 0, 0, 0, 6],
                esr: Some(0x5a00_0000),
                interrupt: Some(27),
                elr: 0x4020_0000,
                at: 5000,
            }]
        );
        assert_eq!(log.entries[0].class(), Some(0x16));
    }

    #[test]
    fn spans_and_switches_are_read() {
        let mut bytes = header();
        bytes.extend(record(&[
            (0, &[2, 0, 0, 16]),
            (4, &2_u16.to_le_bytes()),
            (48, &44_u64.to_le_bytes()),
            (56, &45_u64.to_le_bytes()),
            (64, &9_u64.to_le_bytes()),
        ]));
        bytes.extend(record(&[
            (0, &[4, 1]),
            (8, &2_u16.to_le_bytes()),
            (64, &77_u64.to_le_bytes()),
        ]));
        bytes.extend(record(&[(0, &[3])]));
        let log = Log::parse(&bytes).unwrap();
        assert_eq!(
            log.spans,
            [Span {
                phase: 2,
                others: 44,
                el2: 45,
                at: 9,
                cut: true
            }]
        );
        assert_eq!(
            log.switches,
            [Switch {
                core: 1,
                now: 2,
                at: 77
            }]
        );
    }

    #[test]
    fn what_is_no_whole_log_is_refused() {
        assert!(Log::parse(b"TSRMETER").is_err());
        assert!(Log::parse(&[0; 96]).is_err());
        let without_end = header();
        assert_eq!(Log::parse(&without_end), Err("the log has no end".into()));
        let mut other = header();
        other[8] = 2;
        assert!(Log::parse(&other).unwrap_err().starts_with("version 2"));
    }
}
