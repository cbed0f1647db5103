//! Which lines of source have an instruction in a built program, by its line table (DWARF 5, 6.2).

use crate::failure::Failure;
use elf::ElfBytes;
use elf::abi::{PF_X, PT_LOAD};
use elf::endian::AnyEndian;
use gimli::{AttributeValue, Dwarf, EndianSlice, LineRow, LittleEndian, Unit};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Lines by file, counted from 1.
pub type Lines = BTreeMap<PathBuf, BTreeSet<usize>>;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// Reads the line table of an ELF file. Files below `root` are called by their paths from there.
///
/// # Errors
///
/// It cannot be read, or has no line table.
pub fn read(elf: &Path, root: &Path) -> Result<Lines, Failure> {
    let bytes = std::fs::read(elf).map_err(|e| Failure::io(elf, &e))?;
    let failed = |why: String| Failure::Internal(format!("{}: {why}", elf.display()));
    let file = ElfBytes::<AnyEndian>::minimal_parse(&bytes).map_err(|e| failed(e.to_string()))?;
    let code = executable(&file);
    let section = |id: gimli::SectionId| -> Result<Bytes<'_>, gimli::Error> {
        let header = file.section_header_by_name(id.name()).ok().flatten();
        let data = header.and_then(|h| file.section_data(&h).ok());
        // A compressed section is none that a kernel's linker makes.
        let data = data.map_or(&[][..], |(bytes, _)| bytes);
        Ok(EndianSlice::new(data, LittleEndian))
    };
    let lines = Dwarf::load(section)
        .and_then(|dwarf| lines(&dwarf, &code, root))
        .map_err(|e| failed(e.to_string()))?;
    if lines.is_empty() {
        return Err(failed("no line table".into()));
    }
    Ok(lines)
}

/// Addresses that hold code. Of a function that the linker has dropped the table still tells, at address 0.
fn executable(file: &ElfBytes<'_, AnyEndian>) -> Vec<Range<u64>> {
    let segments = file.segments();
    let segments = segments.iter().flat_map(|s| s.iter());
    segments
        .filter(|s| s.p_type == PT_LOAD && s.p_flags & PF_X != 0)
        .map(|s| s.p_vaddr..s.p_vaddr + s.p_memsz)
        .collect()
}

fn lines(
    dwarf: &Dwarf<Bytes<'_>>,
    code: &[Range<u64>],
    root: &Path,
) -> Result<Lines, gimli::Error> {
    let mut found = Lines::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let Some(program) = unit.line_program.clone() else {
            continue;
        };
        let (program, sequences) = program.sequences()?;
        let there = sequences
            .iter()
            .filter(|s| s.start != 0 && code.iter().any(|c| c.contains(&s.start)));
        for sequence in there {
            let mut rows = program.resume_from(sequence);
            while let Some((_, row)) = rows.next_row()? {
                let Some(line) = row.line().filter(|_| !row.end_sequence()) else {
                    continue;
                };
                if let Some(path) = path(dwarf, &unit, row, root)? {
                    let line = usize::try_from(line.get()).unwrap_or(usize::MAX);
                    found.entry(path).or_default().insert(line);
                }
            }
        }
    }
    Ok(found)
}

fn path(
    dwarf: &Dwarf<Bytes<'_>>,
    unit: &Unit<Bytes<'_>>,
    row: &LineRow,
    root: &Path,
) -> Result<Option<PathBuf>, gimli::Error> {
    let Some(header) = unit.line_program.as_ref().map(|p| p.header()) else {
        return Ok(None);
    };
    let Some(file) = row.file(header) else {
        return Ok(None);
    };
    let text = |value: AttributeValue<Bytes<'_>>| -> Result<PathBuf, gimli::Error> {
        let bytes = dwarf.attr_string(unit, value)?;
        Ok(PathBuf::from(bytes.to_string_lossy().into_owned()))
    };
    let folder = file.directory(header).map(text).transpose()?;
    let path = folder.unwrap_or_default().join(text(file.path_name())?);
    let below = path.strip_prefix(root).map(Path::to_path_buf);
    Ok(Some(below.unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_these_lines() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().unwrap();
        let lines = read(&std::env::current_exe().unwrap(), &root).unwrap();
        let here = &lines[Path::new(file!())];
        assert!(here.contains(&(line!() as usize)));
        assert!(here.iter().all(|l| *l < 200), "{here:?}");
    }

    #[test]
    fn what_is_no_program_is_said() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(read(&here, Path::new("/")).is_err());
        assert!(read(Path::new("/nowhere"), Path::new("/")).is_err());
    }
}
