//! The registers that both versions have, a block of 32 interrupts at a time (IHI 0048, 4.3; IHI 0069, 12.9
//! and 12.11).
//!
//! The distributor of a GICv2, the distributor of a GICv3 and the SGI frame of a redistributor have the same
//! registers at the same offsets below 0xd00; they differ in whose interrupts 0 to 31 are.

use crate::block::{Bits, byte, set_byte};
use crate::id::{VcpuIndex, VcpuSet};
use crate::interface::CpuInterface;
use crate::vgic::{Vgic, intid_of};

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

/// A register with a bit per interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitRegister {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
}

impl BitRegister {
    /// The register at `offset` of a frame, and the block of interrupts that it is for.
    #[inline]
    pub(crate) const fn at(offset: u32) -> Option<(BitRegister, u8)> {
        let register = match offset >> 7 {
            1 => BitRegister::Group,
            2 => BitRegister::SetEnable,
            3 => BitRegister::ClearEnable,
            4 => BitRegister::SetPending,
            5 => BitRegister::ClearPending,
            6 => BitRegister::SetActive,
            7 => BitRegister::ClearActive,
            _ => return None,
        };
        Some((register, (offset >> 2 & 0x1f) as u8))
    }
}

/// Who reads what: the accessing vCPU, and a number for the register, so that a repeated read is recognised.
#[derive(Clone, Copy)]
pub(crate) struct Reader {
    pub(crate) vcpu: u8,
    pub(crate) key: u32,
}

impl Vgic<'_> {
    /// Reads a register. `vcpu` is the vCPU that executes the access; sizes that are not 1, 2, 4 or 8 read as 0,
    /// like all that the architecture does not define.
    #[inline]
    pub fn read(&mut self, vcpu: VcpuIndex, frame: Frame, offset: u32, size: u8) -> Access {
        if !self.has(vcpu) || !is_aligned(offset, size) {
            return Access::Value(0);
        }
        let home = match frame {
            Frame::Distributor => 0xff,
            Frame::Redistributor(home) => home.get(),
        };
        let key = 1 << 31 | u32::from(home).wrapping_shl(20) | offset & 0xf_ffff;
        let reader = Reader {
            vcpu: vcpu.get(),
            key,
        };
        match frame {
            Frame::Distributor if self.is_v2() => self.read_v2(reader, offset, size),
            Frame::Distributor => self.read_v3_distributor(reader, offset, size),
            Frame::Redistributor(home) if !self.is_v2() && self.has(home) => {
                self.read_v3_redistributor(reader, home.get(), offset, size)
            }
            Frame::Redistributor(_) => Access::Value(0),
        }
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
        match self.read(vcpu, frame, offset, size) {
            Access::Retry(set) if set == VcpuSet::only(vcpu) => {
                let kicks = self.sync(vcpu, hw);
                if kicks.is_empty() {
                    self.read(vcpu, frame, offset, size)
                } else {
                    Access::Retry(kicks)
                }
            }
            access => access,
        }
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
        if !is_aligned(offset, size) {
            return VcpuSet::EMPTY;
        }
        let v2 = self.is_v2();
        // A retry that the guest has turned away from must not serve a later read.
        let Some(lists) = self.lists_mut(vcpu.get()) else {
            return VcpuSet::EMPTY;
        };
        lists.reading = 0;
        match frame {
            Frame::Distributor if v2 => self.write_v2(vcpu.get(), offset, size, value as u32),
            Frame::Distributor => self.write_v3_distributor(vcpu.get(), offset, size, value),
            Frame::Redistributor(home) if !v2 && self.has(home) => {
                self.write_v3_redistributor(vcpu.get(), home.get(), offset, size, value as u32)
            }
            Frame::Redistributor(_) => VcpuSet::EMPTY,
        }
    }

    #[inline]
    fn has(&self, vcpu: VcpuIndex) -> bool {
        usize::from(vcpu.get()) < self.cpus.len()
    }

    /// Whether block `word` is in this configuration.
    #[inline]
    pub(crate) fn has_block(&self, word: u8) -> bool {
        u16::from(word) <= self.dist.config.spis >> 5
    }

    // --- a bit per interrupt ------------------------------------------------------------------------------

    pub(crate) fn read_bits(
        &mut self,
        reader: Reader,
        home: u8,
        word: u8,
        register: BitRegister,
    ) -> Access {
        if matches!(
            register,
            BitRegister::SetPending
                | BitRegister::ClearPending
                | BitRegister::SetActive
                | BitRegister::ClearActive
        ) && let Some(set) = self.observe(reader, home, word, u32::MAX)
        {
            return Access::Retry(set);
        }
        let Some(block) = self.block(home, word) else {
            return Access::Value(0);
        };
        let value = match register {
            BitRegister::Group => block.group1,
            BitRegister::SetEnable | BitRegister::ClearEnable => block.enabled,
            BitRegister::SetPending | BitRegister::ClearPending => block.pending(),
            BitRegister::SetActive | BitRegister::ClearActive => block.active,
        };
        Access::Value(u64::from(value))
    }

    /// Sees to it that the state of the held interrupts of `mask` is known; gives the vCPUs to wait for.
    ///
    /// The first read of a register marks the list registers that it depends on. When the same read comes again, and all
    /// of them have been revised since, what is known is recent enough, even though the interrupts
    /// are held again.
    pub(crate) fn observe(
        &mut self,
        reader: Reader,
        home: u8,
        word: u8,
        mask: u32,
    ) -> Option<VcpuSet> {
        let block = self.block(home, word)?;
        let unknown = block.held & mask;
        if unknown == 0 {
            // If it is the second read, it is done.
            self.lists_mut(reader.vcpu)?.reading = 0;
            return None;
        }
        let mut waiting = VcpuSet::EMPTY;
        if self.lists(reader.vcpu)?.reading == reader.key {
            for bit in Bits(unknown) {
                let owner = block.owner(bit);
                let marked = self.lists(owner).map_or(0, |lists| lists.dirty);
                if marked & 1u32.wrapping_shl(u32::from(block.slot(bit))) != 0 {
                    waiting = waiting.with(VcpuIndex::new(owner));
                }
            }
        } else {
            waiting = self.mark_dirty(home, word, unknown);
        }
        self.lists_mut(reader.vcpu)?.reading = if waiting.is_empty() { 0 } else { reader.key };
        if waiting.is_empty() {
            None
        } else {
            Some(waiting)
        }
    }

    /// Writes a bit register of block `word`; `accessor` is the vCPU that does.
    pub(crate) fn write_bits(
        &mut self,
        accessor: u8,
        home: u8,
        word: u8,
        register: BitRegister,
        value: u32,
    ) -> VcpuSet {
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        match register {
            BitRegister::Group => {
                let changed = block.group1 ^ value;
                let held = changed & block.held_pending;
                self.unqueue(home, word, changed);
                if let Some(block) = self.block_mut(home, word) {
                    block.group1 = value;
                }
                self.mark_dirty(home, word, held) | self.refresh(home, word, changed)
            }
            BitRegister::SetEnable => {
                block.enabled |= value;
                self.refresh(home, word, value)
            }
            BitRegister::ClearEnable => {
                let held = block.enabled & block.held_pending & value;
                block.enabled &= !value;
                self.mark_dirty(home, word, held) | self.refresh(home, word, value)
            }
            BitRegister::SetPending => self.set_pending(home, word, value),
            BitRegister::ClearPending => self.clear_pending(accessor, home, word, value),
            BitRegister::SetActive => self.set_active(home, word, value),
            BitRegister::ClearActive => self.clear_active(accessor, home, word, value),
        }
    }

    /// Makes the interrupts of `mask` active, on the vCPUs that they go to.
    fn set_active(&mut self, home: u8, word: u8, mask: u32) -> VcpuSet {
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        let held = block.held & mask;
        block.start |= held;
        let fresh = mask & !(block.held | block.active);
        let mut kicks = self.mark_dirty(home, word, held);
        // Before `active` is set, while the ready sets are as the state says.
        self.unqueue(home, word, fresh);
        for bit in Bits(fresh) {
            let Some(block) = self.block_mut(home, word) else {
                continue;
            };
            let bit_mask = 1u32.wrapping_shl(bit);
            let target = if block.routed & bit_mask != 0 {
                block.target(bit)
            } else {
                0
            };
            let level = block.ready_level(bit);
            block.link_waits |= block.linked & bit_mask;
            block.activate(bit, level, block.group1 & bit_mask != 0);
            block.set_place(bit, target, 0);
            if let Some(lists) = self.lists_mut(target) {
                lists.insert_spilled(level, intid_of(word, bit));
            }
            kicks |= VcpuSet::only(VcpuIndex::new(target));
        }
        kicks
    }

    /// Ends the active state of the interrupts of `mask`.
    fn clear_active(&mut self, accessor: u8, home: u8, word: u8, mask: u32) -> VcpuSet {
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        let held = block.held & mask;
        block.end |= held;
        block.start &= !held;
        let spilled = block.active & !block.held & mask;
        let mut kicks = self.mark_dirty(home, word, held);
        for bit in Bits(spilled) {
            let Some(owner) = self.block(home, word).map(|block| block.owner(bit)) else {
                continue;
            };
            let Some((block, lists)) = self.pair(word, owner) else {
                continue;
            };
            lists.remove_spilled(block.active_level(bit), intid_of(word, bit));
        }
        let Some(block) = self.block_mut(home, word) else {
            return kicks;
        };
        let released = block.link_here() & spilled;
        block.active &= !spilled;
        block.release |= released;
        block.link_waits &= !spilled;
        if released != 0 {
            kicks |= self.release_on(if word == 0 { home } else { accessor }, word);
        }
        kicks | self.refresh(home, word, spilled)
    }

    // --- more than a bit per interrupt --------------------------------------------------------------------

    /// IPRIORITYR: `size` bytes from that of the first interrupt, which is `bit` of block `word`.
    pub(crate) fn read_priorities(&self, home: u8, word: u8, bit: u32, size: u8) -> u64 {
        let Some(block) = self.block(home, word) else {
            return 0;
        };
        let mut value = 0u64;
        for index in 0..u32::from(size.min(4)) {
            let priority = byte(&block.priority, bit.wrapping_add(index));
            value |= u64::from(priority).wrapping_shl(index.wrapping_mul(8));
        }
        value
    }

    pub(crate) fn write_priorities(
        &mut self,
        home: u8,
        word: u8,
        bit: u32,
        size: u8,
        value: u32,
    ) -> VcpuSet {
        // The five bits of each byte that exist, of as many bytes as are written.
        let bytes =
            u32::MAX.wrapping_shr(32u32.wrapping_sub(u32::from(size.min(4)).wrapping_mul(8)));
        let new = value & 0xf8f8_f8f8 & bytes;
        let difference = self.read_priorities(home, word, bit, size) as u32 ^ new;
        if difference == 0 || size == 0 {
            return VcpuSet::EMPTY;
        }
        let mut changed = 0;
        for index in 0..4u32 {
            if difference.wrapping_shr(index.wrapping_mul(8)) & 0xff != 0 {
                changed |= 1u32.wrapping_shl(bit.wrapping_add(index));
            }
        }
        self.unqueue(home, word, changed);
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        for index in 0..u32::from(size.min(4)) {
            let priority = new.wrapping_shr(index.wrapping_mul(8)) as u8;
            set_byte(&mut block.priority, bit.wrapping_add(index) & 31, priority);
        }
        let held = block.held_pending & changed;
        self.mark_dirty(home, word, held) | self.refresh(home, word, changed)
    }

    /// ICFGR: the half of block `word` that `offset` says, two bits per interrupt, the upper one set if it
    /// is edge-triggered.
    pub(crate) fn read_config(&self, home: u8, word: u8, offset: u32) -> u64 {
        let Some(block) = self.block(home, word) else {
            return 0;
        };
        let half = (!block.level).wrapping_shr(offset.wrapping_shl(2) & 16) & 0xffff;
        // Each bit of the half goes to the upper bit of its pair.
        let mut value = u64::from(half);
        value = (value | value << 8) & 0x00ff_00ff;
        value = (value | value << 4) & 0x0f0f_0f0f;
        value = (value | value << 2) & 0x3333_3333;
        value = (value | value << 1) & 0x5555_5555;
        value << 1
    }

    pub(crate) fn write_config(&mut self, home: u8, word: u8, offset: u32, value: u32) -> VcpuSet {
        let mut edges = value >> 1 & 0x5555_5555;
        edges = (edges | edges >> 1) & 0x3333_3333;
        edges = (edges | edges >> 2) & 0x0f0f_0f0f;
        edges = (edges | edges >> 4) & 0x00ff_00ff;
        edges = (edges | edges >> 8) & 0x0000_ffff;
        let shift = offset.wrapping_shl(2) & 16;
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        let changed = (block.level ^ !edges.wrapping_shl(shift)) & 0xffff_u32.wrapping_shl(shift);
        block.level ^= changed;
        self.mark_dirty(home, word, changed) | self.refresh(home, word, changed)
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
                cpu.lists.dirty |= cpu.lists.used;
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

#[inline]
const fn is_aligned(offset: u32, size: u8) -> bool {
    matches!(size, 1 | 2 | 4 | 8) && offset & (size as u32).wrapping_sub(1) == 0
}
