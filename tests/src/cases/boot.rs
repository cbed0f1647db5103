//! Every system reaches what it is for, on every board and in both profiles.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use tessera::bench::products::{PROFILES, profile_name};
use tessera::board::Board;
use tessera::program::Profile;

/// The boards that `phone` runs on.
const BOARDS: [Board; 3] = [Board::VirtGicv3, Board::VirtGicv2, Board::Zcu102];

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for board in BOARDS {
        for profile in PROFILES {
            let place = format!("{}, {}", board.name(), profile_name(profile));
            let run = move |context: &Context<'_>| phone(context, board, profile);
            cases.push(case(
                format!(
                    "phone boots to a Linux shell that answers, and rt misses nothing, on {place}"
                ),
                run,
            ));
        }
    }
    for board in [Board::VirtGicv3, Board::VirtGicv2] {
        for profile in PROFILES {
            let place = format!("{}, {}", board.name(), profile_name(profile));
            let run = move |context: &Context<'_>| gateway(context, board, profile);
            cases.push(case(
                format!("gateway boots with two CPUs for Linux and two more guests on {place}"),
                run,
            ));
        }
    }
    cases
}

fn phone(context: &Context<'_>, board: Board, profile: Profile) -> Result<(), Failure> {
    let product = context.system("phone", profile)?;
    let mut console = context.run(&product, board)?;
    console.wait(r"^\[rt\] rt: start, period 1000000 ns")?;
    console.shell()?;
    console.command("echo answer $((6 * 7))", "answer 42")?;
    console.rt_seconds(1)?;
    let last = console.summaries().last().copied();
    let last = last.ok_or_else(|| Failure::new("rt never gave a summary"))?;
    ensure(last.missed == 0, || {
        format!("rt missed {} deadlines in {} s", last.missed, last.seconds)
    })
}

/// Four cores, each on a host thread of its own: the order of things differs from run to run.
fn gateway(context: &Context<'_>, board: Board, profile: Profile) -> Result<(), Failure> {
    let product = context.system("gateway", profile)?;
    let mut config = context.machine(&product, board)?;
    config.icount = false;
    let mut console = context.boot(&config)?;
    console.shell()?;
    console.command(
        "echo $(grep -c ^processor /proc/cpuinfo) CPUs of $(nproc)",
        "2 CPUs of 2",
    )?;
    for guest in ["rt", "logger"] {
        let summary = format!(r"^\[{guest}\] rt: [0-9]+ s, [1-9][0-9]* wake-ups");
        if console.count(&summary)? == 0 {
            console.wait(&summary)?;
        }
    }
    // Both of Linux's CPUs do work of their own.
    console.command("for i in 0 1; do taskset -c $i sh -c 'n=0; while [ $n -lt 500 ]; do n=$((n + 1)); done; echo cpu $n' & done; wait; echo both", "both")?;
    Ok(())
}
