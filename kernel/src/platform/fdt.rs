//! Walks a flattened device tree where it lies (Devicetree Specification 0.4, chapters 2 and 5).
//!
//! One reader of tokens serves the check and the walk: [`Fdt::new`] reads the tree once from its first token to its last,
//! and what was read once can be read again. Real boards' trees break the specification's rules on names and lengths, so
//! only what a walk relies on is asked: sizes, offsets, names that end, nodes that close. Names are bytes.

use crate::memory::Range;

/// The header's magic number.
const MAGIC: u32 = 0xd00d_feed;
/// Deepest nesting that is walked.
const DEEPEST: usize = 32;
/// A token without meaning.
const NOP: u8 = 4;
/// Bytes of the longest tree that the boot protocol allows.
pub const LARGEST: usize = 2 << 20;

/// A tree that can be walked.
#[derive(Clone, Copy)]
pub struct Fdt<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    reservations: &'a [u8],
    len: usize,
}

enum Token<'a> {
    Begin(&'a [u8]),
    End,
    Property(&'a [u8], &'a [u8]),
    Stop,
}

impl<'a> Fdt<'a> {
    /// The whole tree at the start of `bytes`, if it is one that can be walked.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let word = |at: usize| cell(bytes, at / 4);
        if word(0)? != MAGIC || word(20)? < 16 || word(24)? > 17 {
            return None;
        }
        let len = word(4)? as usize;
        let part = |offset, size| {
            bytes
                .get(..len)?
                .get(offset as usize..)?
                .get(..size as usize)
        };
        let fdt = Self {
            structure: part(word(8)?, word(36)?)?,
            strings: part(word(12)?, word(32)?)?,
            reservations: bytes.get(..len)?.get(word(16)? as usize..)?,
            len,
        };
        fdt.walk()?;
        // The reservations end with a pair of zeros.
        fdt.reservations
            .as_chunks()
            .0
            .contains(&[0; 16])
            .then_some(fdt)
    }

    fn walk(&self) -> Option<()> {
        let (mut at, mut depth) = (0, 0usize);
        loop {
            let (token, next) = self.token(at)?;
            at = next;
            match token {
                Token::Begin(_) if depth == DEEPEST => return None,
                Token::Begin(_) => depth += 1,
                Token::End => depth = depth.checked_sub(1)?,
                Token::Property(..) => {}
                Token::Stop => return (depth == 0).then_some(()),
            }
        }
    }

    /// The token at an offset, and where the next one is.
    fn token(&self, mut at: usize) -> Option<(Token<'a>, usize)> {
        let mut rest = self.structure.get(at..)?;
        while let [0, 0, 0, NOP, more @ ..] = rest {
            rest = more;
            at += 4;
        }
        let (token, len) = match cell(rest, 0)? {
            1 => {
                let name = string(rest.get(4..)?)?;
                (Token::Begin(name), 4 + name.len() + 1)
            }
            2 => (Token::End, 4),
            3 => {
                let len = cell(rest, 1)? as usize;
                let name = string(self.strings.get(cell(rest, 2)? as usize..)?)?;
                (Token::Property(name, rest.get(12..)?.get(..len)?), 12 + len)
            }
            9 => (Token::Stop, 4),
            _ => return None,
        };
        Some((token, at + len.next_multiple_of(4)))
    }

    /// Length of the tree in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The root.
    #[must_use]
    pub fn root(&'a self) -> Node<'a> {
        let whole = Node {
            fdt: self,
            name: b"",
            at: 0,
            address_cells: 2,
            size_cells: 1,
        };
        whole.children().next().unwrap_or(whole)
    }

    /// Memory that nothing may touch (section 5.3).
    pub fn reservations(&self) -> impl Iterator<Item = Range> {
        let entries = self.reservations.as_chunks::<16>().0.iter();
        entries.take_while(|entry| **entry != [0; 16]).map(|entry| {
            Range::new(
                number(entry, 0, 2).unwrap_or(0),
                number(entry, 2, 2).unwrap_or(0),
            )
        })
    }
}

/// A node of a tree.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    fdt: &'a Fdt<'a>,
    /// Its name, with the unit address.
    pub name: &'a [u8],
    /// Offset of its first property.
    at: usize,
    /// Cells of an address in its `reg`, as its parent says.
    pub address_cells: usize,
    /// Cells of a size in its `reg`.
    pub size_cells: usize,
}

impl<'a> Node<'a> {
    /// The value of a property. A node's properties come before its children.
    #[must_use]
    pub fn property(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut at = self.at;
        while let (Token::Property(found, value), next) = self.fdt.token(at)? {
            if found == name {
                return Some(value);
            }
            at = next;
        }
        None
    }

    /// A property of one or two cells.
    #[must_use]
    pub fn number(&self, name: &[u8]) -> Option<u64> {
        let value = self.property(name)?;
        matches!(value.len(), 4 | 8).then(|| number(value, 0, value.len() / 4))?
    }

    /// Cells of an address and of a size in its children's `reg` (section 2.3.5).
    #[must_use]
    pub fn child_cells(&self) -> (usize, usize) {
        let cells = |name: &[u8], default| {
            self.property(name)
                .and_then(|value| cell(value, 0))
                .unwrap_or(default) as usize
        };
        (cells(b"#address-cells", 2), cells(b"#size-cells", 1))
    }

    /// Its children.
    pub fn children(self) -> impl Iterator<Item = Node<'a>> {
        let (address_cells, size_cells) = self.child_cells();
        let (mut at, mut depth) = (self.at, 0usize);
        core::iter::from_fn(move || {
            loop {
                let (token, next) = self.fdt.token(at)?;
                match token {
                    Token::Begin(name) => {
                        at = next;
                        depth += 1;
                        if depth == 1 {
                            return Some(Node {
                                fdt: self.fdt,
                                name,
                                at,
                                address_cells,
                                size_cells,
                            });
                        }
                    }
                    // `at` stays at this node's own end.
                    Token::End => depth = depth.checked_sub(1)?,
                    Token::Property(..) => {}
                    Token::Stop => return None,
                }
                at = next;
            }
        })
    }

    /// A child by its name, given with or without the unit address.
    #[must_use]
    pub fn child(&self, name: &[u8]) -> Option<Node<'a>> {
        self.children().find(|child| {
            let rest = child.name.strip_prefix(name);
            rest.is_some_and(|rest| rest.first().is_none_or(|&b| b == b'@'))
        })
    }

    /// Whether its `compatible` has this entry.
    #[must_use]
    pub fn is_compatible(&self, with: &[u8]) -> bool {
        self.property(b"compatible")
            .is_some_and(|value| value.split(|&b| b == 0).any(|entry| entry == with))
    }

    /// Whether its `status` lets it be used (section 2.3.4). Old trees say "ok".
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.property(b"status")
            .is_none_or(|status| matches!(status, b"okay\0" | b"ok\0"))
    }
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
    let cells = value.as_chunks::<4>().0.get(n..)?.get(..count)?;
    cells.iter().try_fold(0u64, |high, cell| {
        (high >> 32 == 0).then(|| high << 32 | u64::from(u32::from_be_bytes(*cell)))
    })
}

/// The bytes before the first zero.
#[must_use]
#[inline(never)]
pub fn string(value: &[u8]) -> Option<&[u8]> {
    value.get(..value.iter().position(|&b| b == 0)?)
}
