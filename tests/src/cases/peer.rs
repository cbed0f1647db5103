//! Other hypervisors with our guests, counted like Tessera: what the comparisons stand on.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use manifest::LoadKind;
use std::collections::BTreeMap;
use tessera::bench::meter::{Events, Meter, Report, Wanted};
use tessera::bench::summary::Summary;
use tessera::board::Board;
use tessera::debian::Debian;
use tessera::peer::xen::{self, Place};
use tessera::peer::{Console, Guest, Lines, Peer, Scheduling};
use tessera::program::Profile;

/// The real-time guest, which drives the machine's own UART.
const RT: &str = r#"
name = "peer-rt"
[[core]]
policy = "pinned"
[guest.guest]
image = "guest:rt"
memory = "8MiB"
cores = [0]
bootargs = "period=1ms work=200us"
"#;

/// Linux, which is content with the UART that Xen emulates.
const LINUX: &str = r#"
name = "peer-linux"
[[core]]
policy = "shared"
[guest.guest]
image = "debian:linux-cloud"
initramfs = "busybox"
memory = "512MiB"
cores = [0]
bootargs = "console=ttyAMA0 panic=-1"
"#;

/// The cases.
pub fn cases() -> Vec<Case> {
    let rt = |board, scheduling| move |c: &Context<'_>| real_time(c, board, scheduling);
    vec![
        case(
            "Debian's Xen runs the real-time guest, and the plugin counts it, on virt-gicv3",
            rt(Board::VirtGicv3, Scheduling::Pinned),
        ),
        case(
            "Debian's Xen runs the real-time guest, and the plugin counts it, on virt-gicv2",
            rt(Board::VirtGicv2, Scheduling::Pinned),
        ),
        case(
            "Debian's Xen runs the real-time guest with its default scheduler",
            rt(Board::VirtGicv3, Scheduling::Shared),
        ),
        case("Debian's Xen runs Debian's Linux to its shell", |c| {
            linux(c, (1, 1), Scheduling::Pinned, Console::Emulated)
        }),
        case(
            "Debian's Xen runs Debian's Linux with the machine's UART to its shell",
            |c| linux(c, (1, 1), Scheduling::Pinned, Console::PassedThrough),
        ),
        case(
            "Debian's Xen runs Debian's Linux with two virtual cores on one to its shell",
            |c| linux(c, (1, 2), Scheduling::Shared, Console::Emulated),
        ),
        // In virtual time several cores of Xen need a newer QEMU: this one runs in real time.
        case(
            "Debian's Xen runs Debian's Linux on two cores to its shell",
            |c| linux(c, (2, 2), Scheduling::Pinned, Console::Emulated),
        ),
    ]
}

/// Seconds that the real-time guest runs.
const SECONDS: u64 = 2;

fn real_time(context: &Context<'_>, board: Board, scheduling: Scheduling) -> Result<(), Failure> {
    let guest = guest(context, RT, Console::PassedThrough)?;
    let mut peer = peer(context, board, 1, scheduling, &guest)?;
    let meter = Meter::for_peer(
        &context.shared().project,
        context.files(),
        &mut peer.config,
        &peer.counting,
        &Wanted::default(),
    )?;
    let mut console = context.boot(&peer.config)?;
    let line = console.wait(&format!("^rt: {SECONDS} s, "))?;
    console.end();
    let summary =
        Summary::read(&line).ok_or_else(|| Failure::new(format!("a cut line: {line}")))?;
    ensure(summary.missed == 0, || {
        format!("deadlines were missed: {line}")
    })?;
    let report = meter.report()?;
    // A guest that waits is woken either by an interrupt that is taken from it, or, if its waiting
    // is Xen's, in Xen.
    let (name, other) = match scheduling {
        Scheduling::Pinned => ("irq", "wake"),
        Scheduling::Shared => ("wake", "irq"),
    };
    let events = told(context, &report)?;
    let wakes = events
        .get(name)
        .ok_or_else(|| Failure::new(format!("no event `{name}` was counted")))?;
    ensure(wakes.count >= 1000 * SECONDS, || {
        format!("only {} timer interrupts were counted", wakes.count)
    })?;
    let others = events.get(other).map_or(0, |e| e.count);
    ensure(others < wakes.count / 10, || {
        format!("{others} events `{other}`, which are the other way to wake up")
    })?;
    // The virtual counter stands still for no one: what an interrupt takes at EL2 before the guest
    // sees it is its lateness, but for the few instructions on either side and 16 ns steps.
    ensure(summary.median.abs_diff(wakes.median) <= 96, || {
        format!(
            "a wake-up takes {} instructions at EL2, but is {} ns late",
            wakes.median, summary.median
        )
    })?;
    context.note(format!(
        "{} instructions of the guest, lateness p50 {} max {} ns",
        report.others()?,
        summary.median,
        summary.max
    ));
    Ok(())
}

fn linux(
    context: &Context<'_>,
    (cores, vcpus): (usize, u32),
    scheduling: Scheduling,
    text: Console,
) -> Result<(), Failure> {
    let guest = Guest {
        vcpus,
        ..guest(context, LINUX, text)?
    };
    let mut peer = peer(context, Board::VirtGicv3, cores, scheduling, &guest)?;
    let meter = Meter::for_peer(
        &context.shared().project,
        context.files(),
        &mut peer.config,
        &peer.counting,
        &Wanted::default(),
    )?;
    let mut console = context.boot(&peer.config)?;
    console.wait("tessera-shell-ready")?;
    // The shell's own first words: then that line is whole.
    console.wait("BusyBox v")?;
    let mut lines = Lines::new();
    let raw = console.end();
    let said: Vec<String> = match text {
        Console::Emulated => raw.iter().filter_map(|l| lines.take(l)).collect(),
        Console::PassedThrough => raw,
    };
    let ready = format!(", {vcpus} CPU(s)");
    ensure(said.iter().any(|l| l.ends_with(&ready)), || {
        format!("Linux does not have its {vcpus} cores")
    })?;
    // A line that Xen's buffer does not hold.
    ensure(
        said.iter()
            .any(|l| l.contains("Linux version") && l.contains("SMP")),
        || "Linux's first lines are not whole".into(),
    )?;
    let report = meter.report()?;
    let events = told(context, &report)?;
    for cause in ["irq", "sync/hvc"] {
        ensure(events.contains_key(cause), || {
            format!("no event `{cause}` was counted")
        })?;
    }
    context.note(format!("{} instructions of the guest", report.others()?));
    Ok(())
}

/// The only guest of a description, as a peer is given it.
fn guest(context: &Context<'_>, description: &str, console: Console) -> Result<Guest, Failure> {
    let name = description
        .lines()
        .find_map(|l| l.strip_prefix("name = "))
        .unwrap_or("peer");
    let product = context.described(name.trim_matches('"'), description, Profile::Release)?;
    let guest = product
        .system
        .guest("guest")
        .ok_or_else(|| Failure::new("the system has no guest"))?;
    let file = |kind: LoadKind| guest.loads.iter().find(|l| l.kind == kind);
    let image = file(LoadKind::Image).ok_or_else(|| Failure::new("the guest has no image"))?;
    Ok(Guest {
        image: image.bytes.clone(),
        initramfs: file(LoadKind::Initrd).map(|l| l.bytes.clone()),
        bootargs: guest.bootargs.clone(),
        memory_mib: guest.ram().map(|r| r.size).sum::<u64>() >> 20,
        vcpus: u32::try_from(guest.vcpus.len()).unwrap_or(1),
        console,
    })
}

fn peer(
    context: &Context<'_>,
    board: Board,
    cores: usize,
    scheduling: Scheduling,
    guest: &Guest,
) -> Result<Peer, Failure> {
    let shared = context.shared();
    let image = xen::fetch(&Debian::new(&shared.project))?;
    let folder = context.file("files");
    let place = Place {
        qemu: &shared.qemu,
        board,
        cores,
        folder: &folder,
    };
    Ok(xen::prepare(&image, place, scheduling, guest)?)
}

/// The events by cause, said as notes. Every guest has made Xen emulate something, and no trap may
/// be of an unknown kind.
fn told(context: &Context<'_>, report: &Report) -> Result<BTreeMap<String, Events>, Failure> {
    let events = report.events();
    for (cause, events) in &events {
        context.note(format!(
            "{cause}: {} events, median {} and at most {} instructions",
            events.count, events.median, events.max
        ));
    }
    for cause in ["sync/abort", "sync/register"] {
        ensure(events.contains_key(cause), || {
            format!("no event `{cause}` was counted")
        })?;
    }
    ensure(!events.contains_key("sync"), || {
        "some traps are of no known kind".into()
    })?;
    Ok(events)
}
