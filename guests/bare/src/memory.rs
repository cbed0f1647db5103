//! The guest's own address space, built in two steps: what runs and the device tree first,
//! with the MMU off; then, with caches on, the devices that the tree names.

use crate::arch;
use crate::board::{Address, Board, GicBoard, VIRT_GICD};
use crate::paging::{Kind, Tables};
use core::cell::UnsafeCell;
use dtoolkit::fdt::Fdt;

struct Slot(UnsafeCell<Tables>);

// SAFETY: reached through the one `Space` only.
unsafe impl Sync for Slot {}

static TABLES: Slot = Slot(UnsafeCell::new(Tables::new()));

/// The most that a device tree may take (Linux, booting.rst).
const LARGEST_TREE: u64 = 2 << 20;
const TREE_MAGIC: [u8; 4] = [0xD0, 0x0D, 0xFE, 0xED];

/// The address space.
pub struct Space(&'static mut Tables);

impl Space {
    /// Maps the image and the tree, and turns the MMU on.
    ///
    /// # Safety
    ///
    /// Called once, first, with the MMU off.
    pub unsafe fn start(tree: Address) -> Self {
        // SAFETY: by the promise of the caller this is the only reference ever made.
        let tables = unsafe { &mut *TABLES.0.get() };
        let (start, end) = arch::image();
        tables.map(start, end.0 - start.0, Kind::Memory);
        if tree.0 != 0 {
            tables.map(tree, LARGEST_TREE, Kind::Memory);
        }
        // SAFETY: the image holds the code, the stack and all statics.
        unsafe { arch::enable_mmu(tables.root()) };
        Self(tables)
    }

    /// The device tree at `tree`, when there is one that is well formed.
    ///
    /// # Safety
    ///
    /// `tree` is what was given to [`Space::start`]: 0, or where the boot protocol put a
    /// device tree that stays there and does not change.
    pub unsafe fn tree(&self, tree: Address) -> Option<Fdt<'static>> {
        if tree.0 == 0 || !tree.0.is_multiple_of(8) || tree.0 >> crate::paging::ADDRESS_BITS != 0 {
            return None;
        }
        let start = tree.0 as *const u8;
        // SAFETY: mapped by `start`; the protocol promises at least a header there.
        let header: [u8; 8] = unsafe { start.cast::<[u8; 8]>().read() };
        let [m0, m1, m2, m3, size @ ..] = header;
        let size = u64::from(u32::from_be_bytes(size));
        if [m0, m1, m2, m3] != TREE_MAGIC || size > LARGEST_TREE {
            return None;
        }
        // SAFETY: `size` bytes from there are the tree, mapped and unchanging.
        let bytes = unsafe { core::slice::from_raw_parts(start, size as usize) };
        Fdt::new(bytes).ok()
    }

    /// Maps the devices of the board and the range of memory that the image is in.
    pub fn add_board(&mut self, board: &Board<'_>) {
        match board.gic {
            GicBoard::V2 {
                distributor,
                cpu_interface,
            } => {
                self.add_device(distributor, 0x1_0000);
                self.add_device(cpu_interface, 0x2000);
            }
            GicBoard::V3 {
                distributor,
                redistributors,
                redistributors_size,
            } => {
                self.add_device(distributor, 0x1_0000);
                self.add_device(redistributors, redistributors_size);
            }
            // The whole gap that the `virt` board has for them.
            GicBoard::Probe => self.add_device(VIRT_GICD, 0x0100_0000),
        }
        if let Some(uart) = board.uart {
            self.add_device(uart.address, 0x1000);
        }
        let (image, _) = arch::image();
        for range in board.memory.iter().flatten() {
            if (range.start.0..range.start.0.saturating_add(range.size)).contains(&image.0) {
                self.0.map(range.start, range.size, Kind::Memory);
            }
        }
        arch::publish_tables();
    }

    /// Maps device registers.
    pub fn add_device(&mut self, start: Address, size: u64) {
        self.0.map(start, size, Kind::Device);
        arch::publish_tables();
    }
}
