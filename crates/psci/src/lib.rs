//! PSCI and SMCCC as a guest sees them.
#![no_std]
#![forbid(unsafe_code)]
