//! `cargo tessera check`: everything that can be known about a system before it runs.

use crate::failure::Failure;
use crate::product::{self, Options};
use crate::project::Project;
use crate::quantity::{Size, count};
use std::path::Path;

/// Checks a description, its images and its timing, and shows what each partition can count on.
///
/// # Errors
///
/// Everything that is wrong.
pub fn check(project: &Project, system: &Path, options: Options) -> Result<(), Failure> {
    let described = product::describe(&project.system(system))?;
    let report = described.report.to_string();
    let (system, bundle) = product::assemble(project, described, options)?;
    println!("{report}");
    println!();
    for guest in &system.guests {
        let memory: u64 = guest.regions.iter().map(|r| r.size).sum();
        println!(
            "{:<16} {:>9} of memory, {}, starts at {:#x}",
            guest.name,
            Size(memory).to_string(),
            count(guest.vcpus.len(), "vCPU"),
            guest.entry
        );
        for load in &guest.loads {
            let end = load.ipa + load.memory_len - 1;
            println!("{:<16} {:#x} to {end:#x}: {}", "", load.ipa, load.member);
        }
    }
    println!(
        "{} fits on {}: {} on {}, a bundle of {} bytes",
        system.name,
        options.board.name(),
        count(system.guests.len(), "guest"),
        count(system.cores.len(), "core"),
        bundle.len()
    );
    Ok(())
}
