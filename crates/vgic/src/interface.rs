//! What the state machine needs from the local core: the hypervisor's side of the virtual CPU interface.
//!
//! The kernel implements it with the `ICH_*_EL2` registers (GICv3, IHI 0069) and with the `GICH_*` frame
//! (GICv2, IHI 0048, chapter 5); the tests implement it with a simulator.

use crate::{IntId, ListRegister};

/// Which maintenance interrupts are on, and whether writes to `DIR` trap, as a set. Empty is the state after reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Maintenance(u32);

impl Maintenance {
    /// Nothing.
    pub const OFF: Maintenance = Maintenance(0);

    pub(crate) const fn new(no_pending: bool, spilled: bool) -> Maintenance {
        Maintenance(no_pending as u32 | (spilled as u32) << 1)
    }

    /// Whether nothing is on.
    #[inline(always)]
    pub const fn is_off(self) -> bool {
        self.0 == 0
    }

    /// NPIE: no list register is pending. On only while ready interrupts wait outside the list registers.
    #[inline]
    pub const fn no_pending(self) -> bool {
        self.0 & 1 != 0
    }

    /// LRENPIE: an EOI found no list register. On only while an active interrupt is spilled to memory. With it the
    /// guest's writes to `ICC_DIR_EL1` (`ICH_HCR_EL2.TDIR`) or `GICV_DIR` must come to
    /// [`Vgic::deactivate`](crate::Vgic::deactivate).
    #[inline]
    pub const fn not_present(self) -> bool {
        self.0 & 2 != 0
    }
}

/// What a list register is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// Not active.
    Inactive,
    /// Neither pending nor active, tied to this physical interrupt: its end has deactivated that.
    Ended(IntId),
}

impl Was {
    /// Mask and value in the layout of `ICH_LR<n>_EL2`.
    #[inline(always)]
    pub const fn v3(self) -> (u64, u64) {
        match self {
            Was::Inactive => (ListRegister::ACTIVE, 0),
            Was::Ended(pintid) => ListRegister::ended_physical(pintid.get()),
        }
    }

    /// Mask and value in the layout of `GICH_LRn`.
    #[inline(always)]
    pub const fn v2(self) -> (u32, u32) {
        let (mask, value) = self.v3();
        let value = ListRegister::from_v3(value).to_v2();
        match self {
            Was::Inactive => (ListRegister::from_v3(mask).to_v2(), value),
            // With the hardware link the physical number is where the source would be.
            Was::Ended(_) => (
                ListRegister::from_v3(mask).to_v2() | ListRegister::V2_PHYSICAL,
                value,
            ),
        }
    }
}

/// Interrupt groups, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Groups(u8);

impl Groups {
    /// Neither group.
    pub const NONE: Groups = Groups(0);
    /// Group 0.
    pub const GROUP0: Groups = Groups(1);
    /// Group 1.
    pub const GROUP1: Groups = Groups(2);
    /// Both groups.
    pub const BOTH: Groups = Groups(3);

    /// Bit 0 for group 0, bit 1 for group 1; other bits are dropped.
    #[inline]
    pub const fn from_bits(bits: u8) -> Groups {
        Groups(bits & 3)
    }

    /// Bit 0 for group 0, bit 1 for group 1.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` is in this set.
    #[inline]
    pub const fn contains(self, other: Groups) -> bool {
        self.0 & other.0 == other.0
    }
}

#[inline]
pub(crate) const fn group_of(group1: bool) -> Groups {
    if group1 {
        Groups::GROUP1
    } else {
        Groups::GROUP0
    }
}

/// List registers as a whole, while vCPUs change places.
pub trait ListRegisters {
    /// Those that [`take`](ListRegisters::take) and [`put`](ListRegisters::put) know, a bit each.
    const PARKED: u32;

    /// Moves the list registers of `used` to `into`, and empties them.
    fn take(&mut self, used: u32, into: &mut [ListRegister; 16]);

    /// Fills the list registers of `used`, which are empty, from `from`.
    fn put(&mut self, used: u32, from: &[ListRegister; 16]);
}

/// The local core's virtual interface, for the vCPU that is loaded on it.
///
/// Enabling the interface as a whole (`ICH_HCR_EL2.En`), `ICH_VMCR_EL2` and the active priorities
/// (`ICH_AP*R*_EL2`) are the kernel's, not part of this.
pub trait CpuInterface: ListRegisters {
    /// How many list registers there are, 1 to 16.
    fn list_registers(&self) -> usize;

    /// Reads list register `index`.
    fn read(&self, index: usize) -> ListRegister;

    /// Writes list register `index`.
    fn write(&mut self, index: usize, value: ListRegister);

    /// Sets the pending bit of list register `index` if that was as `was` says; whether it did. It may always decline.
    fn make_pending(&mut self, index: usize, was: Was) -> bool;

    /// `ICH_ELRSR_EL2`: bit `i` set if list register `i` is empty and owes no EOI maintenance.
    fn empty(&self) -> u32;

    /// `ICH_EISR_EL2`: bit `i` set if list register `i` ended and asked for an EOI maintenance interrupt.
    /// The condition lasts until that list register is written.
    fn ended(&self) -> u32;

    /// `ICH_HCR_EL2.EOIcount`: deactivations that found no list register.
    fn eoi_count(&self) -> u32;

    /// Sets `EOIcount` to 0.
    fn clear_eoi_count(&mut self);

    /// Sets the maintenance enables; called only when they change.
    fn set_maintenance(&mut self, maintenance: Maintenance);

    /// Deactivates a physical interrupt whose virtual one left by software and not through a list register.
    /// For an SPI it may be called on a core other than the one that acknowledged it. It is not called for a private
    /// one while its vCPU is switched out: then the physical interrupt is not the vCPU's.
    fn deactivate_physical(&mut self, pintid: IntId);
}
