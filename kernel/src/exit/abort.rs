//! Stage-2 aborts: accesses to devices, to nothing, and to what may only be read.

use super::{AARCH32, skip, undefined};
use crate::arch::{cpu, translate};
use crate::memory::guest;
use crate::sched::Core;
use crate::vmm;
use exit::{Abort, Access, FaultKind, instruction};
use stage2::Ipa;

/// A load or store.
#[inline(always)]
pub fn data(core: &mut Core, esr: u64, abort: Abort) {
    let far = cpu::fault_address();
    let Some(ipa) = address(core, esr, &abort, far) else {
        return;
    };
    if abort.maintenance {
        // Maintenance of what is not memory does nothing.
        skip(esr);
        return;
    }
    match abort.access {
        Some(access) => {
            if one(core, ipa, far, access) {
                skip(esr);
            }
        }
        None => without_syndrome(core, esr, ipa, far),
    }
}

/// An instruction fetch: there is nothing to execute outside memory.
#[inline(never)]
pub fn instruction(core: &mut Core, esr: u64, abort: Abort) {
    let far = cpu::fault_address();
    if address(core, esr, &abort, far).is_some() {
        undefined::external_abort(false, false, far);
    }
}

/// The guest-physical address of an abort. `None`: the partition has been ended, or the guest told.
#[inline(always)]
fn address(core: &mut Core, esr: u64, abort: &Abort, far: u64) -> Option<u64> {
    if abort.walk {
        // Its translation tables lie where there is no memory, or a walk would have to write to ROM.
        core.fault("its translation tables are not in its memory", esr, cpu::fault_page());
        return None;
    }
    if abort.far_invalid {
        core.fault("an external abort without an address", esr, 0);
        return None;
    }
    match abort.kind {
        FaultKind::Translation => Some(cpu::fault_page() | far & 0xfff),
        // HPFAR_EL2 is not valid for permission faults (Arm ARM, HPFAR_EL2): the guest's own tables say what it meant.
        FaultKind::Permission => match translate::guest_virtual(far) {
            Some(ipa) => Some(ipa),
            None => {
                // Another core of the guest has changed the tables meanwhile; the access will tell it.
                core.reschedule();
                None
            }
        },
        FaultKind::Other(_) => {
            core.fault("an external abort", esr, 0);
            None
        }
    }
}

/// One transfer. `false`: the guest does not go on after it.
#[unsafe(link_section = ".text.hot")]
#[inline(never)]
fn one(core: &mut Core, ipa: u64, far: u64, access: Access) -> bool {
    let register = access.register;
    let partition = core.partition();
    let Some(device) = partition.device(ipa) else {
        return not_a_device(core, ipa, far, access);
    };
    let offset = ipa.wrapping_sub(device.ipa);
    if access.write {
        let value = core.vcpu().frame.get(register) & mask(access.size);
        vmm::write(core, partition, device, offset, access.size, value);
        return true;
    }
    match vmm::read(core, partition, device, offset, access.size) {
        Some(value) => {
            core.vcpu().frame.set(register, access.extend(value));
            true
        }
        // The state is on another core, which has been asked: the guest repeats its load.
        None => false,
    }
}

/// All ones for the width of an access in bytes.
const fn mask(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * (if size > 8 { 8 } else { size }) as u32)
}

/// Memory that may only be read ignores writes, as a ROM on a bus; where there is nothing, nothing answers.
#[cold]
fn not_a_device(core: &mut Core, ipa: u64, far: u64, access: Access) -> bool {
    let partition = core.partition();
    if access.write && partition.region(Ipa::new(ipa), 1).is_some() {
        return true;
    }
    undefined::external_abort(true, access.write, far);
    false
}

/// A form of load or store that the processor does not describe: the instruction says what it is.
#[cold]
fn without_syndrome(core: &mut Core, esr: u64, ipa: u64, far: u64) {
    let partition = core.partition();
    let known = partition.device(ipa).is_some() || partition.region(Ipa::new(ipa), 1).is_some();
    if !known {
        undefined::external_abort(true, esr & 1 << 6 != 0, far);
        return;
    }
    let in_aarch64 = cpu::guest_state() & AARCH32 == 0;
    let decoded = translate::guest_virtual(cpu::guest_pc())
        .filter(|_| in_aarch64)
        .and_then(|pc| guest::read_word(partition, pc))
        .and_then(instruction::decode);
    let Some(decoded) = decoded else {
        core.fault("an access to a device by an instruction that is not supported there (SIMD, exclusive or atomic)", esr, ipa);
        return;
    };
    // A base register is the stack pointer of the level that was interrupted if it is 31.
    let first = decoded.first;
    if let Some(second) = decoded.second {
        let second = Access { register: second, ..first };
        let above = ipa.wrapping_add(u64::from(first.size));
        if !one(core, ipa, far, first) || !one(core, above, far.wrapping_add(u64::from(first.size)), second) {
            return;
        }
    } else if !one(core, ipa, far, first) {
        return;
    }
    if let Some((base, by)) = decoded.write_back {
        if base == 31 {
            crate::arch::stack::add(by);
        } else {
            let frame = &mut core.vcpu().frame;
            let value = frame.get(base).wrapping_add_signed(by);
            frame.set(base, value);
        }
    }
    skip(esr);
}
