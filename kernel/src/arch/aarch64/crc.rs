//! CRC-32 (IEEE), by the processor's instructions where it has them.

use super::mrs;

/// Whether the processor has CRC instructions (ID_AA64ISAR0_EL1.CRC32).
#[must_use]
pub fn has_instructions() -> bool {
    mrs!("id_aa64isar0_el1") >> 16 & 15 != 0
}

/// Continues a CRC over `bytes`; start with `!0` and invert at the end.
#[must_use]
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    if has_instructions() {
        // SAFETY: the processor has the instructions.
        unsafe { update_by_instruction(crc, bytes) }
    } else {
        bytes.iter().fold(crc, |crc, &byte| {
            let crc = crc ^ u32::from(byte);
            let crc = crc >> 4 ^ NIBBLES[crc as usize & 15];
            crc >> 4 ^ NIBBLES[crc as usize & 15]
        })
    }
}

/// The CRC of `bytes`.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    !update(!0, bytes)
}

const NIBBLES: [u32; 16] = {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[target_feature(enable = "crc")]
fn update_by_instruction(mut crc: u32, bytes: &[u8]) -> u32 {
    // What is long is an image's, and `copy` has its own loop for it. Here are the manifest and an image's last bytes.
    for &byte in bytes {
        crc = core::arch::aarch64::__crc32b(crc, byte);
    }
    crc
}
