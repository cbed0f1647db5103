//! Calls to the firmware: PSCI and SMCCC, by SMC or, where there is no EL3, as the device tree says.

use smccc::psci;

/// Starts a core at a physical address with an argument in x0.
///
/// # Errors
///
/// What the firmware answers, in words (PSCI, DEN0022, section 5.2.2).
pub fn cpu_on(affinity: u64, entry: u64, argument: u64) -> Result<(), &'static str> {
    let [answer, ..] = smccc::smc64(psci::PSCI_CPU_ON_64, [affinity, entry, argument, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    Err(match answer as i32 {
        0 => return Ok(()),
        -1 => "NOT_SUPPORTED",
        -2 => "INVALID_PARAMETERS",
        -3 => "DENIED",
        -4 => "ALREADY_ON",
        -5 => "ON_PENDING",
        -6 => "INTERNAL_FAILURE",
        -9 => "INVALID_ADDRESS",
        _ => "an error that PSCI does not know",
    })
}

/// Turns the machine off. Returns only if the firmware does not.
pub fn system_off() {
    smccc::smc32(psci::PSCI_SYSTEM_OFF, [0; 7]);
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
