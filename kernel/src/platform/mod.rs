//! The board: what its device tree says, and its one serial port.

mod blob;
mod board;
mod tree;
mod uart;

pub use board::{Board, BoardError, GicAddresses};
pub use blob::check;
pub use tree::read;
pub use uart::{Uart};
