//! The system description as it is written: TOML, every key of it.
//!
//! This file is also the source of the JSON schema, so the comments on the keys are what an
//! editor shows. What the keys mean together is checked in [`crate::check`].

use crate::quantity::{Address, Duration, Size};
use crate::refusal::{Refusal, Source};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;
use toml::Spanned;

/// A Tessera system: the cores it uses and the guests that run on them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tessera system description")]
pub struct Description {
    /// Name of the system: 1 to 15 characters of `a-z`, `0-9`, `-` and `_`.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// The physical cores, in the board's order; the board must have at least as many.
    #[serde(default)]
    pub core: Vec<Core>,
    /// The guests by name.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, Guest>")]
    pub guest: IndexMap<Spanned<String>, Guest>,
    /// What the kernel costs on the board, for the response-time analysis.
    #[serde(default)]
    pub overheads: Overheads,
    /// Memory for the records of each core's trace ring: a power of two from 4 KiB to 4 MiB.
    /// Default: the kernel writes none.
    #[schemars(with = "Option<Size>")]
    pub trace: Option<Spanned<Size>>,
}

/// What the kernel costs on the board. The defaults are the project's budgets in instructions, one
/// nanosecond each, as in QEMU with `--icount`; measure on a board and write them here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overheads {
    /// One switch between two vCPUs. Default: `"500ns"`.
    pub switch: Duration,
    /// Taking one interrupt, up to the decision whom to run. Default: `"400ns"`.
    pub interrupt: Duration,
    /// The longest stretch with interrupts masked. Default: `"1500ns"`.
    pub masked: Duration,
}

impl Default for Overheads {
    fn default() -> Self {
        Self {
            switch: Duration(500),
            interrupt: Duration(400),
            masked: Duration(1500),
        }
    }
}

/// A physical core.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// What runs on it. Default: `shared`.
    #[serde(default)]
    pub policy: Policy,
}

/// What runs on a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Several vCPUs, by priority and budget.
    #[default]
    Shared,
    /// One vCPU owns the core; nothing is scheduled.
    Pinned,
}

/// A guest: a partition with an address space of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// The program: `guest:NAME` (built from `guests/NAME`), `debian:linux-cloud`,
    /// `debian:linux-rt`, `debian:u-boot`, or the path of an arm64 `Image`, an ELF file or a flat
    /// binary (which needs `address`), relative to this description.
    #[schemars(with = "String")]
    pub image: Spanned<String>,
    /// Guest-physical address of a flat binary, or another one than the default for an `Image`.
    #[schemars(with = "Option<Address>")]
    pub address: Option<Spanned<Address>>,
    /// Guest-physical address where vCPU 0 starts. Default: the image's own entry.
    #[schemars(with = "Option<Address>")]
    pub entry: Option<Spanned<Address>>,
    /// What x0 to x3 hold at the start. Default: the device tree's address, 0, 0, 0.
    #[schemars(with = "Option<Vec<Address>>", length(max = 4))]
    pub arguments: Option<Spanned<Vec<Address>>>,
    /// The initial RAM disk: `busybox`, `rt-tests` (both built by the tool), or a path.
    #[schemars(with = "Option<String>")]
    pub initramfs: Option<Spanned<String>>,
    /// `generated` (the default), `none`, or the path of a compiled device tree.
    #[schemars(with = "Option<String>")]
    pub device_tree: Option<Spanned<String>>,
    /// The guest's command line, `/chosen/bootargs` of its generated device tree.
    #[schemars(with = "Option<String>")]
    pub bootargs: Option<Spanned<String>>,
    /// RAM at `0x4000_0000`, a multiple of 4 KiB. More, or elsewhere: `[[guest.NAME.region]]`.
    #[schemars(with = "Option<Size>")]
    pub memory: Option<Spanned<Size>>,
    /// Further pieces of the guest's address space.
    #[serde(default)]
    pub region: Vec<Region>,
    /// One vCPU for each entry: the index of the core that it runs on.
    #[schemars(with = "Vec<u16>", length(min = 1))]
    pub cores: Spanned<Vec<Spanned<u16>>>,
    /// Priority of its vCPUs, 0 to 255: a higher number is more urgent. Default: 100.
    #[schemars(with = "Option<u8>")]
    pub priority: Option<Spanned<u8>>,
    /// Execution time that each vCPU may use in each `period`. Default: no limit.
    #[schemars(with = "Option<Duration>")]
    pub budget: Option<Spanned<Duration>>,
    /// Period of `budget`.
    #[schemars(with = "Option<Duration>")]
    pub period: Option<Spanned<Duration>>,
    /// What the guest's own periodic task needs; only for the response-time analysis.
    #[schemars(with = "Option<Demand>")]
    pub demand: Option<Spanned<Demand>>,
    /// After a fault: `restart` or `stop` (the default).
    #[serde(default)]
    pub on_fault: OnFault,
    /// Most restarts after faults before it stays stopped; 0 (the default) means no limit.
    #[serde(default)]
    pub max_restarts: u16,
    /// Whether it starts at boot (the default), or waits for a start from the menu.
    #[serde(default = "yes")]
    pub autostart: bool,
    /// Whether it has the keyboard at first. Default: the first guest with an initramfs, else the
    /// first guest.
    #[schemars(with = "Option<bool>")]
    pub focus: Option<Spanned<bool>>,
    /// Its interrupt controller.
    #[serde(default)]
    #[schemars(with = "Option<Gic>")]
    pub gic: Option<Spanned<Gic>>,
    /// Its console, a PL011: `false` for none, or where it is. Default: 0x0900_0000, INTID 33.
    #[serde(default)]
    #[schemars(with = "Option<Device>")]
    pub uart: Option<Spanned<Device>>,
    /// Its clock, a PL031: `false` for none, or where it is. Default: 0x0901_0000, INTID 34.
    #[serde(default)]
    #[schemars(with = "Option<Device>")]
    pub rtc: Option<Spanned<Device>>,
    /// Its virtio-mmio transports, which have no device behind them yet: `false` for none, or
    /// where they are. Default: 32 from 0x0a00_0000, not named in the device tree.
    #[serde(default)]
    #[schemars(with = "Option<Virtio>")]
    pub virtio: Option<Spanned<Virtio>>,
}

fn yes() -> bool {
    true
}

/// A piece of a guest's address space.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// `ram` (the default) or `rom`, which ignores writes.
    #[serde(default)]
    pub kind: RegionKind,
    /// Guest-physical address, a multiple of 4 KiB.
    #[schemars(with = "Address")]
    pub address: Spanned<Address>,
    /// Size, a multiple of 4 KiB.
    #[schemars(with = "Size")]
    pub size: Spanned<Size>,
    /// Physical address on the board, a multiple of 4 KiB. Default: chosen at boot.
    #[schemars(with = "Option<Address>")]
    pub physical: Option<Spanned<Address>>,
    /// A file whose bytes it holds at the start, relative to this description.
    #[schemars(with = "Option<String>")]
    pub file: Option<Spanned<String>>,
    /// A byte that fills it at the start, as `0xff` an erased flash.
    #[schemars(with = "Option<u8>")]
    pub fill: Option<Spanned<u8>>,
}

/// What a region is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RegionKind {
    /// Memory.
    #[default]
    Ram,
    /// Memory that ignores writes.
    Rom,
}

/// A periodic task, for the response-time analysis.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// Execution time of one period at most.
    #[schemars(with = "Duration")]
    pub work: Spanned<Duration>,
    /// Its period.
    #[schemars(with = "Duration")]
    pub period: Spanned<Duration>,
    /// When the work must be complete, counted from the start of the period. Default: the period.
    #[schemars(with = "Option<Duration>")]
    pub deadline: Option<Spanned<Duration>>,
}

/// What happens to a guest that faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// It stays stopped.
    #[default]
    Stop,
    /// It is restarted from its pristine images.
    Restart,
}

/// The interrupt controller that a guest sees.
#[derive(Clone, Debug)]
pub enum Gic {
    /// Its version, at the default addresses.
    Version(GicVersion),
    /// Its version and addresses.
    Table(GicTable),
}

/// The interrupt controller's version and addresses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GicTable {
    /// `"any"` (the default, the board's), `2` or `3`: what the image needs.
    #[serde(default)]
    pub version: GicVersion,
    /// Address of the distributor. Default: 0x0800_0000.
    #[schemars(with = "Option<Address>")]
    pub distributor: Option<Spanned<Address>>,
    /// Address of the first redistributor (GICv3). Default: 0x080a_0000.
    #[schemars(with = "Option<Address>")]
    pub redistributor: Option<Spanned<Address>>,
    /// Address of the CPU interface (GICv2). Default: 0x0801_0000.
    #[schemars(with = "Option<Address>")]
    pub cpu_interface: Option<Spanned<Address>>,
    /// Number of shared peripheral interrupts, a multiple of 32 up to 256. Default: 256.
    #[schemars(with = "Option<u16>")]
    pub spis: Option<Spanned<u16>>,
}

/// A version of the interrupt controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GicVersion {
    /// The board's.
    #[default]
    Any,
    /// GICv2.
    V2,
    /// GICv3.
    V3,
}

/// A device that can be moved or left out.
#[derive(Clone, Debug)]
pub enum Device {
    /// `true` for the default place, `false` for none.
    Present(bool),
    /// Somewhere else.
    At(Place),
}

/// Where a device is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Guest-physical address of its registers, a multiple of 4 KiB.
    #[schemars(with = "Option<Address>")]
    pub address: Option<Spanned<Address>>,
    /// Its interrupt: an INTID from 32 up.
    #[schemars(with = "Option<u16>")]
    pub interrupt: Option<Spanned<u16>>,
}

/// The virtio-mmio transports.
#[derive(Clone, Debug)]
pub enum Virtio {
    /// `true` for the default place, `false` for none.
    Present(bool),
    /// Somewhere else.
    At(Transports),
}

/// Where the virtio-mmio transports are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transports {
    /// Guest-physical address of the first, a multiple of 4 KiB. Default: 0x0a00_0000.
    #[schemars(with = "Option<Address>")]
    pub address: Option<Spanned<Address>>,
    /// How many, 512 bytes each: a multiple of 8 up to 32. Default: 32.
    #[schemars(with = "Option<u16>")]
    pub slots: Option<Spanned<u16>>,
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// A refusal that points at what is not TOML, not a known key, or not of the right type.
    pub fn parse(path: &Path, text: &str) -> Result<(Self, Source), Refusal> {
        let source = Source::new(path, text);
        match toml::from_str(text) {
            Ok(description) => Ok((description, source)),
            Err(error) => {
                let span = error.span().unwrap_or(0..text.len().min(1));
                let (reason, label, remedy) = explain(error.message());
                Err(source.refuse(span, reason, label, remedy))
            }
        }
    }
}

/// Turns the TOML reader's message into reason, label and remedy.
fn explain(message: &str) -> (String, String, String) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field")
        && let Some((key, known)) = quoted.split_first()
    {
        let near = known
            .iter()
            .map(|candidate| (distance(key, candidate), candidate))
            .min()
            .filter(|(d, _)| *d <= 2 + key.len() / 4);
        let remedy = match near {
            Some((_, candidate)) => format!("did you mean `{candidate}`?"),
            None => format!("the keys here are: {}", known.join(", ")),
        };
        return (
            format!("there is no key `{key}`"),
            "unknown key".into(),
            remedy,
        );
    }
    if message.starts_with("unknown variant")
        && let Some((value, known)) = quoted.split_first()
    {
        return (
            format!("`{value}` is not a value of this key"),
            "unknown value".into(),
            format!("write one of: {}", known.join(", ")),
        );
    }
    if message.starts_with("missing field")
        && let Some(key) = quoted.first()
    {
        return (
            format!("the key `{key}` is missing"),
            "in this table".into(),
            format!("add `{key} = ...`; docs/description.md says what it means"),
        );
    }
    let first = message.lines().next().unwrap_or("this cannot be read");
    (
        first.to_string(),
        "here".into(),
        "docs/description.md lists every key with its type and unit".into(),
    )
}

/// Edit distance, to find what a misspelt key was meant to be.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(ca != *cb))
                .min(above + 1)
                .min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
