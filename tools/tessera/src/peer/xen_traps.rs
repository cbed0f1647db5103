//! Finds where Xen handles each kind of trap, so that a counter can tell them apart.
//!
//! Xen decides by the exception class of ESR_EL2 (Arm ARM, "Exception Syndrome Register"), in a
//! `switch` that GCC makes a table of byte offsets for:
//!
//! ```text
//! lsr  w3, w20, #26       the exception class
//! sub  w0, w3, #1         the first one that has a case
//! ...
//! adrp x1, table
//! add  x1, x1, table
//! ldrb w1, [x1, w0, uxtw]
//! adr  x0, #12            what the offsets are relative to
//! add  x1, x0, w1, sxtb #2
//! br   x1
//! ```
//!
//! There are more tables of that form. The one for guests' traps is the only one that knows WFI,
//! HVC, system registers and aborts of guests, each with code of its own. A Xen that another
//! compiler made may have none: then there are no marks, and nothing else changes.

use crate::peer::Mark;

/// Names for a counter, by exception class. Xen does the same for an abort of a fetch as for one of
/// an access, so that they have one name.
const CLASSES: [(u8, &str); 6] = [
    (0x01, "wfi"),
    (0x07, "fp"),
    (0x16, "hvc"),
    (0x17, "smc"),
    (0x18, "register"),
    (0x24, "abort"),
];
/// Those that a guest's table cannot be without.
const NEEDED: [u8; 4] = [0x01, 0x16, 0x18, 0x24];
/// A class that no table has a case for.
const UNUSED: u8 = 0x02;

/// How far before the jump the exception class is computed, in instructions.
const REACH: usize = 24;

/// The first instructions that are a trap's own, as linked: `bytes` begins at `base`.
pub fn find(bytes: &[u8], base: u64) -> Vec<Mark> {
    let image = Image { bytes, base };
    let mut found = (2..bytes.len() / 4).filter_map(|at| image.table(at));
    match (found.next(), found.next()) {
        (Some(marks), None) => marks,
        _ => Vec::new(),
    }
}

struct Image<'a> {
    bytes: &'a [u8],
    base: u64,
}

impl Image<'_> {
    fn word(&self, index: usize) -> Option<u32> {
        let raw = self.bytes.get(4 * index..4 * index + 4)?;
        Some(u32::from_le_bytes(raw.try_into().ok()?))
    }

    /// The marks of a table whose byte is loaded at `at`, if it is that of guests' traps.
    fn table(&self, at: usize) -> Option<Vec<Mark>> {
        // LDRB (register, UXTW); ADR #12; ADD (extended, SXTB #2); BR.
        let form = [
            (0xffe0_fc00, 0x3860_4800),
            (0xffff_ffe0, 0x1000_0060),
            (0xffe0_fc00, 0x8b20_8800),
            (0xffff_fc1f, 0xd61f_0000),
        ];
        for (i, (mask, value)) in form.into_iter().enumerate() {
            if self.word(at + i)? & mask != value {
                return None;
            }
        }
        let first = (at.saturating_sub(REACH)..at).find_map(|i| self.first_class(i))?;
        let (adrp, add) = (self.word(at - 2)?, self.word(at - 1)?);
        let pc = self.base + 4 * (at as u64 - 2);
        let table = page(adrp, pc)?.checked_add(low(add)?)?;
        // Relative to three instructions behind the ADR.
        let origin = self.base + 4 * (at as u64 + 1) + 12;
        let target = |class: u8| {
            let entry = table.checked_sub(self.base)? + u64::from(class.checked_sub(first)?);
            let offset = *self.bytes.get(usize::try_from(entry).ok()?)?;
            origin.checked_add_signed(4 * i64::from(offset.cast_signed()))
        };
        let mut own: Vec<u64> = NEEDED.iter().map(|c| target(*c)).collect::<Option<_>>()?;
        let default = target(UNUSED)?;
        own.sort_unstable();
        own.dedup();
        if own.len() < NEEDED.len() || own.contains(&default) {
            return None;
        }
        let marks = CLASSES.iter().filter_map(|(class, name)| {
            let address = target(*class).filter(|a| *a != default)?;
            Some(Mark { name, address })
        });
        Some(marks.collect())
    }

    /// The first class with a case, if the class is computed at `at`.
    fn first_class(&self, at: usize) -> Option<u8> {
        // LSR #26 (32 bits), then SUB (immediate) of its result.
        let (shift, sub) = (self.word(at)?, self.word(at + 1)?);
        let is_class = shift & 0xffff_fc00 == 0x531a_7c00;
        let is_first = sub & 0xffc0_0000 == 0x5100_0000 && (sub >> 5) & 31 == shift & 31;
        let first = u8::try_from((sub >> 10) & 0xfff).ok()?;
        (is_class && is_first).then_some(first)
    }
}

/// The page that an ADRP at `pc` computes.
fn page(adrp: u32, pc: u64) -> Option<u64> {
    if adrp & 0x9f00_0000 != 0x9000_0000 {
        return None;
    }
    let raw = ((adrp >> 5) & 0x7_ffff) << 2 | (adrp >> 29) & 3;
    // 21 bits with a sign.
    let pages = i64::from((raw << 11).cast_signed() >> 11);
    (pc & !0xfff).checked_add_signed(pages << 12)
}

/// What an ADD (immediate, 64 bits, not shifted) adds.
fn low(add: u32) -> Option<u64> {
    (add & 0xffc0_0000 == 0x9100_0000).then_some(u64::from((add >> 10) & 0xfff))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x20_0000;
    const TABLE: usize = 0x2100;

    /// A switch as GCC makes it, at 0x1000, with its table.
    fn image(cases: &[(u8, u8)]) -> Vec<u8> {
        let mut bytes = vec![0; 0x3000];
        let code = [
            0x531a_7e83u32, // lsr w3, w20, #26
            0x5100_0460,    // sub w0, w3, #1
            0x7100_8c1f,    // cmp w0, #35
            0xd000_0001,    // adrp x1, two pages on
            0x9104_0021,    // add x1, x1, #0x100
            0x3860_4821,    // ldrb w1, [x1, w0, uxtw]
            0x1000_0060,    // adr x0, #12
            0x8b21_8801,    // add x1, x0, w1, sxtb #2
            0xd61f_0020,    // br x1
        ];
        for (i, word) in code.iter().enumerate() {
            bytes[0x1000 + 4 * i..][..4].copy_from_slice(&word.to_le_bytes());
        }
        // ADRP computes pages of the linked address; 0x1000 and two more.
        let adrp = 0x9000_0001u32 | 1 << 29;
        bytes[0x100c..0x1010].copy_from_slice(&adrp.to_le_bytes());
        bytes[TABLE..TABLE + 36].fill(0xf0);
        for (class, offset) in cases {
            bytes[TABLE + usize::from(*class) - 1] = *offset;
        }
        bytes
    }

    const CASES: [(u8, u8); 5] = [(0x01, 0), (0x16, 5), (0x18, 9), (0x20, 0xff), (0x24, 0xff)];

    #[test]
    fn each_kind_of_trap_gets_the_first_instruction_of_its_own() {
        let origin = BASE + 0x1018 + 12;
        let mark = |name, address| Mark { name, address };
        assert_eq!(
            find(&image(&CASES), BASE),
            [
                mark("wfi", origin),
                mark("hvc", origin + 20),
                mark("register", origin + 36),
                mark("abort", origin - 4),
            ]
        );
    }

    #[test]
    fn a_table_without_guests_traps_is_another_one() {
        assert_eq!(find(&image(&CASES[1..]), BASE), []);
        assert_eq!(find(&image(&[]), BASE), []);
    }

    #[test]
    fn nothing_is_guessed_from_a_damaged_image() {
        let whole = image(&CASES);
        for at in 0x1000..0x1024 {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            let _ = find(&bytes, BASE);
        }
        for len in [0, 3, 0x1010, 0x1024, TABLE, TABLE + 2] {
            assert_eq!(find(&whole[..len], BASE), []);
        }
    }
}
