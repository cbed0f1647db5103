//! What Tessera costs Linux, counted from outside: Linux's own instructions until its shell, with
//! Tessera and without, by the same image, initramfs and device tree.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use tessera::bench::meter::{Files, Meter, Wanted};
use tessera::bench::native;
use tessera::board::Board;
use tessera::product::Product;
use tessera::program::Profile;

/// Most instructions with Tessera for a thousand without.
const PER_THOUSAND: u64 = 1020;

/// Linux alone. It switches itself off as soon as its shell could start, so that both runs end at
/// the same point.
const ALONE: &str = r#"
name = "alone"
[[core]]
policy = "pinned"
[guest.linux]
image = "debian:linux-cloud"
initramfs = "busybox"
memory = "512MiB"
cores = [0]
bootargs = "console=ttyAMA0 panic=-1 tessera.run=poweroff tessera.arg=-f"
"#;

/// Where `phone`'s Linux is in the board's memory for this count: behind kernel and bundle.
const LINUX: (u64, u64) = (0x5000_0000, 0x7000_0000);

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "Linux alone reaches its shell in at most 1.02 times its native instructions, on virt-gicv3",
            |c| alone(c, Board::VirtGicv3),
        ),
        case(
            "Linux alone reaches its shell in at most 1.02 times its native instructions, on virt-gicv2",
            |c| alone(c, Board::VirtGicv2),
        ),
        case(
            "Linux beside rt reaches its shell in at most 1.02 times its native instructions",
            beside,
        ),
    ]
}

fn alone(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let product = context.described("alone", ALONE, Profile::Release)?;
    let native = native(context, &product, board)?;
    let mut config = context.machine(&product, board)?;
    let meter = Meter::for_system(
        &context.shared().project,
        context.files(),
        &mut config,
        &product,
        &Wanted::default(),
    )?;
    let mut console = context.boot(&config)?;
    console.wait(r"^\[linux\] .*tessera-shell-ready")?;
    console.wait(r"^\[tessera\] linux: off")?;
    console.end();
    compare(context, meter.report()?.others()?, native)
}

fn beside(context: &Context<'_>) -> Result<(), Failure> {
    let region = format!(
        "[[guest.linux.region]]\naddress = 0x4000_0000\nsize = \"512MiB\"\nphysical = {:#x}\n",
        LINUX.0
    );
    let edits = [
        ("memory = \"512MiB\"\n", ""),
        (
            "bootargs = \"console=ttyAMA0 panic=-1\"\non_fault = \"restart\"\n",
            &format!(
                "bootargs = \"console=ttyAMA0 panic=-1 tessera.run=poweroff tessera.arg=-f\"\n{region}"
            ),
        ),
    ];
    let product = context.variant("phone", "phone-placed", &edits, Profile::Release)?;
    let native = native(context, &product, Board::VirtGicv3)?;
    let mut config = context.machine(&product, Board::VirtGicv3)?;
    config.memory_mib = 1024;
    let meter = Meter::for_system(
        &context.shared().project,
        context.files(),
        &mut config,
        &product,
        &Wanted::default(),
    )?;
    let mut console = context.boot(&config)?;
    console.wait(r"^\[linux\] .*tessera-shell-ready")?;
    console.wait(r"^\[tessera\] linux: off")?;
    console.end();
    compare(
        context,
        meter.report()?.others_between(LINUX.0, LINUX.1)?,
        native,
    )
}

/// Runs a system's Linux on the bare machine; returns its instructions.
fn native(context: &Context<'_>, product: &Product, board: Board) -> Result<u64, Failure> {
    let files = Files {
        stem: context.file("native"),
    };
    let config = context.machine(product, board)?;
    let mut config = native::config(config, product, "linux", true, &files)?;
    let meter = Meter::native(
        &context.shared().project,
        files,
        &mut config,
        &Wanted::default(),
    )?;
    let mut console = context.boot(&config)?;
    console.wait("tessera-shell-ready")?;
    console.wait_end()?;
    console.end();
    Ok(meter.report()?.others()?)
}

fn compare(context: &Context<'_>, with: u64, without: u64) -> Result<(), Failure> {
    ensure(without > 100_000_000, || {
        format!("the native run counted only {without} instructions")
    })?;
    let ratio = with as f64 / without as f64;
    context.note(format!(
        "{with} instructions of Linux's own, {without} natively: {ratio:.4} times"
    ));
    ensure(with * 1000 <= without * PER_THOUSAND, || {
        format!(
            "{ratio:.4} times native, allowed are {:.3}",
            PER_THOUSAND as f64 / 1000.0
        )
    })
}
