//! Names of things: virtual CPUs, sets of them, and interrupts.
//!
//! They are newtypes so that a vCPU number, a core number and an INTID cannot be taken for each other.

use core::ops::{BitOr, BitOrAssign};

/// The largest number of vCPUs that one guest can have.
pub const MAX_VCPUS: usize = 16;

/// The first shared peripheral interrupt.
pub const FIRST_SPI: u16 = 32;

/// The largest number of shared peripheral interrupts, as on QEMU's `virt` board.
pub const MAX_SPIS: u16 = 256;

/// One more than the largest INTID that is not special (1020 to 1023 are).
const INTID_LIMIT: u16 = 1020;

/// A virtual CPU of one guest, counted from 0. The affinity of vCPU `i` is 0.0.0.`i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct VcpuIndex(u8);

impl VcpuIndex {
    /// Makes an index. Whether the guest has such a vCPU is checked where it is used: an access by or to
    /// a vCPU that does not exist does nothing.
    #[inline]
    pub const fn new(index: u8) -> VcpuIndex {
        VcpuIndex(index)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// An interrupt number, 0 to 1019: SGI (0-15), PPI (16-31) or SPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct IntId(u16);

impl IntId {
    /// Makes an INTID; `None` for the special and the reserved ones (1020 and above).
    #[inline]
    pub const fn new(intid: u32) -> Option<IntId> {
        if intid < INTID_LIMIT as u32 {
            Some(IntId(intid as u16))
        } else {
            None
        }
    }

    /// A private peripheral interrupt by its INTID, for constants: values outside 16-31 are brought into it.
    #[inline]
    pub const fn ppi(intid: u8) -> IntId {
        IntId(16 | (intid & 15) as u16)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether each vCPU has its own: SGIs and PPIs.
    #[inline]
    pub const fn is_private(self) -> bool {
        self.0 < FIRST_SPI
    }

    /// From a number that is known to be below the limit.
    #[inline]
    pub(crate) const fn known(intid: u16) -> IntId {
        IntId(intid)
    }
}

/// A set of vCPUs; as a result, those that need attention.
///
/// For each member the kernel makes the core that has the vCPU's list registers call `sync` and `flush` (by
/// an IPI, or just before it returns to the guest if it is the local core), and wakes the vCPU if it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
#[must_use = "the vCPUs in the set must be kicked"]
pub struct VcpuSet(u32);

impl VcpuSet {
    /// No vCPU.
    pub const EMPTY: VcpuSet = VcpuSet(0);

    /// The set of one vCPU.
    #[inline]
    pub const fn only(vcpu: VcpuIndex) -> VcpuSet {
        VcpuSet(1u32.wrapping_shl(vcpu.0 as u32))
    }

    /// The set with bit `i` for vCPU `i`.
    #[inline]
    pub const fn from_bits(bits: u32) -> VcpuSet {
        VcpuSet(bits)
    }

    /// Bit `i` for vCPU `i`.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether nobody needs attention.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `vcpu` is a member.
    #[inline]
    pub const fn contains(self, vcpu: VcpuIndex) -> bool {
        self.0 & VcpuSet::only(vcpu).0 != 0
    }

    /// The set with `vcpu`.
    #[inline]
    pub const fn with(self, vcpu: VcpuIndex) -> VcpuSet {
        VcpuSet(self.0 | VcpuSet::only(vcpu).0)
    }

    /// The set without `vcpu`.
    #[inline]
    pub const fn without(self, vcpu: VcpuIndex) -> VcpuSet {
        VcpuSet(self.0 & !VcpuSet::only(vcpu).0)
    }
}

impl BitOr for VcpuSet {
    type Output = VcpuSet;
    #[inline]
    fn bitor(self, other: VcpuSet) -> VcpuSet {
        VcpuSet(self.0 | other.0)
    }
}

impl BitOrAssign for VcpuSet {
    #[inline]
    fn bitor_assign(&mut self, other: VcpuSet) {
        self.0 |= other.0;
    }
}

impl Iterator for VcpuSet {
    type Item = VcpuIndex;
    #[inline]
    fn next(&mut self) -> Option<VcpuIndex> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        Some(VcpuIndex(index as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_intids_are_refused() {
        assert_eq!(IntId::new(1019).map(IntId::get), Some(1019));
        assert_eq!(IntId::new(1020), None);
        assert_eq!(IntId::new(u32::MAX), None);
    }

    #[test]
    fn a_set_yields_its_members_in_order() {
        let set = VcpuSet::only(VcpuIndex::new(9))
            .with(VcpuIndex::new(2))
            .with(VcpuIndex::new(15));
        let mut seen = [0u8; 3];
        for (slot, vcpu) in seen.iter_mut().zip(set) {
            *slot = vcpu.get();
        }
        assert_eq!(seen, [2, 9, 15]);
        assert_eq!(set.count(), 3);
        assert!(!set.without(VcpuIndex::new(9)).contains(VcpuIndex::new(9)));
    }
}
