//! Why a manifest is refused, in words for people.

use crate::VERSION;
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
        let [mut number, last] = self.numbers();
        let mut rest = self.pattern();
        // (Bytes are looked at, not characters: the marks are ASCII.)
        while let Some(mark) = rest.bytes().next() {
            let text = rest.bytes().position(is_mark).unwrap_or(rest.len());
            let Some((text, behind)) = rest.split_at_checked(text.max(1)) else {
                return;
            };
            rest = behind;
            say(match mark {
                b'%' => Word::Text(self.table()),
                b'@' => Word::Text(self.field()),
                b'#' => Word::Number(core::mem::replace(&mut number, last)),
                b'$' => Word::Hex(core::mem::replace(&mut number, last)),
                _ => Word::Text(text),
            });
        }
    }

    /// The message, with marks where words of this error belong: see [`is_mark`]. (One loop over a text is smaller than a
    /// call for each piece of each message.)
    fn pattern(&self) -> &'static str {
        match self {
            Self::Short { .. } => "the manifest is cut short: # bytes of #",
            Self::NotABundle => NOT_A_BUNDLE,
            Self::Magic => "this is not a Tessera manifest",
            Self::Version { .. } => OTHER_VERSION,
            Self::HeaderCrc { .. } => "the manifest's header is damaged (CRC is $, should be $)",
            Self::TablesCrc { .. } => "the manifest's tables are damaged (CRC is $, should be $)",
            Self::BundleShort { .. } => "the bundle is cut short: # bytes of #",
            Self::Table { .. } => "the table of % is outside its bounds",
            Self::Field { .. } => "record # of the table of % has a bad @",
            Self::Overlap { .. } => "partition # has overlapping memory or devices at $",
            Self::Interrupt { .. } => "partition # gives interrupt # twice",
            Self::SharedVmid { .. } => "partition # has two vCPUs on core #",
            Self::Crowded { .. } => "core # has more contexts than it can have",
        }
    }

    /// The numbers of the message, in their order there.
    fn numbers(&self) -> [u64; 2] {
        match *self {
            Self::NotABundle | Self::Magic | Self::Table { .. } => [0, 0],
            Self::Short { have, need } => [have as u64, need as u64],
            Self::Version { found } => [found.into(), VERSION.into()],
            Self::HeaderCrc { found, expected } | Self::TablesCrc { found, expected } => {
                [found.into(), expected.into()]
            }
            Self::BundleShort { have, need } => [have, need],
            Self::Field { index, .. } => [index.into(), 0],
            Self::Overlap { partition, ipa } => [partition.into(), ipa],
            Self::Interrupt { partition, intid } => [partition.into(), intid.into()],
            Self::SharedVmid { partition, core } => [partition.into(), core.into()],
            Self::Crowded { core } => [core.into(), 0],
        }
    }

    fn table(&self) -> &'static str {
        match self {
            Self::Table { table } | Self::Field { table, .. } => table.name(),
            _ => "",
        }
    }

    fn field(&self) -> &'static str {
        match self {
            Self::Field { field, .. } => field,
            _ => "",
        }
    }
}

/// Whether a byte of a pattern stands for something else: `#` for the next number, `$` for the next number in
/// hexadecimal, `%` for the table, `@` for the field.
fn is_mark(byte: u8) -> bool {
    matches!(byte, b'#' | b'$' | b'%' | b'@')
}

const NOT_A_BUNDLE: &str = "the initrd is not a Tessera bundle (no member tessera/manifest at its start): make one with `cargo tessera build`";
const OTHER_VERSION: &str =
    "the manifest has version #, this kernel reads version #: use the tool of the same release";

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
