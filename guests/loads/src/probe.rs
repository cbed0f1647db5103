//! One load with every register filled before and stored after it.
//!
//! The table below has a piece of code for each register and form: it fills x0 to x29, does the load, stores all. x30 is
//! then the return address of the call that filled the others, which is as good as any value. The
//! block with the values is found by TPIDR_EL0, because no register is free.

use crate::form::{FORMS, Form, REGISTERS, Register, Values};
use core::arch::{asm, global_asm};

/// Bytes for each load in the table.
const PLACE: usize = 32;

/// What the registers are filled with, and what they hold after.
#[repr(C, align(16))]
pub struct Block {
    /// Before. x30 has what [`Block::link`] says instead.
    pub before: Values,
    unused: u64,
    /// After.
    pub after: Values,
    unused_too: u64,
}

const _: () = assert!(core::mem::offset_of!(Block, after) == 256);

global_asm!(
    r#"
    .macro probe load:vararg
    .balign {place}
    bl      fill
    \load
    str     x30, [sp, #-16]!
    bl      spill
    b       finish
    .endm

    .macro probes register, base, mate
    probe   ldr w\register, [x\base]
    probe   ldrh w\register, [x\base]
    probe   ldrb w\register, [x\base]
    probe   ldrsb x\register, [x\base]
    probe   ldrsw x\register, [x\base]
    probe   ldp w\register, w\mate, [x\base]
    probe   ldp w\mate, w\register, [x\base]
    probe   ldr w\register, [x\base], #4
    .if     \register == 30                 // x30 holds no address of a device: never called
    probe   brk #0
    .else
    probe   ldr w\base, [x\register], #4
    .endif
    probe   mrs x\register, cntp_cval_el0
    .endm

    .section .text.probes, "ax"
    .balign {place}
loads_table:
    .irp    register, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14
    probes  \register, 20, 21
    .endr
    .irp    register, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
    probes  \register, 5, 6
    .endr

    .org    loads_table + {registers} * {forms} * {place}   // refused if a place is too small
fill:
    mrs     x0, tpidr_el0
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldp     x0, x1, [x0]
    ret

spill:
    stp     x0, x1, [sp, #-16]!
    mrs     x0, tpidr_el0
    add     x0, x0, #256
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    ldr     x2, [sp], #16                   // x30 as the load left it
    str     x2, [x0, #240]
    ret

finish:                                     // as loads_probe has begun
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #96
    ret

    // x0 = block, x1 = one of the table
    .global loads_probe
loads_probe:
    stp     x29, x30, [sp, #-96]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    msr     tpidr_el0, x0
    br      x1
    "#,
    place = const PLACE,
    registers = const REGISTERS,
    forms = const FORMS,
);

unsafe extern "C" {
    fn loads_probe(block: *mut Block, load: usize);
}

impl Block {
    /// A block of zeros.
    pub const fn new() -> Self {
        Self {
            before: [0; REGISTERS],
            unused: 0,
            after: [0; REGISTERS],
            unused_too: 0,
        }
    }

    /// Does a load, all registers filled with `before`; what they hold then is in `after`.
    ///
    /// # Safety
    ///
    /// The register that holds the address has one of a device, whose loads change no memory.
    pub unsafe fn load(&mut self, form: Form, register: Register) {
        if !form.has(register) || register.0 >= REGISTERS {
            return;
        }
        let code = place(form, register);
        // SAFETY: the table's code keeps what a called function keeps, and changes nothing but the
        // block. Nobody else uses TPIDR_EL0. The load is as the caller says.
        unsafe { loads_probe(self, code) }
    }

    /// What x30 holds before such a load: the address of the load itself.
    pub fn link(form: Form, register: Register) -> u64 {
        place(form, register) as u64 + 4
    }
}

/// Where the code of a load is.
fn place(form: Form, register: Register) -> usize {
    let table: usize;
    // SAFETY: an address.
    unsafe {
        asm!("adrp {0}, loads_table", "add {0}, {0}, :lo12:loads_table", out(reg) table,
            options(pure, nomem, nostack, preserves_flags));
    }
    table + (register.0 * FORMS + form as usize) * PLACE
}
