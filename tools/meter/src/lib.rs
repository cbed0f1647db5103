//! A QEMU TCG plugin that counts instructions from outside the machine.
//!
//! It says how many instructions run at EL2 for each exception, by cause; how long interrupts
//! stay masked there at worst, and on which path; how many instructions run in each 2 MiB of
//! memory, so that contexts can be told apart; and how often EL2 executes the instructions that
//! cost a board more than one cycle. README.md says how it knows, what it takes and what it
//! writes.
//!
//! [`engine`] is the logic and knows nothing of QEMU; [`plugin`] joins it to QEMU through
//! [`qemu`], the plugin interface as QEMU's manual (devel/tcg-plugins) describes it.

pub mod arguments;
pub mod context;
pub mod counts;
pub mod decode;
pub mod distribution;
pub mod engine;
pub mod event;
pub mod journal;
pub mod json;
pub mod lines;
pub mod log;
pub mod phase;
pub mod plugin;
pub mod qemu;
pub mod record;
pub mod registers;
pub mod report;
pub mod translation;
pub mod vectors;
