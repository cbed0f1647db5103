//! What a switch between guests costs in expensive operations, counted from outside.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use crate::meter::{Meter, Report};
use tessera::board::Board;

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "a context switch flushes no TLB and writes only what differs, on virt-gicv3",
            |c| switches(c, Board::VirtGicv3),
        ),
        case(
            "a context switch flushes no TLB and writes only what differs, on virt-gicv2",
            |c| switches(c, Board::VirtGicv2),
        ),
    ]
}

/// The same system for one virtual second and for two: what boot does is in both.
fn switches(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let short = measure(context, board, 1)?;
    let long = measure(context, board, 2)?;
    let more = |name: &str| long.operations(name).saturating_sub(short.operations(name));
    // Whose EL1 registers are loaded has its translation tables: one write for each switch.
    let switches = more("msr ttbr0_el1");
    context.note(format!(
        "{switches} switches: {} TLB invalidations, VTTBR_EL2 written {} times, HCR_EL2 {}, CPTR_EL2 {}, VBAR_EL2 {}",
        long.class("tlbi").saturating_sub(short.class("tlbi")),
        more("msr vttbr_el2"),
        more("msr hcr_el2"),
        more("msr cptr_el2"),
        more("msr vbar_el2"),
    ));
    ensure(switches >= 1500, || {
        format!("only {switches} switches in a second with a task of 1 ms")
    })?;
    ensure(long.class("tlbi") == short.class("tlbi"), || {
        format!(
            "{} TLB invalidations became {}",
            short.class("tlbi"),
            long.class("tlbi")
        )
    })?;
    // The two guests differ in their address spaces, not in their traps.
    ensure(more("msr vttbr_el2") <= switches, || {
        "VTTBR_EL2 is written more often than guests are switched".into()
    })?;
    for never in [
        "msr hcr_el2",
        "msr vbar_el2",
        "msr vtcr_el2",
        "msr vmpidr_el2",
        "msr sctlr_el2",
        "msr mdcr_el2",
        "msr cnthctl_el2",
    ] {
        ensure(more(never) == 0, || {
            format!(
                "`{never}` was executed {} times more in one more second",
                more(never)
            )
        })?;
    }
    Ok(())
}

fn measure(context: &Context<'_>, board: Board, seconds: u64) -> Result<Report, Failure> {
    // An idle Linux stays in the registers while rt comes and goes: only one that works is switched.
    let product = super::restart::busy(context)?;
    let mut config = context.machine(&product, board)?;
    let meter = Meter::for_system(context, &mut config, &product)?;
    let mut console = context.boot(&config)?;
    console.wait(r"^\[linux\] .*tessera-load: running")?;
    console.rt_seconds(seconds)?;
    console.end();
    meter.report()
}
