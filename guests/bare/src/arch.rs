//! Everything that only an instruction can do: system registers, barriers, calls to the
//! hypervisor, the MMU. With start.s.

use crate::board::{Address, Conduit};
use crate::paging::{ADDRESS_BITS, MAIR};
use crate::time::Ticks;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU64;

/// Where bare.ld links the image.
const LINK_BASE: u64 = 0x4020_0000;

global_asm!(include_str!("start.s"), link_base_high = const LINK_BASE >> 16);

/// Reads a system register that has no side effect on memory.
macro_rules! read_register {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading this register at EL1 changes nothing that Rust knows of.
        unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nostack)) };
        value
    }};
}

/// Writes a system register; only for those that cannot change memory or control flow.
macro_rules! write_register {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: this register controls a timer or the interrupt controller; writing it
        // leaves memory and the flow of the running code as they are.
        unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack)) };
    }};
}

/// CNTVCT_EL0: the virtual counter.
#[inline]
pub fn counter() -> Ticks {
    instruction_barrier();
    Ticks(read_register!("cntvct_el0"))
}

/// CNTFRQ_EL0 in hertz.
pub fn counter_frequency() -> u64 {
    read_register!("cntfrq_el0")
}

/// Makes the virtual timer fire at `at` and enables it.
#[inline]
pub fn set_timer(at: Ticks) {
    write_register!("cntv_cval_el0", at.0);
    write_register!("cntv_ctl_el0", 1);
    // Its level falls before the interrupt is ended.
    instruction_barrier();
}

/// Stops the virtual timer.
#[inline]
pub fn stop_timer() {
    write_register!("cntv_ctl_el0", 0);
    instruction_barrier();
}

/// CNTPCT_EL0: the physical counter.
pub fn physical_counter() -> Ticks {
    instruction_barrier();
    Ticks(read_register!("cntpct_el0"))
}

/// Makes the physical timer fire at `at`, or never.
pub fn set_physical_timer(at: Option<Ticks>) {
    if let Some(at) = at {
        write_register!("cntp_cval_el0", at.0);
    }
    write_register!("cntp_ctl_el0", u64::from(at.is_some()));
    instruction_barrier();
}

/// ISR_EL1.I: an interrupt waits at this core, masked or not.
pub fn interrupt_is_pending() -> bool {
    read_register!("isr_el1") & 1 << 7 != 0
}

/// YIELD: in every loop that waits.
#[inline]
pub fn spin_hint() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// DSB SY: device writes are out.
pub fn data_barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// ISB.
#[inline]
pub fn instruction_barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Affinity of this core as GICR_TYPER has it: Aff3.Aff2.Aff1.Aff0.
pub fn affinity() -> u32 {
    let mpidr = read_register!("mpidr_el1");
    ((mpidr >> 32 & 0xFF) << 24 | mpidr & 0x00FF_FFFF) as u32
}

/// The GICv3 CPU interface (GIC specification 12.2), by number: old assemblers know no names.
pub mod icc {
    use super::asm;

    /// Uses system registers, lets every priority in, enables group 1.
    pub fn enable() {
        write_register!("S3_0_C12_C12_5", 1); // ICC_SRE_EL1
        super::instruction_barrier();
        write_register!("S3_0_C4_C6_0", 0xFF); // ICC_PMR_EL1
        write_register!("S3_0_C12_C12_7", 1); // ICC_IGRPEN1_EL1
        super::instruction_barrier();
    }

    /// ICC_IAR1_EL1.
    #[inline]
    pub fn acknowledge() -> u32 {
        read_register!("S3_0_C12_C12_0") as u32
    }

    /// ICC_SGI1R_EL1.
    #[inline]
    pub fn send(value: u64) {
        write_register!("S3_0_C12_C11_5", value);
        super::instruction_barrier();
    }

    /// ICC_EOIR1_EL1.
    #[inline]
    pub fn end(intid: u32) {
        write_register!("S3_0_C12_C12_1", u64::from(intid));
    }
}

/// Lets interrupts in.
pub fn enable_interrupts() {
    // SAFETY: the handler saves what it uses and shares only atomics with this code.
    unsafe { asm!("msr daifclr, #2", options(nostack)) };
}

/// Keeps interrupts out.
pub fn disable_interrupts() {
    // SAFETY: masking is always sound.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
}

/// Waits for an interrupt, unless `busy` says that there is something to do. It is asked
/// with interrupts masked, so none can slip in between the question and WFI.
#[inline]
pub fn wait_unless(busy: impl Fn() -> bool) {
    disable_interrupts();
    if !busy() {
        // SAFETY: WFI returns on a pending interrupt, masked or not.
        unsafe { asm!("dsb sy", "wfi", options(nostack)) };
    }
    enable_interrupts();
}

/// Calls the hypervisor or the firmware (SMCCC): x0 to x3, and x0 of the answer.
///
/// # Safety
///
/// What is called changes no memory that Rust knows of.
pub unsafe fn call(conduit: Conduit, arguments: [u64; 4]) -> u64 {
    let [mut x0, x1, x2, x3] = arguments;
    match conduit {
        // SAFETY: SMCCC 1.0: x0-x17 may change. The rest by the promise of the caller.
        Conduit::Hvc => unsafe {
            asm!("hvc #0", inout("x0") x0, inout("x1") x1 => _, inout("x2") x2 => _,
                inout("x3") x3 => _, clobber_abi("C"), options(nostack));
        },
        // SAFETY: as above.
        Conduit::Smc => unsafe {
            asm!("smc #0", inout("x0") x0, inout("x1") x1 => _, inout("x2") x2 => _,
                inout("x3") x3 => _, clobber_abi("C"), options(nostack));
        },
    }
    x0
}

/// Where the vectors go on after an exception that was foreseen, 0 for none.
#[unsafe(no_mangle)]
static BARE_FIXUP: AtomicU64 = AtomicU64::new(0);

/// [`call`] by HVC, for a machine whose HVC may be undefined: then there is no answer. To be
/// called with interrupts masked, on the first core.
///
/// # Safety
///
/// As of `call`.
pub unsafe fn try_hvc(function: u64) -> Option<u64> {
    let (answer, came_back): (u64, u64);
    // SAFETY: as in `call`; an exception at the HVC leads to the second label with nothing
    // but `came_back` telling the difference.
    unsafe {
        asm!(
            "adr x20, 3f",
            "str x20, [x21]",
            "mov x20, #0",
            "hvc #0",
            "mov x20, #1",
            "3: str xzr, [x21]",
            out("x20") came_back,
            inout("x21") BARE_FIXUP.as_ptr() => _,
            inout("x0") function => answer,
            clobber_abi("C"), options(nostack),
        );
    }
    (came_back != 0).then_some(answer)
}

/// Calls PSCI with no arguments. SYSTEM_OFF and SYSTEM_RESET do not come back when there is
/// a PSCI; then the core stops here.
pub fn psci_stop(conduit: Conduit, function: u32) -> ! {
    disable_interrupts();
    // SAFETY: nothing else runs afterwards.
    unsafe { call(conduit, [function.into(), 0, 0, 0]) };
    loop {
        // SAFETY: waiting is always sound.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}

/// What another core is started with; start.s reads it.
#[repr(C, align(64))]
struct Handover {
    mair: u64,
    tcr: u64,
    ttbr0: u64,
    sctlr: u64,
    stack: u64,
    main: u64,
}

struct HandoverSlot(UnsafeCell<Handover>);

// SAFETY: written by `start_core` only, which is not called twice at a time.
unsafe impl Sync for HandoverSlot {}

/// It stays where it is: the new core reads it at its own time.
static HANDOVER: HandoverSlot = HandoverSlot(UnsafeCell::new(Handover {
    mair: 0,
    tcr: 0,
    ttbr0: 0,
    sctlr: 0,
    stack: 0,
    main: 0,
}));

/// The stack of another core.
#[repr(C, align(16))]
pub struct Stack(UnsafeCell<[u8; 16 << 10]>);

// SAFETY: only its address is taken here; the core that runs on it is its owner.
unsafe impl Sync for Stack {}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

impl Stack {
    /// A stack.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; 16 << 10]))
    }
}

/// PSCI CPU_ON (Arm DEN 0022, 5.6).
const CPU_ON: u64 = 0xC400_0003;

/// Starts another core in `main`, on `stack`, with this core's address space and vectors,
/// interrupts masked. Returns PSCI's answer, 0 for success.
///
/// # Safety
///
/// Called once. Nobody else is given `stack`.
pub unsafe fn start_core(
    conduit: Conduit,
    affinity: u64,
    stack: &'static Stack,
    main: extern "C" fn() -> !,
) -> i64 {
    let handover = Handover {
        mair: read_register!("mair_el1"),
        tcr: read_register!("tcr_el1"),
        ttbr0: read_register!("ttbr0_el1"),
        sctlr: read_register!("sctlr_el1"),
        stack: stack.0.get().wrapping_add(1) as u64,
        main: main as usize as u64,
    };
    let address = HANDOVER.0.get();
    // SAFETY: by the promise of the caller nobody reads or writes it now.
    unsafe { *address = handover };
    let entry: u64;
    // SAFETY: writes the lines of the hand-over back, of whatever size they are, and computes
    // an address.
    unsafe {
        asm!(
            "dc cvac, {0}", "dc cvac, {1}", "dc cvac, {2}", "dsb sy",
            "adrp {entry}, second", "add {entry}, {entry}, :lo12:second",
            in(reg) address, in(reg) address as u64 + 16, in(reg) address as u64 + 32,
            entry = out(reg) entry, options(nostack),
        );
    }
    // SAFETY: the new core has a stack of its own and begins as `second` in start.s wants.
    unsafe { call(conduit, [CPU_ON, affinity, entry, address as u64]) as i64 }
}

/// The address range of the loaded image with its .bss and stack.
pub fn image() -> (Address, Address) {
    let (start, end): (u64, u64);
    // SAFETY: computes two addresses.
    unsafe {
        asm!(
            "adrp {0}, _head", "add {0}, {0}, :lo12:_head",
            "adrp {1}, _image_end", "add {1}, {1}, :lo12:_image_end",
            out(reg) start, out(reg) end, options(pure, nomem, nostack),
        );
    }
    (Address(start), Address(end))
}

/// Turns the MMU and the caches on with the level 1 table at `root`.
///
/// What was written with the MMU off went around the caches, so lines that a loader left
/// there for the image are dropped first.
///
/// # Safety
///
/// The tables map the running image, its stack and everything else in use one to one.
pub unsafe fn enable_mmu(root: u64) {
    let (start, end) = image();
    let line = 4 << (read_register!("ctr_el0") >> 16 & 0xF);
    let mut address = start.0 & !(line - 1);
    while address < end.0 {
        // SAFETY: memory holds the newer data: nothing was cached since entry.
        unsafe { asm!("dc ivac, {}", in(reg) address, options(nostack)) };
        address += line;
    }
    // At most 48 bits of physical address without 64 KiB pages.
    let physical = (read_register!("id_aa64mmfr0_el1") & 0xF).min(5);
    // 4 KiB granule, write-back inner shareable walks, no TTBR1.
    let tcr = u64::from(64 - ADDRESS_BITS) | 0x3500 | 1 << 23 | physical << 32;
    // SCTLR_EL1: RES1 of Armv8.0, M, C, SA, I.
    let sctlr: u64 = 0x30D0_0800 | 0x1 | 0x4 | 0x8 | 0x1000;
    // SAFETY: the identity map keeps every address valid across the change.
    unsafe {
        asm!(
            "dsb sy",
            "msr mair_el1, {mair}",
            "msr tcr_el1, {tcr}",
            "msr ttbr0_el1, {root}",
            "isb",
            "tlbi vmalle1",
            "ic iallu",
            "dsb nsh",
            "isb",
            "msr sctlr_el1, {sctlr}",
            "isb",
            mair = in(reg) MAIR, tcr = in(reg) tcr, root = in(reg) root, sctlr = in(reg) sctlr,
            options(nostack),
        );
    }
}

/// Makes new table entries visible to the walks. A new valid entry needs no TLBI.
pub fn publish_tables() {
    // SAFETY: barriers.
    unsafe { asm!("dsb ishst", "isb", options(nostack)) };
}
