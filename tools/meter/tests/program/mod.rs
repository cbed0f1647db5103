//! Programs made of instruction words, and the machine that runs them with the plugin.
//!
//! Each program is a list of instruction words made here, so no Arm toolchain is needed. It is
//! loaded at 0x4020_0000, where it starts at EL2; its EL1 part is at 0x4040_0000, a page of its
//! own. A test says why it is skipped when there is no QEMU.

#![allow(missing_docs)] // Part of a test.
#![allow(dead_code)] // Each test takes what it needs.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tessera_meter::record::Record;

pub const EL2: u64 = 0x4020_0000;
pub const EL2_END: u64 = EL2 + 0x1_0000;
pub const VECTORS: u64 = EL2 + 0x800;
pub const SYNC: u64 = VECTORS + 0x400;
pub const HANDLER: u64 = EL2 + 0x1000;
pub const OFF: u64 = EL2 + 0x2000;
pub const EL1: u64 = 0x4040_0000;
/// Every program ends within a second or two on an idle machine.
pub const LONGEST_RUN: Duration = Duration::from_secs(120);

/// A word that two cores share.
pub const FLAG: u64 = 0x4060_0000;

/// HCR_EL2: EL1 is AArch64.
pub const HCR_RW: u64 = 1 << 31;
/// HCR_EL2: writes of EL1's translation registers trap.
pub const HCR_TVM: u64 = 1 << 26;
/// HCR_EL2: a virtual IRQ is pending, which also ends WFI.
pub const HCR_VI: u64 = 1 << 7;

pub const NOP: u32 = 0xD503_201F;
pub const ERET: u32 = 0xD69F_03E0;
pub const HVC: u32 = 0xD400_0002;
pub const SMC: u32 = 0xD400_0003;
pub const WFI: u32 = 0xD503_207F;
pub const ISB: u32 = 0xD503_3FDF;
pub const DSB_SY: u32 = 0xD503_3F9F;
pub const TLBI_ALLE1: u32 = 0xD50C_879F;
/// mrs x9, isr_el1
pub const MRS_ISR: u32 = 0xD538_C109;
/// msr ttbr0_el1, x9
pub const MSR_TTBR0: u32 = 0xD518_2009;

pub fn movz(register: u32, value: u32, half: u32) -> u32 {
    0xD280_0000 | half << 21 | value << 5 | register
}

pub fn movk(register: u32, value: u32, half: u32) -> u32 {
    0xF280_0000 | half << 21 | value << 5 | register
}

/// A number of up to 32 bits: two instructions.
pub fn load(register: u32, value: u64) -> [u32; 2] {
    let value = u32::try_from(value).unwrap();
    [
        movz(register, value & 0xFFFF, 0),
        movk(register, value >> 16, 1),
    ]
}

/// `count` times two instructions, and one before.
pub fn spin(register: u32, count: u32) -> [u32; 3] {
    [
        movz(register, count, 0),
        decrement(register),
        branch_not_zero(-1),
    ]
}

/// subs x, x, #1
pub fn decrement(register: u32) -> u32 {
    0xF100_0400 | register << 5 | register
}

/// b.ne
pub fn branch_not_zero(words: i32) -> u32 {
    0x5400_0001 | (words as u32 & 0x7_FFFF) << 5
}

/// cbnz x
pub fn branch_if(register: u32, words: i32) -> u32 {
    0xB500_0000 | (words as u32 & 0x7_FFFF) << 5 | register
}

/// msr to an EL2 register: op1 = 4.
pub fn msr_el2(crn: u32, crm: u32, op2: u32, register: u32) -> u32 {
    0xD51C_0000 | crn << 12 | crm << 8 | op2 << 5 | register
}

pub fn msr_hcr(register: u32) -> u32 {
    msr_el2(1, 1, 0, register)
}

/// An image with words at addresses.
#[derive(Default)]
pub struct Program {
    bytes: Vec<u8>,
}

impl Program {
    pub fn at(mut self, address: u64, words: &[u32]) -> Self {
        let start = (address - EL2) as usize;
        let end = start + words.len() * 4;
        self.bytes.resize(self.bytes.len().max(end), 0);
        for (place, word) in self.bytes[start..end].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self
    }

    /// The vector of synchronous exceptions goes to `HANDLER`; `OFF` switches off.
    pub fn with_vector(self) -> Self {
        let branch = 0x1400_0000 | ((HANDLER - SYNC) / 4) as u32;
        let off = [&load(0, 0x8400_0008)[..], &[SMC]].concat();
        self.at(SYNC, &[branch]).at(OFF, &off)
    }
}

/// The words that enter EL1 at `address` with all its registers as they are but x0 = 0.
pub fn enter(hcr: u64, address: u64) -> Vec<u32> {
    let mut words = Vec::new();
    words.extend(load(0, VECTORS));
    words.push(msr_el2(12, 0, 0, 0)); // vbar_el2
    words.extend(load(0, hcr));
    words.push(msr_hcr(0));
    words.extend(load(0, 0x3C5));
    words.push(msr_el2(4, 0, 0, 0)); // spsr_el2
    words.extend(load(0, address));
    words.push(msr_el2(4, 0, 1, 0)); // elr_el2
    words.push(movz(0, 0, 0));
    words.push(ERET);
    words
}

/// cbnz x0 to `OFF`, as the first word of the handler.
pub fn off_if_asked() -> u32 {
    branch_if(0, ((OFF - HANDLER) / 4) as i32)
}

/// The library that this test was built with.
pub fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let dependencies = test.parent().unwrap();
    let folders = [dependencies, dependencies.parent().unwrap()];
    let found = folders.map(|folder| folder.join("libtessera_meter.so"));
    found
        .into_iter()
        .find(|path| path.exists())
        .expect("the plugin was built")
}

/// The machine: with EL2, or without.
pub const MACHINE: &str = "virt,virtualization=on,gic-version=3";
pub const NATIVE: &str = "virt,virtualization=off,gic-version=3";

/// Where a run's file is.
pub fn file(name: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{extension}"))
}

/// Whether QEMU is one that mixes up cores that share a thread: the plugin refuses it.
pub fn mixes_cores() -> bool {
    let Ok(output) = Command::new("qemu-system-aarch64")
        .arg("--version")
        .output()
    else {
        return false;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split(" version ").nth(1).unwrap_or("");
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    major.is_some_and(|major: u32| major >= 10)
}

/// Runs a program to its end and reads the report; nothing when there is no QEMU.
pub fn run(name: &str, program: &Program, plugin: &[String], machine: &[&str]) -> Option<Value> {
    run_on(MACHINE, name, program, plugin, machine)
}

/// The same, with QEMU's log, and reads the records.
pub fn record(name: &str, program: &Program, plugin: &[String]) -> Option<Vec<Record>> {
    record_with(name, program, plugin, ICOUNT)
}

pub fn record_with(
    name: &str,
    program: &Program,
    plugin: &[String],
    machine: &[&str],
) -> Option<Vec<Record>> {
    let log = file(name, "log").display().to_string();
    let events = file(name, "events");
    let mut words = plugin.to_vec();
    words.push(format!("log={log}"));
    words.push(format!("events={}", events.display()));
    let items = "int,trace:gicv3_icc_iar1_read,trace:gic_acknowledge_irq";
    let mut machine = machine.to_vec();
    machine.extend(["-d", items, "-D", &log]);
    run(name, program, &words, &machine)?;
    Some(Record::read_all(&std::fs::read(events).unwrap()).unwrap())
}

pub fn run_on(
    board: &str,
    name: &str,
    program: &Program,
    plugin: &[String],
    machine: &[&str],
) -> Option<Value> {
    let qemu = "qemu-system-aarch64";
    if Command::new(qemu).arg("--version").output().is_err() {
        println!("skipped: no {qemu} on this machine");
        return None;
    }
    let image = file(name, "bin");
    let out = file(name, "json");
    let _ = std::fs::remove_file(&out);
    std::fs::write(&image, &program.bytes).unwrap();
    let mut option = format!("file={},out={}", library().display(), out.display());
    for word in plugin {
        option.push(',');
        option.push_str(word);
    }
    let loader = format!(
        "loader,file={},addr={EL2:#x},cpu-num=0,force-raw=on",
        image.display()
    );
    let mut child = Command::new(qemu)
        .args(["-M", board, "-cpu", "cortex-a53"])
        .args([
            "-m", "128", "-nic", "none", "-display", "none", "-monitor", "none",
        ])
        .args(["-serial", "none"])
        .args(["-device", &loader, "-plugin", &option])
        .args(machine)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > LONGEST_RUN {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the program did not switch off");
        }
        sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
    let text = std::fs::read_to_string(&out).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

pub const ICOUNT: &[&str] = &["-icount", "shift=0,sleep=off"];

pub fn el2_words(marks: &[(&str, u64)]) -> Vec<String> {
    let mut words = vec![
        format!("el2={EL2:#x}-{EL2_END:#x}"),
        format!("image={EL2:#x}"),
        format!("vectors={VECTORS:#x}"),
    ];
    words.extend(
        marks
            .iter()
            .map(|(name, at)| format!("mark={name}:{at:#x}")),
    );
    words
}

pub fn cause<'a>(report: &'a Value, name: &str) -> &'a Value {
    let causes = report["el2"]["causes"].as_array().unwrap();
    let found = causes.iter().find(|cause| cause["cause"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {causes:#?}"))
}

/// [count, min, max] of a cause.
pub fn events(report: &Value, name: &str) -> [u64; 3] {
    let instructions = &cause(report, name)["instructions"];
    ["count", "min", "max"].map(|key| instructions[key].as_u64().unwrap())
}

/// [EL2, others] of a page.
pub fn page(report: &Value, address: u64) -> [u64; 2] {
    let pages = report["pages"].as_array().unwrap();
    let found = pages
        .iter()
        .find(|page| page["address"] == format!("{address:#x}"));
    let found = found.unwrap_or_else(|| panic!("no {address:#x} in {pages:#?}"));
    ["el2", "other"].map(|key| found[key].as_u64().unwrap())
}
