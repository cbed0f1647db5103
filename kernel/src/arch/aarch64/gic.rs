//! The physical interrupt controller, whichever version, and its virtual interface for guests.
//!
//! One `Gic` per core. The physical side runs with EOI mode 1: EL2 drops the priority of an
//! interrupt when it has been looked at, and deactivates it itself or leaves that to the guest's
//! own EOI through a list register with the hardware link.

use super::mmio::Mmio;
use super::{gicv2, gicv3};
use vgic::{CpuInterface, Groups, IntId, ListRegister, ListRegisters, Maintenance, Was};

/// An interrupt that was acknowledged. On GICv2 it also names the sender of an SGI.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Acknowledged(pub u32);

impl Acknowledged {
    /// Whether it is one. 1020 to 1023 are special: nothing is pending for this group.
    #[inline(always)]
    #[must_use]
    pub fn is_interrupt(self) -> bool {
        self.0 & 0x3ff < 1020 || self.0 >= 8192
    }

    /// The interrupt number.
    #[inline(always)]
    #[must_use]
    pub fn intid(self) -> u32 {
        // GICv2 has ten bits of number with the sender above; larger values exist on GICv3 only.
        if self.0 < 8192 { self.0 & 0x3ff } else { self.0 & 0xff_ffff }
    }
}

/// The software-generated interrupt by which one core makes another look at its requests.
pub const KICK: u32 = 0;

/// A core's interrupt controller.
#[derive(Debug)]
pub enum Gic {
    /// GICv2 with the virtualization extensions.
    V2(gicv2::Core),
    /// GICv3 by system registers.
    V3(gicv3::Core),
}

/// How one core names another to its interrupt controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target(pub u64);

/// What of the virtual interface belongs to a vCPU besides its list registers.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct VirtualState {
    /// ICH_VMCR_EL2 or GICH_VMCR: mask, binary points, enables.
    pub vmcr: u32,
    /// Active priorities of group 0 (GICv2: of both) and of group 1.
    pub active: [[u32; 2]; 4],
}

macro_rules! either {
    ($self:ident, $core:ident => $do:expr) => {
        match $self {
            Self::V2($core) => $do,
            Self::V3($core) => $do,
        }
    };
}

impl Gic {
    /// Acknowledges the most urgent pending interrupt, if there is one.
    #[inline(always)]
    pub fn acknowledge(&mut self) -> Option<Acknowledged> {
        let any = self.acknowledge_any();
        any.is_interrupt().then_some(any)
    }

    /// Acknowledges the most urgent pending interrupt, if there is one; else the answer is none.
    #[inline(always)]
    pub fn acknowledge_any(&mut self) -> Acknowledged {
        Acknowledged(either!(self, core => core.acknowledge()))
    }

    /// Drops the priority: other interrupts can come; this one stays active.
    #[inline(always)]
    pub fn drop_priority(&mut self, interrupt: Acknowledged) {
        either!(self, core => core.end(interrupt.0));
    }

    /// Ends an interrupt that stays in the kernel.
    #[inline(always)]
    pub fn complete(&mut self, interrupt: Acknowledged) {
        either!(self, core => { core.end(interrupt.0); core.deactivate(interrupt.0) });
    }

    /// Enables an interrupt; one of the first 32 on this core only.
    pub fn enable(&mut self, intid: u32) {
        either!(self, core => core.enable(intid));
    }

    /// Disables an interrupt; one of the first 32 on this core only.
    pub fn disable(&mut self, intid: u32) {
        either!(self, core => core.disable(intid));
    }

    /// Makes one of this core's first 32 interrupts active or not without its being acknowledged.
    #[inline(always)]
    pub fn set_active(&mut self, intid: u32, active: bool) {
        either!(self, core => core.set_active(intid, active));
    }

    /// Routes a shared interrupt to this core.
    pub fn route_here(&mut self, intid: u32) {
        either!(self, core => core.route_here(intid));
    }

    /// Sends [`KICK`] to another core.
    pub fn kick(&mut self, target: Target) {
        either!(self, core => core.kick(target));
    }

    /// How other cores name this one.
    #[must_use]
    pub fn target(&self) -> Target {
        either!(self, core => core.target())
    }

    /// Takes the loaded vCPU's state out of the virtual interface.
    #[inline(never)]
    pub fn save_virtual(&mut self, state: &mut VirtualState) {
        either!(self, core => core.save_virtual(state));
    }

    /// Puts a vCPU's state into the virtual interface.
    #[inline(never)]
    pub fn load_virtual(&mut self, state: &VirtualState) {
        either!(self, core => core.load_virtual(state));
    }

    /// The loaded vCPU's priority mask - the lower of its PMR and its running priority - and its enabled groups.
    #[must_use]
    pub fn virtual_mask(&self) -> (u8, Groups) {
        match self {
            Self::V2(core) => core.virtual_mask(),
            Self::V3(core) => core.virtual_mask(),
        }
    }
}

impl ListRegisters for Gic {
    const PARKED: u32 = 0xffff;

    #[inline(never)]
    fn take(&mut self, used: u32, into: &mut [ListRegister; 16]) {
        let mut left = used;
        for (index, place) in into.iter_mut().enumerate() {
            if left == 0 {
                break;
            }
            if left & 1 != 0 {
                *place = self.read(index);
                self.write(index, ListRegister::EMPTY);
            }
            left >>= 1;
        }
    }
    #[inline(never)]
    fn put(&mut self, used: u32, from: &[ListRegister; 16]) {
        let mut left = used;
        for (index, value) in from.iter().enumerate() {
            if left == 0 {
                break;
            }
            if left & 1 != 0 {
                self.write(index, *value);
            }
            left >>= 1;
        }
    }
}

impl CpuInterface for Gic {
    #[inline(always)]
    fn list_registers(&self) -> usize {
        either!(self, core => core.list_registers)
    }
    #[inline(never)]
    fn read(&self, index: usize) -> ListRegister {
        either!(self, core => core.read(index))
    }
    #[inline(never)]
    fn write(&mut self, index: usize, value: ListRegister) {
        either!(self, core => core.write(index, value));
    }
    #[inline(always)]
    fn make_pending(&mut self, index: usize, was: Was) -> bool {
        match self {
            Self::V2(core) => core.make_pending(index, was),
            Self::V3(core) => core.make_pending(index, was),
        }
    }
    #[inline(always)]
    fn empty(&self) -> u32 {
        either!(self, core => core.empty())
    }
    #[inline(always)]
    fn ended(&self) -> u32 {
        either!(self, core => core.ended())
    }
    #[inline(always)]
    fn eoi_count(&self) -> u32 {
        either!(self, core => core.eoi_count())
    }
    fn clear_eoi_count(&mut self) {
        either!(self, core => core.clear_eoi_count());
    }
    #[inline(never)]
    fn set_maintenance(&mut self, maintenance: Maintenance) {
        either!(self, core => core.set_maintenance(maintenance));
    }
    fn deactivate_physical(&mut self, pintid: IntId) {
        either!(self, core => core.deactivate(u32::from(pintid.get())));
    }
}

/// The mask that PMR and the active priorities (one bit for each of 32 levels) make.
#[must_use]
pub fn mask(pmr: u8, active: u32) -> u8 {
    if active == 0 {
        pmr
    } else {
        pmr.min((active.trailing_zeros() as u8) << 3)
    }
}

/// Disables 32 interrupts, forgets what is pending and active of them, and gives them their group and priority. Both
/// distributors, and a redistributor's second frame, have these registers at the same place (IHI 0048, 4.3; IHI 0069, 12.8 and 12.10).
#[inline(never)]
pub fn quiet(frame: Mmio, word: usize, group: u32) {
    const IGROUPR: usize = 0x80;
    const ICENABLER: usize = 0x180;
    const ICPENDR: usize = 0x280;
    const ICACTIVER: usize = 0x380;
    const IPRIORITYR: usize = 0x400;
    for register in [ICENABLER, ICPENDR, ICACTIVER] {
        frame.write32(register + 4 * word, !0);
    }
    frame.write32(IGROUPR + 4 * word, group);
    for i in 0..8 {
        frame.write32(IPRIORITYR + 32 * word + 4 * i, PRIORITY);
    }
}

/// Priority of every physical interrupt: one level, so none preempts another inside EL2.
pub const PRIORITY: u32 = 0xa0a0_a0a0;
