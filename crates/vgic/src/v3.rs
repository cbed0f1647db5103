//! The register maps of a GICv3: distributor and redistributor (IHI 0069, 12.9 to 12.11).
//!
//! One security state (GICD_CTLR.DS=1), affinity routing always on (ARE=1), no LPIs and no message-based
//! SPIs, priorities of five bits. What these choices leave out is RAZ/WI. An SPI with IROUTER.IRM=1 goes to
//! vCPU 0. GICR_WAKER keeps its handshake, but a redistributor whose guest never woke it works
//! all the same, as it does on QEMU's board.

use crate::block::{NOWHERE, assign};
use crate::id::VcpuSet;
use crate::interface::Groups;
use crate::registers::{Access, BitRegister, Reader};
use crate::v2::{IIDR_VALUE, byte_register, component_id};
use crate::vgic::Vgic;

const GICD_CTLR: u32 = 0x0000;
const GICD_TYPER: u32 = 0x0004;
const GICD_IIDR: u32 = 0x0008;
const GICD_IROUTER: u32 = 0x6000;
/// Offsets of IROUTER32 and of what would be IROUTER1020.
const IROUTER_FIRST: u32 = GICD_IROUTER + 32 * 8;
const IROUTER_END: u32 = GICD_IROUTER + 1020 * 8;

const GICR_CTLR: u32 = 0x0000;
const GICR_IIDR: u32 = 0x0004;
const GICR_TYPER: u32 = 0x0008;
const GICR_WAKER: u32 = 0x0014;
const SGI_BASE: u32 = 0x1_0000;

/// Single security state, affinity routing.
const CTLR_DS_ARE: u64 = 1 << 6 | 1 << 4;
const CTLR_RWP: u64 = 1 << 31;
const REDISTRIBUTOR_RWP: u64 = 1 << 3;
/// INTIDs of ten bits.
const TYPER_IDBITS: u64 = 9 << 19;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_ASLEEP: u64 = 1 << 1 | 1 << 2;
/// The affinity bytes that exist: Aff3 is always 0 (TYPER.A3V).
const AFFINITY: u32 = 0x00ff_ffff;
const ROUTING_MODE: u64 = 1 << 31;

impl Vgic<'_> {
    #[inline]
    pub(crate) fn read_v3_distributor(&mut self, reader: Reader, offset: u32, size: u8) -> Access {
        match offset {
            0x420..0x800 if size == 1 || size == 4 => {
                let (word, bit) = byte_register(offset);
                let value = if self.has_block(word) {
                    self.read_priorities(0, word, bit, size)
                } else {
                    0
                };
                return Access::Value(value);
            }
            IROUTER_FIRST..IROUTER_END if size >= 4 => {
                return Access::Value(self.read_router(offset));
            }
            _ => {}
        }
        if size != 4 {
            return Access::Value(0);
        }
        if let Some((register, word)) = BitRegister::at(offset) {
            // With affinity routing, those of interrupts 0 to 31 are in the redistributors.
            if word == 0 || !self.has_block(word) {
                return Access::Value(0);
            }
            return self.read_bits(reader, 0, word, register);
        }
        let value = match offset {
            GICD_CTLR => {
                let rwp = if self.dist.dirty.is_empty() {
                    0
                } else {
                    CTLR_RWP
                };
                u64::from(self.dist.groups.bits()) | CTLR_DS_ARE | rwp
            }
            GICD_TYPER => u64::from(self.dist.config.spis >> 5) | TYPER_IDBITS,
            GICD_IIDR => u64::from(IIDR_VALUE),
            0xc08..0xd00 => {
                let word = (offset >> 3 & 0x1f) as u8;
                if self.has_block(word) {
                    self.read_config(0, word, offset)
                } else {
                    0
                }
            }
            0xffd0..0x1_0000 => identification(offset, 0x92),
            _ => 0,
        };
        Access::Value(value)
    }

    #[inline]
    pub(crate) fn write_v3_distributor(
        &mut self,
        vcpu: u8,
        offset: u32,
        size: u8,
        value: u64,
    ) -> VcpuSet {
        match offset {
            0x420..0x800 if size == 1 || size == 4 => {
                let (word, bit) = byte_register(offset);
                if self.has_block(word) {
                    return self.write_priorities(0, word, bit, size, value as u32);
                }
                return VcpuSet::EMPTY;
            }
            IROUTER_FIRST..IROUTER_END if size >= 4 => {
                return self.write_router(offset, value);
            }
            _ => {}
        }
        if size != 4 {
            return VcpuSet::EMPTY;
        }
        if let Some((register, word)) = BitRegister::at(offset) {
            if word == 0 || !self.has_block(word) {
                return VcpuSet::EMPTY;
            }
            return self.write_bits(vcpu, 0, word, register, value as u32);
        }
        match offset {
            GICD_CTLR => self.write_groups(Groups::from_bits(value as u8)),
            0xc08..0xd00 => {
                let word = (offset >> 3 & 0x1f) as u8;
                if self.has_block(word) {
                    self.write_config(0, word, offset, value as u32)
                } else {
                    VcpuSet::EMPTY
                }
            }
            _ => VcpuSet::EMPTY,
        }
    }

    /// IROUTER, as a whole or its lower half; Aff3, in the upper half, is 0.
    fn read_router(&self, offset: u32) -> u64 {
        let (word, bit) = router(offset);
        if !self.has_block(word) || offset & 4 != 0 {
            return 0;
        }
        let Some(block) = self.block(0, word) else {
            return 0;
        };
        let mode = if block.any & 1u32.wrapping_shl(bit) != 0 {
            ROUTING_MODE
        } else {
            0
        };
        u64::from(block.route(bit)) | mode
    }

    fn write_router(&mut self, offset: u32, value: u64) -> VcpuSet {
        let (word, bit) = router(offset);
        if !self.has_block(word) || offset & 4 != 0 {
            return VcpuSet::EMPTY;
        }
        let any = value & ROUTING_MODE != 0;
        let affinity = value as u32 & AFFINITY;
        let target = if any {
            0
        } else if (affinity as usize) < self.cpus.len() {
            affinity as u8
        } else {
            NOWHERE
        };
        if let Some(block) = self.block_mut(0, word) {
            assign(&mut block.any, 1u32.wrapping_shl(bit), any);
        }
        self.route_spi(word, bit, affinity, target)
    }

    #[inline]
    pub(crate) fn read_v3_redistributor(
        &mut self,
        reader: Reader,
        home: u8,
        offset: u32,
        size: u8,
    ) -> Access {
        let Some(sgi_offset) = offset.checked_sub(SGI_BASE) else {
            return Access::Value(self.read_rd_base(home, offset, size));
        };
        match sgi_offset {
            0x400..0x420 if size == 1 || size == 4 => {
                return Access::Value(self.read_priorities(home, 0, sgi_offset & 0x1f, size));
            }
            _ if size != 4 => return Access::Value(0),
            0xc00 | 0xc04 => return Access::Value(self.read_config(home, 0, sgi_offset)),
            _ => {}
        }
        match BitRegister::at(sgi_offset) {
            Some((register, 0)) => self.read_bits(reader, home, 0, register),
            _ => Access::Value(0),
        }
    }

    #[inline]
    pub(crate) fn write_v3_redistributor(
        &mut self,
        vcpu: u8,
        home: u8,
        offset: u32,
        size: u8,
        value: u32,
    ) -> VcpuSet {
        let Some(sgi_offset) = offset.checked_sub(SGI_BASE) else {
            self.write_rd_base(home, offset, size, value);
            return VcpuSet::EMPTY;
        };
        match sgi_offset {
            0x400..0x420 if size == 1 || size == 4 => {
                return self.write_priorities(home, 0, sgi_offset & 0x1f, size, value);
            }
            _ if size != 4 => return VcpuSet::EMPTY,
            // ICFGR0 is read-only: SGIs are edge-triggered.
            0xc04 => return self.write_config(home, 0, sgi_offset, value),
            _ => {}
        }
        match BitRegister::at(sgi_offset) {
            Some((register, 0)) => self.write_bits(vcpu, home, 0, register, value),
            _ => VcpuSet::EMPTY,
        }
    }

    /// Of RD_base only GICR_WAKER can be written.
    fn write_rd_base(&mut self, home: u8, offset: u32, size: u8, value: u32) {
        let Some(lists) = self.lists_mut(home) else {
            return;
        };
        if (offset, size) == (GICR_WAKER, 4) {
            lists.asleep = value & WAKER_PROCESSOR_SLEEP != 0;
        }
    }

    fn read_rd_base(&self, home: u8, offset: u32, size: u8) -> u64 {
        let last = usize::from(home).wrapping_add(1) == self.cpus.len();
        let number = u64::from(home);
        // Affinity, processor number, last redistributor.
        let typer = number << 32 | number << 8 | if last { 1 << 4 } else { 0 };
        let (dirty, asleep) = self
            .lists(home)
            .map_or((false, false), |lists| (lists.dirty != 0, lists.asleep));
        match (offset, size) {
            (GICR_CTLR, 4) if dirty => REDISTRIBUTOR_RWP,
            (GICR_IIDR, 4) => u64::from(IIDR_VALUE),
            (GICR_TYPER, 8) => typer,
            (GICR_TYPER, 4) => typer & 0xffff_ffff,
            (0x000c, 4) => typer >> 32,
            (GICR_WAKER, 4) if asleep => WAKER_ASLEEP,
            (0xffd0..0x1_0000, 4) => identification(offset, 0x93),
            _ => 0,
        }
    }
}

/// The block and bit of an IROUTER.
const fn router(offset: u32) -> (u8, u32) {
    let intid = offset.wrapping_sub(GICD_IROUTER) >> 3;
    ((intid >> 5) as u8, intid & 31)
}

/// PIDR4 to PIDR7, PIDR0 to PIDR3 and CIDR0 to CIDR3; PIDR2 has the architecture version.
const fn identification(offset: u32, part: u64) -> u64 {
    match offset & 0xffff {
        0xffd0 => 0x44,
        0xffe0 => part,
        0xffe4 => 0xb4,
        0xffe8 => 0x3b,
        0xfff0..0x1_0000 => component_id(offset),
        _ => 0,
    }
}
