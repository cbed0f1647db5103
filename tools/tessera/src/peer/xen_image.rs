//! Reads what must be known of Xen's `Image`: where a loader puts it, how long it is, and where
//! its vectors are. Debian's package has no symbols.
//!
//! The header is that of Linux's "Documentation/arch/arm64/booting.rst". The vectors are known by
//! their form (Arm ARM, "Vector tables"): sixteen entries of 128 bytes from a multiple of 2 KiB,
//! of which each begins with a branch. Xen's other tables of that form begin with something else.

/// Length of an `Image` header.
const HEADER: usize = 64;
/// Where Xen for 64-bit Arm is linked to, up to 4.17 (`XEN_VIRT_START`).
pub const LINKED: u64 = 0x20_0000;

const TABLE: usize = 0x800;
const ENTRY: usize = 0x80;

/// What is known of an image of Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How far above a multiple of 2 MiB it is loaded.
    pub text_offset: u64,
    /// Its bytes in memory.
    pub size: u64,
    /// Its vectors, as linked.
    pub vectors: u64,
}

/// Why a file is not an image of Xen that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No `Image`.
    #[error("Xen's file is not an arm64 Image")]
    NoImage,
    /// Not one table, but so many.
    #[error("Xen's image has {0} tables that could be its exception vectors, not one")]
    Vectors(usize),
}

/// Reads an image of Xen.
pub fn read(bytes: &[u8]) -> Result<Layout, Unreadable> {
    let field = |at: usize| {
        let raw = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(raw))
    };
    let is_image = bytes.len() >= HEADER && bytes.get(56..60) == Some(b"ARM\x64");
    let (Some(text_offset), Some(size), true) = (field(8), field(16), is_image) else {
        return Err(Unreadable::NoImage);
    };
    let tables: Vec<usize> = (0..bytes.len())
        .step_by(TABLE)
        .filter(|at| is_table(bytes, *at))
        .collect();
    let [table] = tables[..] else {
        return Err(Unreadable::Vectors(tables.len()));
    };
    Ok(Layout {
        text_offset,
        size,
        vectors: LINKED + table as u64,
    })
}

/// Whether each of the sixteen entries from `at` is a branch.
fn is_table(bytes: &[u8], at: usize) -> bool {
    (at..at + TABLE).step_by(ENTRY).all(|entry| {
        let raw = bytes.get(entry..entry + 4).and_then(|b| b.try_into().ok());
        raw.is_some_and(|raw| u32::from_le_bytes(raw) >> 26 == 0b00_0101)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with tables at these places.
    fn image(tables: &[usize]) -> Vec<u8> {
        let mut bytes = vec![0; 0x4000];
        bytes[16..24].copy_from_slice(&0x5000u64.to_le_bytes());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        for table in tables {
            for entry in (0..TABLE).step_by(ENTRY) {
                let branch = 0x1400_0000u32 | 0x3ff_ff00;
                bytes[table + entry..][..4].copy_from_slice(&branch.to_le_bytes());
            }
        }
        bytes
    }

    #[test]
    fn the_vectors_are_found_by_their_form() {
        let expected = Layout {
            text_offset: 0,
            size: 0x5000,
            vectors: LINKED + 0x1800,
        };
        assert_eq!(read(&image(&[0x1800])), Ok(expected));
    }

    #[test]
    fn no_table_and_two_tables_are_refused() {
        assert_eq!(read(&image(&[])), Err(Unreadable::Vectors(0)));
        assert_eq!(read(&image(&[0x1000, 0x2800])), Err(Unreadable::Vectors(2)));
        let mut bytes = image(&[0x1800]);
        bytes[0x1800 + 15 * ENTRY + 3] = 0x94;
        assert_eq!(read(&bytes), Err(Unreadable::Vectors(0)));
    }

    #[test]
    fn what_is_no_image_is_refused_at_every_length() {
        let whole = image(&[0x1800]);
        for len in 0..HEADER {
            assert_eq!(read(&whole[..len]), Err(Unreadable::NoImage));
        }
        assert_eq!(read(&whole[..0x1f00]), Err(Unreadable::Vectors(0)));
    }
}
