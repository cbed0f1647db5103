//! Numbers that kernel, guests and host tool agree on.
#![no_std]
#![forbid(unsafe_code)]
