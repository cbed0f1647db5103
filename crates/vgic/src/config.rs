//! What a guest's interrupt controller is like.

use crate::id::{MAX_SPIS, MAX_VCPUS};

/// The GIC architecture version that the guest sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// GICv2: up to 8 vCPUs.
    #[default]
    V2,
    /// GICv3 with one security state, affinity routing and system registers, none of which can be switched off.
    V3,
}

/// What the guest's interrupt controller is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The architecture version.
    pub version: Version,
    /// How many vCPUs: 1 to 8 with GICv2, 1 to 16 with GICv3.
    pub vcpus: u8,
    /// How many SPIs: a multiple of 32 up to 256.
    pub spis: u16,
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There are none, the version cannot have so many, or the storage given is for fewer.
    #[error("{0} vCPUs are not possible")]
    Vcpus(u8),
    /// Not a multiple of 32, or more than 256.
    #[error("{0} SPIs are not possible")]
    Spis(u16),
}

impl Config {
    /// Whether a controller like this can be made.
    pub const fn check(self) -> Result<(), ConfigError> {
        let limit = match self.version {
            Version::V2 => 8,
            Version::V3 => MAX_VCPUS,
        };
        if self.vcpus == 0 || self.vcpus as usize > limit {
            Err(ConfigError::Vcpus(self.vcpus))
        } else if !self.spis.is_multiple_of(32) || self.spis > MAX_SPIS {
            Err(ConfigError::Spis(self.spis))
        } else {
            Ok(())
        }
    }
}
