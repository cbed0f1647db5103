//! A guest that does what is not supported ends alone, with a message that names it, and is
//! restarted or left as its description says. What the architecture lets a guest handle stays in
//! the guest.

use super::lateness::{greatest, no_miss};
use crate::case::{Case, Failure, case, ensure};
use crate::console::Console;
use crate::context::Context;
use std::sync::Arc;
use tessera::bench::products::{PROFILES, profile_name};
use tessera::board::Board;
use tessera::product::Product;
use tessera::program::Profile;
use tessera::project;

/// What the culprit is: a flat program that computes for a while and then reads the UART by a
/// load-exclusive, which no device model can answer.
const CULPRIT: [u32; 6] = [
    0xd2a1_2000, // mov x0, #0x09000000
    0xd2a0_0202, // mov x2, #16 << 16
    0xf100_0442, // subs x2, x2, #1
    0x54ff_ffe1, // b.ne .-4
    LOAD_EXCLUSIVE,
    0x1400_0000, // b .
];
/// Another: for ever, it writes to its distributor what concerns 32 interrupts at once, so that each of them changes.
const MEDDLER: [u32; 16] = [
    0xd2a1_0000,     // mov x0, #0x08000000
    0x1280_0001,     // mov w1, #-1
    0x5280_0002,     // mov w2, #0
    0x5280_06e3,     // mov w3, #0x37
    store(3, 0),     // GICD_CTLR: both groups
    store(1, 0x84),  // IGROUPR1
    store(1, 0x104), // ISENABLER1
    store(1, 0x204), // ISPENDR1
    store(1, 0x304), // ISACTIVER1
    store(2, 0x84),
    store(1, 0x384), // ICACTIVER1
    store(1, 0xc08), // ICFGR2: edges
    store(1, 0x284), // ICPENDR1
    store(1, 0x184), // ICENABLER1
    store(2, 0xc08),
    0x17ff_fff6, // b to the first IGROUPR1
];

/// Another: stores pairs of words to its distributor, each of which changes many interrupts, and says whether both are there.
const PAIRS: [u32; 26] = [
    0xd2a1_0000, // mov x0, #0x08000000
    0xd2a1_2008, // mov x8, #0x09000000
    0x1280_0001, // mov w1, #-1
    0x3200_cfe2, // mov w2, #0x0f0f0f0f
    0x9104_0003, // add x3, x0, #0x100
    0x2900_8861, // stp w1, w2, [x3, #4]: ISENABLER1 and 2
    0x2940_9464, // ldp w4, w5, [x3, #4]
    0x6b01_009f, // cmp w4, w1
    0x7a42_00a0, // ccmp w5, w2, #0, eq
    0x5400_0161, // b.ne to the N
    0x3204_c3e1, // mov w1, #0x10101010
    0x3203_c3e2, // mov w2, #0x20202020
    0x9110_8003, // add x3, x0, #0x420
    0x2900_0861, // stp w1, w2, [x3]: IPRIORITYR8 and 9
    0x2940_1464, // ldp w4, w5, [x3]
    0x6b01_009f, // cmp w4, w1
    0x7a42_00a0, // ccmp w5, w2, #0, eq
    0x5400_0061, // b.ne to the N
    0x5280_0b26, // mov w6, #'Y'
    0x1400_0002, // b to its store
    0x5280_09c6, // mov w6, #'N'
    0xb900_0106, // str w6, [x8]
    0x5280_0146, // mov w6, #'\n'
    0xb900_0106, // str w6, [x8]
    0xd503_207f, // wfi
    0x17ff_ffff, // b .-4
];

/// str w`register`, [x0, #offset]
const fn store(register: u32, offset: u32) -> u32 {
    0xb900_0000 | ((offset / 4) << 10) | register
}

/// ldxr w1, [x0]
const LOAD_EXCLUSIVE: u32 = 0x885f_7c01;
/// Where it is linked, and what it reads.
const LINKED: u64 = 0x4008_0000;
const UART: u64 = 0x0900_0000;
/// ESR_ELx.EC of a data abort from a lower exception level.
const DATA_ABORT: u64 = 0x24;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for profile in PROFILES {
        cases.push(case(
            format!(
                "a fault names its guest, PC, ESR and the reason, and stops that guest alone, {}",
                profile_name(profile)
            ),
            move |context| stops(context, profile),
        ));
    }
    cases.push(case(
        "a guest that faults is restarted by policy, and its last fault is kept",
        restarts,
    ));
    cases.push(case(
        "a guest that faults again and again is left off after max_restarts",
        gives_up,
    ));
    cases.push(case(
        "an access where nothing is becomes an external abort of the guest's own",
        nowhere,
    ));
    cases.push(case(
        "a guest that writes to its interrupt controller what costs most makes rt miss no deadline",
        meddles,
    ));
    for board in [Board::VirtGicv3, Board::VirtGicv2] {
        cases.push(case(
            format!(
                "a pair of stores to the interrupt controller does both, on {}",
                board.name()
            ),
            move |context| pairs(context, board),
        ));
    }
    cases.push(case(
        "an undefined instruction stays in its guest",
        undefined,
    ));
    cases
}

/// `phone` with a program as a third guest, the culprit, second in urgency.
fn with_culprit(
    context: &Context<'_>,
    name: &str,
    program: &[u32],
    policy: &str,
    profile: Profile,
) -> Result<Arc<Product>, Failure> {
    let image = context.file("bin");
    let bytes: Vec<u8> = program.iter().flat_map(|word| word.to_le_bytes()).collect();
    project::write(&image, &bytes)?;
    let guest = format!(
        "[guest.culprit]\nimage = \"{}\"\naddress = {LINKED:#x}\nmemory = \"2MiB\"\ndevice_tree = \"none\"\ncores = [0]\npriority = 150\nbudget = \"200us\"\nperiod = \"1ms\"\n{policy}\n\n[guest.linux]",
        image.display()
    );
    context.variant("phone", name, &[("[guest.linux]", &guest)], profile)
}

/// Waits for the three lines of a fault of the culprit and checks them.
fn report(console: &mut Console<'_>) -> Result<(), Failure> {
    console.wait(r"^\[tessera\] culprit: fault: .*not supported")?;
    let line = console.wait(r"^\[tessera\] culprit: vcpu 0 pc 0x[0-9a-f]+ esr 0x[0-9a-f]+$")?;
    let place =
        console.wait(r"^\[tessera\] culprit: far 0x[0-9a-f]+ ipa 0x[0-9a-f]+ at [0-9]+ ms$")?;
    let line = format!("{line} {place}");
    let at = CULPRIT
        .iter()
        .position(|word| *word == LOAD_EXCLUSIVE)
        .unwrap_or(0);
    for (name, expected) in [("far", UART), ("ipa", UART), ("pc", LINKED + 4 * at as u64)] {
        let value = value_of(&line, name);
        ensure(value == expected, || {
            format!("{name} is {value:#x}, not {expected:#x}: {line}")
        })?;
    }
    ensure(value_of(&line, "esr") >> 26 == DATA_ABORT, || {
        format!("no data abort: {line}")
    })
}

/// The number after a word.
fn value_of(line: &str, name: &str) -> u64 {
    let mut words = line.split_whitespace().skip_while(|word| *word != name);
    let word = words.nth(1).unwrap_or("");
    u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap_or(0)
}

fn stops(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let product = with_culprit(
        context,
        "phone-fault-stop",
        &CULPRIT,
        "on_fault = \"stop\"",
        profile,
    )?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    console.expect_faults();
    report(&mut console)?;
    console.wait(r"^\[tessera\] culprit: off")?;
    console.shell()?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: running, starts 1, faults 0")?;
    console.wait(r"^\[tessera\] 2 culprit: off, starts 1, faults 1")?;
    console.wait(r"^\[tessera\] 3 linux: running, starts 1, faults 0")?;
    console.command("echo alive $((3 * 3))", "alive 9")?;
    no_miss(&console)
}

fn restarts(context: &Context<'_>) -> Result<(), Failure> {
    let product = with_culprit(
        context,
        "phone-fault-restart",
        &CULPRIT,
        "on_fault = \"restart\"",
        Profile::Release,
    )?;
    let mut console = context.run(&product, Board::VirtGicv2)?;
    console.expect_faults();
    for _ in 0..3 {
        report(&mut console)?;
    }
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: running, starts 1, faults 0")?;
    let line = console.wait(r"^\[tessera\] 2 culprit: [a-z]+, starts [0-9]+, faults [0-9]+")?;
    let numbers: Vec<u64> = line
        .split([' ', ','])
        .filter_map(|word| word.parse().ok())
        .collect();
    ensure(numbers.iter().skip(1).all(|n| *n >= 3), || {
        format!("three starts and faults at least: {line}")
    })?;
    // Its crash record outlives its restarts.
    console
        .wait(r"^\[tessera\] +last fault: .*not supported.*, pc 0x[0-9a-f]+, esr 0x9[0-9a-f]+")?;
    console.menu("x2")?;
    console.wait(r"^\[tessera\] culprit: off")?;
    console.shell()?;
    console.command("echo alive $((3 * 3))", "alive 9")?;
    no_miss(&console)
}

fn gives_up(context: &Context<'_>) -> Result<(), Failure> {
    let policy = "on_fault = \"restart\"\nmax_restarts = 2";
    let product = with_culprit(
        context,
        "phone-fault-twice",
        &CULPRIT,
        policy,
        Profile::Release,
    )?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    console.expect_faults();
    console.wait(r"^\[tessera\] culprit: off")?;
    let faults = console.count(r"^\[tessera\] culprit: fault: ")?;
    ensure(faults == 3, || {
        format!("{faults} faults, not one and two after restarts")
    })?;
    console.shell()?;
    console.menu("s")?;
    console
        .wait(r"^\[tessera\] 2 culprit: off, starts 3, faults 3")
        .map(drop)
}

/// `phone` whose `rt` does something after half a second.
fn faulty_rt<'a>(context: &'a Context<'a>, mode: &str) -> Result<Console<'a>, Failure> {
    let bootargs = format!("bootargs = \"period=1ms work=200us mode={mode} after=500\"");
    let edits = [("bootargs = \"period=1ms work=200us\"", bootargs.as_str())];
    let product = context.variant("phone", &format!("phone-{mode}"), &edits, Profile::Release)?;
    context.run(&product, Board::VirtGicv3)
}

/// `rt` reports its exception by itself and switches itself off.
fn stays_in_rt(console: &mut Console<'_>, exception: &str) -> Result<(), Failure> {
    console.wait(&format!(
        r"^\[rt\] rt: unexpected exception, vector 4, {exception}"
    ))?;
    console.wait(r"^\[tessera\] rt: off")?;
    console.shell()?;
    console.menu("s")?;
    console
        .wait(r"^\[tessera\] 1 rt: off, starts 1, faults 0")
        .map(drop)
}

fn nowhere(context: &Context<'_>) -> Result<(), Failure> {
    // Same exception level, synchronous external abort on a read, the address it is for.
    stays_in_rt(
        &mut faulty_rt(context, "fault")?,
        "ESR 0x96000010, ELR 0x402[0-9a-f]+, FAR 0x3000000000",
    )
}

fn undefined(context: &Context<'_>) -> Result<(), Failure> {
    stays_in_rt(&mut faulty_rt(context, "undef")?, "ESR 0x2000000, ")
}

fn pairs(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let product = with_culprit(context, "phone-pairs", &PAIRS, "", Profile::Release)?;
    let mut console = context.run(&product, board)?;
    let line = console.wait(r"^\[culprit\] [YN]")?;
    console.end();
    ensure(line.contains('Y'), || {
        "what was read back is not what was stored".into()
    })
}

fn meddles(context: &Context<'_>) -> Result<(), Failure> {
    let product = with_culprit(context, "phone-meddler", &MEDDLER, "", Profile::Release)?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    console.shell()?;
    console.rt_seconds(2)?;
    let late = greatest(context, &console)?;
    ensure(late <= 5_000, || format!("{late} instructions late"))
}
