//! The exception vectors of EL2 and the way back into a guest.
//!
//! While a guest runs, SP_EL2 points at its [`Frame`]; the first instruction of every entry stores into
//! it. The frame holds the top of the core's one stack, on which Rust then runs. An entry saves x0-x18 and x30 - what the
//! Rust calling convention may change - and tries a *quick* handler for what guests do most, which leaves x19-x29 in the
//! processor and comes back with [`Quick`]. What that declines, and all else, has a *full* handler: it finds all 31
//! registers in the frame, may change them, and comes back with a [`Resume`] that names the frame to run and the one that
//! was interrupted.
//!
//! EL2 runs with interrupts masked from entry to return. It looks for pending ones between the
//! steps of longer work (`cpu::interrupt_pending`), so nothing here nests.

use super::context::Frame;
use crate::exit::interrupt;
use crate::sched::Core;
use core::arch::global_asm;
use core::mem::offset_of;

/// What a full handler tells the way out.
#[repr(C)]
pub struct Resume {
    /// The frame to run now.
    pub next: *const Frame,
    /// The frame whose ELR and SPSR are still in the processor: stored if it is another than `next`. Null: they are void.
    pub previous: *mut Frame,
}

/// What a quick handler tells the way out: the interrupted frame, and in bit 0 whether a full handler is due because nothing
/// has been done.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Quick(u64);

impl Quick {
    /// Done: back into the context that was interrupted.
    #[inline(always)]
    #[must_use]
    pub fn done(frame: *mut Frame) -> Self {
        Self(frame as u64)
    }

    /// The quick way does not suffice.
    #[inline(always)]
    #[must_use]
    pub fn declined(frame: *mut Frame) -> Self {
        Self(frame as u64 | 1)
    }

    /// Whether it is done.
    #[must_use]
    pub fn is_done(self) -> bool {
        self.0 & 1 == 0
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

    .macro save_callee
    stp     x19, x20, [x0, #152]
    stp     x21, x22, [x0, #168]
    stp     x23, x24, [x0, #184]
    stp     x25, x26, [x0, #200]
    stp     x27, x28, [x0, #216]
    str     x29, [x0, #232]
    .endm

    .macro load_callee
    ldp     x19, x20, [x0, #152]
    ldp     x21, x22, [x0, #168]
    ldp     x23, x24, [x0, #184]
    ldp     x25, x26, [x0, #200]
    ldp     x27, x28, [x0, #216]
    ldr     x29, [x0, #232]
    .endm

    // x0 = frame, then the core's stack
    .macro to_core_stack
    mov     x0, sp
    ldr     x9, [x0, #{stack}]
    mov     sp, x9
    .endm

    .macro full handler
    save_callee
    bl      \handler
    b       full_done
    .endm

    .macro interrupt
    save_caller
    mov     x0, sp
    ldp     x10, x9, [x0, #{on_interrupt}]
    mov     sp, x9
    br      x10
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

    own_fault 1
    // x0 = frame, x1 = syndrome
trap_entry:
    save_callee
    bl      {trap}
    // x0 = next frame, x1 = previous frame, whose x19-x29 are in it
full_done:
    cmp     x0, x1
    b.ne    exchange
    load_callee                             // the handler may have changed any register
    b       2f

    own_fault 2
1:  and     x0, x0, #0xfffffffffffffffe     // a quick handler for a synchronous exception has declined
    mrs     x1, esr_el2
    b       trap_entry
    .balign 64
    // x0 = frame, with x19-x29 in the processor; bit 0: declined
quick_done:
    tbnz    x0, #0, 1b
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
    // x0 = the first frame of a core
    .global enter_first
enter_first:
    mov     x1, xzr
    // as full_done, of two frames that differ
    .global exchange
exchange:
    cbz     x1, 4f
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x1, #{elr}]
4:  load_callee
    ldp     x2, x3, [x0, #{elr}]
    msr     elr_el2, x2
    msr     spsr_el2, x3
    b       2b

    own_fault 4
    .global synchronous_entry
    // x0 = frame, x1 = syndrome
synchronous_entry:
    lsr     x2, x1, #26
    cmp     x2, #0x24                       // data abort
    b.eq    5f
    cmp     x2, #0x16                       // HVC
    b.eq    6f
    cmp     x2, #0x18                       // system register
    b.ne    trap_entry
    bl      {sysreg}
    b       quick_done
5:  bl      {access}
    b       quick_done
6:  bl      {call}
    b       quick_done

    own_fault 5
    // x0 = frame: an interrupt on GICv3
    .global interrupt_v3
interrupt_v3:
    mrs     x2, s3_0_c12_c12_0              // ICC_IAR1_EL1
    mrs     x1, tpidr_el2
    cmp     w2, #{virtual_timer}
    b.ne    7f
    msr     s3_0_c12_c12_1, x2              // ICC_EOIR1_EL1: the guest deactivates it
    bl      {own_timer}
    tbz     x0, #0, 2b
    and     x0, x0, #0xfffffffffffffffe
    mrs     x1, tpidr_el2
    full    {timer_fired}
7:  ldr     w3, [x1, #{alarm_intid}]
    cmp     w2, w3
    b.ne    8f
    msr     cnthp_ctl_el2, xzr              // before its end, or it would come again
    isb
    msr     s3_0_c12_c12_1, x2
    msr     s3_0_c12_c11_1, x2              // ICC_DIR_EL1
    b       alarm_entry

    own_fault 6
alarm_entry:
    full    {alarm}
    // an interrupt on GICv2
    .global interrupt_v2
interrupt_v2:
    bl      {interrupt_quick}
    tbz     x0, #0, 2b
    and     x0, x0, #0xfffffffffffffffe
    full    {interrupt}
    .global traced_interrupt
traced_interrupt:
    full    {traced_interrupt}

    .balign 128                             // 0x380: SError at EL2, only where `cpu::take_late_serror` lets it come
    eret
8:  cbnz    w2, 9f
    msr     s3_0_c12_c12_1, x2              // another core's kick
    msr     s3_0_c12_c11_1, x2
    bl      {kicked}
    tbz     x0, #0, 2b
    and     x0, x0, #0xfffffffffffffffe
    mrs     x1, tpidr_el2
    full    {requested}
9:  full    {other}

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
serror_entry:
    full    {serror}
    .balign 128
    interrupt
    .balign 128
    interrupt
    .balign 128
    save_caller
    mrs     x1, esr_el2
    to_core_stack
    b       serror_entry
    .global traced_synchronous
traced_synchronous:
    full    {traced_synchronous}

    .section .bss.fault_stack, "aw", @nobits
    .balign 16
    .space  4096
fault_stack_top:
    "#,
    stack = const offset_of!(Frame, core_stack),
    elr = const offset_of!(Frame, elr),
    on_interrupt = const offset_of!(Frame, on_interrupt),
    traced_synchronous = sym crate::trace::synchronous,
    traced_interrupt = sym crate::trace::interrupt,
    call = sym crate::exit::call::quick,
    access = sym crate::exit::abort::quick,
    sysreg = sym crate::exit::sysreg::quick,
    trap = sym crate::exit::trap_entry,
    virtual_timer = const super::timer::EL1_VIRTUAL,
    alarm_intid = const offset_of!(Core, own.timer),
    own_timer = sym interrupt::own_timer,
    timer_fired = sym interrupt::timer_fired,
    alarm = sym interrupt::alarm,
    kicked = sym interrupt::kicked,
    requested = sym interrupt::requested,
    other = sym interrupt::other,
    interrupt_quick = sym interrupt::quick,
    interrupt = sym interrupt::entry,
    serror = sym crate::exit::serror::entry,
    own_fault = sym crate::fault::own_fault,
);

const _: () = assert!(super::gic::KICK == 0);
const _: () = assert!(offset_of!(Frame, elr) == 248 && offset_of!(Frame, spsr) == 256);
const _: () = assert!(offset_of!(Frame, core_stack) == offset_of!(Frame, on_interrupt) + 8);
const _: () = assert!(offset_of!(Frame, on_synchronous) == offset_of!(Frame, core_stack) + 8);

unsafe extern "C" {
    static vectors: u8;
    static synchronous_entry: u8;
    static interrupt_v2: u8;
    static interrupt_v3: u8;
    static traced_synchronous: u8;
    static traced_interrupt: u8;
    fn enter_first(frame: *const Frame) -> !;
    fn exchange(next: *const Frame, previous: *mut Frame) -> !;
}

/// Where a frame's interrupts and synchronous exceptions go.
#[must_use]
pub fn ways(gic: manifest::Gic) -> (u64, u64) {
    let on_interrupt = match gic {
        manifest::Gic::V3 => (&raw const interrupt_v3) as u64,
        _ => (&raw const interrupt_v2) as u64,
    };
    (on_interrupt, (&raw const synchronous_entry) as u64)
}

/// The same when they are traced.
#[must_use]
pub fn traced_ways() -> (u64, u64) {
    ((&raw const traced_interrupt) as u64, (&raw const traced_synchronous) as u64)
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

/// Goes on as a full handler does that returns `resume`, from wherever it is called, and another vCPU has been loaded.
///
/// # Safety
///
/// None of the functions that led here, from a full handler on, has anything left to do.
#[inline(always)]
pub unsafe fn resume(resume: Resume) -> ! {
    // SAFETY: as the caller says; the stack is left as it is, for every entry begins at its top.
    unsafe { exchange(resume.next, resume.previous) }
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
