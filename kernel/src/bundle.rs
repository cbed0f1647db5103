//! Finds and reads the bundle: the cpio archive with the manifest and the guests' images.

use crate::arch::{crc, mmu};
use crate::memory::Range;
use manifest::{Error, MANIFEST, Manifest, cpio};

/// Reads and checks the manifest of a bundle.
///
/// # Errors
///
/// What is wrong with it.
pub fn read(bundle: &[u8]) -> Result<Manifest<'_>, Error> {
    let member = cpio::member(bundle, 0).ok_or_else(|| {
        // A cut archive has its first bytes.
        let (have, need) = (bundle.len(), cpio::least(bundle));
        if bundle.starts_with(&cpio::NEWC) && have < need {
            Error::BundleShort { have: have as u64, need: need as u64 }
        } else {
            Error::NotABundle
        }
    })?;
    if member.name != MANIFEST.as_bytes() {
        return Err(Error::NotABundle);
    }
    Manifest::parse(member.data, bundle.len() as u64, crc::crc32)
}

/// The bundle that follows the kernel image in memory, in the single-file form; `start` is the image's end. What is there
/// is read through the boot tables.
pub fn appended(map: &mut mmu::BootMap, start: u64) -> Option<Range> {
    let at = map.map(start, 4096, false)?;
    // SAFETY: just mapped; RAM behind the image, which the loader filled if it filled anything.
    let bytes = unsafe { core::slice::from_raw_parts(at as *const u8, 4096) };
    if !bytes.starts_with(&cpio::NEWC) || bytes.get(cpio::HEADER_LEN..)?.get(..MANIFEST.len())? != MANIFEST.as_bytes() {
        return None;
    }
    let header = cpio::align(cpio::HEADER_LEN + MANIFEST.len() + 1)?;
    let len = manifest::bundle_len(bytes.get(header..)?)?;
    Some(Range::new(start, len))
}
