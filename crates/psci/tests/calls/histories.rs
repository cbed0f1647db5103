//! Random calls, against a model that keeps one word for each vCPU.

use proptest::prelude::*;
use tessera_psci::{Action, Affinity, Resume, Vm, Workarounds};

use crate::{is_ram, vm};

#[derive(Clone, Copy, Debug)]
enum Step {
    Call { caller: u8, x: [u64; 4] },
    Started(u8),
    Reset,
}

/// A call that is at times right and at times nearly so.
fn call(vcpus: u8) -> impl Strategy<Value = [u64; 4]> {
    let function = prop_oneof![
        8 => prop_oneof![
            Just(0xC400_0003), Just(0x8400_0003), Just(0x8400_0002), Just(0xC400_0004),
            Just(0x8400_0004), Just(0xC400_0001), Just(0x8400_0001),
        ],
        1 => (0_u64..0x20).prop_map(|number| 0x8400_0000 | number),
        1 => any::<u64>(),
    ];
    let x1 = prop_oneof![
        6 => 0..u64::from(vcpus) + 1,
        1 => Just(1 << 16),
        1 => any::<u64>(),
    ];
    let x2 = prop_oneof![4 => Just(0x4000_0000), 2 => 0_u64..5, 1 => any::<u64>()];
    (function, x1, x2, any::<u64>()).prop_map(|(x0, x1, x2, x3)| [x0, x1, x2, x3])
}

fn step(vcpus: u8) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..vcpus, call(vcpus)).prop_map(|(caller, x)| Step::Call { caller, x }),
        4 => (0..vcpus + 1).prop_map(Step::Started),
        1 => Just(Step::Reset),
    ]
}

/// The machine in the plainest words.
struct Model(Vec<Affinity>);

impl Model {
    fn new(vcpus: u8) -> Self {
        let mut states = vec![Affinity::Off; usize::from(vcpus)];
        states[0] = Affinity::On;
        Self(states)
    }

    /// What CPU_ON should answer for a target that the caller wrote as `mpidr`.
    fn cpu_on(&mut self, mpidr: u64, entry: u64) -> Result<(), i64> {
        let state = usize::try_from(mpidr)
            .ok()
            .and_then(|index| self.0.get_mut(index));
        let state = state.ok_or(-2_i64)?;
        if !entry.is_multiple_of(4) || !is_ram(entry) {
            return Err(-9);
        }
        match state {
            Affinity::On => Err(-4),
            Affinity::OnPending => Err(-5),
            Affinity::Off => {
                *state = Affinity::OnPending;
                Ok(())
            }
        }
    }
}

fn run(vm: &mut Vm, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Reset => {
            vm.reset();
            *model = Model::new(model.0.len() as u8);
        }
        Step::Started(vcpu) => {
            vm.cpu_started(vcpu);
            if let Some(state @ Affinity::OnPending) = model.0.get_mut(usize::from(vcpu)) {
                *state = Affinity::On;
            }
        }
        // Only a vCPU that is on can call.
        Step::Call { caller, .. } if model.0[usize::from(caller)] != Affinity::On => {}
        Step::Call { caller, x } => {
            let action = vm.call(caller, x, is_ram);
            match x[0] as u32 {
                0x8400_0002 => {
                    prop_assert_eq!(action, Action::CpuOff);
                    model.0[usize::from(caller)] = Affinity::Off;
                }
                function @ (0x8400_0003 | 0xC400_0003) => {
                    let mask = if function >> 30 & 1 == 1 {
                        u64::MAX
                    } else {
                        0xFFFF_FFFF
                    };
                    match model.cpu_on(x[1] & mask, x[2] & mask) {
                        Ok(()) => {
                            let Action::CpuOn { target, entry } = action else {
                                return Err(TestCaseError::fail(format!("{action:?}")));
                            };
                            prop_assert_eq!(u64::from(target), x[1] & mask);
                            prop_assert_eq!(entry.address.get(), x[2] & mask);
                            prop_assert_eq!(entry.context, x[3] & mask);
                        }
                        Err(code) => prop_assert_eq!(action, Action::Return(code as u64)),
                    }
                }
                _ => match action {
                    // No call but CPU_ON and CPU_OFF may change a state; and what is returned fits
                    // 32 bits, signed.
                    Action::Return(x0) => prop_assert_eq!(x0 as i64, i64::from(x0 as i32)),
                    Action::Suspend(Resume::At(entry)) => prop_assert!(is_ram(entry.address.get())),
                    Action::Suspend(Resume::AfterCall)
                    | Action::SystemOff
                    | Action::SystemReset => {}
                    Action::CpuOff | Action::CpuOn { .. } | Action::Workaround(_) => {
                        return Err(TestCaseError::fail(format!("{action:?} for {x:x?}")));
                    }
                },
            }
        }
    }
    Ok(())
}

/// The state of every vCPU, and what AFFINITY_INFO says of it to a caller that is on.
fn compare(vm: &mut Vm, model: &Model) -> Result<(), TestCaseError> {
    let caller = model.0.iter().position(|&state| state == Affinity::On);
    for (vcpu, &state) in model.0.iter().enumerate() {
        prop_assert_eq!(vm.state(vcpu as u8), state, "vCPU {}", vcpu);
        if let Some(caller) = caller {
            let x = [0xC400_0004, vcpu as u64, 0, 0];
            let number = Action::Return(u64::from(state as u8));
            prop_assert_eq!(vm.call(caller as u8, x, is_ram), number);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn two_vcpus_follow_the_model(steps in prop::collection::vec(step(2), 1..60)) {
        let (mut vm, mut model) = (vm(2), Model::new(2));
        for step in steps {
            run(&mut vm, &mut model, step)?;
            compare(&mut vm, &model)?;
        }
    }

    #[test]
    fn sixteen_vcpus_follow_the_model(steps in prop::collection::vec(step(16), 1..60)) {
        let (mut vm, mut model) = (vm(16), Model::new(16));
        for step in steps {
            run(&mut vm, &mut model, step)?;
        }
        compare(&mut vm, &model)?;
    }

    /// Any numbers, any caller: an answer, and no vCPU beyond those that exist.
    #[test]
    fn any_registers_get_an_answer(vcpus in 1_u8..=16, calls in prop::collection::vec((any::<u8>(), any::<[u64; 4]>(), any::<bool>()), 1..30)) {
        let mut vm = Vm::new(vcpus, Workarounds::default()).unwrap();
        for (caller, mut x, psci) in calls {
            if psci {
                x[0] = 0x8400_0000 | x[0] & 0x4000_000F;
            }
            if let Action::CpuOn { target, .. } = vm.call(caller % 16, x, |_| true) {
                prop_assert!(target < vcpus);
            }
            prop_assert!((vcpus..=255).all(|vcpu| vm.state(vcpu) == Affinity::Off));
        }
    }
}
