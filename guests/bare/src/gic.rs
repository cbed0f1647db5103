//! The interrupt controller, GICv2 or GICv3 (Arm IHI 0048 and IHI 0069).
//!
//! All interrupts of the guest are of one group: group 1 on a GICv3, and on a GICv2 the group
//! that the controller gives a guest without being asked, as Linux does.

use crate::arch::{self, icc};
use crate::board::{self, Address, GicBoard, IntId};
use crate::registers::Registers;

const GICD_CTLR: usize = 0x000;
const GICD_TYPER: usize = 0x004;
const GICD_IGROUPR: usize = 0x080;
/// GICD_ISENABLER0; as the next three, one bit for each interrupt.
pub const GICD_ISENABLER: usize = 0x100;
/// GICD_ICENABLER0.
pub const GICD_ICENABLER: usize = 0x180;
const GICD_ISPENDR: usize = 0x200;
const GICD_ICPENDR: usize = 0x280;
const GICD_IPRIORITYR: usize = 0x400;
const GICD_ITARGETSR: usize = 0x800;
const GICD_SGIR: usize = 0xF00;
const GICD_IROUTER: usize = 0x6000;
/// Interrupts from here on are not SPIs.
const SPI_END: u32 = 1020;
/// GICD_CTLR.RWP: a write is still taking effect.
const CTLR_RWP: u32 = 1 << 31;
/// GICD_PIDR2 of a GICv2, whose distributor is 4 KiB. A GICv3 has nothing there.
const GICV2_PIDR2: usize = 0xFE8;

const GICC_CTLR: usize = 0x00;
const GICC_PMR: usize = 0x04;
const GICC_IAR: usize = 0x0C;
const GICC_EOIR: usize = 0x10;

const GICR_TYPER: usize = 0x0008;
const GICR_WAKER: usize = 0x0014;
/// The frame of the private interrupts follows the frame of the redistributor.
const SGI_FRAME: usize = 0x1_0000;
/// Two frames of 64 KiB per core; GICv4 has four.
const GICR_STRIDE: u64 = 0x2_0000;
const GICR_STRIDE_V4: u64 = 0x4_0000;

/// The controller, ready to use.
#[derive(Clone, Copy)]
pub enum Gic {
    /// GICv2.
    V2 {
        /// GICD.
        distributor: Registers,
        /// GICC.
        cpu_interface: Registers,
    },
    /// GICv3.
    V3 {
        /// GICD.
        distributor: Registers,
        /// The SGI and PPI frame of this core's redistributor.
        private: Registers,
    },
}

/// What a board description says, with a GIC that is not described looked up in the
/// distributor of the `virt` board (GICD_PIDR2.ArchRev).
///
/// # Safety
///
/// For `GicBoard::Probe` the distributor of the `virt` board is mapped as device memory.
pub unsafe fn probe(gic: GicBoard) -> GicBoard {
    if gic != GicBoard::Probe {
        return gic;
    }
    // SAFETY: by the promise of the caller.
    let distributor = unsafe { Registers::new(board::VIRT_GICD) };
    match distributor.read(GICV2_PIDR2) >> 4 & 0xF {
        1 | 2 => GicBoard::V2 {
            distributor: board::VIRT_GICD,
            cpu_interface: board::VIRT_GICC,
        },
        _ => GicBoard::V3 {
            distributor: board::VIRT_GICD,
            redistributors: board::VIRT_GICR,
            redistributors_size: board::VIRT_GICR_SIZE,
        },
    }
}

impl Gic {
    /// Starts the controller: nothing enabled, every priority let in.
    ///
    /// Returns nothing when no redistributor is this core's.
    ///
    /// # Safety
    ///
    /// The addresses in `gic` are those of the interrupt controller, mapped as device memory.
    pub unsafe fn start(gic: GicBoard) -> Option<Self> {
        match gic {
            GicBoard::V2 {
                distributor,
                cpu_interface,
            } => {
                // SAFETY: by the promise of the caller.
                let (distributor, cpu_interface) =
                    unsafe { (Registers::new(distributor), Registers::new(cpu_interface)) };
                distributor.write(GICD_CTLR, 1);
                cpu_interface.write(GICC_PMR, 0xFF);
                cpu_interface.write(GICC_CTLR, 1);
                Some(Self::V2 {
                    distributor,
                    cpu_interface,
                })
            }
            GicBoard::V3 {
                distributor,
                redistributors,
                redistributors_size,
            } => {
                // SAFETY: by the promise of the caller.
                let distributor = unsafe { Registers::new(distributor) };
                // ARE and the enable bit of non-secure group 1, seen from a machine with one
                // security state or two.
                distributor.write(GICD_CTLR, 0x12);
                wait_clear(distributor, GICD_CTLR, CTLR_RWP);
                // SAFETY: as above.
                let own = unsafe { own_redistributor(redistributors, redistributors_size)? };
                // SAFETY: as above.
                let control = unsafe { Registers::new(own) };
                wake(control);
                // SAFETY: as above; the second frame of the same redistributor.
                let private = unsafe { Registers::new(Address(own.0 + SGI_FRAME as u64)) };
                icc::enable();
                Some(Self::V3 {
                    distributor,
                    private,
                })
            }
            GicBoard::Probe => None,
        }
    }

    /// Lets an interrupt in, at a priority (0 is the highest), on this core.
    pub fn enable(&self, interrupt: IntId, priority: u8) {
        let number = interrupt.0 as usize;
        let (word, bit) = (number / 32 * 4, 1 << (number % 32));
        let registers = self.registers_of(interrupt);
        registers.write8(GICD_IPRIORITYR + number, priority);
        match *self {
            Self::V2 { distributor, .. } if number >= 32 => {
                distributor.write8(GICD_ITARGETSR + number, self.identity() as u8);
            }
            Self::V2 { .. } => {}
            Self::V3 { distributor, .. } => {
                let group = registers.read(GICD_IGROUPR + word);
                registers.write(GICD_IGROUPR + word, group | bit);
                if number >= 32 {
                    let affinity = arch::affinity();
                    let router = GICD_IROUTER + number * 8;
                    distributor.write(router, affinity & 0x00FF_FFFF);
                    distributor.write(router + 4, affinity >> 24);
                }
            }
        }
        registers.write(GICD_ISENABLER + word, bit);
    }

    /// Where the distributor's registers are.
    pub fn distributor(&self) -> Registers {
        match *self {
            Self::V2 { distributor, .. } | Self::V3 { distributor, .. } => distributor,
        }
    }

    /// The first number that is not an SPI of this distributor (GICD_TYPER.ITLinesNumber).
    pub fn spi_end(&self) -> u32 {
        let lines = self.distributor().read(GICD_TYPER) & 0x1F;
        (32 * (lines + 1)).min(SPI_END)
    }

    /// Sets the priority of an SPI; returns what the controller keeps of it.
    pub fn set_priority(&self, spi: IntId, priority: u8) -> u8 {
        let offset = GICD_IPRIORITYR + spi.0 as usize;
        self.distributor().write8(offset, priority);
        let word = self.distributor().read(offset & !3);
        (word >> (offset % 4 * 8)) as u8
    }

    /// Keeps an interrupt out, and forgets that it was pending.
    pub fn disable(&self, interrupt: IntId) {
        for register in [GICD_ICENABLER, GICD_ICPENDR] {
            let (offset, bit) = bit_of(register, interrupt);
            self.registers_of(interrupt).write(offset, bit);
        }
    }

    /// The frame that an interrupt's registers are in.
    fn registers_of(&self, interrupt: IntId) -> Registers {
        match *self {
            Self::V3 { private, .. } if interrupt.0 < 32 => private,
            Self::V2 { distributor, .. } | Self::V3 { distributor, .. } => distributor,
        }
    }

    /// What makes an SPI pending: a write to GICD_ISPENDR.
    pub fn pend(&self, spi: IntId) -> Trigger {
        let (offset, value) = bit_of(GICD_ISPENDR, spi);
        Trigger::Store {
            registers: self.distributor(),
            offset,
            value,
        }
    }

    /// How others send this core an SGI.
    pub fn identity(&self) -> u32 {
        match self {
            // What GICD_ITARGETSR0 reads as for its own interrupts; 0 where there is one core.
            Self::V2 { distributor, .. } => (distributor.read(GICD_ITARGETSR) & 0xFF).max(1),
            Self::V3 { .. } => arch::affinity(),
        }
    }

    /// What sends SGI `number` to the core with this [`Gic::identity`].
    pub fn sgi(&self, number: IntId, identity: u32) -> Trigger {
        let number = number.0 & 0xF;
        match *self {
            Self::V2 { distributor, .. } => Trigger::Store {
                registers: distributor,
                offset: GICD_SGIR,
                value: (identity & 0xFF) << 16 | number,
            },
            Self::V3 { .. } => {
                let [aff0, aff1, aff2, aff3] = identity.to_le_bytes().map(u64::from);
                let list = 1 << (aff0 & 0xF) | (aff0 >> 4) << 44;
                let cluster = aff1 << 16 | aff2 << 32 | aff3 << 48;
                Trigger::Sgi1(u64::from(number) << 24 | cluster | list)
            }
        }
    }

    /// Takes the pending interrupt; the word to hand back to [`Gic::end`]. Its low bits are
    /// the number, 1020 and above for none.
    #[inline]
    pub fn acknowledge(&self) -> u32 {
        match *self {
            Self::V2 { cpu_interface, .. } => cpu_interface.read(GICC_IAR),
            Self::V3 { .. } => icc::acknowledge(),
        }
    }

    /// Ends an interrupt: priority drop and deactivation.
    #[inline]
    pub fn end(&self, word: u32) {
        match *self {
            Self::V2 { cpu_interface, .. } => cpu_interface.write(GICC_EOIR, word),
            Self::V3 { .. } => icc::end(word),
        }
    }

    /// 2 or 3.
    pub fn version(&self) -> u64 {
        match self {
            Self::V2 { .. } => 2,
            Self::V3 { .. } => 3,
        }
    }
}

/// A write that makes an interrupt.
#[derive(Clone, Copy)]
pub enum Trigger {
    /// To a register of the distributor.
    Store {
        /// The distributor.
        registers: Registers,
        /// The register.
        offset: usize,
        /// What is written.
        value: u32,
    },
    /// To ICC_SGI1R_EL1.
    Sgi1(u64),
}

impl Trigger {
    /// Does it.
    #[inline]
    pub fn pull(self) {
        match self {
            Self::Store {
                registers,
                offset,
                value,
            } => registers.write(offset, value),
            Self::Sgi1(value) => icc::send(value),
        }
    }
}

/// Where an interrupt's bit is in the array of registers that begins at `first`.
pub fn bit_of(first: usize, interrupt: IntId) -> (usize, u32) {
    let number = interrupt.0 as usize;
    (first + number / 32 * 4, 1 << (number % 32))
}

/// The redistributor whose GICR_TYPER has this core's affinity.
///
/// # Safety
///
/// `size` bytes at `first` are redistributors, mapped as device memory.
unsafe fn own_redistributor(first: Address, size: u64) -> Option<Address> {
    let mut address = first.0;
    while address < first.0.checked_add(size)? {
        // SAFETY: by the promise of the caller.
        let typer = unsafe { Registers::new(Address(address)) }.read64(GICR_TYPER);
        if (typer >> 32) as u32 == arch::affinity() {
            return Some(Address(address));
        }
        let (last, virtual_lpis) = (typer & 1 << 4 != 0, typer & 1 << 1 != 0);
        if last {
            return None;
        }
        address += if virtual_lpis {
            GICR_STRIDE_V4
        } else {
            GICR_STRIDE
        };
    }
    None
}

/// Tells a redistributor that its core is awake (ProcessorSleep, ChildrenAsleep).
fn wake(redistributor: Registers) {
    let waker = redistributor.read(GICR_WAKER);
    redistributor.write(GICR_WAKER, waker & !(1 << 1));
    wait_clear(redistributor, GICR_WAKER, 1 << 2);
}

/// Waits until a bit is clear, but not for ever.
fn wait_clear(registers: Registers, offset: usize, bit: u32) {
    for _ in 0..1_000_000 {
        if registers.read(offset) & bit == 0 {
            break;
        }
    }
}
