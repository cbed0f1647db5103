//! System registers by their encoding.

/// The encoding of a system register or system instruction: op0, op1, CRn, CRm and op2, packed as
/// in the `MRS` instruction (two, three, four, four and three bits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sysreg(u16);

impl Sysreg {
    /// The register with these fields; fields that are too large are cut.
    #[must_use]
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self(
            (op0 as u16 & 3) << 14
                | (op1 as u16 & 7) << 11
                | (crn as u16 & 15) << 7
                | (crm as u16 & 15) << 3
                | (op2 as u16 & 7),
        )
    }

    /// From the ISS of a trapped access (exception class 0x18).
    #[must_use]
    pub fn from_iss(iss: u64) -> Self {
        let pick = |low: u32| (iss >> low) as u8;
        Self::new(pick(20), pick(14), pick(10), pick(1), pick(17))
    }

    /// The packed encoding.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// op0, op1, CRn, CRm, op2.
    #[must_use]
    pub const fn fields(self) -> [u8; 5] {
        [
            (self.0 >> 14) as u8,
            (self.0 >> 11 & 7) as u8,
            (self.0 >> 7 & 15) as u8,
            (self.0 >> 3 & 15) as u8,
            (self.0 & 7) as u8,
        ]
    }
}

impl core::fmt::Debug for Sysreg {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [op0, op1, crn, crm, op2] = self.fields();
        write!(f, "S{op0}_{op1}_C{crn}_C{crm}_{op2}")
    }
}

/// A trapped access to a system register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysregAccess {
    /// Which register.
    pub register: Sysreg,
    /// The general-purpose register, 31 being zero.
    pub target: u8,
    /// MRS rather than MSR.
    pub read: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    proptest::proptest! {
        #[test]
        fn fields_come_back_from_the_iss(op0 in 0u8..4, op1 in 0u8..8, crn in 0u8..16, crm in 0u8..16, op2 in 0u8..8) {
            let iss = u64::from(op0) << 20 | u64::from(op2) << 17 | u64::from(op1) << 14
                | u64::from(crn) << 10 | u64::from(crm) << 1 | 7 << 5 | 1;
            let register = Sysreg::from_iss(iss);
            assert_eq!(register, Sysreg::new(op0, op1, crn, crm, op2));
            assert_eq!(register.fields(), [op0, op1, crn, crm, op2]);
        }
    }

    #[test]
    fn names_are_the_architectures_generic_form() {
        assert_eq!(std::format!("{:?}", Sysreg::new(3, 0, 12, 11, 5)), "S3_0_C12_C11_5");
    }
}
