//! Stage-2 aborts: accesses to devices, to nothing, and to what may only be read.

use super::{AARCH32, interrupted, is_plain_state, is_saved, skip, skip_plain, undefined};
use crate::arch::context::Frame;
use crate::arch::vectors::Quick;
use crate::arch::{cpu, translate};
use crate::memory::guest;
use crate::object::{DeviceSlot, Model, Partition};
use crate::sched::Core;
use crate::vmm;
use exit::{Abort, Access, FaultKind, instruction};
use stage2::Ipa;

/// A load or store of a device's word that the processor has described in full, and that concerns nobody but the vCPU
/// that makes it (Arm ARM, ISS encoding for an exception from a Data Abort).
#[unsafe(link_section = ".text.hot")]
pub extern "C" fn quick(frame: *mut Frame, esr: u64) -> Quick {
    const VALID: u64 = 1 << 24;
    // Sign-extended, FAR not valid, cache maintenance, a walk; what kind of fault.
    const WHAT: u64 = VALID | 1 << 21 | 1 << 10 | 1 << 8 | 1 << 7 | 0x3c;
    const TRANSLATION: u64 = 0x04;
    let register = (esr >> 16 & 31) as u8;
    if esr & WHAT != VALID | TRANSLATION || !is_saved(register) || !is_plain_state() {
        return Quick::declined(frame);
    }
    // SAFETY: the entry code's frame; of the core only the interrupt controller is used beside it.
    let (vcpu, core) = unsafe { (interrupted(frame), Core::current()) };
    let partition = vcpu.partition;
    let ipa = cpu::fault_page() | cpu::fault_address() & 0xfff;
    let Some(device) = partition.device(ipa) else {
        return Quick::declined(frame);
    };
    let offset = ipa.wrapping_sub(device.ipa);
    // A register from where it begins. Devices end on whole ones.
    if offset & 3 != 0 {
        return Quick::declined(frame);
    }
    let store = (esr & WRITE != 0).then(|| vcpu.frame.get(register));
    let value = match device.model {
        Model::Distributor if esr & SIZE == WORD => vmm::quick_gic(partition, vcpu.index, offset as u32, store, &mut core.gic),
        Model::Pl011 => {
            let size = 1u8 << (esr >> 22 & 3);
            vmm::quick_uart(partition, offset as u32, size, store)
        }
        _ => None,
    };
    let Some(value) = value else {
        return Quick::declined(frame);
    };
    if store.is_none() {
        vcpu.frame.set(register, value);
    }
    skip_plain();
    Quick::done(frame)
}

/// ISS of a data abort: a store.
const WRITE: u64 = 1 << 6;
/// The access size, and its value for four bytes.
const SIZE: u64 = 3 << 22;
const WORD: u64 = 2 << 22;

/// A load or store.
#[inline(never)]
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
#[inline(never)]
fn one(core: &mut Core, ipa: u64, far: u64, access: Access) -> bool {
    let register = access.register;
    let partition = core.partition();
    let Some(device) = device(partition, ipa) else {
        return not_a_device(core, ipa, far, access);
    };
    let offset = ipa.wrapping_sub(device.ipa);
    let store = access.write.then(|| core.vcpu().frame.get(register) & mask(access.size));
    let wanted = vmm::Access { offset, size: access.size, store };
    match vmm::access(core, partition, device, wanted) {
        Some(_) if access.write => true,
        Some(value) => {
            core.vcpu().frame.set(register, access.extend(value));
            true
        }
        // The state is on another core, which has been asked: the guest repeats its load.
        None => false,
    }
}

#[inline(never)]
fn device(partition: &'static Partition, ipa: u64) -> Option<&'static DeviceSlot> {
    partition.device(ipa)
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
    let known = device(partition, ipa).is_some() || partition.region(Ipa::new(ipa), 1).is_some();
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
