//! The keyboard, the menu behind Ctrl-T, and the console that all guests share.

use super::lateness::{bounded, no_miss};
use crate::case::{Case, Failure, case, ensure};
use crate::console::ESCAPE;
use crate::context::Context;
use std::time::Duration;
use tessera::bench::products::{PROFILES, profile_name};
use tessera::board::Board;
use tessera::program::Profile;

/// Lines of the flood that must all arrive.
const FLOOD: usize = 2000;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for profile in PROFILES {
        for board in [Board::VirtGicv3, Board::Zcu102] {
            cases.push(case(
                format!(
                    "the menu moves the keyboard, stops, starts and quits, on {}, {}",
                    board.name(),
                    profile_name(profile)
                ),
                move |context| menu(context, board, profile),
            ));
        }
    }
    for board in [Board::VirtGicv3, Board::Zcu102] {
        cases.push(case(
            format!(
                "a flood loses no line and no line mixes two guests, on {}",
                board.name()
            ),
            move |context| flood(context, board),
        ));
    }
    for board in [Board::VirtGicv3, Board::VirtGicv2, Board::Zcu102] {
        cases.push(case(
            format!(
                "keys that are typed at once all arrive, and rt is not late for them, on {}",
                board.name()
            ),
            move |context| at_once(context, board),
        ));
    }
    cases
}

/// As many as the port's FIFO holds, and as the guest's own does.
fn at_once(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let product = context.system("phone", Profile::Release)?;
    let mut console = context.run(&product, board)?;
    console.shell()?;
    for n in 10..20 {
        console.paste(format!("echo $(({n}+5))\n").as_bytes())?;
        console.wait(&format!(r"^\[linux\] (.*# )?{}$", n + 5))?;
    }
    console.rt_seconds(1)?;
    bounded(context, &console)
}

fn menu(context: &Context<'_>, board: Board, profile: Profile) -> Result<(), Failure> {
    let product = context.system("phone", profile)?;
    let mut console = context.run(&product, board)?;
    console.shell()?;
    console.type_in(&[ESCAPE])?;
    console.wait(r"^\[tessera\] menu: .*1-9 keyboard, s status")?;
    console.type_in(b"s")?;
    console.wait(r"^\[tessera\] 1 rt: running, starts 1, faults 0")?;
    console.wait(r"^\[tessera\] 2 linux: running, starts 1, faults 0")?;
    console.menu("1")?;
    console.wait(r"^\[tessera\] keyboard: rt")?;
    console.type_in(b"x")?;
    console.wait(r"^\[rt\] rt: keys: ")?;
    console.menu("2")?;
    console.wait(r"^\[tessera\] keyboard: linux")?;
    console.command("echo answer $((6 * 7))", "answer 42")?;
    // Twice is the key itself, for the guest.
    console.type_in(b"head -c 1 | hexdump -C\n")?;
    console.type_in(&[ESCAPE, ESCAPE, b'\n'])?;
    console.wait(r"^\[linux\] .*00000000 +14 ")?;
    console.menu("x1")?;
    console.wait(r"^\[tessera\] rt: off")?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: off, starts 1, faults 0")?;
    console.silence(r"^\[rt\]", Duration::from_secs(2))?;
    console.menu("g1")?;
    console.wait(r"^\[rt\] rt: start, ")?;
    console.rt_seconds(1)?;
    // Keys that mean nothing there do nothing.
    console.menu("r7")?;
    console.menu("?")?;
    console.command("echo answer $((7 * 7))", "answer 49")?;
    no_miss(&console)?;
    console.menu("q")?;
    console.wait(r"^\[tessera\] powering off")?;
    console.wait_end()
}

fn flood(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let product = context.system("phone", Profile::Release)?;
    let mut console = context.run(&product, board)?;
    console.shell()?;
    console.type_in(format!("flood {FLOOD}\n").as_bytes())?;
    console.wait(r"^\[linux\] .*tessera-flood: running")?;
    console.wait(r"^\[linux\] .*tessera-flood: done")?;
    console.rt_seconds(1)?;
    no_miss(&console)?;
    let mut next = 1;
    for line in console.end() {
        let marked = ["[linux] ", "[rt] ", "[tessera] "]
            .iter()
            .any(|mark| line.starts_with(mark));
        ensure(marked || line.is_empty(), || {
            format!("a line without a mark: {line}")
        })?;
        let Some(rest) = line.strip_prefix("[linux] flood ") else {
            continue;
        };
        let expected = format!("{next} 0123456789 0123456789 0123456789 0123456789 0123456789");
        // What was typed is echoed in the same form, without the digits.
        if rest.trim_end() == FLOOD.to_string() {
            continue;
        }
        ensure(rest == expected, || {
            format!("line {next} of the flood came as `{line}`")
        })?;
        next += 1;
    }
    ensure(next == FLOOD + 1, || {
        format!("{} of {FLOOD} lines came", next - 1)
    })
}
