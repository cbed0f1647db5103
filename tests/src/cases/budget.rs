//! A real-time guest that never sleeps is held by its budget.

use crate::case::{Case, Failure, case};
use crate::context::Context;
use tessera::bench::products::{PROFILES, profile_name};
use tessera::board::Board;
use tessera::program::Profile;

/// The cases.
pub fn cases() -> Vec<Case> {
    let with = |profile| {
        case(
            format!(
                "a rt that loops for ever is held by its budget and Linux reaches its shell, {}",
                profile_name(profile)
            ),
            move |context| looping(context, profile),
        )
    };
    PROFILES.map(with).into()
}

fn looping(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let edits = [(
        "bootargs = \"period=1ms work=200us\"",
        "bootargs = \"mode=loop after=0\"",
    )];
    let product = context.variant("phone", "phone-loop", &edits, profile)?;
    let mut console = context.run(&product, Board::VirtGicv3)?;
    console.wait(r"^\[rt\] rt: looping for ever")?;
    console.shell()?;
    console
        .command("echo still $((40 + 2))", "still 42")
        .map(drop)
}
