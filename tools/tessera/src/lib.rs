//! The command line of Tessera, as a library: what `cargo tessera` does and what the whole-system
//! tests build on.
//!
//! A description ([`description`]) is checked ([`check`]) and becomes a [`system::System`]; its
//! images are got ([`supply`]), placed ([`layout`]) and written as a bundle ([`bundle`]); kernel
//! and bundle are a [`product::Product`], which runs on a [`machine::Machine`].
#![forbid(unsafe_code)]

mod a64;
pub mod analysis;
pub mod archive;
pub mod bench;
pub mod board;
pub mod bundle;
pub mod check;
pub mod commands;
pub mod debian;
pub mod description;
mod either;
pub mod failure;
pub mod image;
pub mod initramfs;
pub mod layout;
pub mod machine;
pub mod peer;
pub mod process;
pub mod product;
pub mod program;
pub mod progress;
pub mod project;
pub mod quantity;
pub mod refusal;
pub mod rust;
pub mod seed;
pub mod setup;
pub mod stack;
pub mod supply;
pub mod symbols;
pub mod system;
pub mod terminal;
pub mod tree;
pub mod weight;
