//! Loads and stores for which the syndrome says nothing.
//!
//! The architecture describes an access in ESR_EL2.ISS only for a load or store of one
//! general-purpose register without write-back (ISV = 1). Compilers also use the other forms on
//! device registers: write-back addressing and pairs. These are decoded here (Arm ARM C4.1.94,
//! "Loads and Stores"). SIMD, exclusive, atomic and tag accesses are not: no driver of an
//! ordinary device has a reason for them, and the guest is told so by name.

use crate::Access;

/// A decoded load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The first transfer, at the faulting instruction's address.
    pub first: Access,
    /// The register of the second transfer of a pair, directly above the first.
    pub second: Option<u8>,
    /// The base register (31 is the stack pointer) and what is added to it afterwards.
    pub write_back: Option<(u8, i64)>,
}

const fn field(op: u32, low: u32, bits: u32) -> u32 {
    op.wrapping_shr(low) & 1u32.wrapping_shl(bits).wrapping_sub(1)
}

/// Sign-extends the low `bits` bits.
const fn signed(value: u32, bits: u32) -> i64 {
    let shift = 32u32.saturating_sub(bits);
    (value.wrapping_shl(shift).cast_signed() >> shift) as i64
}

/// Decodes an A64 load or store with write-back or of a pair; `None` for anything else.
#[must_use]
pub fn decode(op: u32) -> Option<Decoded> {
    // Bit 26 selects the SIMD registers in every form below.
    if field(op, 26, 1) != 0 {
        return None;
    }
    match field(op, 27, 3) {
        0b101 => pair(op),
        0b111 => single(op),
        _ => None,
    }
}

/// Load/store pair: opc 101 0 mode(2) L imm7 Rt2 Rn Rt.
fn pair(op: u32) -> Option<Decoded> {
    let opc = field(op, 30, 2);
    let load = field(op, 22, 1) != 0;
    let mode = field(op, 23, 2);
    // opc 01 is LDPSW as a load; as a store it is STGP (tags) and not ours.
    let (size, sign_extend, wide) = match (opc, load) {
        (0b00, _) => (4, false, false),
        (0b01, true) => (4, true, true),
        (0b10, _) => (8, false, true),
        _ => return None,
    };
    let (first, second, base) = (
        field(op, 0, 5) as u8,
        field(op, 10, 5) as u8,
        field(op, 5, 5) as u8,
    );
    let offset = signed(field(op, 15, 7), 7).wrapping_mul(i64::from(size));
    let write_back = match mode {
        0b01 | 0b11 => Some((base, offset)),
        _ => None,
    };
    // Reserved (constrained unpredictable) overlaps are refused.
    if load && first == second && first != 31 {
        return None;
    }
    if write_back.is_some() && base != 31 && (base == first || base == second) {
        return None;
    }
    Some(Decoded {
        first: Access {
            size,
            register: first,
            sign_extend,
            wide,
            write: !load,
        },
        second: Some(second),
        write_back,
    })
}

/// Load/store register, immediate pre- or post-indexed: size 111 0 00 opc 0 imm9 mode(2) Rn Rt.
fn single(op: u32) -> Option<Decoded> {
    if field(op, 24, 2) != 0 || field(op, 21, 1) != 0 {
        return None;
    }
    if !matches!(field(op, 10, 2), 0b01 | 0b11) {
        return None;
    }
    let size = 1u8.wrapping_shl(field(op, 30, 2));
    let (write, sign_extend, wide) = match (field(op, 22, 2), size) {
        (0b00, _) => (true, false, size == 8),
        (0b01, _) => (false, false, size == 8),
        (0b10, 1 | 2 | 4) => (false, true, true),
        (0b11, 1 | 2) => (false, true, false),
        _ => return None,
    };
    let (register, base) = (field(op, 0, 5) as u8, field(op, 5, 5) as u8);
    if base == register && base != 31 {
        return None;
    }
    Some(Decoded {
        first: Access {
            size,
            register,
            sign_extend,
            wide,
            write,
        },
        second: None,
        write_back: Some((base, signed(field(op, 12, 9), 9))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(size: u8, register: u8, write: bool) -> Access {
        Access {
            size,
            register,
            sign_extend: false,
            wide: size == 8,
            write,
        }
    }

    // Encodings below are assembled by hand from the tables of Arm ARM C6.2 and checked with an assembler.

    #[test]
    fn str_w1_x2_post_4() {
        let d = decode(0xb800_4441).unwrap();
        assert_eq!(d.first, plain(4, 1, true));
        assert_eq!((d.second, d.write_back), (None, Some((2, 4))));
    }

    #[test]
    fn ldr_x3_x4_pre_minus_8() {
        let d = decode(0xf85f_8c83).unwrap();
        assert_eq!(d.first, plain(8, 3, false));
        assert_eq!(d.write_back, Some((4, -8)));
    }

    #[test]
    fn ldp_w0_w1_x2() {
        let d = decode(0x2940_0440).unwrap();
        assert_eq!(d.first, plain(4, 0, false));
        assert_eq!((d.second, d.write_back), (Some(1), None));
    }

    #[test]
    fn stp_x29_x30_sp_pre_minus_16() {
        let d = decode(0xa9bf_7bfd).unwrap();
        assert_eq!(d.first, plain(8, 29, true));
        assert_eq!((d.second, d.write_back), (Some(30), Some((31, -16))));
    }

    #[test]
    fn ldrsb_w5_x6_post_1_sign_extends_to_a_word() {
        let d = decode(0x38c0_14c5).unwrap();
        assert!(d.first.sign_extend && !d.first.wide && d.first.size == 1);
        assert_eq!(d.write_back, Some((6, 1)));
    }

    #[test]
    fn simd_exclusive_and_plain_forms_are_not_decoded() {
        assert_eq!(decode(0x3c81_0400), None, "str q0, [x0], #16");
        assert_eq!(decode(0x885f_7c41), None, "ldxr w1, [x2]");
        assert_eq!(decode(0xb940_0041), None, "ldr w1, [x2] has a syndrome");
        assert_eq!(decode(0xb840_0041), None, "ldur w1, [x2] has a syndrome");
        assert_eq!(decode(0xd503_201f), None, "nop");
    }

    #[test]
    fn an_unpredictable_overlap_is_refused() {
        assert_eq!(decode(0xb800_4442 & !0x1f | 2), None, "str w2, [x2], #4");
        assert_eq!(decode(0x2940_0040), None, "ldp w0, w0, [x2]");
    }

    proptest! {
        #[test]
        fn every_word_decodes_or_is_refused(op: u32) {
            if let Some(d) = decode(op) {
                prop_assert!(d.first.register < 32 && d.second.is_none_or(|r| r < 32));
                prop_assert!(matches!(d.first.size, 1 | 2 | 4 | 8));
                if let Some((base, by)) = d.write_back {
                    prop_assert!(base < 32 && (-512..=504).contains(&by));
                }
            }
        }
    }
}
