//! The one place that turns a guest-physical address into memory.

use crate::arch::{cache, copy, mmu};
use crate::object::{Partition, Placed};
use stage2::{Ipa, Pa};

/// Where `[ipa, ipa + len)` of a partition appears to the kernel; `None` if it is not all in one region.
fn locate(partition: &Partition, ipa: u64, len: u64) -> Option<usize> {
    let region = partition.region(Ipa::new(ipa), len)?;
    Some(mmu::window(Pa::new(region.pa.get() + (ipa - region.ipa))))
}

/// Writes into a partition's memory and cleans it to memory, where a guest with its caches off sees it.
pub fn write(partition: &Partition, ipa: u64, bytes: &[u8]) -> Option<()> {
    let to = locate(partition, ipa, bytes.len() as u64)?;
    // SAFETY: the region is RAM that only the partition uses and the window shows; the source is elsewhere.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) }
    cache::clean(to, bytes.len(), cache::line());
    Some(())
}

/// Copies a piece of an image into a partition's memory, cleans it to memory, and continues the CRC over it.
pub fn load(partition: &Partition, ipa: u64, bytes: &[u8], crc: u32) -> Option<u32> {
    let to = locate(partition, ipa, bytes.len() as u64)?;
    // SAFETY: the region is RAM that only the partition uses and the window shows; the source is the bundle.
    let crc = unsafe { copy::checked(to as *mut u8, bytes, crc) };
    cache::clean(to, bytes.len(), cache::line());
    Some(crc)
}

/// Fills a partition's memory with zeros and cleans it to memory.
pub fn zero(partition: &Partition, ipa: u64, len: u64) -> Option<()> {
    let to = locate(partition, ipa, len)?;
    // SAFETY: as for `write`.
    unsafe { copy::clear(to as *mut u8, len as usize) }
    cache::clean(to, len as usize, cache::line());
    Some(())
}

/// Reads a word of a partition's memory.
pub fn read_word(partition: &Partition, ipa: u64) -> Option<u32> {
    let from = locate(partition, ipa & !3, 4)?;
    // SAFETY: RAM of the partition, aligned, shown by the window; it may change meanwhile, hence volatile.
    Some(unsafe { (from as *const u32).read_volatile() })
}

/// Cleans and invalidates a piece of a region.
pub fn clean(region: &Placed, offset: u64, len: u64) {
    let at = mmu::window(Pa::new(region.pa.get() + offset));
    cache::clean_invalidate(at, len as usize, cache::line());
}
