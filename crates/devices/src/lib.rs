//! Device models that both faces link: a UART, a clock, and empty virtio-mmio slots.
//!
//! Each model is a plain struct: registers are read and written by offset and size, the interrupt
//! line is a level that [`Pl011::irq`] and its peers tell after each operation, and a reset
//! restores the values of power-on. A model knows nothing of who calls it: the bytes that it sends
//! and the time are handed to it.
//!
//! By default a guest sees QEMU's `virt` machine, so where the part's manual leaves room, or where
//! software written for that machine relies on more than the manual says, the models do as that
//! machine does. Each module says where.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod access;
mod pl011;
mod pl031;
mod rx_fifo;
mod virtio_empty;

pub use pl011::{Pl011, Sink};
pub use pl031::Pl031;
pub use virtio_empty::VirtioEmpty;
