//! The plugin: what QEMU calls, and what is called when an instruction is executed.

use crate::arguments::Arguments;
use crate::context::{ContextId, Running};
use crate::counts::Results;
use crate::decode::Flow;
use crate::engine::Core;
use crate::event::Ended;
use crate::journal::{Begin, Journal};
use crate::phase::{self, Totals};
use crate::qemu::{Block, Info, Instruction, PluginId, Qemu};
use crate::record::{Event, Record};
use crate::report::{Counted, Page};
use crate::translation::{Known, Marker, PAGES, Place, Translation};
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::BufWriter;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What a core counts by itself.
struct CoreCounts {
    core: Core,
    pages: Vec<u64>,
    running: Running,
    begin: Begin,
    /// The record of an event that has ended, until it is known what it returned to.
    pending: Option<Event>,
}

/// One core's counts, which only the thread that runs the core touches.
struct CoreCell(UnsafeCell<CoreCounts>);

// SAFETY: QEMU runs one core on one thread at a time, and the callbacks touch the cell of the
// core that they are called for. The last reader runs after all cores have stopped.
unsafe impl Sync for CoreCell {}

/// The interface of QEMU 10.0. Since then code that was translated for one core and is executed by
/// another on the same thread calls a plugin with the first core's number, or ends QEMU.
const SHARED_CALLS: c_int = 4;

/// Whether QEMU was told to run all cores on one thread.
fn one_thread() -> bool {
    let mut words = std::env::args();
    words.any(|word| word.ends_with("-icount") || word.contains("thread=single"))
}

struct Plugin {
    qemu: Qemu,
    interface: u64,
    arguments: Arguments,
    cores: Vec<CoreCell>,
    /// Instructions at EL2 of each core, for the others to read.
    el2: Vec<AtomicU64>,
    /// Pages that have a counter.
    pages: AtomicUsize,
    translation: Mutex<Translation>,
    journal: Mutex<Journal<BufWriter<File>>>,
    /// Whether the journal is told of events.
    journaled: bool,
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
    if info.version() >= SHARED_CALLS && info.cores() > 1 && one_thread() {
        eprintln!(
            "meter: this QEMU mixes up cores that share a thread (-icount): use 7.2, or one core"
        );
        return -1;
    }
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
    let events = arguments.events.as_deref();
    let events = match events.map(File::create).transpose() {
        Ok(events) => events.map(BufWriter::new),
        Err(error) => {
            eprintln!("meter: the file of events=: {error}");
            return -1;
        }
    };
    let core = || CoreCounts {
        core: Core::new(arguments.lines),
        pages: vec![0; PAGES + 1],
        running: Running::default(),
        begin: Begin::default(),
        pending: None,
    };
    let cores = (0..info.cores()).map(|_| CoreCell(UnsafeCell::new(core())));
    let plugin = Plugin {
        qemu,
        interface: info.version().unsigned_abs().into(),
        cores: cores.collect(),
        el2: (0..info.cores()).map(|_| AtomicU64::new(0)).collect(),
        pages: AtomicUsize::new(0),
        translation: Mutex::new(Translation::new(&arguments)),
        journaled: events.is_some() || arguments.log.is_some(),
        journal: Mutex::new(Journal::new(&arguments, info.cores(), events)),
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
    for (index, instruction) in unsafe { plugin.qemu.instructions(block) }.enumerate() {
        let place = plugin.place(instruction);
        translation.learn(&plugin.arguments, place);
        if index == 0 {
            if plugin.arguments.log.is_some() {
                let mut journal = plugin.journal();
                translation.learn_from_log(&plugin.arguments, place, || journal.said());
            }
            if !plugin.arguments.contexts.is_empty() && !plugin.is_el2(&translation, place) {
                let context = translation.context(&plugin.arguments, place);
                // SAFETY: as above.
                unsafe { plugin.qemu.on_block(block, on_block, context.into()) };
            }
        }
        plugin.count(&mut translation, instruction, place);
    }
    plugin.pages.store(translation.used(), Relaxed);
}

unsafe extern "C" fn on_execute(core: c_uint, data: *mut c_void) {
    // SAFETY: registered with a `&'static Known`.
    let known = unsafe { &*data.cast::<Known>() };
    let Some(plugin) = PLUGIN.get() else { return };
    let Some(counts) = plugin.core(core) else {
        return;
    };
    if plugin.journaled && counts.core.begins(&known.instruction) {
        plugin.begin(core, counts);
    }
    let ended = counts.core.execute(&known.instruction);
    if let Some(page) = counts.pages.get_mut(known.page) {
        *page += 1;
    }
    if plugin.journaled {
        if let Some(el2) = plugin.el2.get(core as usize) {
            el2.store(counts.core.instructions(), Relaxed);
        }
        if let Some(ended) = ended {
            plugin.end(core, counts, &ended, known.instruction.flow);
        }
    }
}

/// A block of code that is not the hypervisor's.
unsafe extern "C" fn on_block(core: c_uint, data: *mut c_void) {
    let context = data as usize as ContextId;
    let Some(plugin) = PLUGIN.get() else { return };
    let Some(counts) = plugin.core(core) else {
        return;
    };
    let switched = counts.running.block(context);
    if let Some(mut event) = counts.pending.take() {
        event.returned = context;
        plugin.journal().write(&Record::Event(event));
    }
    if let Some(from) = switched.filter(|_| plugin.arguments.timeline) {
        let totals = plugin.totals();
        let mut journal = plugin.journal();
        journal.switch(core as usize, from, context, totals);
    }
}

unsafe extern "C" fn on_marker(core: c_uint, data: *mut c_void) {
    // SAFETY: registered with a `&'static Marker`.
    let marker = unsafe { &*data.cast::<Marker>() };
    let Some(plugin) = PLUGIN.get() else { return };
    let totals = plugin.totals();
    plugin.qemu.add(core, marker.page);
    let mut journal = plugin.journal();
    journal.marker(core as usize, marker.phase, totals);
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
    let totals = plugin.totals();
    let mut journal = plugin.journal();
    for core in 0..plugin.cores.len() {
        let pending = plugin.core(core as c_uint);
        if let Some(event) = pending.and_then(|counts| counts.pending.take()) {
            journal.write(&Record::Event(event));
        }
    }
    if let Err(error) = journal.finish(totals) {
        eprintln!("meter: the file of events=: {error}");
    }
}

impl Plugin {
    fn translation(&self) -> MutexGuard<'_, Translation> {
        self.translation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal<BufWriter<File>>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, instruction: Instruction) -> Place {
        Place {
            address: self.qemu.virtual_address(instruction),
            host: self.qemu.host_address(instruction),
        }
    }

    fn is_el2(&self, translation: &Translation, place: Place) -> bool {
        let known = self.arguments.el2.as_ref().zip(place.host);
        known.is_some_and(|(el2, host)| translation.linked(el2, host).is_some())
    }

    /// An instruction was translated: has it counted.
    fn count(&self, translation: &mut Translation, at: Instruction, place: Place) {
        let (qemu, arguments) = (&self.qemu, &self.arguments);
        let counter = translation.counter(arguments, place);
        if let Some(el2) = &arguments.el2 {
            let linked = place.host.and_then(|host| translation.linked(el2, host));
            if let Some(linked) = linked {
                let known = translation.known(linked, qemu.opcode(at), counter);
                qemu.on_execute(at, on_execute, known);
                if arguments.lines {
                    qemu.on_access(at, on_access);
                }
                return;
            }
            if el2.contains(&place.address) && translation.hypervisor().is_some() {
                translation.aliases += 1;
            }
        }
        let phase = arguments.events.as_ref();
        match phase.and_then(|_| phase::marker(qemu.opcode(at))) {
            Some(phase) => qemu.on_execute(at, on_marker, translation.marker(phase, counter)),
            None => qemu.count(at, counter),
        }
    }

    /// What all cores have executed. Exact between two callbacks when all are on one thread.
    fn totals(&self) -> Totals {
        let pages = self.pages.load(Relaxed);
        Totals {
            below: self.qemu.sum(0..pages) + self.qemu.counter(PAGES),
            el2: self.el2.iter().map(|el2| el2.load(Relaxed)).sum(),
        }
    }

    /// An event is about to begin.
    fn begin(&self, core: c_uint, counts: &mut CoreCounts) {
        let totals = self.totals();
        let left = counts.running.leave();
        let mut journal = self.journal();
        if let Some(event) = counts.pending.take() {
            journal.write(&Record::Event(event));
        }
        counts.begin = journal.begin(core as usize, left, totals);
    }

    /// An event has ended.
    fn end(&self, core: c_uint, counts: &mut CoreCounts, ended: &Ended, flow: Flow) {
        let mut journal = self.journal();
        let Some(event) = journal.end(core as usize, &counts.begin, ended) else {
            return;
        };
        // A core that goes idle at EL2 returns to nothing.
        if flow == Flow::Return && !self.arguments.contexts.is_empty() {
            counts.pending = Some(event);
        } else {
            journal.write(&Record::Event(event));
        }
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
        let pages: Vec<_> = translation
            .pages()
            .into_iter()
            .map(|(address, counter)| Page {
                address,
                el2: el2.get(counter).copied().unwrap_or(0),
                other: self.qemu.counter(counter),
            })
            .filter(|page| page.el2 + page.other > 0)
            .collect();
        let counted = Counted {
            arguments: &self.arguments,
            interface: self.interface,
            cores: self.cores.len() as u64,
            results: &results,
            operations: &translation.operations,
            pages: &pages,
            physical: translation.hypervisor(),
            vectors: &translation.vectors,
            aliases: translation.aliases,
            nowhere: translation.nowhere,
            beyond: self.qemu.counter(PAGES),
        };
        counted.json().write()
    }
}
