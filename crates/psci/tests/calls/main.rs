//! Calls as a guest makes them. Numbers of functions and errors come from the `arm-psci` crate.

mod histories;
mod power;
mod query;

use arm_psci::{ErrorCode, FunctionId};
use tessera_psci::{Action, Vm, Workarounds};

/// RAM of the guest in these tests.
const RAM: core::ops::Range<u64> = 0x4000_0000..0x1_8000_0000;

fn is_ram(address: u64) -> bool {
    RAM.contains(&address)
}

fn vm(count: u8) -> Vm {
    Vm::new(count, Workarounds::default()).unwrap()
}

fn id(function: FunctionId) -> u64 {
    u64::from(u32::from(function))
}

/// What `x0` must hold for an error: a register that both `w0` and `x0` read as the negative
/// number.
fn error(code: ErrorCode) -> u64 {
    i64::from(i32::from(code)) as u64
}

fn refused(code: ErrorCode) -> Action {
    Action::Return(error(code))
}

/// A call by vCPU `caller`.
fn call(vm: &mut Vm, caller: u8, function: FunctionId, args: [u64; 3]) -> Action {
    let [x1, x2, x3] = args;
    vm.call(caller, [id(function), x1, x2, x3], is_ram)
}
