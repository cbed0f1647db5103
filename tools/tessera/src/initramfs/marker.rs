//! The programs `mark-0` and `mark-1`: each executes one instruction that does nothing and that the
//! plugin `tools/meter` takes for the end or the beginning of a phase, and ends.

/// Where the program is loaded.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// `movz xzr, #phase, lsl #48` (`tools/meter/README.md`, "Phase"), then exit(0).
fn code(phase: u8) -> [u32; 4] {
    [
        0xD2E0_001F | u32::from(phase) << 5,
        0xD280_0000,           // mov x0, #0
        0xD280_0008 | 93 << 5, // mov x8, #93, which is exit
        0xD400_0001,           // svc #0
    ]
}

/// The program for a phase, as a static ELF file (System V ABI, "Object files").
#[must_use]
pub fn program(phase: u8) -> Vec<u8> {
    let code = code(phase);
    let size = HEADERS + 4 * code.len() as u64;
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |bytes: &mut Vec<u8>, value: u16| bytes.extend(value.to_le_bytes());
    let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
    let long = |bytes: &mut Vec<u8>, value: u64| bytes.extend(value.to_le_bytes());
    half(&mut bytes, 2); // an executable
    half(&mut bytes, 183); // AArch64
    word(&mut bytes, 1);
    long(&mut bytes, BASE + HEADERS); // the entry
    long(&mut bytes, 64); // one program header behind this one
    long(&mut bytes, 0); // no sections
    word(&mut bytes, 0);
    for value in [64, 56, 1, 64, 0, 0] {
        half(&mut bytes, value);
    }
    word(&mut bytes, 1); // PT_LOAD
    word(&mut bytes, 5); // readable, executable
    for value in [0, BASE, BASE, size, size, 0x1_0000] {
        long(&mut bytes, value);
    }
    code.iter().for_each(|c| word(&mut bytes, *c));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use elf::ElfBytes;
    use elf::endian::AnyEndian;

    #[test]
    fn the_program_is_an_elf_file_whose_entry_is_the_marker() {
        let bytes = program(1);
        let file = ElfBytes::<AnyEndian>::minimal_parse(&bytes).unwrap();
        let segment = file.segments().unwrap().iter().next().unwrap();
        let at = usize::try_from(file.ehdr.e_entry - segment.p_vaddr).unwrap();
        assert_eq!(bytes[at..at + 4], 0xD2E0_003F_u32.to_le_bytes());
        assert_eq!(segment.p_filesz, bytes.len() as u64);
    }
}
