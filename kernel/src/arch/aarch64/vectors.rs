//! The exception vectors of EL2 and the way back into a guest.
//!
//! While a guest runs, SP_EL2 points at its [`Frame`]; the first instruction of every entry stores into
//! it. The frame holds the top of the core's one stack, on which Rust then runs. Interrupts and
//! calls save x0-x18 and x30 - what the Rust calling convention may change - and leave x19-x29 in
//! the processor. So do the most frequent aborts and register traps, which have quick ways;
//! what these decline saves all 31, because a handler may need any of them.
//! Handlers return the frame to run next and the one that was interrupted; only if they differ is
//! the rest stored and loaded ([`Resume`]).
//!
//! EL2 runs with interrupts masked from entry to return. It looks for pending ones between the
//! steps of longer work (`cpu::interrupt_pending`), so nothing here nests.

use super::context::Frame;
use core::arch::global_asm;
use core::mem::offset_of;

/// What a handler tells the way out.
#[repr(C)]
pub struct Resume {
    /// The frame to run now.
    pub next: *const Frame,
    /// The frame whose x19-x29, ELR and SPSR are still in the processor: stored if it is another
    /// than `next`. Null: they are void and `next` is loaded whole.
    pub previous: *mut Frame,
}

impl Resume {
    /// Back into the context that was interrupted.
    #[inline(always)]
    #[must_use]
    pub fn same(frame: *mut Frame) -> Self {
        Self { next: frame, previous: frame }
    }

    /// The quick way does not suffice: nothing has been done, and [`trap_entry`](crate::exit::trap_entry) is due.
    #[inline(always)]
    #[must_use]
    pub fn declined(frame: *mut Frame) -> Self {
        Self { next: core::ptr::null(), previous: frame }
    }
}

global_asm!(
    r#"
    .macro save_caller
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    str     x18, [sp, #144]
    str     x30, [sp, #240]
    .endm

    .macro save_callee base
    stp     x19, x20, [\base, #152]
    stp     x21, x22, [\base, #168]
    stp     x23, x24, [\base, #184]
    stp     x25, x26, [\base, #200]
    stp     x27, x28, [\base, #216]
    str     x29, [\base, #232]
    .endm

    .macro load_callee base
    ldp     x19, x20, [\base, #152]
    ldp     x21, x22, [\base, #168]
    ldp     x23, x24, [\base, #184]
    ldp     x25, x26, [\base, #200]
    ldp     x27, x28, [\base, #216]
    ldr     x29, [\base, #232]
    .endm

    // x0 = frame, then the core's stack
    .macro to_core_stack
    mov     x0, sp
    ldr     x9, [x0, #{stack}]
    mov     sp, x9
    .endm

    .macro interrupt
    save_caller
    mov     x0, sp
    ldp     x10, x9, [x0, #{on_interrupt}]
    mov     sp, x9
    blr     x10
    b       resume
    .endm

    .macro own_fault number
    .balign 128
    mov     x0, #\number
    b       own_fault
    .endm

    // The slots of the vectors for exceptions at EL2 itself are nearly empty: they hold the ways on and back.
    .section .vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    own_fault 0

    // An exception in the kernel itself: a defect. x0 = vector. The stack may be what is broken.
own_fault:
    mrs     x1, esr_el2
    mrs     x2, elr_el2
    mrs     x3, far_el2
    adrp    x4, fault_stack_top
    add     x4, x4, :lo12:fault_stack_top
    mov     sp, x4
    bl      {own_fault}

    // x0 = frame: the first guest of a core
    .global enter_first
enter_first:
    mov     x1, xzr
    b       3f

    own_fault 1
other_entry:
    cmp     x2, #0x18                       // system register
    b.ne    trap_entry
    bl      {sysreg}
    cbnz    x0, resume
5:  mov     x0, x1                          // declined: nothing has been done, and x19-x29 are still the guest's
    mrs     x1, esr_el2
    b       trap_entry
access_entry:
    bl      {access}
    cbz     x0, 5b
    b       resume

    own_fault 2
call_entry:
    bl      {call}

    // x0 = next frame, x1 = previous frame
resume:
    cmp     x0, x1
    b.ne    3f
2:  mov     sp, x0
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldr     x18, [sp, #144]
    ldr     x30, [sp, #240]
    ldp     x0, x1, [sp, #0]
    eret
    dsb     nsh                             // no speculation past the return
    isb

    own_fault 3
3:  cbz     x1, 4f
    save_callee x1
7:  mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x1, #{elr}]
4:  load_callee x0
    ldp     x2, x3, [x0, #{elr}]
    msr     elr_el2, x2
    msr     spsr_el2, x3
    b       2b

    own_fault 4
trap_entry:
    save_callee x0
    bl      {trap}
8:  cmp     x0, x1
    b.ne    6f
    load_callee x0                          // the handler may have changed any register
    b       2b
6:  cbnz    x1, 7b                          // x19-x29 are in the frame, where the handler may have changed them
    b       4b

serror_entry:
    save_callee x0
    bl      {serror}
    b       resume

    own_fault 5
    .global traced_entry
traced_entry:
    save_callee x0
    bl      {traced}
    b       8b

    own_fault 6
    .global synchronous_entry
synchronous_entry:
    lsr     x2, x1, #26
    cmp     x2, #0x24                       // data abort
    b.eq    access_entry
    cmp     x2, #0x16                       // HVC
    b.eq    call_entry
    b       other_entry

    .balign 128                             // 0x380: SError at EL2, only where `cpu::take_late_serror` lets it come
    eret

    .balign 128                             // 0x400: synchronous, from a guest or component
    save_caller
    mrs     x1, esr_el2
    mov     x0, sp
    ldp     x9, x10, [x0, #{stack}]
    mov     sp, x9
    br      x10

    .balign 128                             // 0x480: IRQ
    interrupt

    .balign 128                             // 0x500: FIQ: the same, the acknowledge says what it is
    interrupt

    .balign 128                             // 0x580: SError
    save_caller
    mrs     x1, esr_el2
    to_core_stack
    b       serror_entry

    .balign 128                             // 0x600: the same four from AArch32
    save_caller
    mrs     x1, esr_el2
    to_core_stack
    b       trap_entry
    .balign 128
    interrupt
    .balign 128
    interrupt
    .balign 128
    save_caller
    mrs     x1, esr_el2
    to_core_stack
    b       serror_entry

    .section .bss.fault_stack, "aw", @nobits
    .balign 16
    .space  4096
fault_stack_top:
    "#,
    stack = const offset_of!(Frame, core_stack),
    elr = const offset_of!(Frame, elr),
    on_interrupt = const offset_of!(Frame, on_interrupt),
    traced = sym crate::trace::synchronous,
    call = sym crate::exit::call::entry,
    access = sym crate::exit::abort::quick,
    sysreg = sym crate::exit::sysreg::quick,
    trap = sym crate::exit::trap_entry,
    serror = sym crate::exit::serror::entry,
    own_fault = sym crate::fault::own_fault,
);

const _: () = assert!(offset_of!(Frame, elr) == 248 && offset_of!(Frame, spsr) == 256);
const _: () = assert!(offset_of!(Frame, core_stack) == offset_of!(Frame, on_interrupt) + 8);
const _: () = assert!(offset_of!(Frame, on_synchronous) == offset_of!(Frame, core_stack) + 8);

unsafe extern "C" {
    static vectors: u8;
    static synchronous_entry: u8;
    static traced_entry: u8;
    fn enter_first(frame: *const Frame) -> !;
}

/// Where a frame's interrupts and synchronous exceptions go.
#[must_use]
pub fn ways() -> (u64, u64) {
    (crate::exit::interrupt::entry as *const () as u64, (&raw const synchronous_entry) as u64)
}

/// Where its synchronous exceptions go when they are traced.
#[must_use]
pub fn traced() -> u64 {
    (&raw const traced_entry) as u64
}

/// Address of the vector table, for VBAR_EL2.
#[must_use]
pub fn base() -> u64 {
    (&raw const vectors) as u64
}

/// Makes exceptions of this core at EL2 come to the vectors, from the first line of boot on.
pub fn install() {
    // SAFETY: the vectors are mapped for as long as the kernel is.
    unsafe { super::msr!("vbar_el2", base()) }
}

/// Leaves the boot code for the first guest of this core.
///
/// # Safety
///
/// The frame is that of a context whose other registers are loaded, and its `core_stack` is this
/// core's; nothing on the present stack is needed any more.
pub unsafe fn enter(frame: *const Frame) -> ! {
    // SAFETY: as the caller says.
    unsafe { enter_first(frame) }
}
