//! The calls whose answer depends on no state: versions and features.
//!
//! They need no lock and no vCPU, so a kernel can answer them on its shortest path. DEN0022
//! sections 5.1.1, 5.1.7 and 5.1.15; DEN0028, "Arm Architecture Calls"; the workarounds' answers
//! also in DEN0070 ("Firmware interfaces for mitigating CVE-2017-5715 ...").

use crate::function::{Error, Function};

/// PSCI 1.1: major in bits 31:16, minor in bits 15:0.
const PSCI_VERSION: u64 = 0x0001_0001;
/// SMCCC 1.1, in the same form.
const SMCCC_VERSION: u64 = 0x0001_0001;
/// MIGRATE_INFO_TYPE: no Trusted OS that would have to be migrated.
const MIGRATION_NOT_REQUIRED: u64 = 2;
/// The answer "it is there", for PSCI_FEATURES (with no flag set) and SMCCC_ARCH_FEATURES.
const PRESENT: u64 = 0;
/// SMCCC_ARCH_FEATURES: the call exists, this PE does not need it.
const NOT_NEEDED_HERE: u64 = 1;
/// SMCCC_ARCH_FEATURES for SMCCC_ARCH_WORKAROUND_2: no PE needs it, and it must not be called.
const NOT_REQUIRED: u64 = -2_i64 as u64;

/// What the host's firmware says of one workaround.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// It does not know the call: the core may be vulnerable, and nothing can be done.
    #[default]
    Unknown,
    /// The core needs the workaround, and the firmware does it.
    Required,
    /// The core does not need it.
    NotRequired,
}

/// What the host's firmware says of the three workarounds that a guest may ask for.
///
/// Unless stated, nothing is known, and a guest is told NOT_SUPPORTED.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workarounds {
    /// SMCCC_ARCH_WORKAROUND_1.
    pub one: Firmware,
    /// SMCCC_ARCH_WORKAROUND_2. The call turns a mitigation of the physical core on and off. Say
    /// `Required` only if the kernel restores it when another context comes; a kernel that keeps
    /// the mitigation on at all times says `NotRequired`.
    pub two: Firmware,
    /// SMCCC_ARCH_WORKAROUND_3.
    pub three: Firmware,
}

/// The workaround that the host's firmware is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workaround {
    /// SMCCC_ARCH_WORKAROUND_1.
    One,
    /// SMCCC_ARCH_WORKAROUND_2, with its argument.
    Two {
        /// Whether the mitigation is to be on.
        enable: bool,
    },
    /// SMCCC_ARCH_WORKAROUND_3.
    Three,
}

/// The answer (`x0`) to the calls that a guest makes most often to no effect: PSCI_VERSION, and whatever has an owner other than
/// Arm's architecture and standard services (DEN0028, "Function Identifiers"), whom this machine does not have. `None` for
/// every other.
#[inline(always)]
#[must_use]
pub const fn quick(x0: u64) -> Option<u64> {
    const VERSION: u32 = 0x8400_0000;
    const STANDARD: u32 = 4;
    let function = x0 as u32;
    let owner = function >> 24 & 0x3f;
    if function == VERSION {
        Some(PSCI_VERSION)
    } else if owner != 0 && owner != STANDARD {
        Some(Error::NotSupported.x0())
    } else {
        None
    }
}

impl Workarounds {
    /// The answer (`x0`) to a call that depends on no state and has no effect, `None` for every
    /// other.
    #[inline]
    pub fn query(&self, x: [u64; 4]) -> Option<u64> {
        self.answer(Function::decode(x[0]), x[1])
    }

    /// The same for an identifier that is already decoded; an unknown one is answered here.
    #[inline]
    pub(crate) fn answer(&self, function: Option<Function>, x1: u64) -> Option<u64> {
        let Some(function) = function else {
            return Some(Error::NotSupported.x0());
        };
        match function {
            Function::Version => Some(PSCI_VERSION),
            Function::MigrateInfoType => Some(MIGRATION_NOT_REQUIRED),
            Function::Features => Some(psci_features(x1)),
            Function::SmcccVersion => Some(SMCCC_VERSION),
            Function::SmcccArchFeatures => Some(self.arch_features(x1)),
            Function::SmcccWorkaround1 => self.one.without_firmware(),
            Function::SmcccWorkaround2 => self.two.without_firmware(),
            Function::SmcccWorkaround3 => self.three.without_firmware(),
            Function::CpuSuspend { .. }
            | Function::CpuOff
            | Function::CpuOn { .. }
            | Function::AffinityInfo { .. }
            | Function::SystemOff
            | Function::SystemReset => None,
        }
    }

    /// SMCCC_ARCH_FEATURES, for the identifier in `w1`. PSCI functions are not asked for here.
    fn arch_features(&self, x1: u64) -> u64 {
        match Function::decode(x1) {
            Some(Function::SmcccVersion | Function::SmcccArchFeatures) => PRESENT,
            Some(Function::SmcccWorkaround1) => self.one.discovery(NOT_NEEDED_HERE),
            Some(Function::SmcccWorkaround2) => self.two.discovery(NOT_REQUIRED),
            Some(Function::SmcccWorkaround3) => self.three.discovery(NOT_NEEDED_HERE),
            _ => Error::NotSupported.x0(),
        }
    }
}

impl Firmware {
    /// The answer of SMCCC_ARCH_FEATURES; `not_required` differs between the workarounds.
    const fn discovery(self, not_required: u64) -> u64 {
        match self {
            Self::Unknown => Error::NotSupported.x0(),
            Self::Required => PRESENT,
            Self::NotRequired => not_required,
        }
    }

    /// The answer to the workaround's own call where the firmware need not be asked. A core that
    /// does not need the workaround may be called all the same, and does nothing.
    const fn without_firmware(self) -> Option<u64> {
        match self {
            Self::Unknown => Some(Error::NotSupported.x0()),
            Self::Required => None,
            Self::NotRequired => Some(0),
        }
    }
}

/// PSCI_FEATURES, for the identifier in `w1`: zero for what is implemented. For CPU_SUSPEND zero
/// means the original format of `power_state` and platform-coordinated mode. Of SMCCC's functions
/// only SMCCC_VERSION is discovered here.
fn psci_features(x1: u64) -> u64 {
    match Function::decode(x1) {
        None
        | Some(
            Function::SmcccArchFeatures
            | Function::SmcccWorkaround1
            | Function::SmcccWorkaround2
            | Function::SmcccWorkaround3,
        ) => Error::NotSupported.x0(),
        Some(_) => PRESENT,
    }
}
