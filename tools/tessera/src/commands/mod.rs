//! The commands, one file each.

pub mod bench;
pub mod build;
pub mod check;
pub mod doctor;
pub mod new;
pub mod run;
pub mod schema;
pub mod test;
pub mod trace;
