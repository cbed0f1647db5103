//! The register map of a GICv2 distributor (IHI 0048, 4.3), without the Security Extensions.
//!
//! - SGIs are enabled for good, as in the GIC-400. They are pending per source; the active state is one per SGI.
//! - With one vCPU the ITARGETSRs are RAZ/WI, and all SPIs go to that vCPU.
//! - An SPI with several targets goes to the lowest of them.

use crate::block::NOWHERE;
use crate::id::{VcpuIndex, VcpuSet};
use crate::interface::Groups;
use crate::registers::{Access, BitRegister, Reader};
use crate::vgic::Vgic;

const CTLR: u32 = 0x000;
const TYPER: u32 = 0x004;
const IIDR: u32 = 0x008;
const SGIR: u32 = 0xf00;
/// Arm's JEP106 code as the implementer, 'T' as the product.
pub(crate) const IIDR_VALUE: u32 = 0x5400_043b;
const SGIS: u32 = 0xffff;

impl Vgic<'_> {
    #[inline]
    pub(crate) fn read_v2(&mut self, reader: Reader, offset: u32, size: u8) -> Access {
        // Interrupts 0 to 31 are those of the accessing vCPU.
        let home = reader.vcpu;
        match offset {
            0x400..0x800 if size != 2 && size != 8 => {
                let (word, bit) = byte_register(offset);
                let value = if self.has_block(word) {
                    self.read_priorities(home, word, bit, size)
                } else {
                    0
                };
                return Access::Value(value);
            }
            0x800..0xc00 if size != 2 && size != 8 => {
                let (word, bit) = byte_register(offset);
                return Access::Value(self.read_targets(home, word, bit, size));
            }
            0xf10..0xf30 if size != 2 && size != 8 => {
                return self.read_sgi_sources(reader, offset, size);
            }
            _ => {}
        }
        if size != 4 {
            return Access::Value(0);
        }
        if let Some((register, word)) = BitRegister::at(offset) {
            if !self.has_block(word) {
                return Access::Value(0);
            }
            return self.read_bits(reader, home, word, register);
        }
        let value = match offset {
            CTLR => u64::from(self.dist.groups.bits()),
            TYPER => {
                let vcpus = self.cpus.len().wrapping_sub(1) as u64;
                u64::from(self.dist.config.spis >> 5) | vcpus << 5
            }
            IIDR => u64::from(IIDR_VALUE),
            0xc00..0xd00 => {
                let word = (offset >> 3 & 0x1f) as u8;
                if self.has_block(word) {
                    self.read_config(home, word, offset)
                } else {
                    0
                }
            }
            // PIDR4 to PIDR7, PIDR0 to PIDR3, CIDR0 to CIDR3; PIDR2 has the architecture version.
            0xfd0 => 0x04,
            0xfe0 => 0x90,
            0xfe4 => 0xb4,
            0xfe8 => 0x2b,
            0xff0..0x1000 => component_id(offset),
            _ => 0,
        };
        Access::Value(value)
    }

    #[inline]
    pub(crate) fn write_v2(&mut self, vcpu: u8, offset: u32, size: u8, value: u32) -> VcpuSet {
        match offset {
            0x400..0x800 if size != 2 && size != 8 => {
                let (word, bit) = byte_register(offset);
                if self.has_block(word) {
                    return self.write_priorities(vcpu, word, bit, size, value);
                }
                return VcpuSet::EMPTY;
            }
            0x800..0xc00 if size != 2 && size != 8 => {
                let (word, bit) = byte_register(offset);
                return self.write_targets(word, bit, size, value);
            }
            0xf10..0xf30 if size != 2 && size != 8 => {
                return self.write_sgi_sources(vcpu, offset, size, value);
            }
            _ => {}
        }
        if size != 4 {
            return VcpuSet::EMPTY;
        }
        if let Some((register, word)) = BitRegister::at(offset) {
            if !self.has_block(word) {
                return VcpuSet::EMPTY;
            }
            let value = match register {
                // Enabled for good; pending by SGIR and SPENDSGIR only.
                BitRegister::SetEnable
                | BitRegister::ClearEnable
                | BitRegister::SetPending
                | BitRegister::ClearPending
                    if word == 0 =>
                {
                    value & !SGIS
                }
                _ => value,
            };
            return self.write_bits(vcpu, vcpu, word, register, value);
        }
        match offset {
            CTLR => self.write_groups(Groups::from_bits(value as u8)),
            SGIR => self.send_sgi_v2(vcpu, value),
            // ICFGR0 is read-only: SGIs are edge-triggered.
            0xc04..0xd00 => {
                let word = (offset >> 3 & 0x1f) as u8;
                if self.has_block(word) {
                    self.write_config(vcpu, word, offset, value)
                } else {
                    VcpuSet::EMPTY
                }
            }
            _ => VcpuSet::EMPTY,
        }
    }

    /// ITARGETSR; those of SGIs and PPIs name the vCPU that reads.
    fn read_targets(&self, vcpu: u8, word: u8, bit: u32, size: u8) -> u64 {
        if self.cpus.len() < 2 || !self.has_block(word) {
            return 0;
        }
        let Some(block) = self.block(vcpu, word) else {
            return 0;
        };
        let mut value = 0u64;
        for index in 0..u32::from(size.min(4)) {
            let targets = match word {
                0 => 1u32.wrapping_shl(u32::from(vcpu)),
                _ => block.route(bit.wrapping_add(index)),
            };
            value |= u64::from(targets & 0xff).wrapping_shl(index.wrapping_mul(8));
        }
        value
    }

    fn write_targets(&mut self, word: u8, bit: u32, size: u8, value: u32) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        if self.cpus.len() < 2 || word == 0 || !self.has_block(word) {
            return kicks;
        }
        let present = 1u32.wrapping_shl(self.cpus.len() as u32).wrapping_sub(1);
        for index in 0..u32::from(size.min(4)) {
            let targets = value.wrapping_shr(index.wrapping_mul(8)) & 0xff & present;
            let target = if targets == 0 {
                NOWHERE
            } else {
                targets.trailing_zeros() as u8
            };
            kicks |= self.route_spi(word, bit.wrapping_add(index) & 31, targets, target);
        }
        kicks
    }

    /// Sends an SPI to `target`, and keeps `route` for it to be read back.
    pub(crate) fn route_spi(&mut self, word: u8, bit: u32, route: u32, target: u8) -> VcpuSet {
        let Some(block) = self.block_mut(0, word) else {
            return VcpuSet::EMPTY;
        };
        block.set_route(bit, route);
        if block.target(bit) == target {
            return VcpuSet::EMPTY;
        }
        let mask = 1u32.wrapping_shl(bit);
        self.unqueue(0, word, mask);
        let Some(block) = self.block_mut(0, word) else {
            return VcpuSet::EMPTY;
        };
        block.set_target(bit, (target != NOWHERE).then_some(VcpuIndex::new(target)));
        let held = block.held_pending & mask;
        self.mark_dirty(0, word, held) | self.refresh(0, word, mask)
    }

    /// CPENDSGIR (0xf10) and SPENDSGIR (0xf20): a byte of sources for each SGI.
    fn read_sgi_sources(&mut self, reader: Reader, offset: u32, size: u8) -> Access {
        let first = offset & 15;
        let sgis = 1u32
            .wrapping_shl(u32::from(size))
            .wrapping_sub(1)
            .wrapping_shl(first);
        if let Some(set) = self.observe(reader, reader.vcpu, 0, sgis & SGIS) {
            return Access::Retry(set);
        }
        let mut value = 0u64;
        for index in 0..u32::from(size.min(4)) {
            let sources = self.sgi_sources(reader.vcpu, first.wrapping_add(index) as u16);
            value |= u64::from(sources).wrapping_shl(index.wrapping_mul(8));
        }
        Access::Value(value)
    }

    fn write_sgi_sources(&mut self, vcpu: u8, offset: u32, size: u8, value: u32) -> VcpuSet {
        let present = 1u32.wrapping_shl(self.cpus.len() as u32).wrapping_sub(1) as u8;
        let mut kicks = VcpuSet::EMPTY;
        for index in 0..u32::from(size.min(4)) {
            let intid = (offset & 15).wrapping_add(index) as u16 & 15;
            let sources = value.wrapping_shr(index.wrapping_mul(8)) as u8 & present;
            kicks |= if offset < 0xf20 {
                self.remove_sgi_sources(vcpu, intid, sources)
            } else {
                self.add_sgi_sources(vcpu, intid, sources)
            };
        }
        kicks
    }
}

/// The block and bit of a register with a byte per interrupt.
#[inline]
pub(crate) const fn byte_register(offset: u32) -> (u8, u32) {
    ((offset >> 5 & 0x1f) as u8, offset & 0x1f)
}

/// CIDR0 to CIDR3, at the end of every frame: a CoreLink component.
#[inline]
pub(crate) const fn component_id(offset: u32) -> u64 {
    match offset & 0xf {
        0x0 => 0x0d,
        0x4 => 0xf0,
        0x8 => 0x05,
        0xc => 0xb1,
        _ => 0,
    }
}
