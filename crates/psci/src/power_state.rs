//! CPU_SUSPEND's `power_state`, in the original format (DEN0022 section 5.4.2).
//!
//! PSCI_FEATURES says which format it is; this one is what QEMU's `virt` machine has. The guest's
//! topology has no level above the core, so power level 0 is the only one. No state number is given
//! a meaning: every standby is a wait for an interrupt, every power-down likewise, and then a start
//! at the entry point.

/// A `power_state` that was found valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// The core keeps its context; the call returns.
    Standby,
    /// The core loses its context and starts at the entry point when it wakes.
    PowerDown,
}

impl PowerState {
    /// StateType, bit 16: power-down.
    const POWER_DOWN: u32 = 1 << 16;
    /// StateID, bits 15:0.
    const STATE_ID: u32 = 0xFFFF;

    /// Decodes the 32-bit argument. `None` when a bit that must be zero is set, or the power level
    /// (bits 25:24) is above the core's own.
    #[inline]
    pub const fn decode(value: u32) -> Option<Self> {
        if value & !(Self::POWER_DOWN | Self::STATE_ID) != 0 {
            None
        } else if value & Self::POWER_DOWN != 0 {
            Some(Self::PowerDown)
        } else {
            Some(Self::Standby)
        }
    }
}
