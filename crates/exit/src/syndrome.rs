//! The exception syndrome, ESR_EL2.

use crate::sysreg::{Sysreg, SysregAccess};

/// Why a guest stopped running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// WFI or WFE (exception class 0x01).
    Wait {
        /// WFE rather than WFI.
        event: bool,
    },
    /// FP or SIMD was used while trapped (0x07).
    FloatingPoint,
    /// HVC with its immediate (0x16).
    Hvc(u16),
    /// SMC with its immediate (0x17).
    Smc(u16),
    /// MSR, MRS or a system instruction (0x18).
    Sysreg(SysregAccess),
    /// An instruction fetch that stage 2 refused (0x20).
    InstructionAbort(Abort),
    /// A load or store that stage 2 refused (0x24).
    DataAbort(Abort),
    /// Something that the guest's machine does not have, or that AArch32 code at EL0 may not use: coprocessor registers (0x03 to 0x06,
    /// 0x08, 0x0c), pointer authentication (0x09), SVE (0x19), SME (0x1d), and what has no class (0x00).
    Undefined,
    /// Anything else, by its exception class.
    Other(u8),
}

/// What kind of fault stage 2 reported (Arm ARM, "ISS encoding for an exception from a Data Abort", DFSC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing is mapped there.
    Translation,
    /// It is mapped without the right.
    Permission,
    /// Anything else - access flag, external abort, alignment, TLB conflict: the six bits.
    Other(u8),
}

/// An abort taken from a guest to EL2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The fault happened while the guest's own translation table was being read.
    pub walk: bool,
    /// FAR_EL2 does not hold the address.
    pub far_invalid: bool,
    /// It was a write. For cache maintenance the architecture reports a write too.
    pub write: bool,
    /// It was a cache maintenance or address translation instruction.
    pub maintenance: bool,
    /// The access, where the syndrome describes it.
    pub access: Option<Access>,
}

/// A single load or store of one general-purpose register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Size in bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// The register, 31 being zero.
    pub register: u8,
    /// A load extends the sign.
    pub sign_extend: bool,
    /// The register is 64 bits wide (else a load clears its upper half).
    pub wide: bool,
    /// A store.
    pub write: bool,
}

impl Access {
    /// The value a load puts into its register, of the `value` that the device gave.
    #[must_use]
    pub fn extend(&self, value: u64) -> u64 {
        let bits = u32::from(self.size.min(8)).wrapping_mul(8).max(8);
        let shift = 64u32.wrapping_sub(bits);
        let value = value.wrapping_shl(shift);
        if self.sign_extend {
            let signed = value.cast_signed().wrapping_shr(shift).cast_unsigned();
            if self.wide { signed } else { signed & 0xffff_ffff }
        } else {
            value.wrapping_shr(shift)
        }
    }
}

const fn bit(value: u64, n: u32) -> bool {
    value.wrapping_shr(n) & 1 != 0
}

const fn field(value: u64, low: u32, mask: u64) -> u64 {
    value.wrapping_shr(low) & mask
}

/// Decodes ESR_EL2 of an exception from a lower exception level.
#[must_use]
#[inline]
pub fn decode(esr: u64) -> Exit {
    let class = field(esr, 26, 0x3f) as u8;
    match class {
        0x01 => Exit::Wait {
            event: bit(esr, 0),
        },
        0x07 => Exit::FloatingPoint,
        0x16 => Exit::Hvc(esr as u16),
        0x17 => Exit::Smc(esr as u16),
        0x18 => Exit::Sysreg(SysregAccess {
            register: Sysreg::from_iss(esr),
            target: field(esr, 5, 31) as u8,
            read: bit(esr, 0),
        }),
        0x20 => Exit::InstructionAbort(abort(esr, false)),
        0x24 => Exit::DataAbort(abort(esr, true)),
        0x00 | 0x03..=0x06 | 0x08 | 0x09 | 0x0c | 0x19 | 0x1d => Exit::Undefined,
        other => Exit::Other(other),
    }
}

#[inline]
fn abort(esr: u64, data: bool) -> Abort {
    let status = field(esr, 0, 0x3f) as u8;
    let write = data && bit(esr, 6);
    Abort {
        kind: match status >> 2 {
            1 => FaultKind::Translation,
            3 => FaultKind::Permission,
            _ => FaultKind::Other(status),
        },
        walk: bit(esr, 7),
        far_invalid: bit(esr, 10),
        write,
        maintenance: data && bit(esr, 8),
        access: (data && bit(esr, 24)).then(|| Access {
            size: 1u8.wrapping_shl(field(esr, 22, 3) as u32),
            register: field(esr, 16, 31) as u8,
            sign_extend: bit(esr, 21),
            wide: bit(esr, 15),
            write,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_load_from_a_device_is_described() {
        // ISV, SAS = 2 (word), SRT = x3, SF = 0, read, translation fault level 3.
        let esr = 0x24 << 26 | 1 << 25 | 1 << 24 | 2 << 22 | 3 << 16 | 0b000_111;
        let Exit::DataAbort(abort) = decode(esr) else {
            panic!("not a data abort")
        };
        assert_eq!(abort.kind, FaultKind::Translation);
        assert_eq!(
            abort.access,
            Some(Access {
                size: 4,
                register: 3,
                sign_extend: false,
                wide: false,
                write: false
            })
        );
    }

    #[test]
    fn a_permission_fault_without_syndrome_has_no_access() {
        let Exit::DataAbort(abort) = decode(0x24 << 26 | 1 << 6 | 0b001_110) else {
            panic!("not a data abort")
        };
        assert_eq!(abort.kind, FaultKind::Permission);
        assert!(abort.write && abort.access.is_none());
    }

    #[test]
    fn a_signed_byte_load_extends_to_the_register_width() {
        let mut access = Access {
            size: 1,
            register: 0,
            sign_extend: true,
            wide: false,
            write: false,
        };
        assert_eq!(access.extend(0x1_80), 0xffff_ff80);
        access.wide = true;
        assert_eq!(access.extend(0x80), 0xffff_ffff_ffff_ff80);
        access.sign_extend = false;
        assert_eq!(access.extend(0xfff), 0xff);
    }

    proptest! {
        #[test]
        fn every_syndrome_decodes_to_one_exit(esr: u64) {
            let class = (esr >> 26 & 0x3f) as u8;
            match decode(esr) {
                Exit::Wait { .. } => prop_assert_eq!(class, 1),
                Exit::FloatingPoint => prop_assert_eq!(class, 7),
                Exit::Undefined => prop_assert!(class < 0x0d || class == 0x19 || class == 0x1d),
                Exit::Hvc(imm) => prop_assert!(class == 0x16 && imm == esr as u16),
                Exit::Smc(imm) => prop_assert!(class == 0x17 && imm == esr as u16),
                Exit::Sysreg(access) => prop_assert!(class == 0x18 && access.target < 32),
                Exit::InstructionAbort(a) => {
                    prop_assert!(class == 0x20 && a.access.is_none() && !a.write);
                }
                Exit::DataAbort(a) => {
                    prop_assert_eq!(class, 0x24);
                    if let Some(access) = a.access {
                        prop_assert!(access.size.is_power_of_two() && access.size <= 8 && access.register < 32);
                        let _ = access.extend(esr);
                    }
                }
                Exit::Other(c) => prop_assert_eq!(c, class),
            }
        }
    }
}
