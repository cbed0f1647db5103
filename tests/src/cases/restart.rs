//! One guest restarts, by its own wish or from the menu, at any moment; the others do not notice.

use super::lateness::{bounded, no_miss};
use crate::case::{Case, Failure, case, ensure};
use crate::console::Console;
use crate::context::Context;
use crate::random::Random;
use std::sync::Arc;
use std::time::Duration;
use tessera::bench::products::profile_name;
use tessera::board::Board;
use tessera::product::Product;
use tessera::program::Profile;

/// Lines that Linux prints from its start to its shell, about.
pub const BOOT_LINES: u64 = 190;

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        case(
            "Linux restarted at random moments of its boot reaches its shell, and rt is never late",
            in_boot,
        ),
        case(
            "Linux restarted at random moments of its work reaches its shell, and rt is never late",
            at_work,
        ),
        case(
            "rt restarted at random moments comes up each time, and Linux goes on",
            rt_again,
        ),
        case("reboot in Linux restarts Linux only", reboot),
        case(
            "poweroff in Linux stops Linux only, and the menu starts it again",
            power_off,
        ),
        case(
            format!(
                "Linux restarted in the {} build reaches its shell",
                profile_name(Profile::Debug)
            ),
            debug,
        ),
    ]
}

fn phone<'a>(context: &'a Context<'a>, board: Board) -> Result<Console<'a>, Failure> {
    let product = context.system("phone", Profile::Release)?;
    context.run(&product, board)
}

/// `phone` whose Linux works as soon as it is up.
pub fn busy(context: &Context<'_>) -> Result<Arc<Product>, Failure> {
    let edits = [(
        "console=ttyAMA0 panic=-1",
        "console=ttyAMA0 panic=-1 tessera.run=load-cpu",
    )];
    context.variant("phone", "phone-busy", &edits, Profile::Release)
}

/// Half of all restarts: each interrupts a boot, and the next boot is let through.
fn in_boot(context: &Context<'_>) -> Result<(), Failure> {
    let mut random = Random::new(1);
    let mut console = phone(context, Board::VirtGicv3)?;
    for _ in 0..context.short_or_long(5, 50) {
        console.skip_lines("linux", random.below(BOOT_LINES), "tessera-shell-ready")?;
        console.menu("r2")?;
        console.wait(r"^\[linux\] .*Booting Linux")?;
        console.shell()?;
        // The next boot is the one that is interrupted.
        console.menu("r2")?;
        console.wait(r"^\[linux\] .*Booting Linux")?;
    }
    console.shell()?;
    console.command("echo alive $((3 * 3))", "alive 9")?;
    one_life_of_rt(&console)?;
    bounded(context, &console)
}

/// The other half: Linux has its shell and works.
fn at_work(context: &Context<'_>) -> Result<(), Failure> {
    let mut random = Random::new(2);
    let mut console = context.run(&*busy(context)?, Board::VirtGicv2)?;
    for _ in 0..context.short_or_long(10, 100) {
        console.wait(r"^\[linux\] .*tessera-load: running")?;
        console.linger(Duration::from_millis(random.below(1500)))?;
        console.menu("r2")?;
        console.wait(r"^\[linux\] .*Booting Linux")?;
    }
    console.wait(r"^\[linux\] .*tessera-load: running")?;
    one_life_of_rt(&console)?;
    bounded(context, &console)
}

fn one_life_of_rt(console: &Console<'_>) -> Result<(), Failure> {
    let lives = console.count(r"^\[rt\] rt: start, ")?;
    ensure(lives == 1, || format!("rt started {lives} times"))
}

fn rt_again(context: &Context<'_>) -> Result<(), Failure> {
    let mut random = Random::new(3);
    let mut console = phone(context, Board::VirtGicv3)?;
    console.shell()?;
    let times = context.short_or_long(20, 200);
    for i in 0..times {
        console.linger(Duration::from_millis(random.below(300)))?;
        console.menu("r1")?;
        console.wait(r"^\[rt\] rt: start, ")?;
        console.command(
            &format!("echo answer $(({i} + 1000))"),
            &format!("answer {}", i + 1000),
        )?;
    }
    console.rt_seconds(2)?;
    let boots = console.count("Booting Linux")?;
    ensure(boots == 1, || format!("Linux started {boots} times"))?;
    let lives = console.count(r"^\[rt\] rt: start, ")?;
    ensure(lives as u64 == times + 1, || {
        format!("rt started {lives} times, not {}", times + 1)
    })?;
    bounded(context, &console)
}

fn reboot(context: &Context<'_>) -> Result<(), Failure> {
    let mut console = phone(context, Board::VirtGicv2)?;
    console.shell()?;
    console.type_in(b"reboot -f\n")?;
    console.wait(r"^\[linux\] .*Booting Linux")?;
    console.shell()?;
    console.command("echo again $((1 + 1))", "again 2")?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: running, starts 1, faults 0")?;
    console.wait(r"^\[tessera\] 2 linux: running, starts 2, faults 0")?;
    one_life_of_rt(&console)?;
    bounded(context, &console)
}

fn power_off(context: &Context<'_>) -> Result<(), Failure> {
    let mut console = phone(context, Board::VirtGicv3)?;
    console.shell()?;
    console.type_in(b"poweroff -f\n")?;
    console.wait(r"^\[tessera\] linux: off")?;
    console.rt_seconds(1)?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: running, starts 1, faults 0")?;
    console.wait(r"^\[tessera\] 2 linux: off, starts 1, faults 0")?;
    console.menu("g2")?;
    console.shell()?;
    console.command("echo again $((1 + 1))", "again 2")?;
    one_life_of_rt(&console)?;
    bounded(context, &console)
}

fn debug(context: &Context<'_>) -> Result<(), Failure> {
    let product = context.system("phone", Profile::Debug)?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    console.skip_lines("linux", 100, "tessera-shell-ready")?;
    console.menu("r2")?;
    console.wait(r"^\[linux\] .*Booting Linux")?;
    console.shell()?;
    console.menu("r1")?;
    console.wait(r"^\[rt\] rt: start, ")?;
    console.command("echo alive $((3 * 3))", "alive 9")?;
    console.rt_seconds(1)?;
    no_miss(&console)
}
