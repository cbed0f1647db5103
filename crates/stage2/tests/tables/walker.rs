//! A walker written from the architecture's side: it takes VTTBR_EL2 and VTCR_EL2 and reads memory.

use crate::machine::Memory;

/// What a stage-2 walk gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    pub pa: u64,
    pub level: u32,
    pub memattr: u64,
    pub s2ap: u64,
    pub sh: u64,
    pub xn: u64,
}

/// The bits of `value` from `high` down to `low`.
pub fn bits(value: u64, high: u32, low: u32) -> u64 {
    (value >> low) & ((1 << (high - low + 1)) - 1)
}

/// Walks as a core would with these registers. `None` is a translation fault; anything that the
/// architecture reserves or that would fault in another way is a panic.
pub fn walk(memory: &Memory, vttbr: u64, vtcr: u64, ipa: u64) -> Option<Walk> {
    let input_bits = 64 - bits(vtcr, 5, 0) as u32;
    assert_eq!(bits(vtcr, 15, 14), 0, "TG0 is 4 KiB");
    assert_eq!(bits(vtcr, 7, 6), 1, "SL0 is level 1");
    if ipa >> input_bits != 0 {
        return None;
    }
    let mut table = bits(vttbr, 47, 1) << 1;
    let root_bytes = 8 << (input_bits - 30);
    assert_eq!(
        table % root_bytes.max(0x1000),
        0,
        "the root is aligned to its size"
    );
    let mut high = input_bits - 1;
    for level in 1..=3 {
        let low = 12 + 9 * (3 - level);
        let index = bits(ipa, high, low);
        // Concatenated tables are one array.
        let entry = memory.tables[&table][index as usize];
        high = low - 1;
        match (bits(entry, 1, 0), level) {
            (0b11, 1 | 2) => {
                assert_eq!(
                    entry & !0x0000_FFFF_FFFF_F003,
                    0,
                    "a table entry has an address only"
                );
                table = bits(entry, 47, 12) << 12;
            }
            (0b01, 1 | 2) | (0b11, 3) => {
                let output = bits(entry, 47, low) << low;
                assert_eq!(
                    entry & ((1 << low) - 0x1000),
                    0,
                    "bits below a block's address are zero"
                );
                assert_eq!(bits(entry, 11, 10), 0b01, "AF is set");
                assert_eq!(entry >> 55, 0, "no bit above XN");
                assert_eq!(bits(entry, 53, 48), 0, "no bit between the address and XN");
                return Some(Walk {
                    pa: output | bits(ipa, low - 1, 0),
                    level,
                    memattr: bits(entry, 5, 2),
                    s2ap: bits(entry, 7, 6),
                    sh: bits(entry, 9, 8),
                    xn: bits(entry, 54, 54),
                });
            }
            (0b00, _) => {
                assert_eq!(entry, 0, "an invalid entry is zero");
                return None;
            }
            (kind, _) => panic!("reserved entry {kind:#b} at level {level}"),
        }
    }
    None
}
