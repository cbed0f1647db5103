//! Programs that nobody here wrote run as they are.

use super::lateness::LATENESS;
use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use std::time::Duration;
use tessera::board::Board;
use tessera::program::Profile;

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "Debian's PREEMPT_RT Linux boots and runs cyclictest, on virt-gicv3",
            |c| cyclictest(c, Board::VirtGicv3),
        ),
        case(
            "Debian's PREEMPT_RT Linux boots and runs cyclictest, on virt-gicv2",
            |c| cyclictest(c, Board::VirtGicv2),
        ),
        case(
            "Debian's U-Boot reaches its prompt and answers, on virt-gicv3",
            |c| u_boot(c, Board::VirtGicv3),
        ),
        case(
            "Debian's U-Boot reaches its prompt and answers, on virt-gicv2",
            |c| u_boot(c, Board::VirtGicv2),
        ),
    ]
}

fn cyclictest(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let product = context.system("rt-linux", Profile::Release)?;
    let mut console = context.run(&product, board)?;
    console.wait(r"^\[linux\] .*PREEMPT_RT")?;
    console.wait(r"^\[linux\] .*tessera-cyclic: running")?;
    let mut values = [0u64; 4];
    for (value, name) in
        values
            .iter_mut()
            .zip(["Total", "Min Latencies", "Avg Latencies", "Max Latencies"])
    {
        let line = console.wait(&format!(r"^\[linux\] .*# {name}: *[0-9]+"))?;
        *value = line
            .split_whitespace()
            .last()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0);
    }
    console.wait(r"^\[linux\] .*tessera-cyclic: done")?;
    let [total, min, average, max] = values;
    context.note(format!(
        "cyclictest: {total} wake-ups, latency {min} to {max} us, average {average} us"
    ));
    ensure(total == 5000, || {
        format!("cyclictest counted {total} wake-ups of 5000")
    })?;
    // A Linux that is alone has the machine's own latency and what Tessera adds to it.
    let bound = 100 + LATENESS / 1000;
    ensure(max < bound, || {
        format!("cyclictest waited {max} us, allowed are less than {bound}")
    })
}

fn u_boot(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let product = context.system("u-boot", Profile::Release)?;
    let mut console = context.run(&product, board)?;
    console.wait(r"^\[u-boot\] .*U-Boot 20[0-9][0-9]")?;
    console.wait(r"^\[u-boot\] .*Hit any key")?;
    console.type_in(b" ")?;
    console.wait(r"^\[u-boot\] .*=> ")?;
    console.type_in(b"version\n")?;
    console.wait(r"^\[u-boot\] (=> )?U-Boot 20[0-9][0-9]")?;
    console.type_in(b"fdt addr $fdtcontroladdr; fdt print /psci\n")?;
    console.wait(r#"^\[u-boot\] .*method = "hvc""#)?;
    // Its reset and its power-off are calls that work.
    console.type_in(b"reset\n")?;
    console.wait(r"^\[u-boot\] .*Hit any key")?;
    console.type_in(b" ")?;
    console.type_in(b"\npoweroff\n")?;
    console
        .wait_within(r"^\[tessera\] u-boot: off", Duration::from_secs(60))
        .map(drop)
}
