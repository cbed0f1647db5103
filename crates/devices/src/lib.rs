//! Device models without unsafe code: PL011, PL031, empty virtio-mmio transports.
#![no_std]
#![forbid(unsafe_code)]
