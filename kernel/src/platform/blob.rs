//! Checks that a flattened device tree can be walked (Devicetree Specification 0.4, chapter 5).
//!
//! The parsing crate's own check also wants every property name to have at most 31 characters, which real boards' trees do
//! not keep, so this one looks only at what a walk relies on: sizes, offsets, strings, and nodes that close.

/// The header's magic number.
const MAGIC: u32 = 0xd00d_feed;
/// Deepest nesting that is walked.
const DEEPEST: u32 = 32;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

/// The whole tree at the start of `bytes`, if it is one that can be walked.
#[must_use]
pub fn check(bytes: &[u8]) -> Option<&[u8]> {
    if word(bytes, 0)? != MAGIC || word(bytes, 20)? < 16 || word(bytes, 24)? > 17 {
        return None;
    }
    let tree = bytes.get(..word(bytes, 4)? as usize)?;
    let part = |offset: usize, size: usize| {
        let start = word(tree, offset)? as usize;
        tree.get(start..start.checked_add(word(tree, size)? as usize)?)
    };
    let strings = part(12, 32)?;
    walk(part(8, 36)?, strings)?;
    // The reservations end with a pair of zeros.
    let reservations = tree.get(word(tree, 16)? as usize..)?;
    reservations.as_chunks::<16>().0.iter().any(|entry| *entry == [0; 16]).then_some(tree)
}

fn walk(structure: &[u8], strings: &[u8]) -> Option<()> {
    let mut at = 0usize;
    let mut depth = 0u32;
    loop {
        let token = word(structure, at)?;
        at += 4;
        match token {
            1 => {
                let name = structure.get(at..)?.iter().position(|&b| b == 0)?;
                core::str::from_utf8(structure.get(at..at + name)?).ok()?;
                at = (at + name + 1).next_multiple_of(4);
                depth += 1;
                if depth > DEEPEST {
                    return None;
                }
            }
            2 => depth = depth.checked_sub(1)?,
            3 => {
                let (len, name) = (word(structure, at)? as usize, word(structure, at + 4)? as usize);
                let name = strings.get(name..)?;
                core::str::from_utf8(name.get(..name.iter().position(|&b| b == 0)?)?).ok()?;
                at += 8;
                structure.get(at..at.checked_add(len)?)?;
                at = (at + len).next_multiple_of(4);
            }
            4 => {}
            9 => return (depth == 0).then_some(()),
            _ => return None,
        }
    }
}
