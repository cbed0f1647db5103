//! A load from an emulated device comes out right in every register, whichever way its exit takes and whoever runs next.
//!
//! The guest `loads` does them and looks at all registers after each; `rt` takes the core from it once in a millisecond. An
//! exit that ends in a switch must not store the processor's x19-x29 over what the load has put there.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use regex::Regex;
use std::time::Duration;
use tessera::board::Board;
use tessera::program::Profile;

/// One core, shared with the real-time guest.
const SYSTEM: &str = r#"
name = "loads"
[[core]]
policy = "shared"
[guest.rt]
image = "guest:rt"
memory = "4MiB"
cores = [0]
priority = 200
budget = "400us"
period = "1ms"
bootargs = "period=1ms work=100us"
[guest.loads]
image = "guest:loads"
memory = "4MiB"
cores = [0]
priority = 100
bootargs = "rounds=ROUNDS"
"#;

/// Loads of UARTDR into each of x19-x29 that must have had a switch, of several times as many that have.
const LEAST: u64 = 5;

/// The cases.
pub fn cases() -> Vec<Case> {
    let boards = [Board::VirtGicv3, Board::VirtGicv2];
    let mut cases: Vec<Case> = boards
        .map(|board| {
            case(
                format!(
                    "loads from devices into every register are right, whoever runs next, on {}",
                    board.name()
                ),
                move |context| right(context, board, Profile::Release, false),
            )
        })
        .into();
    cases.push(case(
        "loads from devices into every register are right, whoever runs next, in a debug build",
        |context| right(context, Board::VirtGicv3, Profile::Debug, false),
    ));
    cases.push(case(
        "loads from devices into every register are right, whoever runs next, while the kernel writes a trace",
        |context| right(context, Board::VirtGicv3, Profile::Release, true),
    ));
    cases
}

fn right(
    context: &Context<'_>,
    board: Board,
    profile: Profile,
    traced: bool,
) -> Result<(), Failure> {
    let rounds = context.short_or_long(8000, 50_000);
    let mut text = SYSTEM.replace("ROUNDS", &rounds.to_string());
    let mut name = "loads".to_string();
    if traced {
        text = text.replacen("[[core]]", "trace = \"64KiB\"\n[[core]]", 1);
        name += "-traced";
    }
    let product = context.described(&name, &text, profile)?;
    let mut console = context.run(&product, board)?;
    let patience = Duration::from_secs(context.short_or_long(150, 1500));
    // Its outcome is a line of its own, and wanted whole.
    console.wait_within(r"^\[loads\] loads: done", patience)?;
    let mut said = console.lines().iter();
    let outcome = said.rfind(|l| l.starts_with("[loads] loads: ") && !l.contains("loads: done"));
    let outcome = outcome.map_or("", String::as_str);
    let form = r"^\[loads\] loads: (\d+) loads right, (\d+) with a switch; of UARTDR at least (\d+) into each of x19-x29\s*$";
    let form = Regex::new(form).map_err(|e| Failure::new(e.to_string()))?;
    let found = form
        .captures(outcome)
        .ok_or_else(|| Failure::new(format!("the guest says: {outcome}")))?;
    let number = |i: usize| found[i].parse::<u64>().unwrap_or(0);
    let (loads, switched, least) = (number(1), number(2), number(3));
    context.note(format!(
        "{loads} loads, {switched} with a switch; of UARTDR at least {least} into each of x19-x29"
    ));
    ensure(loads >= 100 * rounds && least >= LEAST, || {
        format!("too few to say anything: {outcome}")
    })
}
