//! Walks a flattened device tree where it lies (Devicetree Specification 0.4, chapters 2 and 5).
//!
//! One reader of tokens serves the check and the walk: [`Fdt::new`] reads the tree once from its first token to its last,
//! and what was read once can be read again. Real boards' trees break the specification's rules on names and lengths, so
//! only what a walk relies on is asked: sizes, offsets, names that end, nodes that close. Names are bytes.
//!
//! All of it runs once: the readers are functions of their own, which keeps the code small.

use crate::memory::Range;

/// The header's magic number.
const MAGIC: u32 = 0xd00d_feed;
/// Deepest nesting that is walked.
const DEEPEST: usize = 32;
/// Bytes of the longest tree that the boot protocol allows.
pub const LARGEST: usize = 2 << 20;

/// The tokens of the structure block (section 5.4.1).
mod kind {
    pub const BEGIN: u32 = 1;
    pub const END: u32 = 2;
    pub const PROPERTY: u32 = 3;
    pub const NOP: u32 = 4;
    pub const STOP: u32 = 9;
}

/// A tree that can be walked.
#[derive(Clone, Copy)]
pub struct Fdt<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    reservations: &'a [u8],
    len: usize,
}

/// A token with what belongs to it: the name of a node or of a property, and the property's value.
struct Token<'a> {
    kind: u32,
    name: &'a [u8],
    value: &'a [u8],
    /// The cell at which the next token is.
    next: usize,
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
        let fdt = Self {
            structure: part(bytes, structure as usize, structure_len as usize)?,
            strings: part(bytes, strings as usize, strings_len as usize)?,
            reservations: bytes.get(reservations as usize..)?,
            len: bytes.len(),
        };
        let (mut at, mut depth) = (0, 0usize);
        loop {
            let token = fdt.token(at)?;
            at = token.next;
            match token.kind {
                kind::BEGIN if depth == DEEPEST => return None,
                kind::BEGIN => depth += 1,
                kind::END => depth = depth.checked_sub(1)?,
                kind::PROPERTY => {}
                _ if depth != 0 => return None,
                _ => break,
            }
        }
        // The reservations end with a pair of zeros.
        let mut n = 0;
        while fdt.reservation(n)? != Range::default() {
            n += 1;
        }
        Some(fdt)
    }

    /// The token at a cell.
    #[inline(never)]
    fn token(&self, mut at: usize) -> Option<Token<'a>> {
        while cell(self.structure, at)? == kind::NOP {
            at += 1;
        }
        let kind = cell(self.structure, at)?;
        let mut token = Token {
            kind,
            name: &[],
            value: &[],
            next: at + 1,
        };
        match kind {
            kind::BEGIN => {
                token.name = string(self.structure, 4 * at + 4)?;
                token.next += token.name.len() / 4 + 1;
            }
            kind::PROPERTY => {
                let len = cell(self.structure, at + 1)? as usize;
                token.name = string(self.strings, cell(self.structure, at + 2)? as usize)?;
                token.value = part(self.structure, 4 * at + 12, len)?;
                token.next += 2 + len.div_ceil(4);
            }
            kind::END | kind::STOP => {}
            _ => return None,
        }
        Some(token)
    }

    /// Length of the tree in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The root.
    #[must_use]
    pub fn root(&'a self) -> Node<'a> {
        // Its token begins the structure; `new` has seen that it closes.
        let at = self.token(0).map_or(0, |token| token.next);
        Node {
            fdt: self,
            parent: None,
            name: b"",
            at,
        }
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
    fdt: &'a Fdt<'a>,
    /// The node it is in.
    pub parent: Option<&'a Node<'a>>,
    /// Its name, with the unit address.
    name: &'a [u8],
    /// The cell of its first property, which also tells it from every other node.
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
        let mut at = self.at;
        loop {
            let token = self.fdt.token(at)?;
            if token.kind != kind::PROPERTY {
                return None;
            }
            if token.name == name {
                return Some(token.value);
            }
            at = token.next;
        }
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

    /// Its children.
    #[must_use]
    pub fn children(&'a self) -> Children<'a> {
        Children {
            node: self,
            at: self.at,
            depth: 0,
        }
    }

    /// Whether this is its name, given with or without the unit address.
    #[must_use]
    #[inline(never)]
    pub fn is_named(&self, name: &[u8]) -> bool {
        part(self.name, 0, name.len()) == Some(name)
            && *self.name.get(name.len()).unwrap_or(&b'@') == b'@'
    }

    /// A child by its name, given with or without the unit address.
    #[must_use]
    #[inline(never)]
    pub fn child(&'a self, name: &[u8]) -> Option<Node<'a>> {
        self.children().find(|child| child.is_named(name))
    }

    /// Where the node at a path below this one is.
    #[must_use]
    pub fn find(&self, mut path: &[u8]) -> Option<usize> {
        let mut at = self.at;
        loop {
            let name = until(path, b'/');
            at = Node { at, ..*self }.child(name)?.at;
            match path.get(name.len() + 1..) {
                Some(rest) => path = rest,
                None => return Some(at),
            }
        }
    }

    /// Whether its `status` lets it be used (section 2.3.4). Old trees say "ok".
    #[must_use]
    #[inline(never)]
    pub fn is_enabled(&self) -> bool {
        self.property(b"status").is_none()
            || self.says(b"status", b"okay\0")
            || self.says(b"status", b"ok\0")
    }
}

/// The children of a node, one after the other.
pub struct Children<'a> {
    node: &'a Node<'a>,
    at: usize,
    depth: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let token = self.node.fdt.token(self.at)?;
            match token.kind {
                kind::BEGIN => self.depth += 1,
                // `at` stays at the node's own end.
                kind::END => self.depth = self.depth.checked_sub(1)?,
                kind::STOP => return None,
                _ => {}
            }
            self.at = token.next;
            if token.kind == kind::BEGIN && self.depth == 1 {
                return Some(Node {
                    fdt: self.node.fdt,
                    parent: Some(self.node),
                    name: token.name,
                    at: self.at,
                });
            }
        }
    }
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
