//! A list register: one virtual interrupt in the hardware's hands.
//!
//! The value has the layout of `ICH_LR<n>_EL2` (IHI 0069, 12.4.5), so that the GICv3 path writes it as it is;
//! [`ListRegister::to_v2`] and [`ListRegister::from_v2`] convert for `GICH_LRn` (IHI 0048, 5.3.7).
//! The source of a GICv2 SGI is in bits 12:10 of the virtual INTID, where the GICv3 architecture puts it for
//! guests without system registers.

use crate::IntId;

const STATE_PENDING: u64 = 1 << 62;
const STATE_ACTIVE: u64 = 1 << 63;
const HW: u64 = 1 << 61;
const GROUP1: u64 = 1 << 60;
const PRIORITY_SHIFT: u32 = 48;
const EOI: u64 = 1 << 41;
const PINTID_SHIFT: u32 = 32;
const PINTID_MASK: u64 = 0x1fff;
const SOURCE_SHIFT: u32 = 10;
const INTID_MASK: u64 = 0x3ff;

const V2_HW: u32 = 1 << 31;
const V2_GROUP1: u32 = 1 << 30;
const V2_STATE_SHIFT: u32 = 28;
const V2_PRIORITY_SHIFT: u32 = 23;
const V2_EOI: u32 = 1 << 19;
const V2_PHYSICAL_SHIFT: u32 = 10;

/// One virtual interrupt: number, priority, group, state, and what happens at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct ListRegister(u64);

impl ListRegister {
    /// An empty list register.
    pub const EMPTY: ListRegister = ListRegister(0);

    /// From the value of `ICH_LR<n>_EL2`.
    #[inline]
    pub const fn from_v3(value: u64) -> ListRegister {
        ListRegister(value)
    }

    /// The value of `ICH_LR<n>_EL2`.
    #[inline]
    pub const fn to_v3(self) -> u64 {
        self.0
    }

    /// The physical number in `GICH_LRn`.
    pub(crate) const V2_PHYSICAL: u32 = (INTID_MASK as u32) << V2_PHYSICAL_SHIFT;
    /// The bit that says active.
    pub(crate) const ACTIVE: u64 = STATE_ACTIVE;

    /// Mask and value of a list register whose interrupt the guest has ended, and whose end deactivated `pintid`.
    #[inline(always)]
    pub(crate) const fn ended_physical(pintid: u16) -> (u64, u64) {
        const MASK: u64 = STATE_PENDING | STATE_ACTIVE | HW | PINTID_MASK << PINTID_SHIFT;
        (MASK, HW | (pintid as u64) << PINTID_SHIFT)
    }

    /// A list register of an interrupt that is neither pending nor active yet.
    #[inline]
    pub(crate) const fn new(intid: u16, priority: u8, group1: bool) -> ListRegister {
        let group = if group1 { GROUP1 } else { 0 };
        ListRegister(intid as u64 & INTID_MASK | (priority as u64) << PRIORITY_SHIFT | group)
    }

    /// The same, pending.
    #[inline]
    pub(crate) const fn with_pending(self) -> ListRegister {
        ListRegister(self.0 | STATE_PENDING)
    }

    /// The same, active.
    #[inline]
    pub(crate) const fn with_active(self) -> ListRegister {
        ListRegister(self.0 | STATE_ACTIVE)
    }

    /// The same, tied to a physical interrupt that its end deactivates.
    #[inline]
    pub(crate) const fn with_physical(self, pintid: u16) -> ListRegister {
        ListRegister(self.0 | HW | (pintid as u64) << PINTID_SHIFT)
    }

    /// The same, with a maintenance interrupt at its end.
    #[inline]
    pub(crate) const fn with_eoi(self) -> ListRegister {
        ListRegister(self.0 | EOI)
    }

    /// The same, with the vCPU that sent it (GICv2 SGIs).
    #[inline]
    pub(crate) const fn with_source(self, source: u8) -> ListRegister {
        ListRegister(self.0 | (source as u64 & 7) << SOURCE_SHIFT)
    }

    /// The virtual INTID.
    #[inline]
    pub const fn intid(self) -> u16 {
        (self.0 & INTID_MASK) as u16
    }

    /// The vCPU that sent it (GICv2 SGIs, else 0).
    #[inline]
    pub const fn source(self) -> u8 {
        (self.0 >> SOURCE_SHIFT & 7) as u8
    }

    /// The priority; lower is more urgent.
    #[inline]
    pub const fn priority(self) -> u8 {
        (self.0 >> PRIORITY_SHIFT) as u8
    }

    /// Whether the interrupt is in group 1.
    #[inline]
    pub const fn is_group1(self) -> bool {
        self.0 & GROUP1 != 0
    }

    /// Whether the state includes pending.
    #[inline]
    pub const fn is_pending(self) -> bool {
        self.0 & STATE_PENDING != 0
    }

    /// Whether the state includes active.
    #[inline]
    pub const fn is_active(self) -> bool {
        self.0 & STATE_ACTIVE != 0
    }

    /// Whether the state is invalid: neither pending nor active.
    #[inline]
    pub const fn is_invalid(self) -> bool {
        self.0 & (STATE_PENDING | STATE_ACTIVE) == 0
    }

    /// Whether its end raises a maintenance interrupt.
    #[inline]
    pub const fn has_eoi(self) -> bool {
        self.0 & (HW | EOI) == EOI
    }

    /// Whether its end deactivates a physical interrupt.
    #[inline]
    pub const fn is_hardware(self) -> bool {
        self.0 & HW != 0
    }

    /// The physical interrupt that its end deactivates.
    #[inline]
    pub const fn physical(self) -> Option<IntId> {
        if self.0 & HW == 0 {
            None
        } else {
            IntId::new((self.0 >> PINTID_SHIFT & PINTID_MASK) as u32)
        }
    }

    /// What the hardware makes of it when the guest acknowledges it: active, no longer pending.
    #[inline]
    pub const fn acknowledged(self) -> ListRegister {
        ListRegister(self.0 & !STATE_PENDING | STATE_ACTIVE)
    }

    /// What the hardware makes of it when the guest deactivates it: no longer active.
    #[inline]
    pub const fn deactivated(self) -> ListRegister {
        ListRegister(self.0 & !STATE_ACTIVE)
    }

    /// The value for `GICH_LRn`. Only the top five bits of the priority are kept, as that register has them.
    #[inline]
    pub const fn to_v2(self) -> u32 {
        let state = (self.0 >> 62) as u32;
        let group = if self.is_group1() { V2_GROUP1 } else { 0 };
        let common = self.intid() as u32
            | (self.priority() as u32 >> 3) << V2_PRIORITY_SHIFT
            | state << V2_STATE_SHIFT
            | group;
        if self.0 & HW != 0 {
            let pintid = (self.0 >> PINTID_SHIFT & INTID_MASK) as u32;
            common | V2_HW | pintid << V2_PHYSICAL_SHIFT
        } else {
            let eoi = if self.0 & EOI != 0 { V2_EOI } else { 0 };
            common | eoi | (self.source() as u32) << V2_PHYSICAL_SHIFT
        }
    }

    /// From the value of `GICH_LRn`.
    #[inline]
    pub const fn from_v2(value: u32) -> ListRegister {
        let common = value as u64 & INTID_MASK
            | (((value >> V2_PRIORITY_SHIFT & 0x1f) << 3) as u64) << PRIORITY_SHIFT
            | ((value >> V2_STATE_SHIFT & 3) as u64) << 62
            | if value & V2_GROUP1 != 0 { GROUP1 } else { 0 };
        if value & V2_HW != 0 {
            let pintid = (value >> V2_PHYSICAL_SHIFT) as u64 & INTID_MASK;
            ListRegister(common | HW | pintid << PINTID_SHIFT)
        } else {
            let eoi = if value & V2_EOI != 0 { EOI } else { 0 };
            let source = (value >> V2_PHYSICAL_SHIFT & 7) as u64;
            ListRegister(common | eoi | source << SOURCE_SHIFT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_v3_register_has_them() {
        let lr = ListRegister::new(27, 0xa0, true)
            .with_pending()
            .with_physical(27);
        assert_eq!(lr.to_v3(), 0x70a0_001b_0000_001b);
        let lr = ListRegister::new(5, 0x08, false).with_active().with_eoi();
        assert_eq!(lr.to_v3(), 0x8008_0200_0000_0005);
    }

    #[test]
    fn fields_are_where_the_v2_register_has_them() {
        let lr = ListRegister::new(27, 0xa0, true)
            .with_pending()
            .with_physical(30);
        assert_eq!(
            lr.to_v2(),
            1 << 31 | 1 << 30 | 1 << 28 | 20 << 23 | 30 << 10 | 27
        );
        let sgi = ListRegister::new(3, 0x80, false)
            .with_active()
            .with_source(5)
            .with_eoi();
        assert_eq!(sgi.to_v2(), 2 << 28 | 16 << 23 | 1 << 19 | 5 << 10 | 3);
    }

    #[test]
    fn conversion_to_v2_and_back_keeps_everything() {
        let all = [
            ListRegister::new(287, 0xf8, true)
                .with_pending()
                .with_active(),
            ListRegister::new(15, 0, false)
                .with_source(7)
                .with_pending(),
            ListRegister::new(40, 0x18, true).with_active().with_eoi(),
            ListRegister::new(40, 0x18, false)
                .with_pending()
                .with_physical(1019),
            ListRegister::EMPTY,
        ];
        for lr in all {
            assert_eq!(ListRegister::from_v2(lr.to_v2()), lr);
        }
    }

    #[test]
    fn the_eoi_bit_of_a_hardware_interrupt_is_part_of_its_number() {
        let lr = ListRegister::new(40, 0, false).with_physical(0x200 | 40);
        assert!(!lr.has_eoi());
        assert_eq!(lr.physical().map(IntId::get), Some(0x228));
    }
}
