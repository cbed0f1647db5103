//! Stage-2 translation tables with block mappings and recorded maintenance.
#![no_std]
#![forbid(unsafe_code)]
