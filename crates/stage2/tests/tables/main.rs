//! Tests of the stage-2 tables from outside: what a walker finds, and what a TLB may keep.

mod encoding;
mod machine;
mod maintenance;
mod model;
mod shape;
mod tlb;
mod walker;
