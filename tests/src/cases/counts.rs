//! What a switch between guests costs in expensive operations, counted from outside.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use tessera::bench::meter::{Meter, Wanted};
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

/// Operations after boot, of two guests that both work.
fn switches(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    // An idle Linux stays in the registers while rt comes and goes: only one that works is switched.
    let product = super::restart::busy(context)?;
    let mut config = context.machine(&product, board)?;
    let meter = Meter::for_system(
        &context.shared().project,
        context.files(),
        &mut config,
        &product,
        &Wanted::default(),
    )?;
    let mut console = context.boot(&config)?;
    console.wait(r"^\[linux\] .*tessera-load: running")?;
    console.rt_seconds(1)?;
    console.end();
    let report = meter.report()?;
    let count = |name: &str| report.operations_after_boot(name);
    // Whose EL1 registers are loaded has its translation tables: one write for each switch.
    let switches = count("msr ttbr0_el1");
    context.note(format!(
        "{switches} switches: {} TLB invalidations, VTTBR_EL2 written {} times, HCR_EL2 {}, CPTR_EL2 {}",
        count("tlbi"),
        count("msr vttbr_el2"),
        count("msr hcr_el2"),
        count("msr cptr_el2"),
    ));
    ensure(switches >= 2000, || format!("only {switches} switches"))?;
    ensure(count("tlbi") == 0, || {
        "TLBs were invalidated after boot".into()
    })?;
    // The two guests differ in their address spaces and in who owns FP, not in their traps.
    for once in ["msr vttbr_el2", "msr cptr_el2"] {
        let written = count(once);
        // The second guest's first load differs from what boot left.
        ensure(written <= switches + 1, || {
            format!("`{once}` was executed {written} times")
        })?;
    }
    for never in [
        "msr hcr_el2",
        "msr vbar_el2",
        "msr vtcr_el2",
        "msr vmpidr_el2",
        "msr sctlr_el2",
        "msr mdcr_el2",
        "msr cnthctl_el2",
    ] {
        let written = count(never);
        ensure(written == 0, || {
            format!("`{never}` was executed {written} times after boot")
        })?;
    }
    Ok(())
}
