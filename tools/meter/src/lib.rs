//! A QEMU plugin.
