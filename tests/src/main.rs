//! Whole-system tests in QEMU.
fn main() {}
