//! Copying and clearing memory a piece at a time, with the CRC of what is copied.
//!
//! Four instructions move and check sixteen bytes where the processor has CRC instructions, so that a piece
//! that is long enough to be worth a turn stays short with interrupts masked. What the compiler calls to copy and fill
//! the kernel's own objects is here too: the library's goes through memory in smaller steps and is larger.

use super::{crc, mrs};
use core::arch::{asm, global_asm};

global_asm!(
    r#"
    .section .text.low, "ax"
    .arch_extension crc
    // x0 = to, x1 = from, x2 = bytes (a multiple of 16, not 0), w3 = CRC; returns the CRC
    .balign 64
    .global copy_checked
copy_checked:
    add     x2, x0, x2
1:  ldp     x4, x5, [x1], #16
    crc32x  w3, w3, x4
    crc32x  w3, w3, x5
    stp     x4, x5, [x0], #16
    cmp     x0, x2
    b.lo    1b
    mov     w0, w3
    ret
    .arch_extension nocrc

    // What the compiler calls to copy: x0 = to, x1 = from, x2 = bytes. Sixteen bytes at a time wherever they lie (SCTLR_EL2.A
    // is 0, and nobody copies registers), then the rest by the bits of its length, which taking sixteens away leaves alone.
    .global memcpy
memcpy:
    mov     x3, x0
    subs    x2, x2, #16
    b.lo    3f
2:  ldp     x4, x5, [x1], #16
    subs    x2, x2, #16
    stp     x4, x5, [x3], #16
    b.hs    2b
3:  tbz     w2, #3, 4f
    ldr     x4, [x1], #8
    str     x4, [x3], #8
4:  tbz     w2, #2, 5f
    ldr     w4, [x1], #4
    str     w4, [x3], #4
5:  tbz     w2, #1, 6f
    ldrh    w4, [x1], #2
    strh    w4, [x3], #2
6:  tbz     w2, #0, 7f
    ldrb    w4, [x1]
    strb    w4, [x3]
7:  ret

    // And to fill: x0 = to, w1 = byte, x2 = bytes.
    .global memset
memset:
    mov     x3, x0
    and     w1, w1, #0xff
    orr     w1, w1, w1, lsl #8
    orr     w1, w1, w1, lsl #16
    orr     x1, x1, x1, lsl #32
    subs    x2, x2, #16
    b.lo    9f
8:  subs    x2, x2, #16
    stp     x1, x1, [x3], #16
    b.hs    8b
9:  tbz     w2, #3, 10f
    str     x1, [x3], #8
10: tbz     w2, #2, 11f
    str     w1, [x3], #4
11: tbz     w2, #1, 12f
    strh    w1, [x3], #2
12: tbz     w2, #0, 13f
    strb    w1, [x3]
13: ret
    .text
    "#
);

unsafe extern "C" {
    fn copy_checked(to: *mut u8, from: *const u8, len: usize, crc: u32) -> u32;
}

/// Bytes to copy in one piece of work.
#[must_use]
pub fn piece() -> u64 {
    if crc::has_instructions() { 768 } else { 96 }
}

/// Copies `bytes` to `to` and continues a CRC over them.
///
/// # Safety
///
/// `to` must be valid for as many bytes, which nobody else uses and which are not `bytes`.
#[must_use]
pub unsafe fn checked(to: *mut u8, bytes: &[u8], crc: u32) -> u32 {
    let whole = if crc::has_instructions() { bytes.len() & !15 } else { 0 };
    let mut crc = crc;
    if whole != 0 {
        // SAFETY: as the caller says, and the processor has the instructions.
        crc = unsafe { copy_checked(to, bytes.as_ptr(), whole, crc) };
    }
    let rest = &bytes[whole..];
    // SAFETY: as the caller says.
    unsafe { core::ptr::copy_nonoverlapping(rest.as_ptr(), to.add(whole), rest.len()) }
    crc::update(crc, rest)
}

/// Clears `len` bytes at `to`: whole blocks by the instruction that clears one without reading it (DC ZVA, Arm ARM D7.5),
/// where the processor has it.
///
/// # Safety
///
/// `to` must be valid for `len` bytes of normal memory, which nobody else uses.
#[inline(never)]
pub unsafe fn clear(to: *mut u8, len: usize) {
    let dczid = mrs!("dczid_el0");
    // Bits 3 to 0 are the block's size; bit 4 forbids the instruction.
    let block = 4usize << (dczid & 15);
    let (start, end) = (to as usize, to as usize + len);
    let (mut at, mut last) = ((start + block - 1) & !(block - 1), end & !(block - 1));
    if dczid & 16 != 0 || at >= last {
        (at, last) = (start, start);
    }
    // SAFETY: as the caller says, all of it between `start` and `end`.
    unsafe {
        core::ptr::write_bytes(to, 0, at - start);
        while at < last {
            asm!("dc zva, {}", in(reg) at, options(nostack, preserves_flags));
            at += block;
        }
        core::ptr::write_bytes(to.add(last - start), 0, end - last);
    }
}
