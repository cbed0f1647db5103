//! The virtual interrupt controller against a simple model of the architecture, in random interleavings.
//!
//! A failure prints its setup; `VGIC_TRACE=1` prints every step,
//! `VGIC_SEED=n` leaves out all other setups.

mod exact;
mod fuzz;
mod machine;
mod peers;
mod race;
mod random;
mod reference;
mod simulator;
mod world;

use tessera_vgic::Version;
use world::Setup;

/// Prints the setup when a run panics.
struct Report(Setup);

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failing run: {:?}", self.0);
        }
    }
}

/// Steps per setup; there are 60 setups for each version.
const STEPS: usize = 16_384;

/// Calls `run` with many shapes of machine.
fn for_all(version: Version, base: u64, run: fn(Setup, usize)) {
    let shapes: &[(usize, usize)] = match version {
        Version::V2 => &[(1, 1), (2, 1), (2, 2), (4, 2), (8, 8)],
        Version::V3 => &[(1, 1), (2, 2), (4, 2), (9, 9), (16, 4)],
    };
    // VGIC_BASE=N: other seeds than those of every day.
    let other = std::env::var("VGIC_BASE").ok();
    let mut seed = base + other.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    for &(vcpus, cores) in shapes {
        for list_registers in [1, 2, 3, 4, 8, 16] {
            for eoi_mode_1 in [false, true] {
                seed += 1;
                let spis = if seed.is_multiple_of(5) { 256 } else { 64 };
                let setup = Setup {
                    version,
                    vcpus,
                    cores,
                    list_registers,
                    eoi_mode_1,
                    spis,
                    seed,
                    calm: (seed / 2).is_multiple_of(2),
                };
                let _report = Report(setup);
                if let Some(only) = std::env::var("VGIC_SEED").ok()
                    && only != seed.to_string()
                {
                    continue;
                }
                run(setup, STEPS);
            }
        }
    }
}

#[test]
fn v2_is_the_reference_step_by_step() {
    for_all(Version::V2, 2_000, exact::run);
}

#[test]
fn v3_is_the_reference_step_by_step() {
    for_all(Version::V3, 3_000, exact::run);
}

#[test]
fn v2_loses_and_doubles_nothing_when_kicks_are_late() {
    for_all(Version::V2, 4_000, race::run);
}

#[test]
fn v3_loses_and_doubles_nothing_when_kicks_are_late() {
    for_all(Version::V3, 5_000, race::run);
}

#[test]
fn v2_survives_random_accesses() {
    for_all(Version::V2, 6_000, fuzz::run);
}

#[test]
fn v3_survives_random_accesses() {
    for_all(Version::V3, 7_000, fuzz::run);
}
