//! The device models, driven as real drivers drive the parts.

mod pl011_linux;
mod pl011_registers;
mod pl031;
mod wire;

/// The identification that the Linux AMBA bus reads: PeriphID and PCellID, a byte from each
/// register.
fn amba_id(mut read: impl FnMut(u64) -> u64) -> (u32, u32) {
    let mut word = |base: u64| {
        (0..4).fold(0, |word, byte| {
            word | (read(base + 4 * byte) as u32 & 0xFF) << (8 * byte)
        })
    };
    (word(0xFE0), word(0xFF0))
}
