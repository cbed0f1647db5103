//! A virtual GICv2 and GICv3 distributor as one portable state machine.
#![no_std]
#![forbid(unsafe_code)]
