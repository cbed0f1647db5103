//! A guest that does what is not supported ends alone, with a message that names it, and is
//! restarted or left as its description says.

use crate::case::{Case, Failure, case, ensure};
use crate::console::Console;
use crate::context::Context;
use crate::products::{PROFILES, profile_name};
use std::sync::Arc;
use tessera::board::Board;
use tessera::product::Product;
use tessera::program::Profile;

/// What `mode=fault` of the real-time guest reads, where nothing is.
const NOWHERE: u64 = 0x30_0000_0000;
/// ESR_EL2.EC of a data abort from a lower exception level.
const DATA_ABORT: u64 = 0x24;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for profile in PROFILES {
        cases.push(case(
            format!("a fault of rt names it, its PC, ESR and the reason, and stops it alone, {}", profile_name(profile)),
            move |context| stops(context, profile),
        ));
    }
    cases.push(case("a rt that faults is restarted by policy, and status counts its faults", restarts));
    cases.push(case("a rt that faults again and again is left off after max_restarts", gives_up));
    cases.push(case("an undefined instruction of rt stays in rt", undefined));
    cases
}

/// `phone` whose `rt` faults after half a second.
fn faulty(context: &Context<'_>, name: &str, policy: &str, mode: &str, profile: Profile) -> Result<Arc<Product>, Failure> {
    let bootargs = format!("bootargs = \"period=1ms work=200us mode={mode} after=500\"\n{policy}");
    let edits = [("bootargs = \"period=1ms work=200us\"\non_fault = \"restart\"", bootargs.as_str())];
    context.variant("phone", name, &edits, profile)
}

/// Waits for the two lines of a fault of `rt` and checks them.
fn report(console: &mut Console<'_>) -> Result<(), Failure> {
    console.wait(r"^\[tessera\] rt: fault: [a-z].{5,}")?;
    let line = console.wait(r"^\[tessera\] rt: .*pc 0x[0-9a-f]+ esr 0x[0-9a-f]+ far 0x[0-9a-f]+ ipa 0x[0-9a-f]+")?;
    let value = |name: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|w| *w == name);
        let word = at.and_then(|at| words.get(at + 1)).unwrap_or(&"");
        u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap_or(0)
    };
    // The guest runs with a flat map, so its virtual addresses are physical.
    for name in ["far", "ipa"] {
        ensure(value(name) == NOWHERE, || format!("{name} is {:#x}: {line}", value(name)))?;
    }
    ensure(value("esr") >> 26 == DATA_ABORT, || format!("no data abort: {line}"))?;
    ensure((0x4000_0000..0x4040_0000).contains(&value("pc")), || format!("the PC is not in rt's memory: {line}"))
}

fn stops(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let product = faulty(context, "phone-fault-stop", "on_fault = \"stop\"", "fault", profile)?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    console.expect_faults();
    console.wait(r"^\[rt\] rt: about to fault")?;
    report(&mut console)?;
    console.wait(r"^\[tessera\] rt: off")?;
    console.shell()?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: off, starts 1, faults 1")?;
    console.wait(r"^\[tessera\] 2 linux: running, starts 1, faults 0")?;
    console.command("echo alive $((3 * 3))", "alive 9").map(drop)
}

fn restarts(context: &Context<'_>) -> Result<(), Failure> {
    let product = faulty(context, "phone-fault-restart", "on_fault = \"restart\"", "fault", Profile::Release)?;
    let mut console = context.run(&product, Board::VirtGicv2)?;
    console.expect_faults();
    for _ in 0..2 {
        console.wait(r"^\[rt\] rt: start, ")?;
        console.wait(r"^\[rt\] rt: about to fault")?;
        report(&mut console)?;
    }
    console.wait(r"^\[rt\] rt: start, ")?;
    console.shell()?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: [a-z]+, starts ([3-9]|[1-9][0-9]+), faults ([2-9]|[1-9][0-9]+)")?;
    console.wait(r"^\[tessera\] 2 linux: running, starts 1, faults 0")?;
    console.command("echo alive $((3 * 3))", "alive 9").map(drop)
}

fn gives_up(context: &Context<'_>) -> Result<(), Failure> {
    let policy = "on_fault = \"restart\"\nmax_restarts = 2";
    let product = faulty(context, "phone-fault-twice", policy, "fault", Profile::Release)?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    console.expect_faults();
    console.wait(r"^\[tessera\] rt: off")?;
    let starts = console.count(r"^\[rt\] rt: start, ")?;
    ensure(starts == 3, || format!("rt started {starts} times, not once and twice again"))?;
    console.shell()?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: off, starts 3, faults 3").map(drop)
}

fn undefined(context: &Context<'_>) -> Result<(), Failure> {
    let product = faulty(context, "phone-undef", "on_fault = \"stop\"", "undef", Profile::Release)?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    // Its own handler reports it and switches off.
    console.wait(r"^\[rt\] rt: unexpected exception, vector 4, ESR 0x2000000")?;
    console.wait(r"^\[tessera\] rt: off")?;
    console.shell()?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: off, starts 1, faults 0").map(drop)
}
