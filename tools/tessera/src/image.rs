//! What a guest's program is: an arm64 `Image`, an ELF file or a flat binary.
//!
//! The `Image` header is that of the Linux kernel's "Documentation/arch/arm64/booting.rst".

use elf::abi::{EM_AARCH64, PT_LOAD};
use elf::endian::AnyEndian;
use elf::file::Class;

/// Length of an arm64 `Image` header.
const HEADER: usize = 64;
/// `Image`s run at any address that is a multiple of this, plus their text offset.
pub const IMAGE_ALIGN: u64 = 2 << 20;

/// A program, before it has a place.
#[derive(Debug)]
pub enum Image {
    /// An arm64 `Image`.
    Linux {
        /// Where it wants to be, above a multiple of 2 MiB.
        text_offset: u64,
        /// How much memory it uses from there.
        size: u64,
        /// The file.
        bytes: Vec<u8>,
    },
    /// An ELF file.
    Elf {
        /// Its entry point.
        entry: u64,
        /// Its segments.
        segments: Vec<Segment>,
    },
    /// Something else, at an address that the description gives.
    Flat {
        /// The file.
        bytes: Vec<u8>,
    },
}

/// A loadable segment of an ELF file.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Physical address.
    pub address: u64,
    /// Bytes in the file.
    pub bytes: Vec<u8>,
    /// Bytes in memory; what exceeds `bytes` is zero.
    pub memory_len: u64,
}

/// Why a file is not a program that can be loaded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// It is something known, but not this.
    #[error("the file is {0}, not an arm64 program")]
    Other(&'static str),
    /// An ELF file for another machine.
    #[error("the ELF file is for another machine ({0}), not for 64-bit Arm")]
    Machine(String),
    /// An ELF file that is damaged or has nothing to load.
    #[error("the ELF file cannot be loaded: {0}")]
    Elf(String),
    /// An `Image` that contradicts itself.
    #[error("the arm64 Image has a bad header: {0}")]
    Header(&'static str),
    /// Nothing that is known, and no address to put it at.
    #[error("the file is neither an arm64 Image nor an ELF file")]
    Unknown,
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Other("gzip-compressed") => "unpack it first, with gunzip",
            Self::Other("zstd-compressed") => "unpack it first, with unzstd",
            Self::Other("xz-compressed") => "unpack it first, with unxz",
            Self::Unknown => {
                "if it is a flat binary, say where it is loaded: `address = 0x4020_0000`"
            }
            _ => "give an arm64 `Image`, an AArch64 ELF file, or a flat binary with `address`",
        }
    }
}

/// Beginnings of files that are often given by mistake.
const KNOWN: [(&[u8], &str); 10] = [
    (&[0x1f, 0x8b], "gzip-compressed"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd-compressed"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz-compressed"),
    (b"070701", "a cpio archive (an initramfs?)"),
    (b"!<arch>\n", "an archive (a Debian package or a library)"),
    (&[0xd0, 0x0d, 0xfe, 0xed], "a device tree"),
    (&[0x27, 0x05, 0x19, 0x56], "a U-Boot legacy image"),
    (b"#!", "a script"),
    (b"PK\x03\x04", "a zip archive"),
    (b"MZ", "a PE file without an arm64 Image header"),
];

impl Image {
    /// Recognises a program. `placed` says that the description gives its address.
    ///
    /// # Errors
    ///
    /// What it is instead.
    pub fn read(bytes: Vec<u8>, placed: bool) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::Empty);
        }
        if bytes.get(56..60) == Some(b"ARM\x64") {
            return linux(bytes);
        }
        if bytes.starts_with(b"\x7fELF") {
            return read_elf(&bytes);
        }
        if placed {
            return Ok(Self::Flat { bytes });
        }
        match KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            Some((_, what)) => Err(Error::Other(what)),
            None if bytes
                .iter()
                .take(512)
                .all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) =>
            {
                Err(Error::Other("text"))
            }
            None => Err(Error::Unknown),
        }
    }
}

fn linux(bytes: Vec<u8>) -> Result<Image, Error> {
    let field = |at: usize| {
        let raw = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        u64::from_le_bytes(raw.unwrap_or([0; 8]))
    };
    if bytes.len() < HEADER {
        return Err(Error::Header("the file is cut short"));
    }
    let (mut text_offset, mut size, flags) = (field(8), field(16), field(24));
    if size == 0 {
        // Kernels before 3.17 say neither.
        (text_offset, size) = (0x8_0000, bytes.len() as u64);
    }
    if flags & 1 != 0 {
        return Err(Error::Header("it is big-endian"));
    }
    if size < bytes.len() as u64 {
        return Err(Error::Header("its size in memory is less than the file's"));
    }
    if text_offset >= IMAGE_ALIGN || size > 1 << 40 {
        return Err(Error::Header("its text offset or its size is out of range"));
    }
    Ok(Image::Linux {
        text_offset,
        size,
        bytes,
    })
}

fn read_elf(bytes: &[u8]) -> Result<Image, Error> {
    let broken = |e: elf::ParseError| Error::Elf(e.to_string());
    let file = elf::ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(broken)?;
    if file.ehdr.e_machine != EM_AARCH64 || file.ehdr.class != Class::ELF64 {
        let name = elf::to_str::e_machine_to_human_str(file.ehdr.e_machine);
        return Err(Error::Machine(
            name.map_or_else(|| file.ehdr.e_machine.to_string(), str::to_string),
        ));
    }
    let headers = file
        .segments()
        .ok_or_else(|| Error::Elf("it has no program headers".into()))?;
    let mut segments = Vec::new();
    for header in headers
        .iter()
        .filter(|h| h.p_type == PT_LOAD && h.p_memsz > 0)
    {
        let data = file.segment_data(&header).map_err(broken)?;
        if header.p_memsz < header.p_filesz || header.p_memsz > 1 << 40 {
            return Err(Error::Elf("a segment has a bad size".into()));
        }
        if header
            .p_paddr
            .checked_add(header.p_memsz)
            .is_none_or(|end| end > 1 << 48)
        {
            return Err(Error::Elf("a segment has a bad address".into()));
        }
        segments.push(Segment {
            address: header.p_paddr,
            bytes: data.to_vec(),
            memory_len: header.p_memsz,
        });
    }
    if segments.is_empty() {
        return Err(Error::Elf("it has nothing to load".into()));
    }
    segments.sort_by_key(|s| s.address);
    Ok(Image::Elf {
        entry: file.ehdr.e_entry,
        segments,
    })
}

/// Lays the segments of an ELF file out as one flat image, from the lowest address.
///
/// Only bytes that the file has are written; zeroed memory after the last of them is left out.
///
/// # Errors
///
/// The file is not an ELF file that can be loaded, or spans more than 64 MiB.
pub fn flatten(elf: &[u8]) -> Result<Flat, Error> {
    let Image::Elf { entry, segments } = read_elf(elf)? else {
        return Err(Error::Unknown);
    };
    let base = segments.first().map_or(0, |s| s.address);
    let end = |len: fn(&Segment) -> u64| {
        let ends = segments
            .iter()
            .filter(|s| len(s) > 0)
            .map(|s| s.address + len(s) - base);
        ends.max().unwrap_or(0)
    };
    let file_len = end(|s| s.bytes.len() as u64);
    let memory_len = end(|s| s.memory_len);
    if file_len > 64 << 20 {
        return Err(Error::Elf("its segments are too far apart".into()));
    }
    let mut bytes = vec![0; usize::try_from(file_len).unwrap_or(0)];
    for segment in &segments {
        let at = usize::try_from(segment.address - base).unwrap_or(usize::MAX);
        if let Some(place) = bytes
            .get_mut(at..)
            .and_then(|b| b.get_mut(..segment.bytes.len()))
        {
            place.copy_from_slice(&segment.bytes);
        }
    }
    Ok(Flat {
        bytes,
        base,
        entry,
        memory_len,
    })
}

/// A flat image.
#[derive(Debug)]
pub struct Flat {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The address of its first byte.
    pub base: u64,
    /// The entry point.
    pub entry: u64,
    /// The memory that it uses, zeroed data included.
    pub memory_len: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file for `machine` with segments of (physical address, bytes, size in memory).
    fn elf(machine: u16, segments: &[(u64, &[u8], u64)]) -> Vec<u8> {
        let mut file = vec![0; 64 + 56 * segments.len()];
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        file[16..18].copy_from_slice(&2u16.to_le_bytes());
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[20] = 1;
        file[24..32].copy_from_slice(&0x4008_0000u64.to_le_bytes());
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[52..54].copy_from_slice(&64u16.to_le_bytes());
        file[54..56].copy_from_slice(&56u16.to_le_bytes());
        file[56] = u8::try_from(segments.len()).unwrap();
        for (i, (address, bytes, memory)) in segments.iter().enumerate() {
            let offset = file.len() as u64;
            file.extend_from_slice(bytes);
            let header = &mut file[64 + 56 * i..][..56];
            header[0] = 1;
            let fields = [
                offset,
                0xffff_0000,
                *address,
                bytes.len() as u64,
                *memory,
                8,
            ];
            for (field, value) in fields.into_iter().enumerate() {
                header[8 + 8 * field..16 + 8 * field].copy_from_slice(&value.to_le_bytes());
            }
        }
        file
    }

    #[test]
    fn an_elf_file_is_loaded_at_its_physical_addresses() {
        let file = elf(
            183,
            &[(0x4008_1000, b"data", 16), (0x4008_0000, b"code", 4)],
        );
        let Image::Elf { entry, segments } = Image::read(file, false).unwrap() else {
            panic!()
        };
        assert_eq!(entry, 0x4008_0000);
        let places: Vec<_> = segments.iter().map(|s| (s.address, s.memory_len)).collect();
        assert_eq!(places, [(0x4008_0000, 4), (0x4008_1000, 16)]);
    }

    #[test]
    fn a_flat_image_has_gaps_as_zeros_and_knows_its_memory() {
        let flat = flatten(&elf(183, &[(0x1000, b"code", 4), (0x1008, b"data", 64)])).unwrap();
        assert_eq!(flat.bytes, b"code\0\0\0\0data");
        assert_eq!((flat.base, flat.memory_len), (0x1000, 72));
    }

    #[test]
    fn an_elf_file_for_another_machine_is_named() {
        let error = Image::read(elf(62, &[(0, b"x", 1)]), false).unwrap_err();
        assert!(matches!(error, Error::Machine(_)), "{error}");
    }

    #[test]
    fn a_damaged_elf_file_is_an_error_and_never_a_panic() {
        let whole = elf(183, &[(0x1000, b"code", 4), (0x2000, b"data", 8)]);
        for at in 0..whole.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = Image::read(bytes.clone(), false);
                let _ = flatten(&bytes);
            }
            let _ = Image::read(whole[..at].to_vec(), false);
        }
        assert!(flatten(&whole[..64]).is_err());
    }

    #[test]
    fn an_old_linux_image_without_a_size_gets_the_usual_offset() {
        let mut bytes = vec![0; 128];
        bytes[56..60].copy_from_slice(b"ARM\x64");
        let Image::Linux {
            text_offset, size, ..
        } = Image::read(bytes, false).unwrap()
        else {
            panic!()
        };
        assert_eq!((text_offset, size), (0x8_0000, 128));
    }

    #[test]
    fn whatever_has_an_address_is_a_flat_binary() {
        let script = b"#!/bin/sh".to_vec();
        assert!(matches!(Image::read(script, true), Ok(Image::Flat { .. })));
    }
}
