//! What `cargo tessera bench` found out: the report as data. The JSON is this, the HTML and the Markdown are made from it.
//!
//! `docs/schema/bench.json` is the schema of the JSON, generated from these types. Counts are instructions unless a field
//! says otherwise; times are virtual nanoseconds of QEMU's instruction counting, one per instruction, never a board's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The version of this format: 1.
    pub format: u32,
    /// What was measured, where and with what.
    pub run: Run,
    /// What single events cost at EL2, one row for each event, system and configuration.
    pub events: Vec<Event>,
    /// What operations cost as the guest sees them, everything included.
    pub views: Vec<View>,
    /// How late the real-time guest is woken.
    pub latencies: Vec<Latency>,
    /// Linux's work.
    pub workloads: Vec<Workload>,
    /// What the kernel weighs.
    pub sizes: Vec<Size>,
    /// Who ran when.
    pub timelines: Vec<Timeline>,
    /// What could not be measured, and why: one sentence each, with what to do about it.
    pub missing: Vec<Missing>,
}

/// What was measured, where and with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The commit, as 40 hexadecimal digits; empty outside of a repository.
    pub commit: String,
    /// Whether tracked files differed from it.
    pub modified: bool,
    /// The version of QEMU, as it says it.
    pub qemu: String,
    /// The machine that QEMU ran on: processor and operating system.
    pub host: String,
    /// The day, as YYYY-MM-DD.
    pub date: String,
    /// Whether it was `--quick`.
    pub quick: bool,
    /// The peers that were asked for, with their versions.
    pub peers: Vec<String>,
}

/// Under which conditions a row was measured.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Setting {
    /// Who ran at EL2: `tessera`, `native` for nobody, or a peer as `xen`.
    pub system: String,
    /// The interrupt controller: 2 or 3.
    pub gic: u8,
    /// The core's policy: `pinned` or `shared`; empty natively.
    pub policy: String,
    /// Physical cores of the machine.
    pub cores: u8,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            system,
            gic,
            policy,
            cores,
        } = self;
        write!(f, "{system}, ")?;
        if !policy.is_empty() {
            write!(f, "{policy}, ")?;
        }
        write!(
            f,
            "GICv{gic}, {cores} core{}",
            if *cores == 1 { "" } else { "s" }
        )
    }
}

/// Statistics of a count: exact, of every single value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// How many values.
    pub count: u64,
    /// The smallest.
    pub min: u64,
    /// Half of them are at most this.
    pub median: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// What one kind of event costs at EL2, from exception entry to return, counted from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its name, as in `bench/budgets.toml`: `hypercall`, `gicd_read`, `interrupt`, `ipi_send`.
    pub name: String,
    /// What happens, in words.
    pub title: String,
    /// Under which conditions.
    pub setting: Setting,
    /// What FP and SIMD have to do with it, as `untouched` or `lazy: price apart`.
    pub fp: String,
    /// Entries to EL2 for one operation, as a median; 1 when the operation is one event.
    pub entries: u64,
    /// Instructions at EL2 for one operation, all its entries together.
    pub instructions: Counts,
    /// The largest number of instructions with interrupts masked in a row.
    pub masked: u64,
    /// Distinct cache lines of 64 bytes of code; of an operation with several entries their sum.
    pub code_lines: Counts,
    /// The same of data.
    pub data_lines: Counts,
    /// ISB, DSB and TLBI instructions, and writes and reads of system registers, in the median event.
    pub operations: Operations,
    /// Most instructions that the median may have.
    pub budget: Option<u64>,
    /// Most cache lines, code and data together, that the median may have.
    pub lines_budget: Option<u64>,
}

/// Expensive instructions of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operations {
    /// ISB.
    pub isb: u64,
    /// DSB.
    pub dsb: u64,
    /// TLBI.
    pub tlbi: u64,
    /// MSR.
    pub msr: u64,
    /// MRS.
    pub mrs: u64,
    /// ERET.
    pub eret: u64,
}

/// What an operation costs as the guest sees it: its own loop, EL2 and all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct View {
    /// Its name, a row of `guests/bench` or `boot`.
    pub name: String,
    /// What it is, in words.
    pub title: String,
    /// Under which conditions.
    pub setting: Setting,
    /// Instructions for one operation; of sampled rows the median of their virtual nanoseconds; of
    /// `storm` how many storms of interrupts did not come in order.
    pub instructions: f64,
    /// The largest sample, of sampled rows.
    pub max: Option<f64>,
    /// Most instructions that it may have.
    pub budget: Option<f64>,
}

/// How late the real-time guest was woken, in one situation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// The situation: `alone`, `linux idle`, `linux under load`, `console flood`, `linux restarting`.
    pub situation: String,
    /// Under which conditions.
    pub setting: Setting,
    /// Wake-ups.
    pub count: u64,
    /// Deadlines missed.
    pub missed: u64,
    /// Virtual nanoseconds from the programmed deadline to the vector; percentiles err upwards by at most 1/32.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p999: u64,
    /// The largest.
    pub max: u64,
    /// Buckets of the histogram: from, to (inclusive), how many.
    pub buckets: Vec<[u64; 3]>,
    /// The longest stretch at EL2 with interrupts masked in this run, and the path that has it; none natively.
    pub masked: Option<Stretch>,
    /// Most instructions that stretch may have.
    pub masked_budget: Option<u64>,
    /// Most deadlines that may be missed.
    pub missed_budget: Option<u64>,
}

/// A stretch at EL2 with interrupts masked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stretch {
    /// Its instructions.
    pub instructions: u64,
    /// What it was: cause, and the functions on the way.
    pub path: String,
}

/// What Linux needs for a piece of work: its own instructions, in all its address spaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// `boot`, `hackbench`, `cyclictest`, `gzip`, `fork`, `syscall`.
    pub name: String,
    /// The kernel: `debian` or `debian-rt`.
    pub kernel: String,
    /// Under which conditions.
    pub setting: Setting,
    /// Its own instructions, one number for each seed.
    pub instructions: Vec<u64>,
    /// The mean of them over the native mean with the same seeds; 1 natively.
    pub ratio: f64,
    /// Of cyclictest, average and largest latency in virtual microseconds.
    pub latency: Option<[f64; 2]>,
    /// Most that the ratio may be.
    pub budget: Option<f64>,
}

/// One figure of what the kernel weighs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Size {
    /// Its name: `text`, `static_ram`, `stack`, `running_stack`, `source_lines`, `crates`, `unsafe_blocks`.
    pub name: String,
    /// What it is, in words, with its unit.
    pub title: String,
    /// Whose.
    pub system: String,
    /// How much.
    pub value: u64,
    /// The most that is allowed.
    pub budget: Option<u64>,
}

/// Who ran when on each core, for a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// What was going on.
    pub title: String,
    /// Under which conditions.
    pub setting: Setting,
    /// One row for each core.
    pub cores: Vec<Vec<Span>>,
}

/// A stretch of time on a core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// Instructions since the picture's beginning.
    pub from: u64,
    /// The same, where it ends.
    pub to: u64,
    /// A guest's name, `EL2`, or `idle`.
    pub who: String,
}

/// Something that was asked for and is not in the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// Which part or row.
    pub what: String,
    /// Why, and what to do.
    pub why: String,
    /// Whether it is known that it cannot be had; else something went wrong in this run.
    pub known: bool,
}
