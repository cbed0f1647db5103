//! The board: what its device tree says, and its one serial port.

mod board;
mod fdt;
mod tree;
mod uart;

pub use board::{Board, BoardError, GicAddresses};
pub use fdt::{Fdt, LARGEST as LARGEST_TREE};
pub use tree::read;
pub use uart::Uart;
