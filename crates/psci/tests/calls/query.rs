//! Versions and features.

use arm_psci::{ErrorCode, FunctionId, MigrateInfoType, Version};
use proptest::prelude::*;
use tessera_psci::{Action, Firmware, Vm, Workaround, Workarounds};

use crate::{call, error, id, is_ram, refused, vm};

const SMCCC_VERSION: u64 = 0x8000_0000;
const SMCCC_ARCH_FEATURES: u64 = 0x8000_0001;
const WORKAROUND_1: u64 = 0x8000_8000;
const WORKAROUND_2: u64 = 0x8000_7FFF;
const WORKAROUND_3: u64 = 0x8000_3FFF;

const NOT_SUPPORTED: Action = Action::Return(u64::MAX);

/// Every PSCI function that has a number, and whether it is implemented.
const FUNCTIONS: [(FunctionId, bool); 35] = [
    (FunctionId::PsciVersion, true),
    (FunctionId::CpuSuspend32, true),
    (FunctionId::CpuSuspend64, true),
    (FunctionId::CpuOff, true),
    (FunctionId::CpuOn32, true),
    (FunctionId::CpuOn64, true),
    (FunctionId::AffinityInfo32, true),
    (FunctionId::AffinityInfo64, true),
    (FunctionId::Migrate32, false),
    (FunctionId::Migrate64, false),
    (FunctionId::MigrateInfoType, true),
    (FunctionId::MigrateInfoUpCpu32, false),
    (FunctionId::MigrateInfoUpCpu64, false),
    (FunctionId::SystemOff, true),
    (FunctionId::SystemOff232, false),
    (FunctionId::SystemOff264, false),
    (FunctionId::SystemReset, true),
    (FunctionId::SystemReset232, false),
    (FunctionId::SystemReset264, false),
    (FunctionId::MemProtect, false),
    (FunctionId::MemProtectCheckRange32, false),
    (FunctionId::MemProtectCheckRange64, false),
    (FunctionId::PsciFeatures, true),
    (FunctionId::CpuFreeze, false),
    (FunctionId::CpuDefaultSuspend32, false),
    (FunctionId::CpuDefaultSuspend64, false),
    (FunctionId::NodeHwState32, false),
    (FunctionId::NodeHwState64, false),
    (FunctionId::SystemSuspend32, false),
    (FunctionId::SystemSuspend64, false),
    (FunctionId::PsciSetSuspendMode, false),
    (FunctionId::PsciStatResidency32, false),
    (FunctionId::PsciStatResidency64, false),
    (FunctionId::PsciStatCount32, false),
    (FunctionId::PsciStatCount64, false),
];

fn smccc(vm: &mut Vm, function: u64, x1: u64) -> Action {
    vm.call(0, [function, x1, 0, 0], |_| false)
}

#[test]
fn the_versions_are_psci_1_1_and_smccc_1_1() {
    let mut vm = vm(1);
    let version = u32::from(Version { major: 1, minor: 1 });
    let version = Action::Return(u64::from(version));
    let found = call(&mut vm, 0, FunctionId::PsciVersion, [0; 3]);
    assert_eq!(found, version);
    assert_eq!(smccc(&mut vm, SMCCC_VERSION, 0), version);
}

#[test]
fn no_trusted_os_has_to_be_migrated() {
    let found = call(&mut vm(1), 0, FunctionId::MigrateInfoType, [0; 3]);
    let expected = u32::from(MigrateInfoType::MigrationNotRequired);
    assert_eq!(found, Action::Return(u64::from(expected)));
}

#[test]
fn features_and_calls_agree_on_what_is_implemented() {
    for (function, implemented) in FUNCTIONS {
        let feature = call(
            &mut vm(2),
            0,
            FunctionId::PsciFeatures,
            [id(function), 0, 0],
        );
        // An argument that names a function, for PSCI_FEATURES itself.
        let called = call(&mut vm(2), 0, function, [id(FunctionId::PsciVersion); 3]);
        if implemented {
            assert_eq!(feature, Action::Return(0), "{function:?}");
            assert_ne!(called, NOT_SUPPORTED, "{function:?}");
        } else {
            assert_eq!(feature, NOT_SUPPORTED, "{function:?}");
            assert_eq!(called, NOT_SUPPORTED, "{function:?}");
        }
    }
}

#[test]
fn optional_functions_are_refused_whatever_their_arguments() {
    for (function, _) in FUNCTIONS
        .into_iter()
        .filter(|(_, implemented)| !implemented)
    {
        for x1 in [1, 0x4000_0000, 0x8000_0000, u64::MAX] {
            let found = call(&mut vm(2), 0, function, [x1; 3]);
            assert_eq!(found, refused(ErrorCode::NotSupported), "{function:?}");
        }
    }
}

#[test]
fn psci_features_knows_smccc_version_and_no_other_smccc_call() {
    let features = |x1| call(&mut vm(1), 0, FunctionId::PsciFeatures, [x1, 0, 0]);
    assert_eq!(features(SMCCC_VERSION), Action::Return(0));
    for other in [
        SMCCC_ARCH_FEATURES,
        WORKAROUND_1,
        WORKAROUND_2,
        WORKAROUND_3,
    ] {
        assert_eq!(features(other), NOT_SUPPORTED);
    }
}

#[test]
fn smccc_features_knows_itself_and_the_version_and_no_psci_call() {
    let mut vm = vm(1);
    for known in [SMCCC_VERSION, SMCCC_ARCH_FEATURES] {
        let found = smccc(&mut vm, SMCCC_ARCH_FEATURES, known);
        assert_eq!(found, Action::Return(0));
    }
    // SMCCC_ARCH_SOC_ID, and PSCI functions.
    for unknown in [
        0x8000_0002,
        id(FunctionId::PsciVersion),
        id(FunctionId::CpuOn64),
    ] {
        assert_eq!(smccc(&mut vm, SMCCC_ARCH_FEATURES, unknown), NOT_SUPPORTED);
    }
}

#[test]
fn workarounds_are_what_the_firmware_says() {
    use Firmware::{NotRequired, Required, Unknown};
    let not_required_at_all = -2_i64 as u64;
    // Firmware's word; what discovery says of workarounds 1 and 3, and of 2.
    for (firmware, one, two) in [
        (Unknown, u64::MAX, u64::MAX),
        (Required, 0, 0),
        (NotRequired, 1, not_required_at_all),
    ] {
        let workarounds = Workarounds {
            one: firmware,
            two: firmware,
            three: firmware,
        };
        let mut vm = Vm::new(1, workarounds).unwrap();
        for (function, discovery, action) in [
            (WORKAROUND_1, one, Workaround::One),
            (WORKAROUND_2, two, Workaround::Two { enable: true }),
            (WORKAROUND_3, one, Workaround::Three),
        ] {
            let found = smccc(&mut vm, SMCCC_ARCH_FEATURES, function);
            assert_eq!(found, Action::Return(discovery), "{firmware:?}");
            let called = smccc(&mut vm, function, 1);
            let expected = match firmware {
                Unknown => NOT_SUPPORTED,
                Required => Action::Workaround(action),
                NotRequired => Action::Return(0),
            };
            assert_eq!(called, expected, "{firmware:?}");
        }
    }
}

#[test]
fn each_workaround_has_a_setting_of_its_own() {
    let features = |workarounds: Workarounds| {
        [WORKAROUND_1, WORKAROUND_2, WORKAROUND_3]
            .map(|function| workarounds.query([SMCCC_ARCH_FEATURES, function, 0, 0]) == Some(0))
    };
    let none = Workarounds::default();
    let on = Firmware::Required;
    assert_eq!(
        features(Workarounds { one: on, ..none }),
        [true, false, false]
    );
    assert_eq!(
        features(Workarounds { two: on, ..none }),
        [false, true, false]
    );
    assert_eq!(
        features(Workarounds { three: on, ..none }),
        [false, false, true]
    );
}

#[test]
fn workaround_2_passes_its_argument_as_32_bits() {
    let workarounds = Workarounds {
        two: Firmware::Required,
        ..Workarounds::default()
    };
    let mut vm = Vm::new(1, workarounds).unwrap();
    for (x1, enable) in [
        (0, false),
        (1, true),
        (0xFFFF_FFFF_0000_0000, false),
        (2, true),
    ] {
        let action = Action::Workaround(Workaround::Two { enable });
        assert_eq!(smccc(&mut vm, WORKAROUND_2, x1), action);
    }
}

proptest! {
    /// What is answered the quick way is what the machine answers.
    #[test]
    fn a_quick_answer_is_the_answer(service in 0u32..64, wide: bool, number: u16, high: u32, x1: u64) {
        let function = 1 << 31 | u32::from(wide) << 30 | service << 24 | u32::from(number & 0x1ff);
        for function in [function, u32::from(number), 0x8400_0000, 0xc400_0000, high] {
            let x0 = u64::from(high) << 32 | u64::from(function);
            if let Some(answer) = tessera_psci::quick(x0) {
                prop_assert_eq!(vm(1).call(0, [x0, x1, 0, 0], is_ram), Action::Return(answer));
            }
        }
    }

    /// Whatever number it is: PSCI, another owner's range, the bits that must be zero, SMC64 twins
    /// of SMC32 calls.
    #[test]
    fn unknown_calls_are_not_supported_and_change_nothing(x0: u64, rest: [u64; 3]) {
        let known = FUNCTIONS.iter().any(|&(function, implemented)| implemented && id(function) == x0 & 0xFFFF_FFFF);
        let arch = [SMCCC_VERSION, SMCCC_ARCH_FEATURES, WORKAROUND_1, WORKAROUND_2, WORKAROUND_3];
        prop_assume!(!known && !arch.contains(&(x0 & 0xFFFF_FFFF)));
        let mut vm = vm(4);
        let before = vm;
        prop_assert_eq!(vm.call(0, [x0, rest[0], rest[1], rest[2]], |_| true), NOT_SUPPORTED);
        prop_assert_eq!(vm, before);
        prop_assert_eq!(error(ErrorCode::NotSupported), u64::MAX);
    }

    /// Neighbours of every known number, and the same with the upper half of `x0` set.
    #[test]
    fn only_the_low_half_of_x0_names_a_function(index in 0_usize..35, high: u32, flip in 0_u32..32) {
        let (function, implemented) = FUNCTIONS[index];
        let query = |x0: u64| vm(2).call(0, [x0, id(FunctionId::PsciVersion), 0, 0], |_| true);
        let plain = query(id(function));
        prop_assert_eq!(query(id(function) | u64::from(high) << 32), plain);
        let other = id(function) ^ (1 << flip);
        let named = FUNCTIONS.iter().any(|&(function, implemented)| implemented && id(function) == other);
        if !named && ![SMCCC_VERSION, SMCCC_ARCH_FEATURES, WORKAROUND_1].contains(&other) {
            prop_assert_eq!(query(other), NOT_SUPPORTED, "{:#x}", other);
        }
        prop_assert_eq!(plain != NOT_SUPPORTED, implemented);
    }

    /// `query` answers exactly what a call would, or nothing.
    #[test]
    fn a_query_answers_as_the_call_does(index in 0_usize..35, x1: u64) {
        let x = [id(FUNCTIONS[index].0), x1, 0, 0];
        if let Some(x0) = Workarounds::default().query(x) {
            prop_assert_eq!(vm(2).call(0, x, |_| true), Action::Return(x0));
        }
    }
}

#[test]
fn queries_need_no_machine_and_power_calls_do() {
    let query = |function| Workarounds::default().query([id(function), 0, 0, 0]);
    assert!(query(FunctionId::PsciVersion).is_some());
    assert!(query(FunctionId::PsciFeatures).is_some());
    for function in [
        FunctionId::CpuOff,
        FunctionId::CpuOn64,
        FunctionId::CpuSuspend64,
        FunctionId::AffinityInfo64,
        FunctionId::SystemOff,
        FunctionId::SystemReset,
    ] {
        assert_eq!(query(function), None);
    }
}
