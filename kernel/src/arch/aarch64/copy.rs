//! Copying and clearing memory a piece at a time, with the CRC of what is copied.
//!
//! Four instructions move and check sixteen bytes where the processor has CRC instructions, so that a piece
//! that is long enough to be worth a turn stays short with interrupts masked.

use super::crc;
use core::arch::global_asm;

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

    // x0 = to, x1 = bytes (a multiple of 32, not 0)
    .global clear_memory
clear_memory:
    add     x1, x0, x1
2:  stp     xzr, xzr, [x0], #32
    stp     xzr, xzr, [x0, #-16]
    cmp     x0, x1
    b.lo    2b
    ret
    .text
    "#
);

unsafe extern "C" {
    fn copy_checked(to: *mut u8, from: *const u8, len: usize, crc: u32) -> u32;
    fn clear_memory(to: *mut u8, len: usize);
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

/// Clears `len` bytes at `to`.
///
/// # Safety
///
/// `to` must be valid for `len` bytes, which nobody else uses.
pub unsafe fn clear(to: *mut u8, len: usize) {
    let whole = len & !31;
    // SAFETY: as the caller says.
    unsafe {
        if whole != 0 {
            clear_memory(to, whole);
        }
        core::ptr::write_bytes(to.add(whole), 0, len - whole);
    }
}
