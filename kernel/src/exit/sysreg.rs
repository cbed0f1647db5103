//! Trapped system registers: identification, debug, the physical timer, interrupt generation.
//!
//! What the guest's machine does not have is undefined there, as the architecture says.

use super::{interrupted, is_plain_state, is_saved, skip, skip_plain, undefined};
use crate::arch::context::Frame;
use crate::arch::vectors::Quick;
use crate::arch::{control, debug, timer};
use crate::object::request;
use crate::sched::{Core, Timer};
use exit::{Sysreg, SysregAccess};
use vgic::{IntId, OneSgi, SgiRegister};

const PHYSICAL_TIMER: IntId = IntId::ppi(timer::EL1_PHYSICAL as u8);

mod name {
    use exit::Sysreg;
    pub const ICC_SGI1R: Sysreg = Sysreg::new(3, 0, 12, 11, 5);
    pub const ICC_ASGI1R: Sysreg = Sysreg::new(3, 0, 12, 11, 6);
    pub const ICC_SGI0R: Sysreg = Sysreg::new(3, 0, 12, 11, 7);
    pub const ICC_SRE: Sysreg = Sysreg::new(3, 0, 12, 12, 5);
    pub const ICC_DIR: Sysreg = Sysreg::new(3, 0, 12, 11, 1);
    pub const CNTP_TVAL: Sysreg = Sysreg::new(3, 3, 14, 2, 0);
    pub const CNTP_CTL: Sysreg = Sysreg::new(3, 3, 14, 2, 1);
    pub const CNTP_CVAL: Sysreg = Sysreg::new(3, 3, 14, 2, 2);
    pub const ACTLR: Sysreg = Sysreg::new(3, 0, 1, 0, 1);
    pub const MDSCR: Sysreg = Sysreg::new(2, 0, 0, 2, 2);
    pub const OSLAR: Sysreg = Sysreg::new(2, 0, 1, 0, 4);
    pub const OSLSR: Sysreg = Sysreg::new(2, 0, 1, 1, 4);
    pub const OSDLR: Sysreg = Sysreg::new(2, 0, 1, 3, 4);
    pub const DBGPRCR: Sysreg = Sysreg::new(2, 0, 1, 4, 4);
    pub const DBGCLAIMSET: Sysreg = Sysreg::new(2, 0, 7, 8, 6);
    pub const DBGCLAIMCLR: Sysreg = Sysreg::new(2, 0, 7, 9, 6);
    pub const DBGAUTHSTATUS: Sysreg = Sysreg::new(2, 0, 7, 14, 6);
    pub const MDCCINT: Sysreg = Sysreg::new(2, 0, 0, 2, 0);
    pub const MDCCSR: Sysreg = Sysreg::new(2, 3, 0, 1, 0);
    pub const MDRAR: Sysreg = Sysreg::new(2, 0, 1, 0, 0);
    pub const OSDTRRX: Sysreg = Sysreg::new(2, 0, 0, 0, 2);
    pub const OSDTRTX: Sysreg = Sysreg::new(2, 0, 0, 3, 2);
    pub const OSECCR: Sysreg = Sysreg::new(2, 0, 0, 6, 2);
}

/// A write of `ICC_SGI1R_EL1` that sends one vCPU an SGI which it has had before (Arm ARM, ISS encoding for an exception
/// from MSR, MRS, or System instruction execution in AArch64 state).
#[unsafe(link_section = ".text.hot")]
pub extern "C" fn quick(frame: *mut Frame, esr: u64) -> Quick {
    const REGISTER: u64 = 31 << 5;
    /// Op0 3, Op2 5, Op1 0, CRn 12, CRm 11, a write.
    const WRITE_SGI1R: u64 = 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;
    let register = (esr >> 5 & 31) as u8;
    if esr & 0x1ff_ffff & !REGISTER != WRITE_SGI1R || !is_saved(register) || !is_plain_state() {
        return Quick::declined(frame);
    }
    // SAFETY: the entry code's frame; of the core only the interrupt controller is used beside it.
    let (vcpu, core) = unsafe { (interrupted(frame), Core::current()) };
    let Some(sgi) = OneSgi::from_value(vcpu.frame.get(register)) else {
        return Quick::declined(frame);
    };
    let partition = vcpu.partition;
    let other = match partition.link(sgi.target) {
        _ if sgi.target == vcpu.index => None,
        // Two vCPUs of one guest never share a core.
        Some(link) => Some(link),
        None => return Quick::declined(frame),
    };
    if !partition.shared.enter().vgic().quick_sgi(vcpu.index, sgi, &mut core.gic) {
        return Quick::declined(frame);
    }
    if let Some(link) = other {
        link.ask(request::ATTENTION, &mut core.gic);
    }
    skip_plain();
    Quick::done(frame)
}

/// A trapped MRS or MSR.
#[inline(never)]
pub fn access(core: &mut Core, esr: u64, access: SysregAccess) {
    let done = if access.read {
        match read(core, access.register) {
            Some(value) => {
                core.vcpu().frame.set(access.target, value);
                true
            }
            None => false,
        }
    } else {
        let value = core.vcpu().frame.get(access.target);
        write(core, access.register, value)
    };
    if done {
        skip(esr);
    } else {
        undefined::undefined(esr);
    }
}

fn read(core: &mut Core, register: Sysreg) -> Option<u64> {
    Some(match register {
        name::CNTP_CTL => {
            let vcpu = core.vcpu();
            let met = vcpu.physical_compare <= timer::now();
            let status = vcpu.physical_control & timer::ENABLE != 0 && met;
            vcpu.physical_control | u64::from(status) << 2
        }
        name::CNTP_CVAL => core.vcpu().physical_compare,
        name::CNTP_TVAL => {
            let compare = core.vcpu().physical_compare;
            compare.wrapping_sub(timer::now()) & 0xffff_ffff
        }
        name::ACTLR | name::MDCCINT | name::MDCCSR | name::MDRAR | name::OSDTRRX | name::OSDTRTX
        | name::OSECCR | name::OSDLR | name::DBGPRCR | name::DBGCLAIMCLR => 0,
        // System registers only, no bypass: read-only, as on a GIC without the memory-mapped interface.
        name::ICC_SRE => 7,
        name::DBGCLAIMSET => 0xff,
        // Non-secure invasive and non-invasive debug are implemented and disabled.
        name::DBGAUTHSTATUS => 0xa,
        name::MDSCR => debug::monitor_control(),
        // The OS lock is implemented (bit 3); bit 1 is its state.
        name::OSLSR => 1 << 3 | u64::from(core.vcpu().os_lock) << 1,
        _ => {
            let [op0, op1, crn, crm, op2] = register.fields();
            match (op0, op1, crn) {
                (3, 0, 0) if (1..=7).contains(&crm) => identification(crm, op2),
                (2, 0, 0) if is_breakpoint(crm, op2) => 0,
                _ => return None,
            }
        }
    })
}

fn write(core: &mut Core, register: Sysreg, value: u64) -> bool {
    match register {
        name::ICC_SGI1R => send(core, SgiRegister::Sgi1, value),
        name::ICC_SGI0R => send(core, SgiRegister::Sgi0, value),
        name::ICC_ASGI1R => send(core, SgiRegister::Asgi1, value),
        name::ICC_DIR => deactivate(core, value),
        name::CNTP_CTL => {
            core.vcpu().physical_control = value & (timer::ENABLE | timer::MASK);
            set_physical_timer(core);
        }
        name::CNTP_CVAL => {
            core.vcpu().physical_compare = value;
            set_physical_timer(core);
        }
        name::CNTP_TVAL => {
            let signed = i64::from(value as u32 as i32);
            core.vcpu().physical_compare = timer::now().wrapping_add_signed(signed);
            set_physical_timer(core);
        }
        name::OSLAR => core.vcpu().os_lock = value & 1 != 0,
        name::MDSCR => debug::set_monitor_control(value),
        name::ICC_SRE | name::ACTLR | name::OSDLR | name::DBGPRCR | name::MDCCINT | name::OSDTRRX | name::OSDTRTX
        | name::OSECCR | name::DBGCLAIMSET | name::DBGCLAIMCLR => {}
        _ => {
            let [op0, op1, crn, crm, op2] = register.fields();
            return op0 == 2 && op1 == 0 && crn == 0 && is_breakpoint(crm, op2);
        }
    }
    true
}

/// DBGBVR, DBGBCR, DBGWVR and DBGWCR 0 and 1: the fewest that the architecture allows. They never trigger.
fn is_breakpoint(crm: u8, op2: u8) -> bool {
    crm < 2 && (4..=7).contains(&op2)
}

/// A software-generated interrupt (GICv3).
fn send(core: &mut Core, register: SgiRegister, value: u64) {
    let index = core.vcpu().index;
    let partition = core.partition();
    let kicked = {
        let mut shared = partition.shared.lock();
        let mut vgic = shared.vgic();
        let mut kicked = vgic.send_sgi(index, register, value);
        if kicked.contains(index) {
            kicked |= vgic.sync(index, &mut core.gic) | vgic.flush(index, &mut core.gic);
        }
        kicked
    };
    core.deliver(partition, kicked.without(index));
}

/// ICC_DIR_EL1, which traps only while an active interrupt is outside the list registers.
fn deactivate(core: &mut Core, value: u64) {
    let Some(intid) = IntId::new(value as u32 & 0xff_ffff) else {
        return;
    };
    let index = core.vcpu().index;
    let partition = core.partition();
    let kicked = {
        let mut shared = partition.shared.lock();
        let mut vgic = shared.vgic();
        vgic.sync(index, &mut core.gic)
            | vgic.deactivate(index, intid, &mut core.gic)
            | vgic.flush(index, &mut core.gic)
    };
    core.deliver(partition, kicked.without(index));
}

/// The guest has changed its physical timer: line and deadline follow.
fn set_physical_timer(core: &mut Core) {
    let slot = core.slot();
    let vcpu = core.vcpu();
    let armed = vcpu.physical_control & (timer::ENABLE | timer::MASK) == timer::ENABLE;
    let at = vcpu.physical_compare;
    let met = armed && at <= timer::now();
    core.set_timer(slot, Timer::Physical, (armed && !met).then_some(at));
    set_line(core, slot, met);
}

/// A vCPU's physical timer has run out.
pub fn physical_timer_fired(core: &mut Core, slot: usize) {
    set_line(core, slot, true);
}

fn set_line(core: &mut Core, slot: usize, high: bool) {
    let vcpu = &core.vcpus[slot];
    let (partition, index) = (vcpu.partition, vcpu.index);
    let kicked = partition.shared.lock().vgic().set_line(index, PHYSICAL_TIMER, high);
    core.deliver(partition, kicked);
}

/// What a guest reads from an identification register: what the core has, without what needs state that
/// the kernel does not switch. Absent features read as zero, or as the value that means absent.
fn identification(crm: u8, op2: u8) -> u64 {
    let value = control::identification(crm, op2);
    let keep = |mask: u64| value & mask;
    match (crm, op2) {
        // ID_AA64PFR0: EL0 as the core has it, EL1 in AArch64 only, no EL2 or EL3; FP, AdvSIMD, GIC, DIT, CSV2, CSV3.
        (4, 0) => keep(0xff0f_0000_0fff_000f) | 1 << 4,
        // ID_AA64PFR1: SSBS.
        (4, 1) => keep(0xf0),
        // ID_AA64DFR0: v8.0 debug, two breakpoints, two watchpoints, one of them context-aware; no PMU, no trace.
        (5, 0) => 0x0010_1006,
        // ID_AA64ISAR0: without TME, TLB ranges and random numbers.
        (6, 0) => keep(0x00ff_ffff_f0ff_fff0),
        // ID_AA64ISAR1: DPB, JSCVT, FCMA, LRCPC, FRINTTS, SB; no pointer authentication.
        (6, 1) => keep(0x0000_00ff_00ff_f00f),
        // ID_AA64MMFR0: addresses of 40 bits at most, ASIDs, endianness, granules.
        (7, 0) => keep(0xffff_0ff0) | (value & 15).min(2),
        // ID_AA64MMFR1: hardware access flag and dirty state, hierarchical permission disables.
        (7, 1) => keep(0xf00f),
        // ID_AA64MMFR2: the format of CCSIDR_EL1, which is the core's own.
        (7, 2) => keep(0xf0_0000),
        (1..=3, _) => value_of_aarch32(crm, op2, value),
        _ => 0,
    }
}

/// AArch32 identification, for EL0: no generic debug, no PMU.
fn value_of_aarch32(crm: u8, op2: u8, value: u64) -> u64 {
    match (crm, op2) {
        (1, 2) => 0x6,
        _ => value,
    }
}
