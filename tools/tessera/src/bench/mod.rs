//! The laboratory: what Tessera costs, counted from outside, beside the bare machine and others.

pub mod html;
pub mod report;
