//! Physical memory: who has which of it, for ever.

mod arena;
mod frames;
pub mod guest;
pub mod space;

pub use arena::Arena;
pub use frames::{Frames, Range};
