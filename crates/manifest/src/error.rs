//! Why a manifest is refused, in words for people.

use crate::{MANIFEST, VERSION};
use core::fmt;

/// Why a manifest is refused. Indices count records of the named table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Fewer bytes than the manifest says.
    Short {
        /// Bytes that there are.
        have: usize,
        /// Bytes that there should be.
        need: usize,
    },
    /// No archive with a manifest as its first member.
    NotABundle,
    /// The first bytes are not a manifest's.
    Magic,
    /// Another version of the record layout.
    Version {
        /// The version found.
        found: u16,
    },
    /// The header's CRC does not match.
    HeaderCrc {
        /// Computed from the bytes.
        found: u32,
        /// Written in the header.
        expected: u32,
    },
    /// The tables' CRC does not match.
    TablesCrc {
        /// Computed from the bytes.
        found: u32,
        /// Written in the header.
        expected: u32,
    },
    /// The bundle is not as long as when it was written.
    BundleShort {
        /// Bytes that there are.
        have: u64,
        /// Bytes that there should be.
        need: u64,
    },
    /// A table lies outside the manifest or has too many or no records.
    Table {
        /// Which table.
        table: Table,
    },
    /// A record has a value without meaning.
    Field {
        /// Which table.
        table: Table,
        /// Which record.
        index: u16,
        /// Which field.
        field: &'static str,
    },
    /// Two pieces of one partition's address space overlap.
    Overlap {
        /// Index of the partition.
        partition: u16,
        /// Where.
        ipa: u64,
    },
    /// An interrupt is given to two devices of one partition.
    Interrupt {
        /// Index of the partition.
        partition: u16,
        /// The interrupt.
        intid: u16,
    },
    /// Two vCPUs of one partition are on one core (decision: they would share a VMID there).
    SharedVmid {
        /// Index of the partition.
        partition: u16,
        /// The core.
        core: u16,
    },
    /// A core has more contexts than its policy or the kernel allows.
    Crowded {
        /// The core.
        core: u16,
    },
}

impl core::error::Error for Error {}

/// A piece of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// Text.
    Text(&'a str),
    /// A number in decimal.
    Number(u64),
    /// A number in hexadecimal, which is shown with `0x` before it.
    Hex(u64),
}

impl Error {
    /// Says the message piece by piece, for those who have no formatting.
    pub fn words(&self, say: &mut dyn FnMut(Word<'_>)) {
        let (pattern, texts, numbers) = self.pattern();
        let (mut texts, mut numbers) = (texts.iter(), numbers.iter());
        let mut rest = pattern;
        // (Bytes are looked at, not characters: the marks are ASCII.)
        while let Some(at) = rest.bytes().position(|b| matches!(b, b'%' | b'#' | b'$')) {
            let Some((text, mark)) = rest.split_at_checked(at) else {
                break;
            };
            say(Word::Text(text));
            say(match mark.as_bytes().first() {
                Some(b'%') => Word::Text(texts.next().copied().unwrap_or("")),
                Some(b'#') => Word::Number(numbers.next().copied().unwrap_or(0)),
                _ => Word::Hex(numbers.next().copied().unwrap_or(0)),
            });
            rest = mark.get(1..).unwrap_or("");
        }
        say(Word::Text(rest));
    }

    /// The message with marks in it, and what takes their places in order: `%` a text, `#` a decimal number, `$` a
    /// hexadecimal one. (One loop over a text is smaller than a call for each piece.)
    fn pattern(&self) -> (&'static str, [&'static str; 2], [u64; 2]) {
        match *self {
            Self::Short { have, need } => (CUT, ["manifest", ""], [have as u64, need as u64]),
            Self::NotABundle => (NOT_A_BUNDLE, [MANIFEST, ""], [0, 0]),
            Self::Magic => ("this is not a Tessera manifest", ["", ""], [0, 0]),
            Self::Version { found } => (
                "the manifest has version #, this kernel reads version #: use the tool of the same release",
                ["", ""],
                [found.into(), VERSION.into()],
            ),
            Self::HeaderCrc { found, expected } => {
                (DAMAGED, ["header is", ""], [found.into(), expected.into()])
            }
            Self::TablesCrc { found, expected } => {
                (DAMAGED, ["tables are", ""], [found.into(), expected.into()])
            }
            Self::BundleShort { have, need } => (CUT, ["bundle", ""], [have, need]),
            Self::Table { table } => (
                "the table of % is outside its bounds",
                [table.name(), ""],
                [0, 0],
            ),
            Self::Field {
                table,
                index,
                field,
            } => (
                "record # of the table of % has a bad %",
                [table.name(), field],
                [index.into(), 0],
            ),
            Self::Overlap { partition, ipa } => (
                "partition # has overlapping memory or devices at $",
                ["", ""],
                [partition.into(), ipa],
            ),
            Self::Interrupt { partition, intid } => (
                "partition # gives interrupt # twice",
                ["", ""],
                [partition.into(), intid.into()],
            ),
            Self::SharedVmid { partition, core } => (
                "partition # has two vCPUs on core #",
                ["", ""],
                [partition.into(), core.into()],
            ),
            Self::Crowded { core } => (
                "core # has more contexts than it can have",
                ["", ""],
                [core.into(), 0],
            ),
        }
    }
}

const CUT: &str = "the % is cut short: # bytes of #";
const DAMAGED: &str = "the manifest's % damaged (CRC is $, should be $)";
const NOT_A_BUNDLE: &str = "the initrd is not a Tessera bundle (no member % at its start): make one with `cargo tessera build`";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.words(&mut |word| {
            result = result.and_then(|()| match word {
                Word::Text(text) => f.write_str(text),
                Word::Number(number) => write!(f, "{number}"),
                Word::Hex(number) => write!(f, "{number:#x}"),
            });
        });
        result
    }
}

/// The tables of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Table {
    Header,
    Cores,
    Partitions,
    Vcpus,
    Regions,
    Loads,
    Devices,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Cores => "cores",
            Self::Partitions => "partitions",
            Self::Vcpus => "vCPUs",
            Self::Regions => "regions",
            Self::Loads => "loads",
            Self::Devices => "devices",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
