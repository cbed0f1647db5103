//! Puts a seed for random numbers into a board's device tree.
//!
//! QEMU does that itself for the trees that it makes, not for one that it is given. The tree is
//! edited as bytes (Devicetree Specification, chapter 5), so that nothing else in it changes: real
//! boards' trees have names that strict readers refuse.

use std::io::Read;

/// Length of the seed.
const LEN: usize = 64;
const NAME: &[u8] = b"rng-seed\0";

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;

/// A new seed, or the same one always for runs that must repeat.
///
/// # Errors
///
/// The machine's source of random numbers cannot be read.
pub fn new(repeatable: bool) -> std::io::Result<[u8; LEN]> {
    let mut seed = [0x5a; LEN];
    if !repeatable {
        std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    }
    Ok(seed)
}

/// The tree with `/chosen/rng-seed`; one that has it already keeps its own.
///
/// # Errors
///
/// A sentence, if the tree is damaged or has no `/chosen`.
pub fn add(tree: &[u8], seed: &[u8; LEN]) -> Result<Vec<u8>, String> {
    let damaged = || "the board's device tree is damaged".to_string();
    let header: Vec<usize> = (0..10)
        .map(|i| word(tree, 4 * i))
        .collect::<Option<_>>()
        .ok_or_else(damaged)?;
    let [
        magic,
        _,
        structure,
        strings,
        _,
        _,
        _,
        _,
        strings_len,
        structure_len,
    ] = header[..]
    else {
        return Err(damaged());
    };
    let body = tree
        .get(structure..structure + structure_len)
        .ok_or_else(damaged)?;
    let names = tree
        .get(strings..strings + strings_len)
        .ok_or_else(damaged)?;
    if magic != MAGIC as usize {
        return Err(damaged());
    }
    let at = match chosen(body, names).ok_or_else(damaged)? {
        Chosen::HasSeed => return Ok(tree.to_vec()),
        Chosen::At(at) => at,
        Chosen::Absent => return Err("the board's device tree has no /chosen".into()),
    };
    let mut property = Vec::new();
    for value in [PROP as usize, LEN, strings_len] {
        property.extend(u32::try_from(value).unwrap_or(0).to_be_bytes());
    }
    property.extend(seed);
    // Header and reservations stay first; then the structure, then the strings.
    let first = structure.min(strings);
    let mut out = tree.get(..first).ok_or_else(damaged)?.to_vec();
    let new_structure = out.len();
    out.extend(&body[..at]);
    out.extend(&property);
    out.extend(&body[at..]);
    let new_strings = out.len();
    out.extend(names);
    out.extend(NAME);
    out.resize(out.len().next_multiple_of(8), 0);
    let total = out.len();
    for (field, value) in [
        (1, total),
        (2, new_structure),
        (3, new_strings),
        (8, strings_len + NAME.len()),
        (9, structure_len + property.len()),
    ] {
        let value = u32::try_from(value).map_err(|_| damaged())?;
        if let Some(place) = out.get_mut(4 * field..4 * field + 4) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }
    Ok(out)
}

enum Chosen {
    /// Where a first property of it would stand.
    At(usize),
    HasSeed,
    Absent,
}

/// Looks for `/chosen` in the structure; `None` if that cannot be read.
fn chosen(body: &[u8], names: &[u8]) -> Option<Chosen> {
    let (mut at, mut depth, mut found) = (0, 0, None);
    while at < body.len() {
        let token = u32::try_from(word(body, at)?).ok()?;
        at += 4;
        match token {
            BEGIN_NODE => {
                let rest = body.get(at..)?;
                let len = rest.iter().position(|&b| b == 0)?;
                depth += 1;
                let name = &rest[..len];
                at = (at + len + 1).next_multiple_of(4);
                if depth == 2 && name == b"chosen" {
                    found = Some(at);
                }
            }
            END_NODE => {
                if let (2, Some(found)) = (depth, found) {
                    return Some(Chosen::At(found));
                }
                depth -= 1;
            }
            PROP => {
                let (len, name) = (word(body, at)?, word(body, at + 4)?);
                if depth == 2 && found.is_some() && names.get(name..)?.starts_with(NAME) {
                    return Some(Chosen::HasSeed);
                }
                at = (at + 8 + len).next_multiple_of(4);
            }
            NOP => {}
            _ => break,
        }
    }
    Some(Chosen::Absent)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let raw = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(raw)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::fdt::Fdt;
    use dtoolkit::{Node, Property};

    fn tree(with_chosen: bool) -> Vec<u8> {
        let mut writer = vm_fdt::FdtWriter::new().unwrap();
        let root = writer.begin_node("").unwrap();
        writer.property_string("model", "board").unwrap();
        if with_chosen {
            let chosen = writer.begin_node("chosen").unwrap();
            writer.property_string("bootargs", "quiet").unwrap();
            writer.end_node(chosen).unwrap();
        }
        let other = writer.begin_node("other").unwrap();
        writer.property_u32("x", 7).unwrap();
        writer.end_node(other).unwrap();
        writer.end_node(root).unwrap();
        writer.finish().unwrap()
    }

    fn value(tree: &[u8], node: &str, name: &str) -> Vec<u8> {
        let fdt = Fdt::new(tree).unwrap();
        let node = fdt.find_node(node).unwrap();
        node.property(name).unwrap().value().to_vec()
    }

    #[test]
    fn a_tree_without_a_seed_gets_one_and_keeps_it() {
        let first = add(&tree(true), &[1; LEN]).unwrap();
        assert_eq!(value(&first, "/chosen", "rng-seed"), [1; LEN]);
        let second = add(&first, &[2; LEN]).unwrap();
        assert_eq!(value(&second, "/chosen", "rng-seed"), [1; LEN]);
    }

    #[test]
    fn everything_else_stays() {
        let tree = add(&tree(true), &[1; LEN]).unwrap();
        assert_eq!(value(&tree, "/chosen", "bootargs"), b"quiet\0");
        assert_eq!(value(&tree, "/other", "x"), [0, 0, 0, 7]);
    }

    #[test]
    fn a_tree_that_cannot_hold_it_is_refused() {
        assert!(add(&tree(false), &[1; LEN]).is_err());
        let whole = tree(true);
        for len in 0..whole.len() {
            assert!(add(&whole[..len], &[1; LEN]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn new_seeds_differ_unless_the_run_must_repeat() {
        assert_ne!(new(false).unwrap(), new(false).unwrap());
        assert_eq!(new(true).unwrap(), new(true).unwrap());
    }
}
