//! Calls to the firmware: PSCI and SMCCC, by SMC or, where there is no EL3, as the device tree says.

use smccc::{Smc, psci};

/// Starts a core at a physical address with an argument in x0.
///
/// # Errors
///
/// What the firmware answers.
pub fn cpu_on(affinity: u64, entry: u64, argument: u64) -> Result<(), psci::error::Error> {
    psci::cpu_on::<Smc>(affinity, entry, argument)
}

/// Turns the machine off. Returns only if the firmware does not.
pub fn system_off() {
    let _ = psci::system_off::<Smc>();
}

/// Whether the firmware implements a function of the SMCCC architecture service: its answer to SMCCC_ARCH_FEATURES.
#[must_use]
pub fn arch_feature(function: u32) -> i32 {
    const SMCCC_VERSION: u32 = 0x8000_0000;
    const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
    const PSCI_FEATURES: u32 = 0x8400_000a;
    let call = |function, argument| {
        smccc::smc32(function, [argument, 0, 0, 0, 0, 0, 0])[0].cast_signed()
    };
    // SMCCC_VERSION may be asked only where PSCI_FEATURES says it exists (DEN0028, appendix B).
    if call(PSCI_FEATURES, SMCCC_VERSION) < 0 || call(SMCCC_VERSION, 0) < 0x1_0001 {
        return -1;
    }
    call(SMCCC_ARCH_FEATURES, function)
}
