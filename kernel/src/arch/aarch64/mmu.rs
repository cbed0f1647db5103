//! EL2's own address space.
//!
//! | from | what |
//! |---|---|
//! | physical address of the trampoline | one page, to switch tables and to start cores |
//! | [`WINDOW`] + physical address | RAM without the kernel image, read and write, never executable; device registers |
//! | where `kernel.ld` links it | the image: code read-execute, constants read-only, data read-write |
//!
//! Nothing is writable and executable (SCTLR_EL2.WXN enforces it), address 0 is never mapped, and
//! each stack ends at a page that is not mapped.

use super::mmio::Mmio;
use super::start::Image;
use super::{cache, cpu, start};
use crate::memory::{Arena, Range};
use stage2::Pa;

/// Where physical address 0 appears.
pub const WINDOW: usize = 0x10_0000_0000;
/// Physical addresses the window can show: it ends below the kernel.
pub const REACH: u64 = 0x6f_c000_0000;

const PAGE: usize = 4096;
const BLOCK: u64 = 2 << 20;

/// Descriptors of stage 1 at EL2 (Arm ARM D8, "VMSAv8-64 translation table format descriptors").
mod descriptor {
    /// Bit 0: there is a translation.
    pub const VALID: u64 = 1;
    /// Bit 1: a table, or at level 3 a page; not a block.
    pub const TABLE_OR_PAGE: u64 = 1 << 1;
    /// The address of a page, a block or a table.
    pub const ADDRESS: u64 = 0xffff_ffff_f000;
    /// AP\[2\].
    pub const READ_ONLY: u64 = 1 << 7;
    /// Never executable.
    pub const XN: u64 = 1 << 54;
    /// AP\[1\] is RES1 where EL0 is not translated; the access flag.
    const ALWAYS: u64 = 1 << 6 | 1 << 10 | VALID;
    /// Attribute 0 (normal memory), Inner Shareable.
    pub const NORMAL: u64 = 3 << 8 | ALWAYS;
    /// Attribute 1 (Device-nGnRE), Outer Shareable.
    pub const DEVICE: u64 = 1 << 2 | 2 << 8 | XN | ALWAYS;
    /// No translation: what is left of an address in the descriptor does not count.
    pub const NONE: u64 = 0;
}
use descriptor::{DEVICE, NORMAL, READ_ONLY, XN};

/// The address at which physical memory or a device appears.
#[inline(always)]
#[must_use]
pub const fn window(pa: Pa) -> usize {
    WINDOW + pa.get() as usize
}

/// The boot tables, while they are the live ones: maps 2 MiB blocks into the window.
pub struct BootMap {
    level: u64,
    used: usize,
}

impl BootMap {
    /// Takes over the boot tables.
    ///
    /// # Safety
    ///
    /// Only once, on the boot core, at exception level `level`, before [`Map::activate`].
    #[must_use]
    pub unsafe fn new(level: u64) -> Self {
        Self { level, used: 0 }
    }

    /// Maps the 2 MiB blocks that hold `[pa, pa + len)`; `None` if the spare tables or the window do not suffice.
    #[inline(never)]
    pub fn map(&mut self, pa: u64, len: u64, device: bool) -> Option<usize> {
        const TABLES: usize = 7;
        if pa.checked_add(len)? > REACH {
            return None;
        }
        let root = Image::boot_tables() as *mut u64;
        let mut at = pa & !(BLOCK - 1);
        while at < pa + len {
            let va = WINDOW as u64 + at;
            // SAFETY: the root has 512 entries and this core alone uses it.
            let entry = unsafe { root.add((va >> 30) as usize & 511) };
            // SAFETY: as above.
            let mut table = unsafe { entry.read_volatile() };
            if table == 0 {
                let index = 3 + self.used;
                if index >= TABLES {
                    return None;
                }
                self.used += 1;
                // The tables' physical address follows from the identity of the image.
                table = image_pa() + (Image::boot_tables() - Image::start() + index * PAGE) as u64 | 3;
                // SAFETY: as above; the new table is zero.
                unsafe { entry.write_volatile(table) }
            }
            let offset = (table & !0xfff) - image_pa();
            let table = (Image::start() as u64 + offset) as *mut u64;
            let attributes = if device { 0x0040_0000_0000_0605 } else { 0x0040_0000_0000_0701 };
            let user = if self.level == 1 { 0 } else { 0x40 };
            // SAFETY: one of the boot tables; the entry was invalid or the same, so no break is needed.
            unsafe { table.add((va >> 21) as usize & 511).write_volatile(at | attributes | user) }
            at += BLOCK;
        }
        cpu::dsb();
        cpu::isb();
        Some(WINDOW + pa as usize)
    }
}

static IMAGE_PA: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

/// Where the image lies in physical memory.
#[must_use]
pub fn image_pa() -> u64 {
    IMAGE_PA.load(core::sync::atomic::Ordering::Relaxed)
}

/// Remembers where the image lies; the first thing that boot does.
pub fn set_image_pa(pa: u64) {
    IMAGE_PA.store(pa, core::sync::atomic::Ordering::Relaxed);
}

/// The final tables while they are being made. Nothing translates by them yet, so an entry can be replaced at once.
pub struct Map<'a> {
    arena: &'a mut Arena,
    root: Pa,
    /// The first address that the window cannot show.
    failed: Option<u64>,
}

impl<'a> Map<'a> {
    /// Maps the image, section by section, and the trampoline.
    #[must_use]
    pub fn new(arena: &'a mut Arena) -> Self {
        let root = arena.frames(1);
        let mut map = Self { arena, root, failed: None };
        let sections = [
            (Image::start(), Image::text_end(), NORMAL | READ_ONLY),
            (Image::text_end(), Image::rodata_end(), NORMAL | READ_ONLY | XN),
            (Image::rodata_end(), Image::stack_bottom() - PAGE, NORMAL | XN),
            (Image::stack_bottom(), Image::end(), NORMAL | XN),
        ];
        for (from, to, flags) in sections {
            map.add(from as u64, to as u64, image_pa() + (from - Image::start()) as u64, flags);
        }
        let low = Self::trampoline() & !(PAGE as u64 - 1);
        map.add(low, low + PAGE as u64, low, NORMAL | READ_ONLY);
        map
    }

    /// Physical address of the code that changes tables.
    #[must_use]
    pub fn trampoline() -> u64 {
        image_pa() + (Image::trampoline() - Image::start()) as u64
    }

    /// Maps the pages of `[va, end)` to those from `pa` on, in blocks of 1 GiB and 2 MiB where they fit.
    #[inline(never)]
    fn add(&mut self, mut va: u64, end: u64, pa: u64, flags: u64) {
        let offset = pa.wrapping_sub(va);
        while va < end {
            let (mut table, mut shift) = (self.root, 30);
            va += loop {
                let index = (va >> shift) & 511;
                let place = (window(table) as *mut u64).wrapping_add(index as usize);
                // SAFETY: an entry of one of these tables, which came from the arena and which the window shows.
                let old = unsafe { place.read() };
                let size = 1u64 << shift;
                let pa = va.wrapping_add(offset);
                let entry = pa & descriptor::ADDRESS | flags;
                if shift == 12 {
                    // All that are in this table.
                    let count = ((end - va) >> 12).min(512 - index);
                    for page in 0..count {
                        let entry = (entry | descriptor::TABLE_OR_PAGE) + (page << 12);
                        // SAFETY: as above.
                        unsafe { place.add(page as usize).write(entry) }
                    }
                    break count << 12;
                }
                let is_table = old & 3 == 3;
                if !is_table && (va | pa) & (size - 1) == 0 && end - va >= size {
                    // SAFETY: as above.
                    unsafe { place.write(entry) }
                    break size;
                }
                shift -= 9;
                table = if is_table { Pa::new(old & descriptor::ADDRESS) } else { self.split(place, old, shift) };
            };
        }
    }

    /// Makes a table of what an entry says now, with entries of `1 << shift` bytes: pieces of a block, or none at all.
    #[inline(never)]
    fn split(&mut self, place: *mut u64, old: u64, shift: u32) -> Pa {
        let table = self.arena.frames(1);
        let page = if shift == 12 { descriptor::TABLE_OR_PAGE } else { 0 };
        // Of none at all there are no pieces: a frame comes zeroed.
        let pieces = if old & descriptor::VALID == 0 { 0 } else { 512 };
        for index in 0..pieces {
            let piece = old + ((index as u64) << shift) | page;
            // SAFETY: a frame that was just taken, and an entry that `add` has found.
            unsafe { (window(table) as *mut u64).add(index).write(piece) }
        }
        // SAFETY: as above.
        unsafe { place.write(table.get() | descriptor::TABLE_OR_PAGE | descriptor::VALID) }
        table
    }

    /// Shows whole pages in the window.
    #[inline(never)]
    fn show(&mut self, start: u64, end: u64, flags: u64) {
        if end > REACH {
            self.failed.get_or_insert(start);
        } else if start < end {
            self.add(WINDOW as u64 + start, WINDOW as u64 + end, start, flags);
        }
    }

    /// Shows RAM in the window: the whole pages inside a range.
    pub fn ram(&mut self, range: Range) {
        self.show(range.start.saturating_add(PAGE as u64 - 1) & !(PAGE as u64 - 1), range.end & !(PAGE as u64 - 1), NORMAL | XN);
    }

    /// Shows device registers in the window: every page of a range.
    pub fn device(&mut self, range: Range) {
        let pages = range.whole_pages();
        self.show(pages.start, pages.end, DEVICE);
    }

    /// Takes a page out of the window again: a guard below a stack.
    pub fn guard(&mut self, pa: Pa) {
        self.show(pa.get(), pa.get() + PAGE as u64, descriptor::NONE);
    }

    /// Makes these the tables of this core. Returns their root for the other cores.
    ///
    /// # Errors
    ///
    /// The first address of something that lies beyond [`REACH`].
    ///
    /// # Safety
    ///
    /// Everything that the kernel uses from now on has been mapped.
    pub unsafe fn activate(self) -> Result<Pa, u64> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        cpu::dsb();
        // SAFETY: the caller vouches for the contents; `new` mapped the trampoline.
        unsafe { start::change_tables(self.root.get(), Self::trampoline()) }
        Ok(self.root)
    }
}

/// The registers of a device at a physical address that [`Map::device`] or [`BootMap::map`] has shown.
///
/// # Safety
///
/// It has been shown, and the device tree says that these are the registers of that device.
#[must_use]
pub unsafe fn registers(pa: u64, len: u64) -> Mmio {
    // SAFETY: as the caller says.
    unsafe { Mmio::new(WINDOW + pa as usize, len as usize) }
}

/// Cleans a kernel object to memory, for a core that reads it before its MMU is on.
pub fn publish<T>(object: &T) {
    cache::clean(core::ptr::from_ref(object) as usize, size_of::<T>(), cache::line());
    cpu::dsb();
}
