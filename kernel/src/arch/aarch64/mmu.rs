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
use aarch64_paging::MapError;
use aarch64_paging::descriptor::{El23Attributes as A, PhysicalAddress, VirtualAddress};
use aarch64_paging::paging::{Constraints, El2, MemoryRegion, PageTable, RootTable, Translation};
use core::ptr::NonNull;
use stage2::Pa;

/// Where physical address 0 appears.
pub const WINDOW: usize = 0x10_0000_0000;
/// Physical addresses the window can show: it ends below the kernel.
pub const REACH: u64 = 0x6f_c000_0000;

const PAGE: usize = 4096;
const BLOCK: u64 = 2 << 20;
const NORMAL: A = A::ATTRIBUTE_INDEX_0
    .union(A::INNER_SHAREABLE)
    .union(A::ACCESSED)
    .union(A::USER_RES1)
    .union(A::VALID);
const DEVICE: A = A::ATTRIBUTE_INDEX_1
    .union(A::OUTER_SHAREABLE)
    .union(A::ACCESSED)
    .union(A::USER_RES1)
    .union(A::VALID)
    .union(A::XN);

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

struct Frames<'a>(&'a mut Arena);

impl Translation<A> for Frames<'_> {
    fn allocate_table(&mut self) -> (NonNull<PageTable<A>>, PhysicalAddress) {
        let pa = self.0.frames(1);
        (self.physical_to_virtual(PhysicalAddress(pa.get() as usize)), PhysicalAddress(pa.get() as usize))
    }

    unsafe fn deallocate_table(&mut self, _: NonNull<PageTable<A>>) {}

    fn physical_to_virtual(&self, pa: PhysicalAddress) -> NonNull<PageTable<A>> {
        let va = window(Pa::new(pa.0 as u64));
        // The window never contains address 0.
        NonNull::new(va as *mut PageTable<A>).unwrap_or(NonNull::dangling())
    }
}

/// Why the tables cannot be made, in words, and at which address.
fn reason(error: &MapError) -> (&'static str, usize) {
    match error {
        MapError::AddressRange(at) | MapError::InvalidVirtualAddress(at) => ("no table maps the address", at.0),
        MapError::RegionBackwards(region) => ("the range ends before its start", region.start().0),
        MapError::BreakBeforeMakeViolation(region) => ("something is mapped in the range", region.start().0),
        MapError::PteUpdateFault(_) | MapError::InvalidFlags(_) => ("a descriptor is not possible", 0),
    }
}

/// The final tables while they are being made.
pub struct Map<'a> {
    root: RootTable<El2, Frames<'a>>,
    /// The first thing that could not be mapped.
    failed: Option<(&'static str, usize)>,
}

impl<'a> Map<'a> {
    /// Maps the image, section by section, and the trampoline.
    #[must_use]
    pub fn new(arena: &'a mut Arena) -> Self {
        let mut map = Self { root: RootTable::new(Frames(arena), 1, El2), failed: None };
        let code = NORMAL | A::READ_ONLY;
        let sections = [
            (Image::start(), Image::text_end(), code),
            (Image::text_end(), Image::rodata_end(), code | A::XN),
            (Image::rodata_end(), Image::stack_bottom() - PAGE, NORMAL | A::XN),
            (Image::stack_bottom(), Image::end(), NORMAL | A::XN),
        ];
        for (from, to, flags) in sections {
            map.add(from, to - from, image_pa() + (from - Image::start()) as u64, flags);
        }
        let low = Self::trampoline() & !(PAGE as u64 - 1);
        map.add(low as usize, PAGE, low, code);
        map
    }

    /// Physical address of the code that changes tables.
    #[must_use]
    pub fn trampoline() -> u64 {
        image_pa() + (Image::trampoline() - Image::start()) as u64
    }

    #[inline(never)]
    fn add(&mut self, va: usize, len: usize, pa: u64, flags: A) {
        let region = MemoryRegion::from(VirtualAddress(va)..VirtualAddress(va + len));
        let done = self.root.map_range(&region, PhysicalAddress(pa as usize), flags, Constraints::empty());
        if let Err(error) = done {
            self.failed.get_or_insert(reason(&error));
        }
    }

    /// Shows whole pages in the window.
    #[inline(never)]
    fn show(&mut self, start: u64, end: u64, flags: A) {
        if start < end {
            self.add(WINDOW + start as usize, (end - start) as usize, start, flags);
        }
    }

    /// Shows RAM in the window: the whole pages inside a range.
    pub fn ram(&mut self, range: Range) {
        self.show(range.start.next_multiple_of(PAGE as u64), range.end & !(PAGE as u64 - 1), NORMAL | A::XN);
    }

    /// Shows device registers in the window: every page of a range.
    pub fn device(&mut self, range: Range) {
        let pages = range.whole_pages();
        self.show(pages.start, pages.end, DEVICE);
    }

    /// Takes a page out of the window again: a guard below a stack.
    pub fn guard(&mut self, pa: Pa) {
        self.add(window(pa), PAGE, 0, A::empty());
    }

    /// Makes these the tables of this core. Returns their root for the other cores.
    ///
    /// # Errors
    ///
    /// Why something could not be mapped, and its address: a range beyond [`REACH`], or a section that the linker script
    /// has not aligned.
    ///
    /// # Safety
    ///
    /// Everything that the kernel uses from now on has been mapped.
    pub unsafe fn activate(self) -> Result<Pa, (&'static str, usize)> {
        let root = self.root.to_physical().0 as u64;
        // The tables are forgotten, not dropped: they live for ever.
        core::mem::forget(self.root);
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        cpu::dsb();
        // SAFETY: the caller vouches for the contents; `new` mapped the trampoline.
        unsafe { start::change_tables(root, Self::trampoline()) }
        Ok(Pa::new(root))
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
