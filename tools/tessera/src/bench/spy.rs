//! The seed for random numbers that QEMU gives a machine, read before its first instruction.
//!
//! QEMU writes it into the device tree in memory when the machine is reset (`-seed` makes it
//! repeat). A tree is found by its header (Devicetree Specification, 5.2) and its seed as the value of
//! `rng-seed` in its structure.

use crate::failure::Failure;
use crate::machine::{Config, Machine};
use crate::tree::SEED;
use std::time::{Duration, Instant};

const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];
/// Where QEMU's `virt` puts a kernel's files when it has enough memory for that.
const FILES: u64 = 0x4800_0000;
const WINDOW: u64 = 32 << 20;
const PROPERTY: u32 = 3;
const NAME: &[u8] = b"rng-seed\0";

/// The seed in the device tree of a machine.
///
/// # Errors
///
/// QEMU does not start, or there is no tree with a seed in its memory.
pub fn seed(config: &Config) -> Result<[u8; SEED], Failure> {
    let failed = |why: String| Failure::Internal(format!("reading the machine's seed: {why}"));
    let folder = tempfile::tempdir().map_err(|e| failed(e.to_string()))?;
    let file = folder.path().join("memory");
    let mut config = config.clone();
    config.extra.push("-S".into());
    let machine = Machine::start(&config).map_err(|e| failed(e.to_string()))?;
    let command = format!(
        r#"{{"execute": "pmemsave", "arguments": {{"val": {FILES}, "size": {WINDOW}, "filename": "{}"}}}}"#,
        file.display()
    );
    // Its socket is there a moment after it has been started.
    let until = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        match machine.control(&command) {
            Ok(answer) => break answer,
            Err(error) if Instant::now() > until => return Err(failed(error.to_string())),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    drop(machine);
    let memory = std::fs::read(&file).map_err(|e| failed(format!("{e}; QEMU says {answer}")))?;
    let at = seed_in(&memory).ok_or_else(|| failed("no device tree with a seed".into()))?;
    let bytes = memory.get(at..at + SEED).and_then(|b| b.try_into().ok());
    bytes.ok_or_else(|| failed("a cut device tree".into()))
}

/// Where the seed is in the first device tree of some memory that has one of [`SEED`] bytes.
#[must_use]
pub fn seed_in(memory: &[u8]) -> Option<usize> {
    // Trees are on multiples of eight.
    (0..memory.len()).step_by(8).find_map(|at| {
        let tree = memory.get(at..).filter(|t| t.starts_with(&MAGIC))?;
        let (structure, strings) = (word(tree, 8)?, word(tree, 12)?);
        let names = tree.get(strings..strings + word(tree, 32)?)?;
        let name = names.windows(NAME.len()).position(|w| w == NAME)?;
        let mut wanted = PROPERTY.to_be_bytes().to_vec();
        wanted.extend(u32::try_from(SEED).ok()?.to_be_bytes());
        wanted.extend(u32::try_from(name).ok()?.to_be_bytes());
        let body = tree.get(structure..structure + word(tree, 36)?)?;
        let place = (0..body.len())
            .step_by(4)
            .find(|i| body.get(*i..).is_some_and(|b| b.starts_with(&wanted)))?;
        Some(at + structure + place + wanted.len())
    })
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_fdt::FdtWriter;

    fn tree(seed: &[u8]) -> Vec<u8> {
        let mut fdt = FdtWriter::new().unwrap();
        let root = fdt.begin_node("").unwrap();
        fdt.property_u32("a", 1).unwrap();
        let node = fdt.begin_node("chosen").unwrap();
        fdt.property_string("bootargs", "x").unwrap();
        fdt.property("rng-seed", seed).unwrap();
        fdt.end_node(node).unwrap();
        fdt.end_node(root).unwrap();
        fdt.finish().unwrap()
    }

    #[test]
    fn the_seed_is_found_in_a_tree_in_memory() {
        let mut memory = vec![0; 4096];
        memory.extend(tree(&[7; SEED]));
        let at = seed_in(&memory).unwrap();
        assert_eq!(memory[at..at + SEED], [7; SEED]);
    }

    #[test]
    fn a_tree_without_one_of_the_right_length_has_none() {
        assert_eq!(seed_in(&tree(&[7; 32])), None);
        assert_eq!(seed_in(&[0; 64]), None);
    }
}
