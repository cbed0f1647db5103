//! Why a manifest is refused, in words for people.

use crate::VERSION;

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

// Written out so that every number is printed as a `u64` and every text as it is: the kernel then has two number formats
// in it and no padding of text.
impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Short { have, need } => cut(f, "manifest", have as u64, need as u64),
            Self::Magic => f.write_str("this is not a Tessera manifest"),
            Self::Version { found } => write!(
                f,
                "the manifest has version {}, this kernel reads version {}: use the tool of the same release",
                u64::from(found),
                u64::from(VERSION)
            ),
            Self::HeaderCrc { found, expected } => damaged(f, "header is", found, expected),
            Self::TablesCrc { found, expected } => damaged(f, "tables are", found, expected),
            Self::BundleShort { have, need } => cut(f, "bundle", have, need),
            Self::Table { table } => write!(f, "the table of {table} is outside its bounds"),
            Self::Field {
                table,
                index,
                field,
            } => {
                write!(
                    f,
                    "record {} of the table of {table} has a bad ",
                    u64::from(index)
                )?;
                f.write_str(field)
            }
            Self::Overlap { partition, ipa } => {
                write!(
                    f,
                    "partition {} has overlapping memory or devices at {ipa:#x}",
                    u64::from(partition)
                )
            }
            Self::Interrupt { partition, intid } => {
                write!(
                    f,
                    "partition {} gives interrupt {} twice",
                    u64::from(partition),
                    u64::from(intid)
                )
            }
            Self::SharedVmid { partition, core } => {
                write!(
                    f,
                    "partition {} has two vCPUs on core {}",
                    u64::from(partition),
                    u64::from(core)
                )
            }
            Self::Crowded { core } => write!(
                f,
                "core {} has more contexts than it can have",
                u64::from(core)
            ),
        }
    }
}

fn cut(f: &mut core::fmt::Formatter<'_>, what: &str, have: u64, need: u64) -> core::fmt::Result {
    f.write_str("the ")?;
    f.write_str(what)?;
    write!(f, " is cut short: {have} bytes of {need}")
}

fn damaged(
    f: &mut core::fmt::Formatter<'_>,
    part: &str,
    found: u32,
    expected: u32,
) -> core::fmt::Result {
    let (found, expected) = (u64::from(found), u64::from(expected));
    f.write_str("the manifest's ")?;
    f.write_str(part)?;
    write!(f, " damaged (CRC is {found:#x}, should be {expected:#x})")
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

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Cores => "cores",
            Self::Partitions => "partitions",
            Self::Vcpus => "vCPUs",
            Self::Regions => "regions",
            Self::Loads => "loads",
            Self::Devices => "devices",
        })
    }
}
