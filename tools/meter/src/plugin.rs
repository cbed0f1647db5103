//! The plugin: which instruction is whose, and what is called when it is executed.
//!
//! A hypervisor's instruction is known by where QEMU keeps it in its own memory, not by its
//! virtual address, which a guest may use too. The place of RAM is learned from the first
//! instruction that is translated at all: the MMU is off, so its virtual address is physical.
//! The place of the hypervisor follows from `image=`, or from the first instruction at one of
//! its virtual addresses - the boot runs before any guest.

use crate::arguments::Arguments;
use crate::decode::{self, Operation};
use crate::engine::{self, Core, MarkId, OperationId, Results};
use crate::qemu::{Block, Info, Instruction, PluginId, Qemu};
use crate::report::{Counted, Page};
use crate::vectors::Entry;
use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// 2 MiB.
const PAGE_SHIFT: u32 = 21;
/// The pages that there is room for: 16 GiB of memory that holds code.
const PAGES: usize = 8192;

/// An instruction of the hypervisor and its page.
struct Known {
    instruction: engine::Instruction,
    page: usize,
}

/// What a core counts by itself.
struct CoreCounts {
    core: Core,
    pages: Vec<u64>,
}

/// One core's counts, which only the thread that runs the core touches.
struct CoreCell(UnsafeCell<CoreCounts>);

// SAFETY: QEMU runs one core on one thread at a time, and the callbacks touch the cell of the
// core that they are called for. The last reader runs after all cores have stopped.
unsafe impl Sync for CoreCell {}

/// What translation knows.
struct Translation {
    /// Host address minus physical address, in RAM.
    ram: Option<u64>,
    /// Host addresses of the hypervisor.
    hypervisor: Option<Range<u64>>,
    marks: HashMap<u64, MarkId>,
    /// Instructions seen, by address and opcode: a block may be translated many times.
    known: HashMap<(u64, u32), &'static Known>,
    operations: Vec<Operation>,
    /// The counter of each page.
    pages: HashMap<u64, usize>,
    aliases: u64,
    nowhere: u64,
}

struct Plugin {
    qemu: Qemu,
    interface: u64,
    arguments: Arguments,
    cores: Vec<CoreCell>,
    translation: Mutex<Translation>,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// Called by QEMU once, when the plugin is loaded. 0 is success.
///
/// # Safety
///
/// Called by QEMU, with the arguments that its manual describes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    info: *const Info,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU's promise: valid during the call.
    let Some(info) = (unsafe { info.as_ref() }) else {
        return -1;
    };
    // SAFETY: the structure is QEMU's.
    if !unsafe { info.is_aarch64_system() } {
        eprintln!("meter: only for qemu-system-aarch64");
        return -1;
    }
    let count = usize::try_from(count).unwrap_or(0);
    let words: Vec<&str> = (0..count)
        // SAFETY: QEMU's promise: that many strings that end in zero.
        .map(|index| unsafe { CStr::from_ptr(*words.add(index)) })
        .map(|word| word.to_str().unwrap_or("not text"))
        .collect();
    let read = |path: &str| std::fs::read_to_string(path);
    let arguments = match Arguments::parse(words, read) {
        Ok(arguments) => arguments,
        Err(refused) => {
            eprintln!("meter: {refused}");
            return -1;
        }
    };
    // SAFETY: this is `qemu_plugin_install`, and these are what QEMU gave. One counter more
    // than pages, for what is beyond them.
    let qemu = match unsafe { Qemu::new(id, info.version(), PAGES + 1) } {
        Ok(qemu) => qemu,
        Err(missing) => {
            eprintln!("meter: this QEMU has no {missing}");
            return -1;
        }
    };
    let marks = arguments.marks.iter().enumerate();
    let marks = marks.map(|(index, mark)| (mark.address, index as MarkId));
    let core = || CoreCounts {
        core: Core::new(arguments.lines),
        pages: vec![0; PAGES + 1],
    };
    let cores = (0..info.cores()).map(|_| CoreCell(UnsafeCell::new(core())));
    let plugin = Plugin {
        qemu,
        interface: info.version().unsigned_abs().into(),
        cores: cores.collect(),
        translation: Mutex::new(Translation {
            ram: None,
            hypervisor: None,
            marks: marks.collect(),
            known: HashMap::new(),
            operations: Vec::new(),
            pages: HashMap::new(),
            aliases: 0,
            nowhere: 0,
        }),
        arguments,
    };
    if PLUGIN.set(plugin).is_err() {
        eprintln!("meter: loaded twice");
        return -1;
    }
    qemu.start(on_translate, on_exit);
    0
}

unsafe extern "C" fn on_translate(_: PluginId, block: *mut Block) {
    let Some(plugin) = PLUGIN.get() else { return };
    let mut translation = plugin.translation();
    // SAFETY: the block of this callback, used while it runs.
    for instruction in unsafe { plugin.qemu.instructions(block) } {
        translation.add(plugin, instruction);
    }
}

unsafe extern "C" fn on_execute(core: c_uint, data: *mut c_void) {
    // SAFETY: registered with a `&'static Known`.
    let known = unsafe { &*data.cast::<Known>() };
    if let Some(counts) = PLUGIN.get().and_then(|plugin| plugin.core(core)) {
        counts.core.execute(&known.instruction);
        if let Some(page) = counts.pages.get_mut(known.page) {
            *page += 1;
        }
    }
}

unsafe extern "C" fn on_access(core: c_uint, access: u32, address: u64, _: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    if plugin.qemu.is_device(access, address) {
        return;
    }
    if let Some(counts) = plugin.core(core) {
        counts.core.access(address);
    }
}

unsafe extern "C" fn on_exit(_: PluginId, _: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let text = plugin.report();
    if let Err(error) = std::fs::write(&plugin.arguments.out, text) {
        eprintln!("meter: {}: {error}", plugin.arguments.out.display());
    }
}

impl Plugin {
    fn translation(&self) -> MutexGuard<'_, Translation> {
        self.translation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts of a core, in a callback for that core.
    #[allow(clippy::mut_from_ref)] // See `CoreCell`.
    fn core(&self, core: c_uint) -> Option<&mut CoreCounts> {
        let cell = self.cores.get(core as usize)?;
        // SAFETY: see `CoreCell`; a callback does not call another.
        Some(unsafe { &mut *cell.0.get() })
    }

    fn report(&self) -> String {
        let translation = self.translation();
        let mut results = Results::default();
        let mut el2 = vec![0; PAGES + 1];
        for core in 0..self.cores.len() {
            if let Some(counts) = self.core(core as c_uint) {
                results.merge(&counts.core.results());
                for (sum, count) in el2.iter_mut().zip(&counts.pages) {
                    *sum += count;
                }
            }
        }
        let mut pages: Vec<_> = translation
            .pages
            .iter()
            .map(|(page, counter)| Page {
                address: page << PAGE_SHIFT,
                el2: el2.get(*counter).copied().unwrap_or(0),
                other: self.qemu.counter(*counter),
            })
            .filter(|page| page.el2 + page.other > 0)
            .collect();
        pages.sort_by_key(|page| page.address);
        let physical = translation.hypervisor.as_ref().zip(translation.ram);
        let counted = Counted {
            arguments: &self.arguments,
            interface: self.interface,
            cores: self.cores.len() as u64,
            results: &results,
            operations: &translation.operations,
            pages: &pages,
            physical: physical.map(|(host, ram)| host.start.wrapping_sub(ram)),
            aliases: translation.aliases,
            nowhere: translation.nowhere,
            beyond: self.qemu.counter(PAGES),
        };
        counted.json().write()
    }
}

impl Translation {
    /// An instruction was translated: has it counted.
    fn add(&mut self, plugin: &Plugin, at: Instruction) {
        let (qemu, arguments) = (&plugin.qemu, &plugin.arguments);
        let address = qemu.virtual_address(at);
        let host = qemu.host_address(at);
        if let Some(host) = host {
            self.learn(arguments, address, host);
        } else {
            self.nowhere += 1;
        }
        let counter = self.counter(arguments, address, host);

        if let (Some(el2), Some(code)) = (&arguments.el2, &self.hypervisor) {
            if let Some(host) = host.filter(|host| code.contains(host)) {
                let linked = host - code.start + el2.start;
                let known = self.known(arguments, linked, qemu.opcode(at), counter);
                qemu.on_execute(at, on_execute, known);
                if arguments.lines {
                    qemu.on_access(at, on_access);
                }
                return;
            }
            if el2.contains(&address) {
                self.aliases += 1;
            }
        }
        qemu.count(at, counter);
    }

    /// Learns where RAM and the hypervisor are.
    fn learn(&mut self, arguments: &Arguments, address: u64, host: u64) {
        let in_ram = |ram: &Range<u64>| ram.contains(&address);
        if self.ram.is_none() && arguments.ram.as_ref().is_none_or(in_ram) {
            self.ram = Some(host.wrapping_sub(address));
        }
        let Some(el2) = arguments.el2.as_ref().filter(|_| self.hypervisor.is_none()) else {
            return;
        };
        let start = match (arguments.image, self.ram) {
            (Some(image), Some(ram)) => ram.wrapping_add(image),
            (None, _) if el2.contains(&address) => host.wrapping_sub(address - el2.start),
            _ => return,
        };
        self.hypervisor = Some(start..start.wrapping_add(el2.end - el2.start));
    }

    /// The counter of the page that an instruction is in.
    fn counter(&mut self, arguments: &Arguments, address: u64, host: Option<u64>) -> usize {
        let physical = host.zip(self.ram).map(|(host, ram)| host.wrapping_sub(ram));
        // Code that is not in RAM - flash, at boot - runs with the MMU off.
        let physical = physical
            .filter(|physical| {
                arguments
                    .ram
                    .as_ref()
                    .is_none_or(|ram| ram.contains(physical))
            })
            .unwrap_or(address);
        let next = self.pages.len();
        let page = physical >> PAGE_SHIFT;
        match self.pages.get(&page) {
            Some(counter) => *counter,
            None if next < PAGES => {
                self.pages.insert(page, next);
                next
            }
            None => PAGES,
        }
    }

    /// The hypervisor's instruction at its linked address.
    fn known(
        &mut self,
        arguments: &Arguments,
        linked: u64,
        opcode: u32,
        page: usize,
    ) -> &'static Known {
        if let Some(known) = self.known.get(&(linked, opcode)) {
            return known;
        }
        let vectors = arguments.vectors;
        let offset = vectors.and_then(|vectors| linked.checked_sub(vectors));
        let operation = decode::counted(opcode).map(|operation| self.operation(operation));
        // Never freed: translated code points to it.
        let known: &'static Known = Box::leak(Box::new(Known {
            instruction: engine::Instruction {
                address: linked,
                entry: offset.map_or(Entry::Not, Entry::at),
                flow: decode::flow(opcode),
                mark: self.marks.get(&linked).copied(),
                operation,
            },
            page,
        }));
        self.known.insert((linked, opcode), known);
        known
    }

    fn operation(&mut self, operation: Operation) -> OperationId {
        let known = self.operations.iter().position(|known| *known == operation);
        let index = known.unwrap_or_else(|| {
            self.operations.push(operation);
            self.operations.len() - 1
        });
        index as OperationId
    }
}
