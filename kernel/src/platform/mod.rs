//! The board: what its device tree says, and its one serial port.

mod board;
mod tree;
mod uart;

pub use board::{Board, BoardError, GicAddresses};
pub use tree::read;
pub use uart::{Uart};
