//! The newc cpio format: what the kernel needs to find the manifest, and what the host writes.
//!
//! A member is a 110-byte ASCII header of hexadecimal fields, its name, padding to four bytes, its
//! data, padding to four bytes. The member `TRAILER!!!` ends the archive. (The format is that of
//! the Linux initramfs, "Documentation/driver-api/early-userspace/buffer-format.rst".)

/// Length of a member's header.
pub const HEADER_LEN: usize = 110;
/// The first bytes of a member's header.
pub const NEWC: [u8; 6] = *b"070701";
/// Name of the member that ends an archive.
pub const TRAILER: &str = "TRAILER!!!";

/// A member of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name, without the terminating zero.
    pub name: &'a [u8],
    /// Offset of its data from the start of the archive.
    pub offset: usize,
    /// Its bytes.
    pub data: &'a [u8],
    /// Offset of the next member's header from the start of the archive.
    pub next: usize,
}

/// Reads the member whose header begins `at` bytes into the archive.
///
/// `None` if there is no whole member there.
#[must_use]
pub fn member(archive: &[u8], at: usize) -> Option<Member<'_>> {
    let (name_end, offset, end) = extent(archive, at)?;
    let name = archive.get(at.checked_add(HEADER_LEN)?..name_end)?;
    let name = name.get(..name.iter().position(|&b| b == 0)?)?;
    Some(Member {
        name,
        offset,
        data: archive.get(offset..end)?,
        next: align(end)?,
    })
}

/// How long an archive is at least that begins like this: to the end of its first member if that member's header is there.
#[must_use]
pub fn least(archive: &[u8]) -> usize {
    extent(archive, 0).map_or(HEADER_LEN, |(_, _, end)| end)
}

/// Where the name, the padding after it and the data of a member end, as its header says.
fn extent(archive: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    let name_at = at.checked_add(HEADER_LEN)?;
    let header = archive.get(at..name_at)?;
    if header.get(..6)? != NEWC {
        return None;
    }
    let name_end = name_at.checked_add(hex(header.get(94..102)?)?)?;
    let offset = align(name_end)?;
    Some((
        name_end,
        offset,
        offset.checked_add(hex(header.get(54..62)?)?)?,
    ))
}

/// Writes the header of a regular file with `name_size` bytes of name (its zero included).
#[must_use]
pub fn header(inode: u32, name_size: u32, size: u32) -> [u8; HEADER_LEN] {
    let mut out = [b'0'; HEADER_LEN];
    let links: u32 = 1;
    let fields: [u32; 13] = [
        inode, 0o100_644, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0,
    ];
    let (magic, rest) = out.split_at_mut(NEWC.len());
    magic.copy_from_slice(&NEWC);
    for (place, value) in rest.chunks_exact_mut(8).zip(fields) {
        let mut value = value;
        for digit in place.iter_mut().rev() {
            *digit = char::from_digit(value & 15, 16).map_or(b'0', |c| c as u8);
            value >>= 4;
        }
    }
    out
}

/// Rounds up to the format's alignment of four.
#[must_use]
pub fn align(n: usize) -> Option<usize> {
    Some(n.checked_add(3)? & !3)
}

fn hex(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(digit as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (i, (name, data)) in files.iter().enumerate() {
            out.extend(header(i as u32, name.len() as u32 + 1, data.len() as u32));
            out.extend(name.as_bytes());
            out.push(0);
            out.resize(align(out.len()).unwrap(), 0);
            out.extend(*data);
            out.resize(align(out.len()).unwrap(), 0);
        }
        out
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = archive(&[("a/b", b"hello"), (TRAILER, b"")]);
        let first = member(&bytes, 0).unwrap();
        assert_eq!((first.name, first.data), (&b"a/b"[..], &b"hello"[..]));
        let last = member(&bytes, first.next).unwrap();
        assert_eq!(last.name, TRAILER.as_bytes());
        assert_eq!(member(&bytes, last.next), None);
    }

    #[test]
    fn a_cut_archive_has_no_member_there() {
        let bytes = archive(&[("file", b"0123456789")]);
        for len in 0..bytes.len() - 2 {
            assert_eq!(member(&bytes[..len], 0), None, "cut to {len}");
        }
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes: Vec<u8>, at: usize) {
            let _ = member(&bytes, at);
            if bytes.len() >= 6 {
                bytes[..6].copy_from_slice(&NEWC);
                let _ = member(&bytes, 0);
            }
        }
    }

    #[test]
    fn a_cut_archive_says_how_long_its_first_member_is() {
        let whole = archive(&[("a", b"12345")]);
        let end = member(&whole, 0).map(|m| m.offset + m.data.len());
        assert_eq!(Some(least(&whole[..HEADER_LEN])), end);
        assert_eq!(least(&whole[..HEADER_LEN - 1]), HEADER_LEN);
    }
}
