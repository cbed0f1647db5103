//! The guest `bench` finishes every row that it has, as a guest and on the bare machine, and the
//! interrupts of its storms come in the order of their priorities.

use crate::case::{Case, Failure, case, ensure};
use crate::console::Console;
use crate::context::Context;
use regex::Regex;
use tessera::bench::native;
use tessera::board::Board;
use tessera::program::Profile;

/// Two cores of its own, so that every row is possible.
const ALONE: &str = r#"
name = "bench"
[[core]]
policy = "pinned"
[[core]]
policy = "pinned"
[guest.bench]
image = "guest:bench"
memory = "4MiB"
cores = [0, 1]
bootargs = "ARGUMENTS"
"#;

/// What it is told, as a guest and natively.
const ARGUMENTS: &str = "samples=20 interval=1ms end=off";

/// One core, shared with a guest that only takes time.
const BESIDE: &str = r#"
name = "bench-beside"
[[core]]
policy = "shared"
[guest.bench]
image = "guest:bench"
memory = "4MiB"
cores = [0]
priority = 200
budget = "900us"
period = "1ms"
bootargs = "samples=20 interval=1ms"
[guest.spin]
image = "guest:bench"
memory = "4MiB"
cores = [0]
priority = 100
bootargs = "mode=spin"
"#;

/// The rows that are loops, the rows that are samples, and those that need a second core.
const LOOPS: [(u32, &str); 12] = [
    (1, "empty"),
    (2, "hypercall"),
    (3, "psci_version"),
    (4, "gicd_read"),
    (5, "gicd_write"),
    (6, "gicd_disable"),
    (7, "uart_read"),
    (8, "uart_write"),
    (9, "sysreg"),
    (10, "sgi_self"),
    (11, "spi_self"),
    (12, "eoi"),
];
const SAMPLES: [(u32, &str); 2] = [(20, "timer"), (21, "timer_wfi")];
const BETWEEN_CORES: [(u32, &str); 3] =
    [(22, "sgi_other"), (23, "sgi_other_wfi"), (24, "sgi_write")];

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for board in [Board::VirtGicv3, Board::VirtGicv2] {
        cases.push(case(
            format!(
                "the bench guest finishes every row, as a guest and natively, on {}",
                board.name()
            ),
            move |context| alone(context, board),
        ));
    }
    cases.push(case(
        "the bench guest finishes every row beside a guest that takes all the time it gets",
        beside,
    ));
    cases
}

fn alone(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let description = ALONE.replace("ARGUMENTS", ARGUMENTS);
    let product = context.described("bench", &description, Profile::Release)?;
    let mut console = context.run(&product, board)?;
    console.wait(r"^\[bench\] bench: done")?;
    console.wait(r"^\[tessera\] bench: off")?;
    let guest = finished(&console, "[bench] bench: ", true)?;

    let config = context.machine(&product, board)?;
    let config = native::config(config, &product, "bench", false, &context.files())?;
    let mut console = context.boot(&config)?;
    console.wait(r"^bench: done")?;
    console.wait_end()?;
    let native = finished(&console, "bench: ", true)?;
    for (row, guest, native) in [("hypercall", 1), ("gicd_read", 3), ("sgi_self", 9)]
        .iter()
        .filter_map(|(row, index)| Some((row, guest.get(*index)?, native.get(*index)?)))
    {
        context.note(format!(
            "{row}: {guest} ns for 1000, {native} ns on the bare machine"
        ));
    }
    Ok(())
}

fn beside(context: &Context<'_>) -> Result<(), Failure> {
    let product = context.described("bench-beside", BESIDE, Profile::Release)?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    console.wait(r"^\[bench\] bench: done")?;
    if console.count(r"^\[spin\] bench: spinning")? == 0 {
        console.wait(r"^\[spin\] bench: spinning")?;
    }
    finished(&console, "[bench] bench: ", false).map(drop)
}

/// Every row has its line, and each says that it was measured. Returns the totals of the loops.
fn finished(console: &Console<'_>, mark: &str, two_cores: bool) -> Result<Vec<u64>, Failure> {
    let has = |row: (u32, &str), form: &str| {
        let begin = format!("{mark}row {} {} ", row.0, row.1);
        let line = console.lines().iter().find(|line| line.starts_with(&begin));
        let line = line.ok_or_else(|| Failure::new(format!("no line `{begin}...`")))?;
        let form = Regex::new(form).map_err(|e| Failure::new(e.to_string()))?;
        form.captures(line)
            .map(|found| found.get(1).map_or("", |m| m.as_str()).to_string())
            .ok_or_else(|| Failure::new(format!("not what a row that was measured says: {line}")))
    };
    let mut totals = Vec::new();
    for row in LOOPS {
        let total = has(row, r" loop 1000 total ([0-9]+) ns\s*$")?;
        let total = total.parse().unwrap_or(0);
        // No loop is shorter than its two instructions that count, of one nanosecond each.
        ensure(total >= 1900, || {
            format!("row {} took {total} ns for 1000", row.1)
        })?;
        totals.push(total);
    }
    let samples = r" samples (20) min [0-9]+ p50 [0-9]+ p99 [0-9]+ p999 [0-9]+ max [0-9]+ ns\s*$";
    for row in SAMPLES {
        has(row, samples)?;
    }
    for row in BETWEEN_CORES {
        let one = r" (not possible: the tree names one CPU)\s*$";
        has(row, if two_cores { samples } else { one })?;
    }
    has((30, "storm"), r" storm (20 kept)\s*$")?;
    Ok(totals)
}
