//! Calls to the firmware: PSCI and SMCCC by SMC, on a board whose device tree says that the firmware takes them.

use core::sync::atomic::{AtomicBool, Ordering};
use smccc::psci;

/// Whether the firmware takes PSCI calls by SMC. Where it does not there may be no EL3, and SMC is not an instruction. It is
/// believed to until the tree says: a kernel that got no tree can but try to turn the machine off.
static HAS_PSCI: AtomicBool = AtomicBool::new(true);

/// Remembers what the device tree says of the firmware, once, on the boot core.
pub fn set_psci(has: bool) {
    HAS_PSCI.store(has, Ordering::Relaxed);
}

/// The firmware's answer to a call; `None` if it takes none.
#[inline(never)]
fn call(function: u32, arguments: [u64; 3]) -> Option<i32> {
    HAS_PSCI.load(Ordering::Relaxed).then(|| {
        let [a, b, c] = arguments;
        let [answer, ..] = smccc::smc64(function, [a, b, c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        answer as i32
    })
}

/// Starts a core at a physical address with an argument in x0.
///
/// # Errors
///
/// Why it does not start: what the firmware answers, in words (PSCI, DEN0022, section 5.2.2).
pub fn cpu_on(affinity: u64, entry: u64, argument: u64) -> Result<(), &'static str> {
    const ANSWERS: [&str; 10] = [
        "",
        "the firmware answers NOT_SUPPORTED",
        "the firmware answers INVALID_PARAMETERS",
        "the firmware answers DENIED",
        "the firmware answers ALREADY_ON",
        "the firmware answers ON_PENDING",
        "the firmware answers INTERNAL_FAILURE",
        "the firmware answers NOT_PRESENT",
        "the firmware answers DISABLED",
        "the firmware answers INVALID_ADDRESS",
    ];
    match call(psci::PSCI_CPU_ON_64, [affinity, entry, argument]) {
        Some(0) => Ok(()),
        Some(answer) => {
            let known = ANSWERS.get(answer.wrapping_neg() as usize);
            Err(known.copied().unwrap_or("the firmware answers an error that PSCI does not know"))
        }
        None => Err("the board has no PSCI (no psci node with the method smc in its device tree)"),
    }
}

/// Turns the machine off. Returns if the firmware does not, or if the board has no PSCI.
pub fn system_off() {
    static TRIED: AtomicBool = AtomicBool::new(false);
    // An SMC that is not an instruction leads back to here.
    if !TRIED.swap(true, Ordering::Relaxed) {
        call(psci::PSCI_SYSTEM_OFF, [0; 3]);
    }
}

/// Whether the firmware implements a function of the SMCCC architecture service: its answer to SMCCC_ARCH_FEATURES.
#[must_use]
pub fn arch_feature(function: u32) -> i32 {
    const SMCCC_VERSION: u32 = 0x8000_0000;
    const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
    const PSCI_FEATURES: u32 = 0x8400_000a;
    let call = |function, argument| call(function, [u64::from(argument), 0, 0]).unwrap_or(-1);
    // SMCCC_VERSION may be asked only where PSCI_FEATURES says it exists (DEN0028, appendix B).
    if call(PSCI_FEATURES, SMCCC_VERSION) < 0 || call(SMCCC_VERSION, 0) < 0x1_0001 {
        return -1;
    }
    call(SMCCC_ARCH_FEATURES, function)
}
