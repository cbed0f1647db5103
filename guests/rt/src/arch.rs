//! Everything that only an instruction can do: system registers, barriers, hypervisor calls,
//! device registers, and the work loop. The only `asm!` of the guest, with start.s.

use crate::board::{Address, Conduit};
use crate::paging::{ADDRESS_BITS, MAIR};
use crate::time::Ticks;
use core::arch::{asm, global_asm};

/// Where rt.ld links the image.
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

/// Instructions of one round of [`work`].
pub const WORK_INSTRUCTIONS: u64 = 4;

/// The work: `rounds` rounds of a dependent computation, [`WORK_INSTRUCTIONS`] each.
#[inline(never)]
pub fn work(rounds: u64) {
    if rounds == 0 {
        return;
    }
    // SAFETY: registers only.
    unsafe {
        asm!(
            "2: add {value}, {value}, {left}",
            "eor {value}, {value}, {value}, ror #7",
            "subs {left}, {left}, #1",
            "b.ne 2b",
            value = inout(reg) rounds => _,
            left = inout(reg) rounds => _,
            options(nomem, nostack),
        );
    }
}

/// Calls PSCI with no arguments. SYSTEM_OFF and SYSTEM_RESET do not come back when there is
/// a PSCI; then the core stops here.
pub fn psci_stop(conduit: Conduit, function: u32) -> ! {
    disable_interrupts();
    let function = u64::from(function);
    match conduit {
        // SAFETY: SMCCC 1.1: x0-x17 may change. Nothing else runs afterwards.
        Conduit::Hvc => unsafe {
            asm!("hvc #0", inout("x0") function => _, clobber_abi("C"), options(nostack));
        },
        // SAFETY: as above.
        Conduit::Smc => unsafe {
            asm!("smc #0", inout("x0") function => _, clobber_abi("C"), options(nostack));
        },
    }
    loop {
        // SAFETY: waiting is always sound.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}

/// Spins with interrupts masked, for ever.
pub fn loop_masked() -> ! {
    disable_interrupts();
    loop {
        work(u64::MAX);
    }
}

/// Executes an undefined instruction.
pub fn undefined_instruction() {
    // SAFETY: traps to the vectors, which do not come back.
    unsafe { asm!("udf #0x7e5", options(nostack)) };
}

/// A block of device registers. Accesses are single loads and stores with a plain base
/// register, so that a hypervisor that emulates the device gets a valid syndrome.
#[derive(Clone, Copy)]
pub struct Registers(usize);

impl Registers {
    /// The registers at `address`.
    ///
    /// # Safety
    ///
    /// The pages at `address`, as far as offsets are used, are mapped as device memory and
    /// belong to the device that the caller drives; no access changes memory of Rust's.
    pub const unsafe fn new(address: Address) -> Self {
        Self(address.0 as usize)
    }

    /// Reads 32 bits.
    #[inline]
    pub fn read(self, offset: usize) -> u32 {
        let value: u32;
        // SAFETY: by the promise made to `new`.
        unsafe {
            asm!("ldr {0:w}, [{1}]", out(reg) value, in(reg) self.0 + offset, options(nostack));
        }
        value
    }

    /// Reads 64 bits.
    #[inline]
    pub fn read64(self, offset: usize) -> u64 {
        let value: u64;
        // SAFETY: by the promise made to `new`.
        unsafe {
            asm!("ldr {0}, [{1}]", out(reg) value, in(reg) self.0 + offset, options(nostack));
        }
        value
    }

    /// Writes 32 bits.
    #[inline]
    pub fn write(self, offset: usize, value: u32) {
        // SAFETY: by the promise made to `new`.
        unsafe {
            asm!("str {0:w}, [{1}]", in(reg) value, in(reg) self.0 + offset, options(nostack));
        }
    }

    /// Writes 8 bits.
    #[inline]
    pub fn write8(self, offset: usize, value: u8) {
        // SAFETY: by the promise made to `new`.
        unsafe {
            asm!("strb {0:w}, [{1}]", in(reg) u32::from(value), in(reg) self.0 + offset,
                options(nostack));
        }
    }
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
