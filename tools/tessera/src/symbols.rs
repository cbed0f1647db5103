//! The symbols and sections of a built program.

use crate::failure::Failure;
use elf::ElfBytes;
use elf::abi::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, STT_FUNC, STT_NOTYPE, STT_OBJECT};
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
    /// Read-only data with addresses in it, for tables of functions.
    pub data: Vec<(u64, Vec<u8>)>,
    /// Bytes of executable sections.
    pub text_len: u64,
    /// Bytes of read-only sections.
    pub read_only_len: u64,
    /// Bytes of writable sections, zeroed ones included.
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
        let (headers, _) = file.section_headers_with_strtab()?;
        for header in headers.iter().flat_map(|h| h.iter()) {
            let has = |flag: u32| header.sh_flags & u64::from(flag) != 0;
            if !has(SHF_ALLOC) {
                continue;
            }
            if has(SHF_EXECINSTR) {
                program.text_len += header.sh_size;
                program.code.push((header.sh_addr, file.section_data(&header)?.0.to_vec()));
            } else if has(SHF_WRITE) {
                program.writable_len += header.sh_size;
            } else {
                program.read_only_len += header.sh_size;
                program.data.push((header.sh_addr, file.section_data(&header)?.0.to_vec()));
            }
        }
        if let Some((symbols, names)) = file.symbol_table()? {
            for symbol in symbols.iter().filter(|s| s.st_shndx != 0) {
                let kind = symbol.st_symtype();
                let name = names.get(symbol.st_name as usize)?;
                if name.is_empty() || name.starts_with('$') || ![STT_FUNC, STT_OBJECT, STT_NOTYPE].contains(&kind) {
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
