//! Walks a flattened device tree where it lies (Devicetree Specification 0.4, chapters 2 and 5).
//!
//! One reader of tokens serves the check and the walk: [`Fdt::new`] reads the tree once from its first token to its last,
//! and what was read once can be read again. Real boards' trees break the specification's rules on names and lengths, so
//! only what a walk relies on is asked: sizes, offsets, names that end, nodes that close. Names are bytes.
//!
//! A walk goes from token to token, a cell at a time; a name or a value is looked at only where somebody asks for it.
//!
//! All of it runs once: the readers are functions of their own, which keeps the code small.

use crate::memory::Range;
use zerocopy::FromBytes;

/// The header's magic number.
const MAGIC: u32 = 0xd00d_feed;
/// Deepest nesting that is walked.
const DEEPEST: usize = 32;
/// Bytes of the longest tree that the boot protocol allows.
pub const LARGEST: usize = 2 << 20;

/// The tokens of the structure block (section 5.4.1).
pub mod kind {
    /// A node begins; its name follows.
    pub const BEGIN: u32 = 1;
    /// A node ends.
    pub const END: u32 = 2;
    /// A property: the length of its value, where its name is, the value.
    pub const PROPERTY: u32 = 3;
    /// Nothing.
    pub const NOP: u32 = 4;
    /// The structure ends.
    pub const STOP: u32 = 9;
    /// No token.
    pub const NONE: u32 = 0;
}

/// A tree that can be walked.
#[derive(Clone, Copy)]
pub struct Fdt<'a> {
    structure: &'a [u8],
    /// The same in cells, as they lie there: big-endian.
    cells: &'a [u32],
    /// Up to the last zero: every name that begins in it ends in it.
    strings: &'a [u8],
    reservations: &'a [u8],
    len: usize,
    /// The cell of the first property of /chosen; 0 if there is none.
    chosen: usize,
}

impl<'a> Fdt<'a> {
    /// The whole tree at the start of `bytes`, if it is one that can be walked.
    #[must_use]
    #[inline(never)]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut header = [0; 10];
        for (n, place) in header.iter_mut().enumerate() {
            *place = cell(bytes, n)?;
        }
        let [
            magic,
            len,
            structure,
            strings,
            reservations,
            version,
            oldest,
            _,
            strings_len,
            structure_len,
        ] = header;
        if magic != MAGIC || version < 16 || oldest > 17 {
            return None;
        }
        let bytes = part(bytes, 0, len as usize)?;
        let structure = part(bytes, structure as usize, structure_len as usize)?;
        // Section 5.4 aligns the block, and the boot protocol the tree; bytes behind the last whole cell are no token.
        let (cells, _) = <[u32]>::ref_from_prefix_with_elems(structure, structure.len() / 4).ok()?;
        let mut strings = part(bytes, strings as usize, strings_len as usize)?;
        while let [rest @ .., 1..=u8::MAX] = strings {
            strings = rest;
        }
        let mut fdt = Self {
            structure,
            cells,
            strings,
            reservations: bytes.get(reservations as usize..)?,
            len: bytes.len(),
            chosen: 0,
        };
        let (mut at, mut depth) = (0, 0usize);
        loop {
            let (kind, next) = fdt.token(at);
            match kind {
                kind::BEGIN if depth == DEEPEST => return None,
                kind::BEGIN => {
                    if depth == 1 && behind(structure, 4 * at + 4, b"chosen") == Some(0) {
                        fdt.chosen = next;
                    }
                    depth += 1;
                }
                kind::END => depth = depth.checked_sub(1)?,
                kind::PROPERTY if fdt.name_of(at) < fdt.strings.len() => {}
                kind::NOP => {}
                kind::STOP if depth == 0 => break,
                _ => return None,
            }
            at = next;
        }
        // The reservations end with a pair of zeros.
        let mut n = 0;
        while fdt.reservation(n)? != Range::default() {
            n += 1;
        }
        Some(fdt)
    }

    /// The kind of the token at a cell, and the cell of the next one. Behind the structure nothing is of a kind.
    #[inline(never)]
    pub fn token(&self, at: usize) -> (u32, usize) {
        let kind = self.cell(at);
        let mut next = at + 1;
        match kind {
            // The name ends in the first cell with a zero byte.
            kind::BEGIN => loop {
                let Some(&cell) = self.cells.get(next) else {
                    return (kind::NONE, at);
                };
                next += 1;
                if cell.wrapping_sub(0x0101_0101) & !cell & 0x8080_8080 != 0 {
                    break;
                }
            },
            kind::PROPERTY => next = at + 3 + (self.cell(at + 1) as usize).div_ceil(4),
            _ => {}
        }
        (kind, next)
    }

    /// A cell of the structure; 0 behind its end.
    #[inline(always)]
    fn cell(&self, at: usize) -> u32 {
        self.cells.get(at).map_or(0, |cell| u32::from_be(*cell))
    }

    /// Where the name of the property at a cell begins in the strings.
    #[inline(always)]
    fn name_of(&self, at: usize) -> usize {
        self.cell(at + 2) as usize
    }

    /// Length of the tree in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The root.
    #[must_use]
    pub fn root(&'a self) -> Node<'a> {
        let mut at = 0;
        loop {
            let (kind, next) = self.token(at);
            if kind != kind::NOP {
                break Node {
                    fdt: self,
                    parent: None,
                    name: 4 * at + 4,
                    at: next,
                };
            }
            at = next;
        }
    }

    /// The node /chosen, which the loader fills (section 3.6).
    #[must_use]
    pub fn chosen(&'a self) -> Option<Node<'a>> {
        (self.chosen != 0).then_some(Node {
            fdt: self,
            parent: None,
            name: 0,
            at: self.chosen,
        })
    }

    /// Entry `n` of the memory that nothing may touch (section 5.3). The last is a pair of zeros.
    #[must_use]
    #[inline(never)]
    pub fn reservation(&self, n: usize) -> Option<Range> {
        Some(Range::new(
            number(self.reservations, 4 * n, 2)?,
            number(self.reservations, 4 * n + 2, 2)?,
        ))
    }
}

/// A node of a tree, and with it every node above.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// Its tree.
    pub fdt: &'a Fdt<'a>,
    /// The node it is in.
    pub parent: Option<&'a Node<'a>>,
    /// Where its name begins in the structure, with the unit address.
    pub name: usize,
    /// The cell of its first property.
    pub at: usize,
}

/// Number of cells of an address, and of a size.
#[derive(Clone, Copy)]
pub struct Cells {
    /// Of an address.
    pub address: usize,
    /// Of a size.
    pub size: usize,
}

impl<'a> Node<'a> {
    /// The value of a property. A node's properties come before its children.
    #[must_use]
    #[inline(never)]
    pub fn property(&self, name: &[u8]) -> Option<&'a [u8]> {
        let fdt = self.fdt;
        let mut at = self.at;
        // As `token` would, without a call for each.
        while let Some(&[kind, len, from]) = fdt.cells.get(at..)?.first_chunk() {
            let (len, from) = (u32::from_be(len) as usize, u32::from_be(from) as usize);
            match u32::from_be(kind) {
                kind::PROPERTY => {
                    // Most names end here: few begin alike.
                    if fdt.strings.get(from) == name.first()
                        && behind(fdt.strings, from, name) == Some(0)
                    {
                        return part(fdt.structure, 4 * at + 12, len);
                    }
                    at += 3 + len.div_ceil(4);
                }
                kind::NOP => at += 1,
                _ => break,
            }
        }
        None
    }

    /// Whether a property is there with this value.
    #[must_use]
    #[inline(never)]
    pub fn says(&self, name: &[u8], value: &[u8]) -> bool {
        self.property(name) == Some(value)
    }

    /// A property of one or two cells.
    #[must_use]
    #[inline(never)]
    pub fn number(&self, name: &[u8]) -> Option<u64> {
        let value = self.property(name)?;
        if !matches!(value.len(), 4 | 8) {
            return None;
        }
        number(value, 0, value.len() / 4)
    }

    /// What addresses and sizes in its children's `reg` are made of (section 2.3.5).
    #[must_use]
    #[inline(never)]
    pub fn child_cells(&self) -> Cells {
        let cells = |name: &[u8]| self.property(name).and_then(|value| cell(value, 0));
        Cells {
            address: cells(b"#address-cells").unwrap_or(2) as usize,
            size: cells(b"#size-cells").unwrap_or(1) as usize,
        }
    }

    /// What addresses and sizes in its own `reg` are made of, as its parent says.
    #[must_use]
    pub fn cells(&self) -> Cells {
        self.parent.map_or(
            Cells {
                address: 2,
                size: 1,
            },
            Node::child_cells,
        )
    }

    /// Whether this is its name, given with or without the unit address.
    #[must_use]
    #[inline(never)]
    pub fn is_named(&self, name: &[u8]) -> bool {
        matches!(behind(self.fdt.structure, self.name, name), Some(0 | b'@'))
    }

    /// A child by its name, given with or without the unit address.
    #[must_use]
    #[inline(never)]
    pub fn child(&'a self, name: &[u8]) -> Option<Node<'a>> {
        let (mut at, mut depth) = (self.at, 0usize);
        loop {
            let (kind, next) = self.fdt.token(at);
            match kind {
                kind::BEGIN => {
                    let child = self.below(at, next);
                    if depth == 0 && child.is_named(name) {
                        return Some(child);
                    }
                    depth += 1;
                }
                kind::END => depth = depth.checked_sub(1)?,
                kind::PROPERTY | kind::NOP => {}
                _ => return None,
            }
            at = next;
        }
    }

    /// The child whose token is at a cell, and the token behind that at another.
    #[must_use]
    pub fn below(&'a self, token: usize, at: usize) -> Node<'a> {
        Node {
            fdt: self.fdt,
            parent: Some(self),
            name: 4 * token + 4,
            at,
        }
    }

    /// Whether its `status` lets it be used (section 2.3.4). Old trees say "ok".
    #[must_use]
    #[inline(never)]
    pub fn is_enabled(&self) -> bool {
        match self.property(b"status") {
            Some(status) => status == b"okay\0" || status == b"ok\0",
            None => true,
        }
    }
}

/// The byte that follows `name` where it stands at `from`, if it does.
#[inline(never)]
fn behind(bytes: &[u8], from: usize, name: &[u8]) -> Option<u8> {
    let mut rest = bytes.get(from..)?.iter();
    for byte in name {
        if rest.next() != Some(byte) {
            return None;
        }
    }
    rest.next().copied()
}

/// `len` bytes of a value.
#[inline(never)]
fn part(value: &[u8], from: usize, len: usize) -> Option<&[u8]> {
    value.get(from..)?.get(..len)
}

/// Big-endian cell `n` of a value.
#[must_use]
#[inline(never)]
pub fn cell(value: &[u8], n: usize) -> Option<u32> {
    value
        .as_chunks()
        .0
        .get(n)
        .map(|cell| u32::from_be_bytes(*cell))
}

/// The number in `count` cells from cell `n` on; `None` if it has more than 64 bits.
#[must_use]
#[inline(never)]
pub fn number(value: &[u8], n: usize, count: usize) -> Option<u64> {
    let mut number = 0u64;
    for n in n..n + count {
        if number >> 32 != 0 {
            return None;
        }
        number = number << 32 | u64::from(cell(value, n)?);
    }
    Some(number)
}

/// The bytes from `from` up to the next zero; `None` if there is none.
#[must_use]
#[inline(never)]
pub fn string(value: &[u8], from: usize) -> Option<&[u8]> {
    let rest = value.get(from..)?;
    let found = until(rest, 0);
    (found.len() < rest.len()).then_some(found)
}

/// The bytes before the first `end`, or all.
#[must_use]
#[inline(never)]
pub fn until(value: &[u8], end: u8) -> &[u8] {
    let mut len = 0;
    while value.get(len).is_some_and(|&byte| byte != end) {
        len += 1;
    }
    value.get(..len).unwrap_or(value)
}
