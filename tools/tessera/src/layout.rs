//! Places a guest's image, initial RAM disk and device tree in its memory.
//!
//! Linux: the tree at the start of RAM, the `Image` 2 MiB above, the RAM disk after it. Anything
//! else keeps its own addresses, and the tree goes to the start of RAM or, if that is taken, to
//! the end of it. A guest without room for a tree is started with 0 in x0.

use crate::description as d;
use crate::image::{IMAGE_ALIGN, Image};
use crate::quantity::Size;
use crate::refusal::{Refusal, Source};
use crate::system::{Guest, Load};
use crate::tree;
use manifest::{Gic, LoadKind};
use toml::Spanned;

/// Where a tree may begin; the arm64 boot protocol asks for 8 bytes, this is a whole page.
const TREE_ALIGN: u64 = 0x1000;
/// Where an initial RAM disk may begin.
const INITRD_ALIGN: u64 = 0x1_0000;
/// Memory between an `Image` and its RAM disk, for what early boot code may touch.
const SLACK: u64 = 2 << 20;

/// What a guest is made of: its description and the bytes that it names.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The description.
    pub description: &'a d::Guest,
    /// The program.
    pub image: Image,
    /// The initial RAM disk.
    pub initramfs: Option<Vec<u8>>,
    /// The user's own device tree.
    pub tree: Option<Vec<u8>>,
    /// The content of its regions, by their index in the description.
    pub regions: Vec<Option<Vec<u8>>>,
}

/// Places everything and fills `guest`'s loads, entry and arguments.
///
/// # Errors
///
/// Something does not fit, or overlaps.
pub fn place(guest: &mut Guest, parts: Parts<'_>, source: &Source) -> Result<(), Refusal> {
    let Parts {
        description,
        image,
        initramfs,
        tree,
        regions,
    } = parts;
    let span = description.image.span();
    let mut loads = Vec::new();
    let entry = image_loads(guest, image, description, source, &mut loads)?;
    for (i, bytes) in regions.into_iter().enumerate() {
        let Some((bytes, region)) = bytes.zip(description.region.get(i)) else {
            continue;
        };
        loads.push(load(
            &format!("region-{i}"),
            LoadKind::Data,
            bytes,
            region.address.get_ref().0,
        ));
    }
    for load in &loads {
        fits(guest, load, source, span.clone())?;
    }
    let initrd = match initramfs {
        Some(bytes) => {
            let load = place_initrd(guest, bytes, &loads, description, source)?;
            let range = (load.ipa, load.ipa + load.memory_len);
            loads.push(load);
            Some(range)
        }
        None => None,
    };
    let trees = trees(guest, tree, initrd, description, source)?;
    let room = trees.iter().map(|t| t.bytes.len() as u64).max();
    let tree_at = room.and_then(|len| place_tree(guest, len, &loads));
    match tree_at {
        Some(at) => loads.extend(trees.into_iter().map(|t| Load { ipa: at, ..t })),
        None if initrd.is_some() => {
            let refusal = source.refuse(
                description.initramfs.as_ref().map_or(span, Spanned::span),
                format!("`{}` has no room for its device tree", guest.name),
                "the tree says where this is",
                "give the guest more memory",
            );
            return Err(refusal);
        }
        None => {}
    }
    disjoint(guest, &loads, source, description.image.span())?;
    guest.entry = description.entry.as_ref().map_or(entry, |e| e.get_ref().0);
    guest.arguments = [tree_at.unwrap_or(0), 0, 0, 0];
    if let Some(given) = &description.arguments {
        for (place, value) in guest.arguments.iter_mut().zip(given.get_ref()) {
            *place = value.0;
        }
    }
    guest.loads = loads;
    if guest.region_at(guest.entry).is_none() {
        let at = description
            .entry
            .as_ref()
            .map_or_else(|| description.image.span(), Spanned::span);
        return Err(source.refuse(
            at,
            format!(
                "`{}` would start at {:#x}, where it has no memory",
                guest.name, guest.entry
            ),
            "starts there",
            "give it memory there, or write another `entry`",
        ));
    }
    Ok(())
}

fn load(member: &str, kind: LoadKind, bytes: Vec<u8>, ipa: u64) -> Load {
    Load {
        member: member.into(),
        kind,
        ipa,
        memory_len: bytes.len() as u64,
        bytes,
        gic: Gic::Any,
        seed: None,
    }
}

/// The loads of the program; returns its entry.
fn image_loads(
    guest: &Guest,
    image: Image,
    description: &d::Guest,
    source: &Source,
    loads: &mut Vec<Load>,
) -> Result<u64, Refusal> {
    let given = description.address.as_ref();
    match image {
        Image::Linux {
            text_offset,
            size,
            bytes,
        } => {
            let ram = guest.ram().map(|r| r.ipa).min().unwrap_or(0);
            let default = ram.next_multiple_of(IMAGE_ALIGN) + IMAGE_ALIGN + text_offset;
            let at = given.map_or(default, |a| a.get_ref().0);
            if !at.wrapping_sub(text_offset).is_multiple_of(IMAGE_ALIGN) {
                return Err(source.refuse(
                    given.map_or_else(|| description.image.span(), Spanned::span),
                    format!("an arm64 Image cannot be at {at:#x}"),
                    "this address",
                    format!("write a multiple of 2 MiB plus its text offset, {text_offset:#x}"),
                ));
            }
            loads.push(Load {
                memory_len: size,
                ..load("image", LoadKind::Image, bytes, at)
            });
            Ok(at)
        }
        Image::Elf { entry, segments } => {
            for (i, segment) in segments.into_iter().enumerate() {
                // The kernel copies to multiples of eight; the bytes before are the segment's own page.
                let lead = segment.address % 8;
                let mut bytes = vec![0; usize::try_from(lead).unwrap_or(0)];
                bytes.extend_from_slice(&segment.bytes);
                loads.push(Load {
                    memory_len: segment.memory_len + lead,
                    ..load(
                        &format!("image-{i}"),
                        LoadKind::Image,
                        bytes,
                        segment.address - lead,
                    )
                });
            }
            Ok(entry)
        }
        Image::Flat { bytes } => {
            let at = given.map_or(0, |a| a.get_ref().0);
            if !at.is_multiple_of(8) {
                return Err(source.refuse(
                    given.map_or_else(|| description.image.span(), Spanned::span),
                    format!("a flat binary cannot be at {at:#x}"),
                    "this address",
                    "write a multiple of 8",
                ));
            }
            loads.push(load("image", LoadKind::Image, bytes, at));
            Ok(at)
        }
    }
}

/// Whether a load is inside one region.
fn fits(
    guest: &Guest,
    load: &Load,
    source: &Source,
    span: std::ops::Range<usize>,
) -> Result<(), Refusal> {
    let Some(region) = guest.region_at(load.ipa) else {
        return Err(source.refuse(
            span,
            format!(
                "`{}` has no memory at {:#x}, where its image is loaded",
                guest.name, load.ipa
            ),
            "this image",
            "give it memory there, or another `address`",
        ));
    };
    let room = region.size - (load.ipa - region.ipa);
    if load.memory_len > room {
        return Err(source.refuse(
            span,
            format!(
                "the image of `{}` needs {} from {:#x}, there are {}",
                guest.name,
                about(load.memory_len),
                load.ipa,
                about(room),
            ),
            "this image",
            "give the guest more memory",
        ));
    }
    Ok(())
}

fn place_initrd(
    guest: &Guest,
    bytes: Vec<u8>,
    loads: &[Load],
    description: &d::Guest,
    source: &Source,
) -> Result<Load, Refusal> {
    let after = loads.iter().find(|l| l.kind == LoadKind::Image);
    let end = after.map_or(0, |l| l.ipa + l.memory_len + SLACK);
    let at = end.next_multiple_of(INITRD_ALIGN);
    let len = bytes.len() as u64;
    let room = after
        .and_then(|l| guest.region_at(l.ipa))
        .map_or(0, |r| (r.ipa + r.size).saturating_sub(at));
    if len > room {
        return Err(source.refuse(
            description
                .initramfs
                .as_ref()
                .map_or_else(|| description.image.span(), Spanned::span),
            format!(
                "the initramfs of `{}` needs {}, there are {} after its image",
                guest.name,
                about(len),
                about(room)
            ),
            "does not fit",
            format!(
                "write `memory = \"{}MiB\"` or more",
                needed(guest, at + len)
            ),
        ));
    }
    Ok(load("initramfs", LoadKind::Initrd, bytes, at))
}

/// The memory in MiB that would do.
fn needed(guest: &Guest, end: u64) -> u64 {
    let ram = guest.ram().map(|r| r.ipa).min().unwrap_or(0);
    (end - ram).div_ceil(1 << 20).next_power_of_two()
}

/// The device trees, one for each interrupt controller that the guest can meet.
fn trees(
    guest: &Guest,
    own: Option<Vec<u8>>,
    initrd: Option<(u64, u64)>,
    description: &d::Guest,
    source: &Source,
) -> Result<Vec<Load>, Refusal> {
    let choice = description.device_tree.as_ref();
    if let Some(bytes) = own {
        if bytes.get(..4) != Some(&[0xd0, 0x0d, 0xfe, 0xed]) {
            return Err(source.refuse(
                choice.map_or(0..0, Spanned::span),
                "this file is not a compiled device tree",
                "not a device tree",
                "compile it first: dtc -O dtb",
            ));
        }
        return Ok(vec![load("tree", LoadKind::DeviceTree, bytes, 0)]);
    }
    if choice.is_some_and(|c| c.get_ref() == "none") {
        return Ok(Vec::new());
    }
    let mut loads = Vec::new();
    for (gic, member) in [(Gic::V2, "tree-gicv2"), (Gic::V3, "tree-gicv3")] {
        if !guest.gic.suits(gic) {
            continue;
        }
        let tree = tree::generate(guest, gic, initrd).map_err(|e| {
            source.refuse(
                description.image.span(),
                format!("no device tree can be generated for `{}`: {e}", guest.name),
                "this guest",
                "look for characters in its bootargs that text cannot hold",
            )
        })?;
        let seed = u32::try_from(tree::SEED)
            .ok()
            .map(|len| (tree.seed_offset, len));
        loads.push(Load {
            gic,
            seed,
            ..load(member, LoadKind::DeviceTree, tree.bytes, 0)
        });
    }
    Ok(loads)
}

/// The start of RAM if it is free, else the end of RAM, else nowhere.
fn place_tree(guest: &Guest, len: u64, loads: &[Load]) -> Option<u64> {
    let room = len.next_multiple_of(TREE_ALIGN);
    let free = |at: u64| {
        loads
            .iter()
            .all(|l| at + room <= l.ipa || at >= l.ipa + l.memory_len)
    };
    let ram = guest.ram().min_by_key(|r| r.ipa)?;
    let last = (ram.ipa + ram.size).checked_sub(room)?;
    [ram.ipa, last]
        .into_iter()
        .find(|&at| at >= ram.ipa && at <= last && free(at))
}

fn disjoint(
    guest: &Guest,
    loads: &[Load],
    source: &Source,
    span: std::ops::Range<usize>,
) -> Result<(), Refusal> {
    for (i, a) in loads.iter().enumerate() {
        for b in &loads[i + 1..] {
            let both_trees = a.kind == LoadKind::DeviceTree && b.kind == LoadKind::DeviceTree;
            if !both_trees && a.ipa < b.ipa + b.memory_len && b.ipa < a.ipa + a.memory_len {
                return Err(source.refuse(
                    span,
                    format!(
                        "`{}`: {} and {} are loaded over each other at {:#x}",
                        guest.name,
                        a.member,
                        b.member,
                        a.ipa.max(b.ipa)
                    ),
                    "this image",
                    "give another `address`, or link it somewhere else",
                ));
            }
        }
    }
    Ok(())
}

/// A size rounded for people.
fn about(n: u64) -> String {
    match n {
        n if n >= 10 << 20 => format!("{} MiB", n.div_ceil(1 << 20)),
        n if n >= 10 << 10 => format!("{} KiB", n.div_ceil(1 << 10)),
        n => Size(n).to_string(),
    }
}
