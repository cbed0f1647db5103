//! HVC and SMC: the guest calls its firmware, which is PSCI and SMCCC (DEN0022, DEN0028).

use super::{interrupted, skip};
use crate::arch::context::Frame;
use crate::arch::vectors::Quick;
use crate::object::{Start, Target, request};
use crate::sched::Core;
use manifest::RegionKind;
use psci::{Action, Resume as After};
use stage2::Ipa;

/// SMCCC NOT_SUPPORTED.
const NOT_SUPPORTED: u64 = u64::MAX;

/// A call by HVC whose answer does not change. The program counter is past the instruction already.
#[unsafe(link_section = ".text.hot")]
pub extern "C" fn quick(frame: *mut Frame, esr: u64) -> Quick {
    // SAFETY: the entry code's frame.
    let [x0, ..] = unsafe { &mut interrupted(frame).frame.x };
    if esr as u16 == 0
        && let Some(answer) = psci::quick(*x0)
    {
        *x0 = answer;
        return Quick::done(frame);
    }
    Quick::declined(frame)
}

/// SMC: the trap points at the instruction itself.
#[inline(never)]
pub fn smc(core: &mut Core, esr: u64, immediate: u16) {
    skip(esr);
    call(core, immediate);
}

/// A call. Only immediate 0 means one (SMCCC 2.5).
#[inline(never)]
pub fn call(core: &mut Core, immediate: u16) {
    let vcpu = core.vcpu();
    let index = vcpu.index.get();
    let partition = vcpu.partition;
    let [x0, x1, x2, x3, ..] = vcpu.frame.x;
    if immediate != 0 {
        vcpu.frame.x[0] = NOT_SUPPORTED;
        return;
    }
    let is_code = |address| {
        partition
            .region(Ipa::new(address), 4)
            .is_some_and(|r| matches!(r.kind, RegionKind::Ram | RegionKind::Rom))
    };
    let mut shared = partition.shared.lock();
    let action = shared.power.call(index, [x0, x1, x2, x3], is_code);
    if let Action::CpuOn { target, entry } = action
        && let Some(start) = shared.starts.get_mut(usize::from(target))
    {
        *start = Start {
            entry: entry.address.get(),
            context: entry.context,
        };
    }
    drop(shared);
    match action {
        Action::Return(value) => core.vcpu().frame.x[0] = value,
        Action::Suspend(after) => suspend(core, after),
        Action::CpuOff => core.cpu_off(),
        Action::CpuOn { target, .. } => {
            core.vcpu().frame.x[0] = 0;
            if let Some(link) = partition.vcpus.get(usize::from(target)) {
                core.request(link.core, link.slot, partition, target, request::START);
            }
        }
        Action::SystemOff => core.stop(partition, Target::Off),
        Action::SystemReset => core.stop(partition, Target::Restart),
        // The kernel reports no workaround as required, so none is asked for.
        Action::Workaround(_) => core.vcpu().frame.x[0] = NOT_SUPPORTED,
    }
}

/// CPU_SUSPEND: waits as WFI does. A power-down state comes back at its entry point.
fn suspend(core: &mut Core, after: After) {
    match after {
        After::AfterCall => {
            core.vcpu().frame.x[0] = 0;
            if !super::wait::has_interrupt(core) {
                core.wait();
            }
        }
        After::At(entry) => {
            let ready = super::wait::has_interrupt(core);
            core.restart_vcpu(Start { entry: entry.address.get(), context: entry.context }, ready);
        }
    }
}
