//! Linux under load, on one core with the real-time guest, costs it no deadline; how late it is
//! woken has a bound in instructions, as has the time with interrupts masked at EL2.
//!
//! One instruction takes one virtual nanosecond here, so that nanoseconds are instructions.

use crate::case::{Case, Failure, case, ensure, long_case};
use crate::console::Console;
use crate::context::Context;
use std::sync::Arc;
use tessera::bench::meter::{Meter, Wanted};
use tessera::bench::products::profile_name;
use tessera::board::Board;
use tessera::product::Product;
use tessera::program::Profile;

/// The greatest lateness, in instructions.
pub const LATENESS: u64 = 2000;
/// The longest stretch at EL2 with interrupts masked, in instructions.
const MASKED: u64 = 1500;

/// What Linux does meanwhile: name, words for its command line, how its work is known.
const LOADS: [(&str, &str, &str); 2] = [
    (
        "hackbench, dd and gzip in Linux",
        "tessera.run=load-cpu",
        "tessera-load: running",
    ),
    (
        "Linux flooding its console",
        "tessera.run=flood",
        "tessera-flood: running",
    ),
];

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for board in [Board::VirtGicv3, Board::VirtGicv2] {
        for (name, words, sign) in LOADS {
            cases.push(case(
                format!(
                    "under {name}, rt is less than {LATENESS} instructions late, on {}",
                    board.name()
                ),
                move |context| late(context, board, words, sign),
            ));
        }
    }
    for (name, words, sign) in LOADS {
        cases.push(long_case(
            format!("under {name}, rt is less than {LATENESS} instructions late, on zcu102"),
            move |context| late(context, Board::Zcu102, words, sign),
        ));
    }
    cases.push(case(
        format!("while guests stop, start and restart, interrupts are masked for less than {MASKED} instructions"),
        masked_in_restarts,
    ));
    for (name, words, sign) in LOADS {
        cases.push(case(
            format!("under {name}, interrupts are masked for less than {MASKED} instructions"),
            move |context| masked(context, words, sign),
        ));
        let profile = Profile::Debug;
        cases.push(case(
            format!(
                "under {name}, rt misses no deadline, {}",
                profile_name(profile)
            ),
            move |context| {
                let mut console = loaded(context, Board::VirtGicv3, profile, words, sign)?;
                console.rt_seconds(context.short_or_long(2, 60))?;
                no_miss(&console)
            },
        ));
    }
    cases
}

/// Boots `phone` with a load in Linux and waits until that runs.
fn loaded<'a>(
    context: &'a Context<'a>,
    board: Board,
    profile: Profile,
    words: &str,
    sign: &str,
) -> Result<Console<'a>, Failure> {
    let product = variant(context, profile, words)?;
    let mut console = context.run(&product, board)?;
    console.wait(&format!(r"^\[linux\] .*{sign}"))?;
    Ok(console)
}

/// `phone` with the tests' programs in Linux and words added to its command line.
fn variant(context: &Context<'_>, profile: Profile, words: &str) -> Result<Arc<Product>, Failure> {
    let name = format!("phone-{}", words.trim_start_matches("tessera.run="));
    let bootargs = format!("console=ttyAMA0 panic=-1 {words}");
    let edits = [
        ("\"busybox\"", "\"rt-tests\""),
        ("console=ttyAMA0 panic=-1", bootargs.as_str()),
    ];
    context.variant("phone", &name, &edits, profile)
}

fn late(context: &Context<'_>, board: Board, words: &str, sign: &str) -> Result<(), Failure> {
    let mut console = loaded(context, board, Profile::Release, words, sign)?;
    console.rt_seconds(context.short_or_long(5, 60))?;
    bounded(context, &console)
}

/// `rt` has missed nothing and its greatest lateness is below the bound, in all its lives.
pub fn bounded(context: &Context<'_>, console: &Console<'_>) -> Result<(), Failure> {
    let max = greatest(context, console)?;
    ensure(max < LATENESS, || {
        format!("rt was {max} instructions late, allowed are less than {LATENESS}")
    })
}

/// `rt` has missed nothing; its greatest lateness in all its lives is noted and returned.
pub fn greatest(context: &Context<'_>, console: &Console<'_>) -> Result<u64, Failure> {
    let all = console.summaries();
    let last = all
        .last()
        .ok_or_else(|| Failure::new("rt never gave a summary"))?;
    let max = all.iter().map(|s| s.max).max().unwrap_or(0);
    let wake_ups: u64 = all
        .iter()
        .zip(all.iter().skip(1).map(Some).chain([None]))
        .fold(0, |sum, (s, next)| {
            // The last summary of each life has that life's number.
            sum + if next.is_some_and(|n| n.seconds > s.seconds) {
                0
            } else {
                s.wake_ups
            }
        });
    context.note(format!(
        "rt, {wake_ups} wake-ups: lateness median {}, 99 % {}, max {max} instructions",
        last.median, last.p99
    ));
    no_miss(console)?;
    Ok(max)
}

/// `rt` has missed nothing in all its lives.
pub fn no_miss(console: &Console<'_>) -> Result<(), Failure> {
    ensure(!console.summaries().is_empty(), || {
        "rt never gave a summary".into()
    })?;
    let missed = console.summaries().iter().find(|s| s.missed != 0);
    missed.map_or(Ok(()), |s| {
        Err(Failure::new(format!(
            "rt missed {} deadlines in {} s",
            s.missed, s.seconds
        )))
    })
}

fn masked(context: &Context<'_>, words: &str, sign: &str) -> Result<(), Failure> {
    let product = variant(context, Profile::Release, words)?;
    metered(context, &product, |console| {
        console.wait(&format!(r"^\[linux\] .*{sign}"))?;
        console.rt_seconds(context.short_or_long(2, 60))
    })
}

/// Everything that the menu does, and what it takes to begin anew.
fn masked_in_restarts(context: &Context<'_>) -> Result<(), Failure> {
    let product = context.system("phone", Profile::Release)?;
    metered(context, &product, |console| {
        for _ in 0..context.short_or_long(2, 20) {
            console.shell()?;
            console.menu("s")?;
            console.menu("r1")?;
            console.wait(r"^\[rt\] rt: start, ")?;
            console.menu("x2")?;
            console.wait(r"^\[tessera\] linux: off")?;
            console.menu("g2")?;
        }
        console.shell()?;
        console.type_in(b"reboot -f\n")?;
        console.shell()
    })
}

/// Runs `phone` with the meter and holds the longest stretch with interrupts masked.
fn metered<'a>(
    context: &'a Context<'a>,
    product: &Product,
    run: impl FnOnce(&mut Console<'a>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut config = context.machine(product, Board::VirtGicv3)?;
    let meter = Meter::for_system(
        &context.shared().project,
        context.files(),
        &mut config,
        product,
        &Wanted::default(),
    )?;
    let mut console = context.boot(&config)?;
    run(&mut console)?;
    console.end();
    let longest = meter.report()?.longest_masked()?;
    context.note(format!(
        "longest: {} instructions, {}",
        longest.instructions, longest.path
    ));
    ensure(longest.instructions < MASKED, || {
        format!(
            "interrupts were masked for {} instructions, allowed are less than {MASKED}",
            longest.instructions
        )
    })
}
