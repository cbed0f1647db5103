//! A virtual GICv2 and GICv3 distributor as one portable state machine.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(test)]
extern crate std;

mod block;
mod config;
mod cpu;
mod deliver;
mod flush;
mod hold;
mod id;
mod interface;
mod list_register;
mod ready;
mod registers;
mod reset;
mod sgi;
mod v2;
mod v3;
mod vgic;

pub use config::{Config, ConfigError, Version};
pub use cpu::Cpu;
pub use id::{FIRST_SPI, IntId, MAX_SPIS, MAX_VCPUS, VcpuIndex, VcpuSet};
pub use interface::{CpuInterface, Groups, Maintenance};
pub use list_register::ListRegister;
pub use registers::{Access, Frame};
pub use sgi::SgiRegister;
pub use vgic::{Distributor, Vgic};
