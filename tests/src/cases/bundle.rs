//! A bundle that is damaged, cut short, of another version or none at all: refused with the
//! reason before any guest runs, or, for a byte of one guest's image, the end of that guest alone.

use super::refuse::{lone, refused};
use crate::case::{Case, Failure, case, ensure};
use crate::console::Console;
use crate::context::Context;
use crate::random::Random;
use tessera::archive::Archive;
use tessera::bench::products::{PROFILES, profile_name};
use tessera::board::Board;
use tessera::machine::Config;
use tessera::program::Profile;
use tessera::project;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("a damaged header is refused, whichever byte it is", header),
        case("a damaged table is refused, whichever byte it is", tables),
        case("a damaged image ends its own guest alone", image),
        case("a damaged RAM disk ends its own guest alone", ram_disk),
    ];
    for profile in PROFILES {
        let name = profile_name(profile);
        cases.push(case(
            format!("a bundle that is cut short is refused, {name}"),
            move |c| cut(c, profile),
        ));
        cases.push(case(
            format!("a bundle of another version is refused, {name}"),
            move |c| version(c, profile),
        ));
        cases.push(case(
            format!("no bundle, or another initrd, is refused, {name}"),
            move |c| no_bundle(c, profile),
        ));
    }
    cases
}

/// The same for a bundle of these bytes.
fn refused_bundle(
    context: &Context<'_>,
    config: &Config,
    bytes: &[u8],
    reason: &str,
) -> Result<(), Failure> {
    let path = context.file("cpio");
    project::write(&path, bytes)?;
    let config = Config {
        initrd: Some(path),
        ..config.clone()
    };
    refused(context, &config, reason)
}

/// Where the manifest is in a bundle, and how long its header and the whole of it are.
fn manifest_place() -> (usize, usize) {
    (
        Archive::default().next_data(manifest::MANIFEST),
        size_of::<manifest::Header>(),
    )
}

fn flipped(bundle: &[u8], at: usize, bits: u8) -> Vec<u8> {
    let mut bytes = bundle.to_vec();
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= bits;
    }
    bytes
}

fn cut(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let (_, config, bundle) = lone(context, profile)?;
    let (manifest, header) = manifest_place();
    let len = bundle.len();
    for keep in [
        len - 1,
        len / 2,
        manifest + header + 8,
        manifest + header,
        manifest + 4,
        manifest - 3,
        60,
        3,
    ] {
        let reason = r"cut short|not a Tessera bundle";
        refused_bundle(context, &config, bundle.get(..keep).unwrap_or(&[]), reason)
            .map_err(|f| Failure::new(format!("{keep} of {len} bytes: {f}")))?;
    }
    Ok(())
}

fn version(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let (_, config, bundle) = lone(context, profile)?;
    let (manifest, _) = manifest_place();
    let at = manifest + std::mem::offset_of!(manifest::Header, version);
    refused_bundle(
        context,
        &config,
        &flipped(&bundle, at, 2),
        r"version 3, this kernel reads version 1",
    )
}

fn header(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, bundle) = lone(context, Profile::Release)?;
    let (manifest, header) = manifest_place();
    let mut random = Random::new(5);
    let first = std::mem::offset_of!(manifest::Header, system);
    let mut places = vec![0, first - 1, header - 1];
    places.extend((0..context.short_or_long(4, 60)).map(|_| random.below(header as u64) as usize));
    for place in places {
        let bits = 1 << random.below(8);
        let reason = r"damaged|version|cut short|not a Tessera|outside";
        refused_bundle(
            context,
            &config,
            &flipped(&bundle, manifest + place, bits),
            reason,
        )
        .map_err(|f| Failure::new(format!("byte {place} of the header ^ {bits:#x}: {f}")))?;
    }
    Ok(())
}

fn tables(context: &Context<'_>) -> Result<(), Failure> {
    let (_, config, bundle) = lone(context, Profile::Release)?;
    let (manifest, header) = manifest_place();
    let field = std::mem::offset_of!(manifest::Header, manifest_len);
    let len = bundle
        .get(manifest + field..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u32::from_le_bytes(*b)) as usize;
    ensure(len > header, || "the manifest has no tables".into())?;
    let mut random = Random::new(6);
    let mut places = vec![header, len - 1];
    places.extend(
        (0..context.short_or_long(6, 60))
            .map(|_| header + random.below((len - header) as u64) as usize),
    );
    for place in places {
        let bits = 1 << random.below(8);
        refused_bundle(
            context,
            &config,
            &flipped(&bundle, manifest + place, bits),
            r"tables are damaged",
        )
        .map_err(|f| Failure::new(format!("byte {place} of the manifest ^ {bits:#x}: {f}")))?;
    }
    Ok(())
}

fn no_bundle(context: &Context<'_>, profile: Profile) -> Result<(), Failure> {
    let (_, config, _) = lone(context, profile)?;
    let without = Config {
        initrd: None,
        ..config.clone()
    };
    refused(context, &without, r"there is no bundle")?;
    let mut other = Archive::default();
    other.file("init", 0o755, b"#!/bin/sh\n");
    let not_a_bundle = r"the initrd is not a Tessera bundle";
    refused_bundle(context, &config, &other.finish(), not_a_bundle)?;
    refused_bundle(
        context,
        &config,
        &[0x1f, 0x8b, 8, 0].repeat(2000),
        not_a_bundle,
    )
}

/// `phone` with a byte of a member of its bundle flipped.
fn damaged(context: &Context<'_>, load: &str) -> Result<Config, Failure> {
    let product = context.system("phone", Profile::Release)?;
    let bundle = std::fs::read(&product.bundle)?;
    let mut at = 0;
    while let Some(member) = manifest::cpio::member(&bundle, at) {
        if member.name == load.as_bytes() {
            let middle =
                member.data.as_ptr() as usize - bundle.as_ptr() as usize + member.data.len() / 2;
            let path = context.file("cpio");
            project::write(&path, &flipped(&bundle, middle, 0x10))?;
            return Ok(Config {
                initrd: Some(path),
                ..context.machine(&product, Board::VirtGicv3)?
            });
        }
        at = member.next;
    }
    Err(Failure::new(format!("the bundle has no {load}")))
}

fn dead_on_arrival(console: &mut Console<'_>, guest: &str) -> Result<(), Failure> {
    console.expect_faults();
    console.wait(&format!(r"^\[tessera\] {guest}: fault: .*damaged"))?;
    console.wait(&format!(r"^\[tessera\] {guest}: off"))?;
    Ok(())
}

fn image(context: &Context<'_>) -> Result<(), Failure> {
    let mut console = context.boot(&damaged(context, "guest/rt/image")?)?;
    dead_on_arrival(&mut console, "rt")?;
    console.shell()?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: off, starts 0, faults 1")?;
    console
        .wait(r"^\[tessera\] 2 linux: running, starts 1, faults 0")
        .map(drop)
}

fn ram_disk(context: &Context<'_>) -> Result<(), Failure> {
    let mut console = context.boot(&damaged(context, "guest/linux/initramfs")?)?;
    dead_on_arrival(&mut console, "linux")?;
    console.rt_seconds(1)?;
    console.menu("s")?;
    console.wait(r"^\[tessera\] 1 rt: running, starts 1, faults 0")?;
    console
        .wait(r"^\[tessera\] 2 linux: off, starts 0, faults 1")
        .map(drop)
}
