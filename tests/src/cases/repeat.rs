//! Under `-icount` a run is the same every time; and the single-file image is the same system.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use tessera::bench::products::{PROFILES, profile_name};
use tessera::board::Board;
use tessera::product::Product;
use tessera::program::Profile;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "two runs of phone give the same transcript, on virt-gicv3",
            |c| same(c, Board::VirtGicv3),
        ),
        case(
            "two runs of phone give the same transcript, on virt-gicv2",
            |c| same(c, Board::VirtGicv2),
        ),
    ];
    for profile in PROFILES {
        cases.push(case(
            format!(
                "the single-file image boots phone by itself, {}",
                profile_name(profile)
            ),
            move |context| single(context, profile),
        ));
    }
    cases
}

fn same(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let product = context.system("phone", Profile::Release)?;
    let first = transcript(context, &product, board)?;
    let second = transcript(context, &product, board)?;
    let differs = first.iter().zip(&second).position(|(a, b)| a != b);
    if let Some(at) = differs {
        let show = |lines: &[String]| lines.get(at).cloned().unwrap_or_default();
        return Err(Failure::new(format!(
            "line {at} is `{}`, then `{}`",
            show(&first),
            show(&second)
        )));
    }
    ensure(first.len() == second.len(), || {
        format!("{} lines, then {}", first.len(), second.len())
    })?;
    context.note(format!("{} lines", first.len()));
    Ok(())
}

/// The lines before Linux's shell.
fn transcript(
    context: &Context<'_>,
    product: &Product,
    board: Board,
) -> Result<Vec<String>, Failure> {
    const READY: &str = "[linux] tessera-shell-ready";
    let mut console = context.run(product, board)?;
    console.wait(r"^\[linux\] tessera-shell-ready")?;
    let lines = console.lines().iter();
    Ok(lines
        .take_while(|l| !l.starts_with(READY))
        .cloned()
        .collect())
}

fn single(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let product = context.system("phone", profile)?;
    let path = context
        .shared()
        .products
        .single("phone", profile, &context.file("build"))?;
    let mut config = context.machine(&product, Board::VirtGicv3)?;
    config.kernel = path;
    config.initrd = None;
    let mut console = context.boot(&config)?;
    console.shell()?;
    console
        .command("echo answer $((6 * 7))", "answer 42")
        .map(drop)
}
