//! Turning vCPUs on and off, suspending, and the whole machine: the return codes of DEN0022.

use arm_psci::{AffinityInfo, ErrorCode, FunctionId};
use proptest::prelude::*;
use tessera_psci::{Action, Affinity, Resume, Vm, VmError, Workarounds};

use crate::{RAM, call, refused, vm};

const ENTRY: u64 = 0x4000_1000;
const CONTEXT: u64 = 0xFEDC_BA98_7654_3210;

fn affinity(vm: &mut Vm, mpidr: u64, level: u64) -> Action {
    call(vm, 0, FunctionId::AffinityInfo64, [mpidr, level, 0])
}

fn says(state: AffinityInfo) -> Action {
    Action::Return(u64::from(u32::from(state)))
}

fn on(vm: &mut Vm, target: u64) -> Action {
    call(vm, 0, FunctionId::CpuOn64, [target, ENTRY, CONTEXT])
}

fn start(vm: &mut Vm, target: u8) {
    assert!(matches!(on(vm, u64::from(target)), Action::CpuOn { .. }));
    vm.cpu_started(target);
}

#[test]
fn a_machine_has_1_to_16_vcpus() {
    for count in 0..=255 {
        let made = Vm::new(count, Workarounds::default());
        if (1..=16).contains(&count) {
            let vm = made.unwrap();
            assert_eq!(vm.state(0), Affinity::On);
            assert!((1..=255).all(|other| vm.state(other) == Affinity::Off));
        } else {
            assert_eq!(made, Err(VmError::VcpuCount(count)));
        }
    }
}

#[test]
fn cpu_on_goes_from_off_over_pending_to_on() {
    let mut vm = vm(2);
    assert_eq!(affinity(&mut vm, 1, 0), says(AffinityInfo::Off));
    let Action::CpuOn { target, entry } = on(&mut vm, 1) else {
        panic!("CPU_ON is refused");
    };
    assert_eq!(target, 1);
    assert_eq!((entry.address.get(), entry.context), (ENTRY, CONTEXT));
    assert_eq!(affinity(&mut vm, 1, 0), says(AffinityInfo::OnPending));
    assert_eq!(on(&mut vm, 1), refused(ErrorCode::OnPending));
    vm.cpu_started(1);
    assert_eq!(affinity(&mut vm, 1, 0), says(AffinityInfo::On));
    assert_eq!(on(&mut vm, 1), refused(ErrorCode::AlreadyOn));
}

#[test]
fn the_caller_is_already_on() {
    assert_eq!(on(&mut vm(2), 0), refused(ErrorCode::AlreadyOn));
}

#[test]
fn every_vcpu_of_16_can_be_turned_on() {
    let mut vm = vm(16);
    for target in 1..16 {
        start(&mut vm, target);
        assert_eq!(vm.state(target), Affinity::On);
    }
}

#[test]
fn cpu_on_refuses_every_mpidr_but_the_vcpus_own() {
    for mpidr in [
        2,
        16,
        0x100,
        0x1_0001,
        0x8000_0001,
        0x100_0001,
        0x1_0000_0001,
        1 << 40 | 1,
        u64::MAX,
    ] {
        let mut vm = vm(2);
        let before = vm;
        let found = on(&mut vm, mpidr);
        assert_eq!(found, refused(ErrorCode::InvalidParameters), "{mpidr:#x}");
        assert_eq!(vm, before);
    }
}

#[test]
fn smc32_ignores_the_upper_halves_of_its_arguments() {
    const HIGH: u64 = 0xDEAD_BEEF_0000_0000;
    let mut vm = vm(2);
    let args = [HIGH | 1, HIGH | ENTRY, CONTEXT];
    let Action::CpuOn { target, entry } = call(&mut vm, 0, FunctionId::CpuOn32, args) else {
        panic!("CPU_ON is refused");
    };
    assert_eq!(target, 1);
    assert_eq!(entry.address.get(), ENTRY);
    assert_eq!(entry.context, CONTEXT & 0xFFFF_FFFF);
    let info = call(&mut vm, 0, FunctionId::AffinityInfo32, [HIGH | 1, HIGH, 0]);
    assert_eq!(info, says(AffinityInfo::OnPending));
}

#[test]
fn an_smc64_entry_may_lie_above_4_gib() {
    let args = [1, 0x1_2345_6780, 0];
    let mut vm = vm(2);
    let Action::CpuOn { entry, .. } = call(&mut vm, 0, FunctionId::CpuOn64, args) else {
        panic!("CPU_ON is refused");
    };
    assert_eq!(entry.address.get(), 0x1_2345_6780);
}

#[test]
fn an_entry_outside_ram_or_misaligned_is_an_invalid_address() {
    for entry in [
        0,
        RAM.start - 4,
        RAM.end,
        u64::MAX - 3,
        ENTRY + 1,
        ENTRY + 2,
    ] {
        let mut vm = vm(2);
        let before = vm;
        let found = call(&mut vm, 0, FunctionId::CpuOn64, [1, entry, 0]);
        assert_eq!(found, refused(ErrorCode::InvalidAddress), "{entry:#x}");
        let power_down = 1 << 16;
        let args = [power_down, entry, 0];
        let found = call(&mut vm, 0, FunctionId::CpuSuspend64, args);
        assert_eq!(found, refused(ErrorCode::InvalidAddress), "{entry:#x}");
        assert_eq!(vm, before);
    }
}

#[test]
fn the_hosts_check_is_asked_about_aligned_addresses_only() {
    let mut asked = Vec::new();
    for entry in 0x4000_0000..0x4000_0008 {
        let x = [0xC400_0003, 1, entry, 0];
        vm(2).call(0, x, |address| {
            asked.push(address);
            true
        });
    }
    assert_eq!(asked, [0x4000_0000, 0x4000_0004]);
}

#[test]
fn started_says_nothing_of_a_vcpu_that_is_not_pending() {
    let mut vm = vm(2);
    let before = vm;
    for vcpu in 0..=255 {
        vm.cpu_started(vcpu);
    }
    assert_eq!(vm, before);
}

#[test]
fn cpu_off_can_be_undone_by_cpu_on() {
    let mut vm = vm(2);
    start(&mut vm, 1);
    assert_eq!(call(&mut vm, 1, FunctionId::CpuOff, [0; 3]), Action::CpuOff);
    assert_eq!(affinity(&mut vm, 1, 0), says(AffinityInfo::Off));
    start(&mut vm, 1);
    assert_eq!(affinity(&mut vm, 1, 0), says(AffinityInfo::On));
}

#[test]
fn the_last_vcpu_may_turn_itself_off() {
    let mut vm = vm(2);
    assert_eq!(call(&mut vm, 0, FunctionId::CpuOff, [0; 3]), Action::CpuOff);
    assert_eq!((vm.state(0), vm.state(1)), (Affinity::Off, Affinity::Off));
}

#[test]
fn vcpu_0_can_be_turned_on_by_another() {
    let mut vm = vm(2);
    start(&mut vm, 1);
    assert_eq!(call(&mut vm, 0, FunctionId::CpuOff, [0; 3]), Action::CpuOff);
    let found = call(&mut vm, 1, FunctionId::CpuOn64, [0, ENTRY, 0]);
    assert!(matches!(found, Action::CpuOn { target: 0, .. }));
}

#[test]
fn a_vcpu_that_is_not_on_cannot_have_called() {
    let mut vm = vm(2);
    let before = vm;
    for caller in [1, 2, 16, 255] {
        for function in [
            FunctionId::CpuOff,
            FunctionId::CpuOn64,
            FunctionId::SystemOff,
        ] {
            let found = call(&mut vm, caller, function, [1, ENTRY, 0]);
            assert_eq!(found, refused(ErrorCode::InternalFailure));
        }
    }
    assert_eq!(vm, before);
}

#[test]
fn standby_ignores_its_entry_point() {
    for state in [0, 1, 0xFFFF] {
        for function in [FunctionId::CpuSuspend32, FunctionId::CpuSuspend64] {
            let found = call(&mut vm(1), 0, function, [state, 1, CONTEXT]);
            assert_eq!(found, Action::Suspend(Resume::AfterCall));
        }
    }
}

#[test]
fn power_down_resumes_at_its_entry_point() {
    for (function, context) in [
        (FunctionId::CpuSuspend64, CONTEXT),
        (FunctionId::CpuSuspend32, CONTEXT & 0xFFFF_FFFF),
    ] {
        let mut vm = vm(1);
        let args = [1 << 16 | 7, ENTRY, CONTEXT];
        let Action::Suspend(Resume::At(entry)) = call(&mut vm, 0, function, args) else {
            panic!("CPU_SUSPEND is refused");
        };
        assert_eq!((entry.address.get(), entry.context), (ENTRY, context));
        // A suspended vCPU is on.
        assert_eq!(vm.state(0), Affinity::On);
    }
}

#[test]
fn power_states_above_the_core_or_with_reserved_bits_are_refused() {
    for bit in 17..32 {
        let args = [1 << bit, ENTRY, 0];
        let found = call(&mut vm(1), 0, FunctionId::CpuSuspend64, args);
        assert_eq!(found, refused(ErrorCode::InvalidParameters), "bit {bit}");
    }
    // Only 32 bits are the argument, in the SMC64 form too.
    let found = call(&mut vm(1), 0, FunctionId::CpuSuspend64, [1 << 32, 0, 0]);
    assert_eq!(found, Action::Suspend(Resume::AfterCall));
}

#[test]
fn affinity_levels_gather_the_vcpus_below() {
    let mut vm = vm(4);
    for level in 1..=3 {
        assert_eq!(affinity(&mut vm, 0, level), says(AffinityInfo::On));
    }
    // The others' view once vCPU 0 is off and 1 is pending, then on.
    start(&mut vm, 2);
    assert_eq!(call(&mut vm, 0, FunctionId::CpuOff, [0; 3]), Action::CpuOff);
    let ask = |vm: &mut Vm, level| call(vm, 2, FunctionId::AffinityInfo64, [0, level, 0]);
    assert_eq!(ask(&mut vm, 0), says(AffinityInfo::Off));
    assert_eq!(ask(&mut vm, 1), says(AffinityInfo::On));
}

#[test]
fn affinity_fields_below_the_level_are_ignored_and_those_above_are_not() {
    let mut vm = vm(2);
    for (mpidr, level, exists) in [
        (1, 0, true),
        (2, 0, false),
        (0xFF, 1, true),
        (0x100, 1, false),
        (0x1_0000, 1, false),
        (0xFFFF, 2, true),
        (0x1_0000, 2, false),
        (0xFF_FFFF, 3, true),
        (0x1_0000_0000, 3, false),
        (0x100_0000, 3, false),
        (0x8000_0000, 3, false),
        (1 << 40, 3, false),
        (0, 4, false),
        (0, 0xFFFF_FFFF, false),
        (0, 1 << 32, true),
    ] {
        let expected = if exists && (level & 0xFFFF_FFFF) == 0 && mpidr == 1 {
            says(AffinityInfo::Off)
        } else if exists {
            says(AffinityInfo::On)
        } else {
            refused(ErrorCode::InvalidParameters)
        };
        let found = affinity(&mut vm, mpidr, level);
        assert_eq!(found, expected, "{mpidr:#x} at level {level}");
    }
}

#[test]
fn an_smc32_mpidr_has_no_level_3() {
    let found = call(&mut vm(1), 0, FunctionId::AffinityInfo32, [0, 3, 0]);
    assert_eq!(found, refused(ErrorCode::InvalidParameters));
}

#[test]
fn the_machine_is_stopped_and_restarted_by_any_vcpu() {
    let mut vm = vm(2);
    start(&mut vm, 1);
    for caller in 0..2 {
        let off = call(&mut vm, caller, FunctionId::SystemOff, [0; 3]);
        assert_eq!(off, Action::SystemOff);
        let reset = call(&mut vm, caller, FunctionId::SystemReset, [0; 3]);
        assert_eq!(reset, Action::SystemReset);
    }
}

proptest! {
    /// Power-on is the same state every time.
    #[test]
    fn a_reset_restores_power_on(calls in prop::collection::vec((0_u8..4, 0_u64..10, 0_u64..5), 0..20)) {
        let mut vm = vm(4);
        let power_on = vm;
        for (caller, function, x1) in calls {
            vm.call(caller, [0xC400_0000 | function, x1, ENTRY, 0], |_| true);
            vm.call(caller, [0x8400_0000 | function, x1, ENTRY, 0], |_| true);
            vm.cpu_started(x1 as u8);
        }
        vm.reset();
        prop_assert_eq!(vm, power_on);
    }
}
