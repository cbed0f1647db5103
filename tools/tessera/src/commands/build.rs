//! `cargo tessera build`: kernel image and bundle, apart and in one file, and what they weigh.

use crate::failure::Failure;
use crate::product::{self, Options, Product};
use crate::program::Profile;
use crate::project::Project;
use crate::weight::Weight;
use std::path::Path;

/// Builds a system into `folder`.
///
/// # Errors
///
/// See [`Failure`]; a release kernel over its budget is one.
pub fn build(
    project: &Project,
    system: &Path,
    options: Options,
    folder: &Path,
) -> Result<Product, Failure> {
    let described = product::describe(&project.system(system))?;
    let product = product::build(project, described, options, folder)?;
    for path in [&product.kernel, &product.bundle, &product.single] {
        let len = std::fs::metadata(path).map_or(0, |m| m.len());
        println!("{:>12} bytes  {}", len, path.display());
    }
    let weight = Weight::of(&product.elf)?;
    println!("{weight}");
    if options.profile == Profile::Release {
        weight.hold(project)?;
    }
    Ok(product)
}
