//! WFI on a core that is shared. (On a pinned core it does not trap.)

use super::skip;
use crate::sched::Core;

/// The guest waits: another runs until an interrupt for it comes. WFE returns at once, which the
/// architecture allows.
#[inline(never)]
pub fn wait(core: &mut Core, esr: u64, event: bool) {
    skip(esr);
    if !event && !has_interrupt(core) {
        core.wait();
    }
}

/// Whether an interrupt is pending for the loaded vCPU that would end its wait.
pub fn has_interrupt(core: &mut Core) -> bool {
    let index = core.vcpu().index;
    let partition = core.partition();
    let (mask, groups) = core.gic.virtual_mask();
    let (kicked, found) = {
        let mut shared = partition.shared.lock();
        let mut vgic = shared.vgic();
        let kicked = vgic.serve(index, &mut core.gic);
        (kicked, vgic.has_deliverable(index, mask, groups, &core.gic))
    };
    core.deliver(partition, kicked.without(index));
    found
}
