//! The function identifiers that a guest finds here, and the errors it can get.
//!
//! DEN0022 sections 5.1 (functions) and 5.2.2 (return codes); DEN0028, "Arm Architecture Calls". An
//! identifier that is not in [`Function::decode`] does not exist for the guest.

/// A call that is implemented, with its identifier decoded.
///
/// `wide` tells the SMC64 form of a function (64-bit arguments) from the SMC32 form (the upper
/// halves of the argument registers are ignored, DEN0028).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// PSCI_VERSION.
    Version,
    /// CPU_SUSPEND.
    CpuSuspend {
        /// SMC64.
        wide: bool,
    },
    /// CPU_OFF.
    CpuOff,
    /// CPU_ON.
    CpuOn {
        /// SMC64.
        wide: bool,
    },
    /// AFFINITY_INFO.
    AffinityInfo {
        /// SMC64.
        wide: bool,
    },
    /// MIGRATE_INFO_TYPE.
    MigrateInfoType,
    /// SYSTEM_OFF.
    SystemOff,
    /// SYSTEM_RESET.
    SystemReset,
    /// PSCI_FEATURES.
    Features,
    /// SMCCC_VERSION.
    SmcccVersion,
    /// SMCCC_ARCH_FEATURES.
    SmcccArchFeatures,
    /// SMCCC_ARCH_WORKAROUND_1: branch predictor (CVE-2017-5715).
    SmcccWorkaround1,
    /// SMCCC_ARCH_WORKAROUND_2: speculative store bypass (CVE-2018-3639).
    SmcccWorkaround2,
    /// SMCCC_ARCH_WORKAROUND_3: branch history (CVE-2022-23960).
    SmcccWorkaround3,
}

impl Function {
    /// The function that `w0` names, or `None` when there is none by that number.
    ///
    /// Only the low 32 bits of `x0` name a function (DEN0028, "Function Identifiers").
    #[inline]
    pub const fn decode(x0: u64) -> Option<Self> {
        Some(match x0 as u32 {
            0x8400_0000 => Self::Version,
            0x8400_0001 => Self::CpuSuspend { wide: false },
            0xC400_0001 => Self::CpuSuspend { wide: true },
            0x8400_0002 => Self::CpuOff,
            0x8400_0003 => Self::CpuOn { wide: false },
            0xC400_0003 => Self::CpuOn { wide: true },
            0x8400_0004 => Self::AffinityInfo { wide: false },
            0xC400_0004 => Self::AffinityInfo { wide: true },
            0x8400_0006 => Self::MigrateInfoType,
            0x8400_0008 => Self::SystemOff,
            0x8400_0009 => Self::SystemReset,
            0x8400_000A => Self::Features,
            0x8000_0000 => Self::SmcccVersion,
            0x8000_0001 => Self::SmcccArchFeatures,
            0x8000_8000 => Self::SmcccWorkaround1,
            0x8000_7FFF => Self::SmcccWorkaround2,
            0x8000_3FFF => Self::SmcccWorkaround3,
            _ => return None,
        })
    }
}

/// The PSCI errors that a guest can get here (DEN0022 section 5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Error {
    /// There is no such function, or no such feature.
    NotSupported = -1,
    /// An argument names no vCPU, no affinity level or no power state.
    InvalidParameters = -2,
    /// The target of CPU_ON is on.
    AlreadyOn = -4,
    /// The target of CPU_ON is on its way to being on.
    OnPending = -5,
    /// The caller is a vCPU that is not on: the host is at fault, not the guest.
    InternalFailure = -6,
    /// The entry point is not in the guest's memory, or is not a multiple of four.
    InvalidAddress = -9,
}

impl Error {
    /// What `x0` holds when a call returns this error: the number, sign-extended.
    #[inline]
    pub const fn x0(self) -> u64 {
        self as i32 as i64 as u64
    }
}
