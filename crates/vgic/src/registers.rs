//! Accesses to the registers (IHI 0048, 4.3; IHI 0069, 12.9 to 12.11): what a read comes to, and what a write does.
//!
//! Which register it is, [`map`](crate::map) says; what concerns active interrupts is in [`bits`](crate::bits).

use crate::block::{NOWHERE, assign, byte};
use crate::id::{VcpuIndex, VcpuSet};
use crate::interface::{CpuInterface, Groups};
use crate::map::Register;
use crate::vgic::{Spot, Vgic};

/// Arm's JEP106 code as the implementer, 'T' as the product.
const IIDR_VALUE: u32 = 0x5400_043b;
/// GICD_CTLR of a GICv3: single security state, affinity routing.
const CTLR_DS_ARE: u32 = 1 << 6 | 1 << 4;
const CTLR_RWP: u32 = 1 << 31;
const REDISTRIBUTOR_RWP: u32 = 1 << 3;
/// GICD_TYPER of a GICv3: INTIDs of ten bits.
const TYPER_IDBITS: u32 = 9 << 19;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_ASLEEP: u32 = 1 << 1 | 1 << 2;
/// The affinity bytes that exist: Aff3 is always 0 (TYPER.A3V).
const AFFINITY: u32 = 0x00ff_ffff;
const ROUTING_MODE: u32 = 1 << 31;
/// The bits of the SGIs in a block of private interrupts.
pub(crate) const SGIS: u32 = 0xffff;

/// A frame of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// GICD: 4 KiB with GICv2, 64 KiB with GICv3.
    Distributor,
    /// GICR of one vCPU (GICv3): RD_base, and SGI_base at 0x10000.
    Redistributor(VcpuIndex),
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The value.
    Value(u64),
    /// The answer lies in list registers of these vCPUs: kick them, so that they sync, and have the guest execute
    /// its load again. The second read finds the state of that sync, so the guest makes progress.
    Retry(VcpuSet),
}

impl Vgic<'_> {
    /// Reads a register. `vcpu` is the vCPU that executes the access; sizes that are not 1, 2, 4 or 8 read as 0,
    /// like all that the architecture does not define.
    #[inline(never)]
    pub fn read(&mut self, vcpu: VcpuIndex, frame: Frame, offset: u32, size: u8) -> Access {
        let (register, place) = self.decode(vcpu, frame, offset, size);
        let spot = place.spot();
        let unknown = match register {
            Register::SetPending
            | Register::ClearPending
            | Register::SetActive
            | Register::ClearActive => u32::MAX,
            Register::ClearSources | Register::SetSources => {
                let sgis = 1u32.wrapping_shl(u32::from(size)).wrapping_sub(1);
                sgis.wrapping_shl(spot.bit) & SGIS
            }
            _ => 0,
        };
        if unknown != 0 {
            let home = match frame {
                Frame::Distributor => 0xff,
                Frame::Redistributor(home) => home.get(),
            };
            let key = 1 << 31 | u32::from(home).wrapping_shl(20) | offset & 0xf_ffff;
            let waiting = self.observe(vcpu.get(), key, spot, unknown);
            if !waiting.is_empty() {
                return Access::Retry(waiting);
            }
        }
        let value = self.value(register, spot, offset, size);
        Access::Value(value)
    }

    /// Reads a register for the vCPU that is loaded here; where that needs only its own list registers, syncs
    /// them and reads again, so that the guest sees one access.
    #[inline]
    pub fn read_local<H: CpuInterface>(
        &mut self,
        vcpu: VcpuIndex,
        frame: Frame,
        offset: u32,
        size: u8,
        hw: &mut H,
    ) -> Access {
        let mut synced = false;
        loop {
            let access = self.read(vcpu, frame, offset, size);
            if synced || access != Access::Retry(VcpuSet::only(vcpu)) {
                return access;
            }
            let kicks = self.sync(vcpu, hw);
            if !kicks.is_empty() {
                return Access::Retry(kicks);
            }
            synced = true;
        }
    }

    /// The value of a register, as far as it is known.
    #[inline]
    fn value(&self, register: Register, spot: Spot, offset: u32, size: u8) -> u64 {
        let Spot { home, word, bit } = spot;
        let v2 = self.is_v2();
        let Some((block, lists)) = self.block(home, word).zip(self.lists(home)) else {
            return 0;
        };
        let value = match register {
            Register::Group => block.group1,
            Register::SetEnable | Register::ClearEnable => block.enabled,
            Register::SetPending | Register::ClearPending => block.pending(),
            Register::SetActive | Register::ClearActive => block.active,
            Register::Priority
            | Register::Target
            | Register::ClearSources
            | Register::SetSources => {
                let mut value = 0u32;
                // From the last byte to the first.
                for index in (0..u32::from(size)).rev() {
                    let bit = bit.wrapping_add(index);
                    let next = match register {
                        Register::Priority => u32::from(byte(&block.priority, bit)),
                        // Those of SGIs and PPIs name the vCPU that reads.
                        Register::Target if word == 0 => 1u32.wrapping_shl(u32::from(home)),
                        Register::Target => block.route(bit),
                        _ => u32::from(self.sgi_sources(home, bit as u16)),
                    };
                    value = value.wrapping_shl(8) | next & 0xff;
                }
                value
            }
            Register::Config => spread(!block.level.wrapping_shr(bit)),
            // Aff3, in the upper half, is 0.
            Register::Router if offset & 4 == 0 => {
                let mode = if block.any & spot.mask() != 0 {
                    ROUTING_MODE
                } else {
                    0
                };
                block.route(bit) | mode
            }
            Register::Control => {
                let groups = u32::from(self.dist.groups.bits());
                if v2 {
                    groups
                } else if self.dist.dirty.is_empty() {
                    groups | CTLR_DS_ARE
                } else {
                    groups | CTLR_DS_ARE | CTLR_RWP
                }
            }
            Register::Type => {
                let more = if v2 {
                    (self.cpus.len().wrapping_sub(1) as u32).wrapping_shl(5)
                } else {
                    TYPER_IDBITS
                };
                u32::from(self.dist.config.spis >> 5) | more
            }
            Register::Implementer => IIDR_VALUE,
            Register::Identification => {
                let part = if v2 { 0x002b_b490 } else { 0x003b_b492 };
                identification(part, offset)
            }
            Register::HomeIdentification => identification(0x003b_b493, offset),
            Register::HomeControl if lists.dirty != 0 => REDISTRIBUTOR_RWP,
            Register::Waker if lists.asleep => WAKER_ASLEEP,
            Register::HomeType if offset == 0x0c => u32::from(home),
            Register::HomeType => {
                // Affinity, processor number, last redistributor.
                let last = usize::from(home).wrapping_add(1) == self.cpus.len();
                let low = u32::from(home) << 8 | u32::from(last) << 4;
                if size == 8 {
                    return u64::from(home) << 32 | u64::from(low);
                }
                low
            }
            _ => 0,
        };
        u64::from(value)
    }

    /// Writes a register. `vcpu` is the vCPU that executes the access; what is not a register ignores it.
    #[inline]
    pub fn write(
        &mut self,
        vcpu: VcpuIndex,
        frame: Frame,
        offset: u32,
        size: u8,
        value: u64,
    ) -> VcpuSet {
        self.write_part(vcpu, frame, offset, size, value, u32::MAX)
    }

    /// Which interrupts of a block such a write may have to move, a bit each: with more than two the write takes long, and can
    /// be done in parts. 0 for a register that is written as a whole.
    pub fn concerns(
        &self,
        vcpu: VcpuIndex,
        frame: Frame,
        offset: u32,
        size: u8,
        value: u64,
    ) -> u32 {
        // From IGROUPR to ICFGR, but not one or two interrupts of those that are written by their bits.
        let low = offset & 0xffff;
        let few = low.wrapping_sub(0x100) < 0x300 && without_two(value as u32) == 0;
        if low.wrapping_sub(0x80) >= 0xe80 || few {
            return 0;
        }
        let (register, place) = self.decode(vcpu, frame, offset, size);
        let Spot { home, word, bit } = place.spot();
        let value = value as u32;
        let Some(block) = self.block(home, word) else {
            return 0;
        };
        match register {
            Register::Group => block.group1 ^ value,
            Register::SetEnable => value & !block.enabled,
            Register::ClearEnable => value & block.enabled,
            Register::SetPending
            | Register::ClearPending
            | Register::SetActive
            | Register::ClearActive => value,
            Register::Config => 0xffff_u32.wrapping_shl(bit),
            Register::Priority | Register::Target => 0xf_u32
                .wrapping_shr(4u32.wrapping_sub(u32::from(size)))
                .wrapping_shl(bit),
            _ => 0,
        }
    }

    /// [`write`](Vgic::write), where it is about the interrupts of `part` of those that it [`concerns`](Vgic::concerns). The
    /// whole is done when each has been in one part.
    #[inline(never)]
    pub fn write_part(
        &mut self,
        vcpu: VcpuIndex,
        frame: Frame,
        offset: u32,
        size: u8,
        value: u64,
        part: u32,
    ) -> VcpuSet {
        let (register, place) = self.decode(vcpu, frame, offset, size);
        if register == Register::Impossible {
            return VcpuSet::EMPTY;
        }
        let vcpu = vcpu.get();
        // A retry that the guest has turned away from must not serve a later read.
        if let Some(lists) = self.lists_mut(vcpu) {
            lists.reading = 0;
        }
        let spot = place.spot();
        let Spot { home, word, bit } = spot;
        let mut value = value as u32;
        if word == 0
            && self.is_v2()
            && matches!(
                register,
                Register::SetEnable
                    | Register::ClearEnable
                    | Register::SetPending
                    | Register::ClearPending
            )
        {
            // Enabled for good; made pending by SGIR and SPENDSGIR only.
            value &= !SGIS;
        }
        if matches!(
            register,
            Register::SetEnable
                | Register::ClearEnable
                | Register::SetPending
                | Register::ClearPending
                | Register::SetActive
                | Register::ClearActive
        ) {
            value &= part;
        }
        let vcpus = self.cpus.len();
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        let mut kicks = VcpuSet::EMPTY;
        // What the change of the block leaves to do: which list registers to mark, and which interrupts to look at.
        let (held, changed) = match register {
            Register::Group => {
                let changed = (block.group1 ^ value) & part;
                let held = changed & block.held_pending;
                self.unqueue(home, word, changed);
                if let Some(block) = self.block_mut(home, word) {
                    block.group1 ^= changed;
                }
                (held, changed)
            }
            Register::SetEnable => {
                block.enabled |= value;
                (0, value)
            }
            Register::ClearEnable => {
                let held = block.enabled & block.held_pending & value;
                block.enabled &= !value;
                (held, value)
            }
            Register::SetPending => (block.set_latch(value), value),
            Register::ClearPending => {
                block.latch &= !value;
                let held = block.held & block.held_latch & value;
                block.drop |= held;
                kicks = self.settle(vcpu, home, word, value);
                (held, value)
            }
            Register::SetActive => {
                let held = block.held & value;
                block.start |= held;
                let fresh = value & !(block.held | block.active);
                kicks = self.activate(home, word, fresh);
                (held, 0)
            }
            Register::ClearActive => {
                let held = block.held & value;
                block.end |= held;
                block.start &= !held;
                let spilled = block.active & !block.held & value;
                kicks = self.deactivate_spilled(vcpu, home, word, spilled);
                (held, spilled)
            }
            Register::Priority => {
                // All bytes at once: four at a time is what guests write at boot.
                let byte = |index: u32| value.wrapping_shr(index.wrapping_mul(8)) as u8 & 0xf8;
                let mut changed = 0;
                for index in 0..u32::from(size) {
                    let bit = bit.wrapping_add(index);
                    let differs = block.priority(bit) != byte(index);
                    changed |= u32::from(differs).wrapping_shl(bit);
                }
                changed &= part;
                let held = block.held_pending & changed;
                self.unqueue(home, word, changed);
                if let Some(block) = self.block_mut(home, word) {
                    for index in 0..u32::from(size) {
                        let bit = bit.wrapping_add(index);
                        if changed & 1u32.wrapping_shl(bit) != 0 {
                            block.set_priority(bit, byte(index));
                        }
                    }
                }
                (held, changed)
            }
            Register::Target | Register::ClearSources | Register::SetSources => {
                for index in 0..u32::from(size) {
                    let byte = value.wrapping_shr(index.wrapping_mul(8)) as u8;
                    let bit = bit.wrapping_add(index);
                    if part & 1u32.wrapping_shl(bit) != 0 {
                        kicks |= self.write_byte(register, Spot { home, word, bit }, byte);
                    }
                }
                return kicks;
            }
            // ICFGR0 is read-only: SGIs are edge-triggered.
            Register::Config if word != 0 || bit != 0 => {
                let half = 0xffff_u32.wrapping_shl(bit) & part;
                let changed = (block.level ^ !gather(value).wrapping_shl(bit)) & half;
                block.level ^= changed;
                (changed, changed)
            }
            Register::Router if offset & 4 == 0 => {
                let any = value & ROUTING_MODE != 0;
                let affinity = value & AFFINITY;
                let target = if any {
                    0
                } else if (affinity as usize) < vcpus {
                    affinity as u8
                } else {
                    NOWHERE
                };
                assign(&mut block.any, spot.mask(), any);
                return self.place(spot, target, affinity);
            }
            Register::Control => return self.write_groups(Groups::from_bits(value as u8)),
            Register::Sgi => return self.send_sgi_v2(vcpu, value),
            Register::Waker => {
                if let Some(lists) = self.lists_mut(home) {
                    lists.asleep = value & WAKER_PROCESSOR_SLEEP != 0;
                }
                return VcpuSet::EMPTY;
            }
            _ => return VcpuSet::EMPTY,
        };
        kicks | self.update(home, word, held, changed)
    }

    #[inline]
    pub(crate) fn has(&self, vcpu: VcpuIndex) -> bool {
        usize::from(vcpu.get()) < self.cpus.len()
    }

    /// Whether block `word` is in this configuration.
    #[inline]
    pub(crate) fn has_block(&self, word: u8) -> bool {
        u16::from(word) <= self.dist.config.spis >> 5
    }

    /// Writes the byte of one interrupt.
    #[inline]
    fn write_byte(&mut self, register: Register, spot: Spot, value: u8) -> VcpuSet {
        let present = 1u32.wrapping_shl(self.cpus.len() as u32).wrapping_sub(1) as u8;
        let targets = value & present;
        match register {
            Register::Target if spot.word == 0 => VcpuSet::EMPTY,
            Register::Target => {
                let target = if targets == 0 {
                    NOWHERE
                } else {
                    targets.trailing_zeros() as u8
                };
                self.place(spot, target, u32::from(targets))
            }
            Register::ClearSources => self.remove_sgi_sources(spot.home, spot.bit as u16, targets),
            _ => self.add_sgi_sources(spot.home, spot.bit as u16, targets),
        }
    }

    /// Sends an SPI to `target`, and keeps `route` for it to be read back.
    #[inline(never)]
    fn place(&mut self, spot: Spot, target: u8, route: u32) -> VcpuSet {
        let Spot { home, word, bit } = spot;
        let mask = spot.mask();
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        block.set_route(bit, route);
        if block.target(bit) == target {
            return VcpuSet::EMPTY;
        }
        self.unqueue(home, word, mask);
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        block.set_target(bit, target);
        let held = block.held_pending & mask;
        self.update(home, word, held, mask)
    }

    /// GICD_CTLR's group enables. Pending interrupts of a group that is switched off leave the list registers.
    pub(crate) fn write_groups(&mut self, groups: crate::Groups) -> VcpuSet {
        let old = core::mem::replace(&mut self.dist.groups, groups);
        let mut kicks = VcpuSet::EMPTY;
        if old == groups {
            return kicks;
        }
        let disabled = !groups.contains(old);
        for (index, cpu) in (0u8..).zip(self.cpus.iter_mut()) {
            let vcpu = VcpuIndex::new(index);
            if disabled && cpu.lists.used != 0 {
                cpu.lists.mark_dirty(cpu.lists.used);
                self.dist.dirty = self.dist.dirty.with(vcpu);
                kicks = kicks.with(vcpu);
            }
            if cpu.lists.has_ready(groups) {
                kicks = kicks.with(vcpu);
            }
        }
        kicks
    }
}

/// PIDR4 to PIDR7, PIDR0 to PIDR3 and CIDR0 to CIDR3, a byte each; PIDR0 to PIDR2 are in `part`, and PIDR2 has the
/// architecture version. The component is one of CoreLink.
const fn identification(part: u32, offset: u32) -> u32 {
    let bytes = match offset & 0x30 {
        // With 64 KiB frames, the size is 2 to the power of 4 times 4 KiB.
        0x10 if part & 3 == 0 => 0x04,
        0x10 => 0x44,
        0x20 => part,
        _ => 0xb105_f00d,
    };
    bytes.wrapping_shr((offset & 0xc).wrapping_mul(2)) & 0xff
}

/// Without its two lowest bits.
#[inline]
#[must_use]
pub const fn without_two(mask: u32) -> u32 {
    let rest = mask & mask.wrapping_sub(1);
    rest & rest.wrapping_sub(1)
}

/// Each of the low 16 bits goes to the upper bit of its pair.
const fn spread(half: u32) -> u32 {
    let mut value = half & 0xffff;
    value = (value | value << 8) & 0x00ff_00ff;
    value = (value | value << 4) & 0x0f0f_0f0f;
    value = (value | value << 2) & 0x3333_3333;
    value = (value | value << 1) & 0x5555_5555;
    value << 1
}

/// The upper bit of each pair, in the low 16 bits.
const fn gather(value: u32) -> u32 {
    let mut half = value >> 1 & 0x5555_5555;
    half = (half | half >> 1) & 0x3333_3333;
    half = (half | half >> 2) & 0x0f0f_0f0f;
    half = (half | half >> 4) & 0x00ff_00ff;
    (half | half >> 8) & 0x0000_ffff
}
