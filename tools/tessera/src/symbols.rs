//! The symbols and sections of a built program.

use crate::failure::Failure;
use elf::ElfBytes;
use elf::abi::{PF_W, PF_X, PT_LOAD, STT_FUNC, STT_NOTYPE, STT_OBJECT};
use elf::endian::AnyEndian;
use std::collections::BTreeMap;
use std::path::Path;

/// A symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name, without Rust's mangling and hash.
    pub name: String,
    /// Its address.
    pub address: u64,
    /// Its size in bytes; 0 if it is a label.
    pub size: u64,
    /// Whether it is code.
    pub code: bool,
}

/// What is known of a built program.
#[derive(Debug)]
pub struct Program {
    /// Symbols by name; of several with one name, any.
    pub by_name: BTreeMap<String, Symbol>,
    /// Functions by address.
    pub functions: BTreeMap<u64, Symbol>,
    /// Executable code: address and bytes.
    pub code: Vec<(u64, Vec<u8>)>,
    /// Data: address and bytes. There are addresses in it, as in tables of functions.
    pub data: Vec<(u64, Vec<u8>)>,
    /// Bytes of executable segments.
    pub text_len: u64,
    /// Bytes of read-only segments.
    pub read_only_len: u64,
    /// Bytes of writable segments, zeroed memory included.
    pub writable_len: u64,
}

impl Program {
    /// Reads an ELF file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not an ELF file with symbols.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
        Self::parse(&bytes).map_err(|e| Failure::Internal(format!("{}: {e}", path.display())))
    }

    fn parse(bytes: &[u8]) -> Result<Self, elf::ParseError> {
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes)?;
        let mut program = Self {
            by_name: BTreeMap::new(),
            functions: BTreeMap::new(),
            code: Vec::new(),
            data: Vec::new(),
            text_len: 0,
            read_only_len: 0,
            writable_len: 0,
        };
        // What a segment may do is what its pages get; sections say it less exactly.
        for segment in file
            .segments()
            .iter()
            .flat_map(|s| s.iter())
            .filter(|s| s.p_type == PT_LOAD)
        {
            let bytes = (segment.p_vaddr, file.segment_data(&segment)?.to_vec());
            if segment.p_flags & PF_X != 0 {
                program.text_len += segment.p_memsz;
                program.code.push(bytes);
            } else if segment.p_flags & PF_W != 0 {
                program.writable_len += segment.p_memsz;
                program.data.push(bytes);
            } else {
                program.read_only_len += segment.p_memsz;
                program.data.push(bytes);
            }
        }
        if let Some((symbols, names)) = file.symbol_table()? {
            for symbol in symbols.iter().filter(|s| s.st_shndx != 0) {
                let kind = symbol.st_symtype();
                let name = names.get(symbol.st_name as usize)?;
                if name.is_empty()
                    || name.starts_with('$')
                    || ![STT_FUNC, STT_OBJECT, STT_NOTYPE].contains(&kind)
                {
                    continue;
                }
                let symbol = Symbol {
                    name: demangle(name),
                    address: symbol.st_value,
                    size: symbol.st_size,
                    code: kind == STT_FUNC,
                };
                if symbol.code {
                    program.functions.insert(symbol.address, symbol.clone());
                }
                program.by_name.insert(symbol.name.clone(), symbol);
            }
        }
        Ok(program)
    }

    /// The address of a symbol.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|s| s.address)
    }

    /// The function that holds an address.
    #[must_use]
    pub fn function_at(&self, address: u64) -> Option<&Symbol> {
        let (_, symbol) = self.functions.range(..=address).next_back()?;
        (address < symbol.address + symbol.size.max(4)).then_some(symbol)
    }

    /// The instruction at an address.
    #[must_use]
    pub fn instruction(&self, address: u64) -> Option<u32> {
        self.code.iter().find_map(|(base, bytes)| {
            let at = usize::try_from(address.checked_sub(*base)?).ok()?;
            let raw = bytes.get(at..at + 4)?;
            Some(u32::from_le_bytes(raw.try_into().ok()?))
        })
    }
}

/// Takes Rust's mangling away: readable, and without the hash that changes with every build.
fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
