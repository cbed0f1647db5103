//! The distributor: where the state of an interrupt lies, and what makes one pending.
//!
//! [`Vgic`] is a view of plain memory, made for each call under the guest's lock. Every change follows one
//! pattern: take the interrupt out of its ready set if the change decides about its place there (`unqueue`),
//! change it, and put it where it belongs (`refresh`). An interrupt that a list register holds is out of
//! reach; its list register is marked (`mark_dirty`) and revised when the vCPU that holds it syncs.

use crate::block::{Bits, Block, assign};
use crate::config::{Config, ConfigError, Version};
use crate::cpu::{Cpu, Lists};
use crate::id::{FIRST_SPI, IntId, MAX_SPIS, VcpuIndex, VcpuSet};
use crate::interface::{Groups, group_of};

const SPI_BLOCKS: usize = (MAX_SPIS / 32) as usize;

/// The memory of what a guest's vCPUs share: the SPIs and the control register.
///
/// Plain memory without pointers; [`Distributor::new`] is all zero. [`Vgic::new`] gives it its reset state.
pub struct Distributor {
    pub(crate) config: Config,
    /// GICD_CTLR.EnableGrp0 and EnableGrp1.
    pub(crate) groups: Groups,
    /// vCPUs with changed list registers that they have not synced yet: GICD_CTLR.RWP.
    pub(crate) dirty: VcpuSet,
    pub(crate) spis: [Block; SPI_BLOCKS],
}

impl Distributor {
    /// Memory for one guest.
    pub const fn new() -> Distributor {
        // As a constant, so that it is cleared memory and not code that stores each field.
        const NEW: Distributor = Distributor {
            config: Config {
                version: Version::V2,
                vcpus: 0,
                spis: 0,
            },
            groups: Groups::NONE,
            dirty: VcpuSet::EMPTY,
            spis: [const { Block::new() }; SPI_BLOCKS],
        };
        NEW
    }
}

impl Default for Distributor {
    fn default() -> Distributor {
        Distributor::new()
    }
}

/// Where an interrupt's state is: the vCPU (for a private one), the block, the bit.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) home: u8,
    pub(crate) word: u8,
    pub(crate) bit: u32,
}

impl Spot {
    /// Of an INTID that is known to exist, for the vCPU `home` if it is private.
    #[inline]
    pub(crate) const fn of(home: u8, intid: u16) -> Spot {
        Spot {
            home,
            word: (intid >> 5) as u8,
            bit: (intid & 31) as u32,
        }
    }

    #[inline]
    pub(crate) const fn mask(self) -> u32 {
        1u32.wrapping_shl(self.bit)
    }
}

/// The INTID of bit `bit` of block `word`.
#[inline]
pub(crate) const fn intid_of(word: u8, bit: u32) -> u16 {
    (word as u16).wrapping_shl(5) | (bit & 31) as u16
}

/// A guest's interrupt controller: a view of its memory, cheap to make for each call.
///
/// Rules for the caller, for each vCPU: after any other call, and before the guest runs again on it, call
/// [`flush`](Vgic::flush); when a physical interrupt or a maintenance interrupt stopped it, call
/// [`sync`](Vgic::sync) first. Kick every vCPU in the sets that come back.
pub struct Vgic<'m> {
    pub(crate) dist: &'m mut Distributor,
    pub(crate) cpus: &'m mut [Cpu],
}

impl<'m> Vgic<'m> {
    /// Configures and resets a controller. `cpus` has `config.vcpus` elements.
    pub fn new(
        config: Config,
        dist: &'m mut Distributor,
        cpus: &'m mut [Cpu],
    ) -> Result<Vgic<'m>, ConfigError> {
        config.check()?;
        if cpus.len() != usize::from(config.vcpus) {
            return Err(ConfigError::Vcpus(config.vcpus));
        }
        dist.config = config;
        let mut vgic = Vgic::attach(dist, cpus);
        vgic.reset();
        Ok(vgic)
    }

    /// The view of memory that [`Vgic::new`] configured before: the same two.
    #[inline]
    pub fn attach(dist: &'m mut Distributor, cpus: &'m mut [Cpu]) -> Vgic<'m> {
        Vgic { dist, cpus }
    }

    /// How it was configured.
    #[inline]
    pub fn config(&self) -> Config {
        self.dist.config
    }

    // --- lookup -------------------------------------------------------------------------------------------

    #[inline]
    pub(crate) fn is_v2(&self) -> bool {
        matches!(self.dist.config.version, Version::V2)
    }

    /// Where `intid` is; `None` if this guest does not have it, or not that vCPU.
    #[inline]
    pub(crate) fn spot(&self, vcpu: VcpuIndex, intid: IntId) -> Option<Spot> {
        let exists = (intid.is_private()
            || intid.get() < FIRST_SPI.wrapping_add(self.dist.config.spis))
            && usize::from(vcpu.get()) < self.cpus.len();
        if exists {
            Some(Spot::of(vcpu.get(), intid.get()))
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn block(&self, home: u8, word: u8) -> Option<&Block> {
        match word {
            0 => self.cpus.get(usize::from(home)).map(|cpu| &cpu.block),
            _ => self.dist.spis.get(usize::from(word.wrapping_sub(1))),
        }
    }

    #[inline]
    pub(crate) fn block_mut(&mut self, home: u8, word: u8) -> Option<&mut Block> {
        match word {
            0 => self
                .cpus
                .get_mut(usize::from(home))
                .map(|cpu| &mut cpu.block),
            _ => self.dist.spis.get_mut(usize::from(word.wrapping_sub(1))),
        }
    }

    #[inline]
    pub(crate) fn lists(&self, vcpu: u8) -> Option<&Lists> {
        self.cpus.get(usize::from(vcpu)).map(|cpu| &cpu.lists)
    }

    #[inline]
    pub(crate) fn lists_mut(&mut self, vcpu: u8) -> Option<&mut Lists> {
        self.cpus
            .get_mut(usize::from(vcpu))
            .map(|cpu| &mut cpu.lists)
    }

    /// A block and the lists of `vcpu`, which for a private block is its home.
    #[inline]
    pub(crate) fn pair(&mut self, word: u8, vcpu: u8) -> Option<(&mut Block, &mut Lists)> {
        let cpu = self.cpus.get_mut(usize::from(vcpu))?;
        match word {
            0 => Some((&mut cpu.block, &mut cpu.lists)),
            _ => Some((
                self.dist.spis.get_mut(usize::from(word.wrapping_sub(1)))?,
                &mut cpu.lists,
            )),
        }
    }

    // --- keeping the ready sets true ----------------------------------------------------------------------

    /// Puts the interrupts of `mask` into the ready sets, or takes them out, as their state says.
    #[inline(never)]
    pub(crate) fn refresh(&mut self, home: u8, word: u8, mask: u32) -> VcpuSet {
        self.toggle_each(home, word, mask, u32::MAX)
    }

    /// Takes the interrupts of `mask` out of the ready sets, before their priority, group or target changes.
    pub(crate) fn unqueue(&mut self, home: u8, word: u8, mask: u32) {
        // Nothing becomes ready by this, so nobody is to be kicked.
        let _ = self.toggle_each(home, word, mask, 0);
    }

    /// Has those of `mask` in the ready sets that are in `allowed` and whose state says so.
    #[inline(never)]
    fn toggle_each(&mut self, home: u8, word: u8, mask: u32, allowed: u32) -> VcpuSet {
        let Some(block) = self.block(home, word) else {
            return VcpuSet::EMPTY;
        };
        let changed = (block.wanted() & allowed ^ block.queued) & mask;
        let mut kicks = VcpuSet::EMPTY;
        for bit in Bits(changed) {
            kicks |= self.toggle(home, word, bit);
        }
        kicks
    }

    /// Moves one interrupt into or out of the ready set of its target.
    #[inline]
    fn toggle(&mut self, home: u8, word: u8, bit: u32) -> VcpuSet {
        let groups = self.dist.groups;
        let Some(target) = self.block(home, word).map(|block| block.target(bit)) else {
            return VcpuSet::EMPTY;
        };
        let Some((block, lists)) = self.pair(word, target) else {
            return VcpuSet::EMPTY;
        };
        let mask = 1u32.wrapping_shl(bit);
        let (level, group1) = (block.ready_level(bit), block.group1 & mask != 0);
        let intid = intid_of(word, bit);
        block.queued ^= mask;
        let (set, levels) = lists.ready_mut(group1);
        if block.queued & mask == 0 {
            set.remove(levels, level, intid);
            return VcpuSet::EMPTY;
        }
        set.insert(levels, level, intid);
        if groups.contains(group_of(group1)) {
            VcpuSet::only(VcpuIndex::new(target))
        } else {
            VcpuSet::EMPTY
        }
    }

    /// Marks the list registers that hold interrupts of `mask`, and says whose they are.
    pub(crate) fn mark_dirty(&mut self, home: u8, word: u8, mask: u32) -> VcpuSet {
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        block.express &= !mask;
        let held = block.held & mask;
        let mut kicks = VcpuSet::EMPTY;
        for bit in Bits(held) {
            let Some((owner, slot)) = self.block(home, word).map(|b| (b.owner(bit), b.slot(bit)))
            else {
                continue;
            };
            if let Some(lists) = self.lists_mut(owner) {
                lists.mark_dirty(1u32.wrapping_shl(u32::from(slot)));
                kicks |= VcpuSet::only(VcpuIndex::new(owner));
            }
        }
        self.dist.dirty |= kicks;
        kicks
    }

    /// After a change: marks the list registers that hold interrupts of `held`, and puts those of `changed` where they belong.
    #[inline(never)]
    pub(crate) fn update(&mut self, home: u8, word: u8, held: u32, changed: u32) -> VcpuSet {
        self.mark_dirty(home, word, held) | self.refresh(home, word, changed)
    }

    /// Has the physical interrupts released whose virtual ones in `mask` have lost what the link stood for: a
    /// private one on its own core, an SPI on that of `accessor`.
    pub(crate) fn settle(&mut self, accessor: u8, home: u8, word: u8, mask: u32) -> VcpuSet {
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        let in_use = (block.held | block.active) & !block.link_waits | block.latch;
        let stale = block.live_link() & !in_use & mask;
        if stale == 0 {
            return VcpuSet::EMPTY;
        }
        block.release |= stale;
        self.release_on(if word == 0 { home } else { accessor }, word)
    }

    /// Has `vcpu`'s core look for physical interrupts to deactivate in block `word`.
    pub(crate) fn release_on(&mut self, vcpu: u8, word: u8) -> VcpuSet {
        let Some(lists) = self.lists_mut(vcpu) else {
            return VcpuSet::EMPTY;
        };
        lists.mark_release(word);
        VcpuSet::only(VcpuIndex::new(vcpu))
    }

    // --- what makes an interrupt pending ------------------------------------------------------------------

    /// Latches the pending state of one interrupt, by the shortest way if no list register has it.
    #[inline(never)]
    pub(crate) fn set_one_pending(&mut self, spot: Spot) -> VcpuSet {
        let Spot { home, word, bit } = spot;
        let mask = spot.mask();
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        block.latch |= mask;
        if block.held & mask != 0 {
            // One that is known to be active and raises maintenance at its end needs nothing now.
            if block.held_eoi & !block.held_pending & mask != 0 {
                return VcpuSet::EMPTY;
            }
            block.express &= !(mask & block.linked);
            let (owner, slot) = (block.owner(bit), block.slot(bit));
            let Some(lists) = self.lists_mut(owner) else {
                return VcpuSet::EMPTY;
            };
            lists.again |= 1u32.wrapping_shl(u32::from(slot));
            return VcpuSet::only(VcpuIndex::new(owner));
        }
        if block.enabled & block.routed & !(block.active | block.queued) & mask == 0 {
            return VcpuSet::EMPTY;
        }
        self.toggle(home, word, bit)
    }

    /// Sets the line of a device to interrupt `intid` (an SPI, or a PPI of `vcpu`). For an edge-triggered
    /// interrupt a change from low to high is the edge.
    pub fn set_line(&mut self, vcpu: VcpuIndex, intid: IntId, high: bool) -> VcpuSet {
        let Some(spot) = self.spot(vcpu, intid) else {
            return VcpuSet::EMPTY;
        };
        let (home, word, mask) = (spot.home, spot.word, spot.mask());
        let Some(block) = self.block_mut(home, word) else {
            return VcpuSet::EMPTY;
        };
        let was_high = block.line & mask != 0;
        if was_high == high {
            return VcpuSet::EMPTY;
        }
        assign(&mut block.line, mask, high);
        if block.level & mask == 0 {
            if !high {
                return VcpuSet::EMPTY;
            }
            let stuck = block.set_latch(mask);
            return self.update(home, word, stuck, mask);
        }
        // Held and high: a list register of a level-sensitive interrupt asks for maintenance, or ends a
        // physical interrupt and is not driven by a line. Held and low: it must lose a pending state that
        // stood for the line.
        let fallen = !high && block.held & block.held_pending & !block.held_latch & mask != 0;
        let risen = high && block.held & !block.held_eoi & mask != 0;
        let stuck = if fallen || risen { mask } else { 0 };
        self.update(home, word, stuck, mask)
    }

    /// A rising edge that falls at once: makes `intid` pending whatever its configuration, like a message.
    pub fn pulse(&mut self, vcpu: VcpuIndex, intid: IntId) -> VcpuSet {
        let Some(spot) = self.spot(vcpu, intid) else {
            return VcpuSet::EMPTY;
        };
        if spot.word == 0 && spot.bit < 16 {
            return VcpuSet::EMPTY;
        }
        self.set_one_pending(spot)
    }

    /// A physical interrupt, acknowledged and priority-dropped on the core of `vcpu`, stands for `intid`.
    ///
    /// It stays active until the guest deactivates `intid`, through a list register or, where that is not
    /// possible, through [`CpuInterface::deactivate_physical`](crate::CpuInterface::deactivate_physical).
    /// SGIs cannot be linked: the call does nothing for them.
    #[inline]
    pub fn inject_hw(&mut self, vcpu: VcpuIndex, intid: IntId, pintid: IntId) -> VcpuSet {
        let Some(spot) = self.spot(vcpu, intid) else {
            return VcpuSet::EMPTY;
        };
        if spot.word == 0 && spot.bit < 16 {
            return VcpuSet::EMPTY;
        }
        let Some(block) = self.block_mut(spot.home, spot.word) else {
            return VcpuSet::EMPTY;
        };
        let mask = spot.mask();
        block.link_waits |= (block.held | block.active) & mask;
        block.express &= !mask;
        block.linked |= mask;
        block.release &= !mask;
        block.set_pintid(spot.bit, pintid.get());
        self.set_one_pending(spot)
    }

    // --- what is known ------------------------------------------------------------------------------------

    fn flag(&self, vcpu: VcpuIndex, intid: IntId, word: fn(&Block) -> u32) -> bool {
        let Some(spot) = self.spot(vcpu, intid) else {
            return false;
        };
        self.block(spot.home, spot.word)
            .is_some_and(|block| word(block) & spot.mask() != 0)
    }

    /// Whether a physical interrupt is active on behalf of `intid`, pending or active: for a vCPU that is loaded as of the
    /// last sync, for one that is switched out as it is.
    #[inline]
    pub fn hw_in_flight(&self, vcpu: VcpuIndex, intid: IntId) -> bool {
        let Some(spot) = self.spot(vcpu, intid) else {
            return false;
        };
        let Some(block) = self.block(spot.home, spot.word) else {
            return false;
        };
        let mask = spot.mask();
        if block.linked & mask == 0 || block.held & block.held_physical & mask == 0 {
            return block.linked & mask != 0;
        }
        // The hardware has deactivated it at the end of the virtual one.
        self.lists(block.owner(spot.bit)).is_none_or(|lists| {
            lists.loaded || !lists.parked(u32::from(block.slot(spot.bit))).is_invalid()
        })
    }

    /// The line of the device.
    pub fn line(&self, vcpu: VcpuIndex, intid: IntId) -> bool {
        self.flag(vcpu, intid, |block| block.line)
    }

    /// Whether `intid` is pending, as far as is known since the last sync or flush.
    pub fn pending(&self, vcpu: VcpuIndex, intid: IntId) -> bool {
        self.flag(vcpu, intid, Block::pending)
    }

    /// Whether `intid` is active, as far as is known since the last sync or flush.
    pub fn active(&self, vcpu: VcpuIndex, intid: IntId) -> bool {
        self.flag(vcpu, intid, |block| block.active)
    }

    /// Whether `intid` is enabled.
    pub fn enabled(&self, vcpu: VcpuIndex, intid: IntId) -> bool {
        self.flag(vcpu, intid, |block| block.enabled)
    }

    /// Whether the vCPU is between [`load`](Vgic::load) and [`save`](Vgic::save).
    pub fn is_loaded(&self, vcpu: VcpuIndex) -> bool {
        self.lists(vcpu.get()).is_some_and(|lists| lists.loaded)
    }
}
