//! Guests on several cores: a guest with two vCPUs restarts, the others run on.

use super::restart::BOOT_LINES;
use crate::case::{Case, Failure, case, ensure};
use crate::console::Console;
use crate::context::Context;
use crate::random::Random;
use std::time::Duration;
use tessera::bench::products::profile_name;
use tessera::board::Board;
use tessera::program::Profile;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (board, profile) in [
        (Board::VirtGicv3, Profile::Release),
        (Board::VirtGicv2, Profile::Release),
        (Board::VirtGicv3, Profile::Debug),
    ] {
        cases.push(case(
            format!(
                "Linux with two vCPUs restarts at random moments beside others on {}, {}",
                board.name(),
                profile_name(profile)
            ),
            move |context| restarts(context, board, profile),
        ));
    }
    cases.push(case("a CPU of Linux goes off and comes back", hotplug));
    cases
}

/// Each core on a host thread of its own, as on a board.
fn gateway<'a>(
    context: &'a Context<'a>,
    board: Board,
    profile: Profile,
) -> Result<Console<'a>, Failure> {
    let product = context.system("gateway", profile)?;
    let mut config = context.machine(&product, board)?;
    config.icount = false;
    context.boot(&config)
}

fn restarts(context: &Context<'_>, board: Board, profile: Profile) -> Result<(), Failure> {
    let mut random = Random::new(4);
    let mut console = gateway(context, board, profile)?;
    // Manifest order: the most urgent first.
    let linux = "2";
    let times = context.short_or_long(6, 100);
    for _ in 0..times {
        let booted =
            console.skip_lines("linux", random.below(BOOT_LINES), "tessera-shell-ready")?;
        if booted {
            console.linger(Duration::from_millis(random.below(500)))?;
        }
        console.menu(&format!("r{linux}"))?;
        console.wait(r"^\[linux\] .*Booting Linux")?;
    }
    console.shell()?;
    console.command("echo $(nproc) CPUs", "2 CPUs")?;
    // The others live on, each in its first life.
    for guest in ["rt", "logger"] {
        let starts = console.count(&format!(r"^\[{guest}\] rt: start, "))?;
        ensure(starts == 1, || format!("{guest} started {starts} times"))?;
        console.wait(&format!(r"^\[{guest}\] rt: [0-9]+ s, "))?;
    }
    console.menu("s")?;
    console.wait(&format!(
        r"^\[tessera\] 2 linux: running, starts {}, faults 0",
        times + 1
    ))?;
    console.menu("x2")?;
    console.wait(r"^\[tessera\] linux: off")?;
    console.menu("r1")?;
    console.wait(r"^\[rt\] rt: start, ")?;
    console.menu("g2")?;
    console.shell()?;
    console.command("echo $(nproc) CPUs", "2 CPUs").map(drop)
}

fn hotplug(context: &Context<'_>) -> Result<(), Failure> {
    let mut console = gateway(context, Board::VirtGicv3, Profile::Release)?;
    console.shell()?;
    for _ in 0..context.short_or_long(5, 100) {
        console.command(
            "echo 0 > /sys/devices/system/cpu/cpu1/online; echo now $(nproc)",
            "now 1",
        )?;
        console.command(
            "echo 1 > /sys/devices/system/cpu/cpu1/online; echo now $(nproc)",
            "now 2",
        )?;
    }
    console
        .command(
            "taskset -c 1 echo on the second $((1 + 1))",
            "on the second 2",
        )
        .map(drop)
}
