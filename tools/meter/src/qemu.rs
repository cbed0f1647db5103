//! QEMU's plugin interface, as its manual describes it (devel/tcg-plugins), and the one place
//! where it is called.
//!
//! Version 1 is QEMU 7.2's. Since QEMU 9.0 version 1 is refused: an inline addition names a
//! member of a per-core *scoreboard* instead of a word of memory, and since 9.1 the bytes of an
//! instruction are copied instead of pointed to. One plugin serves both, because it looks each
//! function up by name when it is loaded, and says the version that fits what it found.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::transmute_copy;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Identifies the plugin to QEMU.
pub type PluginId = u64;

/// What QEMU says of itself and of the machine when it installs a plugin.
#[repr(C)]
pub struct Info {
    target_name: *const c_char,
    minimum_version: c_int,
    current_version: c_int,
    system_emulation: bool,
    initial_cores: c_int,
    most_cores: c_int,
}

impl Info {
    /// The version of the interface.
    pub fn version(&self) -> c_int {
        self.current_version
    }

    /// The most cores the machine can have.
    pub fn cores(&self) -> usize {
        usize::try_from(self.most_cores).unwrap_or(0).max(1)
    }

    /// Whether a whole AArch64 machine is emulated.
    ///
    /// # Safety
    ///
    /// The structure is QEMU's: its name is a string that ends in a zero byte, or null.
    pub unsafe fn is_aarch64_system(&self) -> bool {
        if self.target_name.is_null() || !self.system_emulation {
            return false;
        }
        // SAFETY: by the promise of the caller.
        unsafe { CStr::from_ptr(self.target_name) }.to_bytes() == b"aarch64"
    }
}

/// A translated block, while the translation callback runs.
#[repr(C)]
pub struct Block(c_void);

/// An instruction of a block, while the translation callback runs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Instruction(*mut c_void);

/// Called when a block is translated.
pub type OnTranslate = unsafe extern "C" fn(PluginId, *mut Block);
/// Called when an instruction is executed, with the core and the data registered with it.
pub type OnExecute = unsafe extern "C" fn(c_uint, *mut c_void);
/// Called when an instruction accesses memory: core, what access, virtual address, data.
pub type OnAccess = unsafe extern "C" fn(c_uint, u32, u64, *mut c_void);
/// Called when QEMU ends.
pub type OnExit = unsafe extern "C" fn(PluginId, *mut c_void);

/// A member of a scoreboard.
#[repr(C)]
#[derive(Clone, Copy)]
struct Member {
    score: *mut c_void,
    offset: usize,
}

/// Reads are 1, writes 2, both 3.
const READ_AND_WRITE: c_int = 3;
/// The callback does not look at the registers.
const NO_REGISTERS: c_int = 0;
/// The inline operation that adds.
const ADD: c_int = 0;

#[derive(Clone, Copy)]
enum Bytes {
    /// Version 1 and 2: a pointer to them.
    Borrowed(unsafe extern "C" fn(*const c_void) -> *const c_void),
    /// Version 3 and later: a copy.
    Copied(unsafe extern "C" fn(*const c_void, *mut c_void, usize) -> usize),
}

#[derive(Clone, Copy)]
enum Adder {
    /// Version 1: to any word of memory.
    Word {
        add: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, u64),
        words: *mut u64,
    },
    /// Version 2 and later: to the scoreboard of the core that executes.
    Board {
        add: unsafe extern "C" fn(*mut c_void, c_int, Member, u64),
        find: unsafe extern "C" fn(*mut c_void, c_uint) -> *mut c_void,
        cores: unsafe extern "C" fn() -> c_int,
        board: *mut c_void,
    },
}

/// The interface, looked up.
#[derive(Clone, Copy)]
pub struct Qemu {
    id: PluginId,
    on_translate: unsafe extern "C" fn(PluginId, OnTranslate),
    on_exit: unsafe extern "C" fn(PluginId, OnExit, *mut c_void),
    block_length: unsafe extern "C" fn(*const Block) -> usize,
    block_instruction: unsafe extern "C" fn(*const Block, usize) -> *mut c_void,
    size: unsafe extern "C" fn(*const c_void) -> usize,
    virtual_address: unsafe extern "C" fn(*const c_void) -> u64,
    host_address: unsafe extern "C" fn(*const c_void) -> *const c_void,
    on_execute: unsafe extern "C" fn(*mut c_void, OnExecute, c_int, *mut c_void),
    on_block: unsafe extern "C" fn(*mut Block, OnExecute, c_int, *mut c_void),
    on_access: unsafe extern "C" fn(*mut c_void, OnAccess, c_int, c_int, *mut c_void),
    physical_access: unsafe extern "C" fn(u32, u64) -> *mut c_void,
    is_device: unsafe extern "C" fn(*const c_void) -> bool,
    bytes: Bytes,
    adder: Adder,
}

// SAFETY: functions of QEMU, which locks where it must, and memory that is never freed.
unsafe impl Send for Qemu {}
// SAFETY: as above.
unsafe impl Sync for Qemu {}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// A symbol of the program that loaded this library, as a function of type `F`.
///
/// # Safety
///
/// `F` is the type of a C function pointer that fits the symbol.
unsafe fn symbol<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the null handle is glibc's and musl's RTLD_DEFAULT; the name ends in zero.
    let found = unsafe { dlsym(null_mut(), name.as_ptr()) };
    // SAFETY: a function pointer of the same size, and of that type by the promise.
    (!found.is_null()).then(|| unsafe { transmute_copy(&found) })
}

impl Qemu {
    /// Looks everything up, with room for `counters` words to count in; says which function
    /// is missing.
    ///
    /// # Safety
    ///
    /// Called from `qemu_plugin_install` with the identity and version that QEMU gave.
    pub unsafe fn new(id: PluginId, version: c_int, counters: usize) -> Result<Self, &'static str> {
        /// One function by its name.
        macro_rules! find {
            ($name:literal) => {
                // SAFETY: the type of the field is that of the function in QEMU's manual.
                unsafe { symbol($name) }.ok_or($name.to_str().unwrap_or("a function"))?
            };
        }
        let bytes = match version {
            ..=2 => Bytes::Borrowed(find!(c"qemu_plugin_insn_data")),
            _ => Bytes::Copied(find!(c"qemu_plugin_insn_data")),
        };
        // SAFETY: the type is that of version 1.
        let old = unsafe { symbol(c"qemu_plugin_register_vcpu_insn_exec_inline") };
        let adder = if let Some(add) = old {
            let words = vec![0u64; counters].leak().as_mut_ptr();
            Adder::Word { add, words }
        } else {
            let new: unsafe extern "C" fn(usize) -> *mut c_void =
                find!(c"qemu_plugin_scoreboard_new");
            Adder::Board {
                add: find!(c"qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu"),
                find: find!(c"qemu_plugin_scoreboard_find"),
                cores: find!(c"qemu_plugin_num_vcpus"),
                // SAFETY: a size in bytes; QEMU clears what it allocates.
                board: unsafe { new(counters * size_of::<u64>()) },
            }
        };
        Ok(Self {
            id,
            on_translate: find!(c"qemu_plugin_register_vcpu_tb_trans_cb"),
            on_exit: find!(c"qemu_plugin_register_atexit_cb"),
            block_length: find!(c"qemu_plugin_tb_n_insns"),
            block_instruction: find!(c"qemu_plugin_tb_get_insn"),
            size: find!(c"qemu_plugin_insn_size"),
            virtual_address: find!(c"qemu_plugin_insn_vaddr"),
            host_address: find!(c"qemu_plugin_insn_haddr"),
            on_execute: find!(c"qemu_plugin_register_vcpu_insn_exec_cb"),
            on_block: find!(c"qemu_plugin_register_vcpu_tb_exec_cb"),
            on_access: find!(c"qemu_plugin_register_vcpu_mem_cb"),
            physical_access: find!(c"qemu_plugin_get_hwaddr"),
            is_device: find!(c"qemu_plugin_hwaddr_is_io"),
            bytes,
            adder,
        })
    }

    /// Asks to be called at every translation and at the end.
    pub fn start(&self, on_translate: OnTranslate, on_exit: OnExit) {
        // SAFETY: our identity, and functions of the right type.
        unsafe {
            (self.on_translate)(self.id, on_translate);
            (self.on_exit)(self.id, on_exit, null_mut());
        }
    }

    /// The instructions of a block.
    ///
    /// # Safety
    ///
    /// `block` is the one that the translation callback was given, and it still runs. The
    /// instructions are not used after it.
    pub unsafe fn instructions(&self, block: *const Block) -> impl Iterator<Item = Instruction> {
        let qemu = *self;
        // SAFETY: by the promise of the caller.
        let length = unsafe { (qemu.block_length)(block) };
        // SAFETY: as above, and the index is below the length.
        (0..length).map(move |index| Instruction(unsafe { (qemu.block_instruction)(block, index) }))
    }

    /// The virtual address of an instruction.
    pub fn virtual_address(&self, instruction: Instruction) -> u64 {
        // SAFETY: an instruction is only had while its block's callback runs.
        unsafe { (self.virtual_address)(instruction.0) }
    }

    /// Where QEMU keeps the instruction in its own memory.
    pub fn host_address(&self, instruction: Instruction) -> Option<u64> {
        // SAFETY: as above.
        let address = unsafe { (self.host_address)(instruction.0) };
        (!address.is_null()).then_some(address as u64)
    }

    /// The instruction's word; 0 when it is not of four bytes (AArch32).
    pub fn opcode(&self, instruction: Instruction) -> u32 {
        let mut word = [0u8; 4];
        // SAFETY: an instruction as above; four bytes are read when it has four, and a copy
        // is told to write no more than there is room for.
        unsafe {
            if (self.size)(instruction.0) != word.len() {
                return 0;
            }
            match self.bytes {
                Bytes::Borrowed(data) => word = data(instruction.0).cast::<[u8; 4]>().read(),
                Bytes::Copied(copy) => {
                    copy(instruction.0, word.as_mut_ptr().cast(), word.len());
                }
            }
        }
        u32::from_le_bytes(word)
    }

    /// Calls back each time before the instruction is executed.
    pub fn on_execute<T: Sync>(&self, at: Instruction, call: OnExecute, data: &'static T) {
        let data = (&raw const *data).cast_mut().cast();
        // SAFETY: an instruction as above; the data lives for ever.
        unsafe { (self.on_execute)(at.0, call, NO_REGISTERS, data) };
    }

    /// Calls back each time before the block is executed, with a number for data.
    ///
    /// # Safety
    ///
    /// As for [`Qemu::instructions`].
    pub unsafe fn on_block(&self, block: *mut Block, call: OnExecute, data: usize) {
        // SAFETY: the block by the promise of the caller; the number is no address.
        unsafe { (self.on_block)(block, call, NO_REGISTERS, data as *mut c_void) };
    }

    /// Calls back after each access to memory that the instruction makes.
    pub fn on_access(&self, at: Instruction, call: OnAccess) {
        // SAFETY: an instruction as above.
        unsafe { (self.on_access)(at.0, call, NO_REGISTERS, READ_AND_WRITE, null_mut()) };
    }

    /// Whether an access was to a device; in the access callback only.
    pub fn is_device(&self, access: u32, address: u64) -> bool {
        // SAFETY: called from the callback with what it was given; null is a valid answer.
        unsafe {
            let physical = (self.physical_access)(access, address);
            !physical.is_null() && (self.is_device)(physical)
        }
    }

    /// Adds 1 to a counter each time the instruction is executed.
    pub fn count(&self, at: Instruction, counter: usize) {
        // SAFETY: an instruction as above; the counter is one that `new` made room for, by the
        // plugin's own bound.
        unsafe {
            match self.adder {
                Adder::Word { add, words } => add(at.0, ADD, words.add(counter).cast(), 1),
                Adder::Board { add, board, .. } => {
                    let offset = counter * size_of::<u64>();
                    let score = board;
                    add(at.0, ADD, Member { score, offset }, 1);
                }
            }
        }
    }

    /// Adds 1 to a counter now, in a callback for that core.
    pub fn add(&self, core: c_uint, counter: usize) {
        // SAFETY: inside the room that `new` made; a core's own board, or the words that
        // generated code adds to in the same way.
        unsafe {
            let word = match self.adder {
                Adder::Word { words, .. } => words.add(counter),
                Adder::Board { find, board, .. } => find(board, core).cast::<u64>().add(counter),
            };
            word.write_volatile(word.read_volatile() + 1);
        }
    }

    /// The sum of a counter over all cores.
    pub fn counter(&self, counter: usize) -> u64 {
        self.sum(counter..counter + 1)
    }

    /// The sum of several counters over all cores.
    pub fn sum(&self, counters: Range<usize>) -> u64 {
        // SAFETY: inside the room that `new` made. Generated code writes there, so it is read
        // anew each time.
        let sum = |words: *const u64| unsafe {
            let words = counters.clone().map(|counter| words.add(counter));
            words.map(|word| word.read_volatile()).sum::<u64>()
        };
        match self.adder {
            Adder::Word { words, .. } => sum(words),
            Adder::Board {
                find, cores, board, ..
            } => {
                // SAFETY: QEMU's functions on the board that it made, for the cores it has.
                let cores = unsafe { cores() }.unsigned_abs();
                // SAFETY: as above.
                let boards = (0..cores).map(|core| unsafe { find(board, core) });
                boards.map(|board| sum(board.cast())).sum()
            }
        }
    }
}

/// The version of the interface that the plugin asks for. QEMU reads it after loading.
#[allow(non_upper_case_globals)] // QEMU's name for it.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: AtomicI32 = AtomicI32::new(1);

/// Run by the loader, before QEMU reads `qemu_plugin_version`: chooses it by what there is.
extern "C" fn choose_version() {
    // SAFETY: looked at, never called.
    let has = |name| unsafe { symbol::<*const c_void>(name) }.is_some();
    let version = if has(c"qemu_plugin_register_vcpu_insn_exec_inline") {
        1
    } else if has(c"qemu_plugin_read_memory_vaddr") {
        4
    } else {
        2
    };
    qemu_plugin_version.store(version, Relaxed);
}

// SAFETY: the section holds pointers to functions without arguments; this is one.
#[unsafe(link_section = ".init_array")]
#[used]
static CHOOSE_VERSION: extern "C" fn() = choose_version;
