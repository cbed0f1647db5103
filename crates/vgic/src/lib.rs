//! A virtual GICv2 and GICv3 distributor as one portable state machine.
//!
//! It holds the state of a guest's interrupts, answers its accesses to GICD and GICR, and decides which interrupts the
//! hardware's list registers hold (Arm IHI 0048 for GICv2, IHI 0069 for GICv3). It touches no hardware itself:
//! the kernel gives it the local core's virtual interface as a [`CpuInterface`], and holds the guest's lock for each
//! call on [`Vgic`].
//!
//! # How the kernel uses it
//!
//! | event on a core | calls |
//! | --- | --- |
//! | physical interrupt for the guest that is loaded here | [`Vgic::deliver_hw`] |
//! | the same for another vCPU | [`Vgic::inject_hw`] |
//! | a device model's line, a timer, a message | [`Vgic::set_line`], [`Vgic::pulse`] |
//! | trapped `ICC_SGI1R_EL1` and its kin | [`Vgic::send_sgi`] |
//! | GICD or GICR access | [`Vgic::read_local`], [`Vgic::write`] |
//! | kick, maintenance interrupt | [`Vgic::serve`] |
//! | trapped `DIR` | [`Vgic::deactivate`] |
//! | WFI | [`Vgic::serve`], then [`Vgic::has_deliverable`] |
//! | vCPU switched | [`Vgic::save`], [`Vgic::load`] |
//!
//! After any of them, and before the guest runs again, [`Vgic::flush`] (`deliver_hw`, `serve` and `load` include it).
//! A [`VcpuSet`] that comes back names the vCPUs to kick: the core that has such a vCPU loaded calls `serve`; for one
//! that is not loaded its core calls `sync`, and it is woken.
//!
//! # What a guest may notice
//!
//! - Priorities have 5 bits. There are no LPIs, no message-based SPIs, no security states.
//! - An SPI with several possible targets (ITARGETSR with several bits, IROUTER.IRM=1) goes to a fixed one.
//! - An interrupt is active once: a GICv2 SGI from a second source waits until the first is deactivated.
//! - In EOImode 1, a deactivation on another vCPU than the one that acknowledged an SPI is only heard while `DIR` is
//!   trapped on it ([`Maintenance::trap_dir`], or the kernel's choice).
//! - In EOImode 0, an EOI of an interrupt that software has deactivated meanwhile (ICACTIVER), while others are
//!   spilled, ends the most urgent spilled one: the hardware counts such EOIs and does not say which.
//! - With more ready interrupts than list registers, one of a group that the guest has disabled at its CPU
//!   interface (not at the distributor) keeps its list register from less urgent ones of the other group.
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

mod bits;
mod block;
mod config;
mod cpu;
mod deliver;
mod flush;
mod hold;
mod id;
mod interface;
mod list_register;
mod map;
mod quick;
mod ready;
mod registers;
mod reset;
mod sgi;
mod vgic;

pub use config::{Config, ConfigError, Version};
pub use cpu::Cpu;
pub use id::{FIRST_SPI, IntId, MAX_SPIS, MAX_VCPUS, VcpuIndex, VcpuSet};
pub use interface::{CpuInterface, Groups, ListRegisters, Maintenance, Was};
pub use list_register::ListRegister;
pub use quick::OneSgi;
pub use registers::{Access, Frame, without_two};
pub use sgi::SgiRegister;
pub use vgic::{Distributor, Vgic};
