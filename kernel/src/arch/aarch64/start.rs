//! The first instructions: from the loader's hand-over to Rust with the MMU on.
//!
//! The image begins with the arm64 Linux `Image` header (Linux, "Documentation/arch/arm64/booting.rst"), so
//! every loader that boots Linux boots it: MMU off, interrupts masked, x0 = device tree. Only the
//! image itself is promised clean in the caches, so nothing else is read before the MMU is on. The
//! boot tables lie in the file part of the image; they are written with the MMU off and their lines
//! invalidated before it goes on.
//!
//! Entered at EL1 or EL3 the same code turns on that level's MMU, because only then the program can
//! run at all and say what is wrong (`main::wrong_level`).

use core::arch::global_asm;

/// MAIR_ELx: attribute 0 is normal write-back memory, attribute 1 is Device-nGnRE.
pub const MAIR: u64 = 0x04ff;

/// TCR_EL2 without the physical address size: 39-bit space from TTBR0, 4 KiB granule, walks inner
/// shareable and write-back (Arm ARM, TCR_EL2 with E2H = 0; bits 31 and 23 are RES1).
pub const TCR: u64 = 1 << 31 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25;

/// SCTLR_EL2: RES1 bits, instruction cache, stack alignment check, data cache, MMU. WXN is added
/// with the final tables.
pub const SCTLR: u64 = 0x30c5_0830 | 1 << 12 | 1 << 3 | 1 << 2 | 1;

global_asm!(
    r#"
    .section .head, "ax"
    .global _start
_start:
    b       primary_start
    .word   0
    .quad   0                               // text_offset
    .quad   __image_size
    .quad   0xa                             // little-endian, 4 KiB pages, anywhere in memory
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .word   0

// x0 = device tree
primary_start:
    msr     daifset, #0xf
    msr     spsel, #1
    mov     x20, x0
    mrs     x21, CurrentEL
    lsr     x21, x21, #2                    // the exception level
    adrp    x22, _start                     // where the image is

    // Tables: root, identity block, kernel block; all zero in the file.
    adrp    x1, __boot_tables               // root (level 1)
    add     x2, x1, #4096                   // level 2 of the identity map
    add     x3, x1, #8192                   // level 2 of the kernel's map

    mov     x5, #0x701                      // block, attribute 0, inner shareable, accessed
    cmp     x21, #1
    mov     x6, #0x40                       // AP[1] is RES1 where there is no EL0, and must be 0 at EL1
    csel    x6, xzr, x6, eq
    orr     x5, x5, x6
    orr     x5, x5, x22                     // the image is 2 MiB-aligned
    ubfx    x7, x22, #30, #9
    orr     x8, x2, #3
    str     x8, [x1, x7, lsl #3]
    ubfx    x7, x22, #21, #9
    str     x5, [x2, x7, lsl #3]
    orr     x8, x3, #3
    str     x8, [x1, #(511 * 8)]
    str     x5, [x3]

    dmb     sy
    mov     x7, x1
    adrp    x8, __boot_tables_end
    mrs     x9, ctr_el0
    ubfx    x9, x9, #16, #4                 // DminLine
    mov     x10, #4
    lsl     x10, x10, x9
1:  dc      ivac, x7
    add     x7, x7, x10
    cmp     x7, x8
    b.lo    1b
    dsb     sy

    mrs     x7, id_aa64mmfr0_el1
    and     x7, x7, #7                      // physical address size
    cmp     x7, #5
    mov     x8, #5
    csel    x7, x7, x8, ls
    ldr     x9, ={mair}
    ldr     x10, ={tcr}
    ldr     x11, ={sctlr}
    ldr     x12, =primary_virtual
    cmp     x21, #2
    b.eq    2f
    b.hi    3f

    // EL1: TTBR1 off, address size at bit 32.
    mov     x10, #({tcr} & 0xffff)
    orr     x10, x10, #(1 << 23)
    orr     x10, x10, x7, lsl #32
    msr     mair_el1, x9
    msr     tcr_el1, x10
    msr     ttbr0_el1, x1
    isb
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    ldr     x11, =(0x30d00800 | 0x1005)
    msr     sctlr_el1, x11
    isb
    br      x12

2:  orr     x10, x10, x7, lsl #16
    msr     mair_el2, x9
    msr     tcr_el2, x10
    msr     ttbr0_el2, x1
    mov     x13, xzr                        // E2H = 0 before anything depends on it
    orr     x13, x13, #(1 << 31)
    msr     hcr_el2, x13
    isb
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el2, x11
    isb
    br      x12

3:  orr     x10, x10, x7, lsl #16
    msr     mair_el3, x9
    msr     tcr_el3, x10
    msr     ttbr0_el3, x1
    isb
    tlbi    alle3
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el3, x11
    isb
    br      x12

// Linked address from here on. Caches are on, so .bss is cleared now.
primary_virtual:
    ldr     x0, =__boot_stack_top
    mov     sp, x0
    ldr     x0, =__bss_start
    ldr     x1, =__bss_end
4:  cmp     x0, x1
    b.hs    5f
    stp     xzr, xzr, [x0], #16
    b       4b
5:  mov     x0, x20
    mov     x1, x22
    mov     x2, x21
    mov     x29, xzr
    mov     x30, xzr
    b       {main}

// A core that PSCI CPU_ON (or a spin table) sends here. x0 = its `Core`'s boot word: a physical
// address of three words, cleaned to memory by the primary: root of the tables, stack, argument.
    .global secondary_start
secondary_start:
    msr     daifset, #0xf
    msr     spsel, #1
    mrs     x21, CurrentEL
    cmp     x21, #(2 << 2)
    b.ne    6f
    ldp     x1, x2, [x0]
    ldr     x3, [x0, #16]
    mrs     x7, id_aa64mmfr0_el1
    and     x7, x7, #7
    cmp     x7, #5
    mov     x8, #5
    csel    x7, x7, x8, ls
    ldr     x9, ={mair}
    ldr     x10, ={tcr}
    orr     x10, x10, x7, lsl #16
    ldr     x11, =({sctlr} | 1 << 19)
    ldr     x12, =secondary_virtual
    msr     mair_el2, x9
    msr     tcr_el2, x10
    msr     ttbr0_el2, x1
    mov     x13, #(1 << 31)
    msr     hcr_el2, x13
    isb
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el2, x11
    isb
    br      x12
secondary_virtual:
    mov     sp, x2
    mov     x0, x3
    mov     x29, xzr
    mov     x30, xzr
    b       {secondary}
6:  wfe                                     // a core at the wrong level stays out of the way
    b       6b

// x0 = root of the final tables, x1 = physical address of 7f, x2 = SCTLR with WXN. The kernel's map changes from one block
// to pages, which break-before-make forbids to do under a live translation (Arm ARM D8.16.1), so the MMU is off meanwhile.
// Both tables map this page at its physical address. Nothing here touches memory.
    .balign 64
    .global switch_tables
switch_tables:
    br      x1
    .global switch_tables_low
switch_tables_low:
    mrs     x3, sctlr_el2
    bic     x4, x3, #1
    msr     sctlr_el2, x4
    isb
    msr     ttbr0_el2, x0
    isb
    tlbi    alle2
    dsb     nsh
    isb
    msr     sctlr_el2, x2
    isb
    ret                                     // to the linked address
    .ltorg
    "#,
    mair = const MAIR,
    tcr = const TCR,
    sctlr = const SCTLR,
    main = sym crate::boot,
    secondary = sym crate::boot_secondary,
);

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __image_end: u8;
    static __boot_stack_bottom: u8;
    static __boot_stack_top: u8;
    static __boot_tables: u8;
    /// Where secondary cores start, with the MMU off.
    fn secondary_start();
    fn switch_tables_low();
    fn switch_tables(root: u64, low: u64, sctlr: u64);
}

/// Addresses in the linked image.
pub struct Image;

macro_rules! symbol {
    ($(#[$doc:meta])* $name:ident, $symbol:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name() -> usize {
            (&raw const $symbol) as usize
        }
    };
}

impl Image {
    symbol!(
        /// First byte.
        start, __image_start);
    symbol!(
        /// End of the code.
        text_end, __text_end);
    symbol!(
        /// End of the constants.
        rodata_end, __rodata_end);
    symbol!(
        /// End of everything, stacks included.
        end, __image_end);
    symbol!(
        /// The boot core's stack, lowest address; the page below it is not mapped.
        stack_bottom, __boot_stack_bottom);
    symbol!(
        /// The boot core's stack, highest address.
        stack_top, __boot_stack_top);
    symbol!(
        /// The boot translation tables.
        boot_tables, __boot_tables);

    /// Linked address of the code that secondary cores start at.
    #[must_use]
    pub fn secondary_start() -> usize {
        secondary_start as *const () as usize
    }

    /// Linked address of the trampoline that must be mapped at its physical address.
    #[must_use]
    pub fn trampoline() -> usize {
        switch_tables_low as *const () as usize
    }
}

/// Changes EL2's translation tables.
///
/// # Safety
///
/// `root` must map the kernel as it runs now, and the page at `low`, the physical address of
/// [`Image::trampoline`], at that address; the boot tables do too.
pub unsafe fn change_tables(root: u64, low: u64) {
    // SAFETY: the caller vouches for the tables; the routine touches no memory while the MMU is off.
    unsafe { switch_tables(root, low, SCTLR | 1 << 19) }
}
