//! The power states of one virtual machine's vCPUs, and the calls that read or change them.
//!
//! DEN0022 sections 5.1.2 to 5.1.5 and 5.1.9 to 5.1.11. A vCPU is off, on, or pending: asked for by
//! CPU_ON and not yet running. A suspended vCPU is on.
//!
//! CPU_OFF is never refused: its one error, DENIED, is for a core that a Trusted OS cannot leave,
//! and MIGRATE_INFO_TYPE says that there is none. The last vCPU may turn itself off; the machine
//! then stands still until it is restarted from outside.

use crate::function::{Error, Function};
use crate::power_state::PowerState;
use crate::query::{Workaround, Workarounds};

/// An entry point's address as a guest gave it, found to be aligned and accepted by the host's
/// check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryAddress(u64);

impl EntryAddress {
    /// The guest-physical address.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Where a vCPU starts: at `address`, with `context` in `x0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// The first instruction.
    pub address: EntryAddress,
    /// The guest's own value, for `x0`.
    pub context: u64,
}

/// How a suspended vCPU goes on when it wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// After the call, with SUCCESS (0) in `x0`.
    AfterCall,
    /// At the entry point, with the registers of a vCPU that was just turned on.
    At(EntryPoint),
}

/// What a call asks of the host. The state in [`Vm`] has already changed when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put this into `x0` and go on.
    Return(u64),
    /// Wait for an interrupt as WFI does, then resume.
    Suspend(Resume),
    /// Stop the caller until a CPU_ON names it. The call does not return.
    CpuOff,
    /// Start vCPU `target`, put SUCCESS (0) into the caller's `x0`. When the target is ready to
    /// run, say so with [`Vm::cpu_started`].
    CpuOn {
        /// The vCPU to start.
        target: u8,
        /// Where it starts.
        entry: EntryPoint,
    },
    /// Stop the whole machine. The call does not return.
    SystemOff,
    /// Restart the whole machine. The call does not return.
    SystemReset,
    /// Ask the host's firmware for this workaround on this core, and go on with `x0` as it was.
    Workaround(Workaround),
}

/// What AFFINITY_INFO says (DEN0022 section 5.1.5), and what a vCPU's state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Affinity {
    /// On, or suspended.
    On = 0,
    /// Off.
    Off = 1,
    /// Asked for by CPU_ON, not yet running.
    OnPending = 2,
}

/// Why a machine could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmError {
    /// The number of vCPUs is not in 1 to 16.
    VcpuCount(u8),
}

/// The power states of one machine's vCPUs.
///
/// One bit for each vCPU in each word; no vCPU has its bit in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vm {
    /// The vCPUs that exist: the low bits.
    present: u16,
    /// Those that are on.
    on: u16,
    /// Those that CPU_ON asked for and that do not run yet.
    pending: u16,
    workarounds: Workarounds,
}

impl Vm {
    /// The most vCPUs that a machine can have.
    pub const MAX_VCPUS: u8 = 16;

    /// A machine of `count` vCPUs (1 to 16) as it is at power-on: vCPU 0 on, the others off.
    pub const fn new(count: u8, workarounds: Workarounds) -> Result<Self, VmError> {
        // Shifting from the top leaves exactly `count` ones; 0 and anything above 16 find no shift.
        let present = match Self::MAX_VCPUS.checked_sub(count) {
            Some(16) | None => return Err(VmError::VcpuCount(count)),
            Some(absent) => u16::MAX.wrapping_shr(absent as u32),
        };
        Ok(Self {
            present,
            on: 1,
            pending: 0,
            workarounds,
        })
    }

    /// Back to power-on: vCPU 0 on, the others off.
    pub fn reset(&mut self) {
        self.on = 1;
        self.pending = 0;
    }

    /// The vCPU that [`Action::CpuOn`] named is ready to run. Without effect on any other.
    #[inline]
    pub fn cpu_started(&mut self, vcpu: u8) {
        let bit = self.bit(u64::from(vcpu)) & self.pending;
        self.pending &= !bit;
        self.on |= bit;
    }

    /// The state of a vCPU; off when there is none by that number.
    #[inline]
    pub const fn state(&self, vcpu: u8) -> Affinity {
        self.state_of(self.bit(vcpu as u64))
    }

    /// Decodes a call by vCPU `caller` with `x0` to `x3` in `x`, checks it, and commits it.
    ///
    /// `is_code` says whether a vCPU may start at a guest-physical address (it lies in the guest's
    /// RAM). It is asked at most once, and only for an address that is a multiple of four.
    #[inline]
    pub fn call(&mut self, caller: u8, x: [u64; 4], is_code: impl FnOnce(u64) -> bool) -> Action {
        let function = Function::decode(x[0]);
        match self.workarounds.answer(function, x[1]) {
            Some(x0) => Action::Return(x0),
            None => self
                .power(caller, function, x, is_code)
                .unwrap_or_else(|error| Action::Return(error.x0())),
        }
    }

    /// The calls that act. Only those reach this place that [`Workarounds::query`] did not answer.
    fn power(
        &mut self,
        caller: u8,
        function: Option<Function>,
        [_, x1, x2, x3]: [u64; 4],
        is_code: impl FnOnce(u64) -> bool,
    ) -> Result<Action, Error> {
        let caller_bit = self.bit(u64::from(caller)) & self.on;
        if caller_bit == 0 {
            return Err(Error::InternalFailure);
        }
        Ok(match function.ok_or(Error::NotSupported)? {
            Function::CpuSuspend { wide } => {
                let state = PowerState::decode(x1 as u32).ok_or(Error::InvalidParameters)?;
                Action::Suspend(match state {
                    PowerState::Standby => Resume::AfterCall,
                    PowerState::PowerDown => Resume::At(entry_point(wide, x2, x3, is_code)?),
                })
            }
            Function::CpuOff => {
                self.on &= !caller_bit;
                Action::CpuOff
            }
            Function::CpuOn { wide } => {
                let mpidr = argument(wide, x1);
                let target = self.bit(mpidr);
                if target == 0 {
                    return Err(Error::InvalidParameters);
                }
                let entry = entry_point(wide, x2, x3, is_code)?;
                match self.state_of(target) {
                    Affinity::On => return Err(Error::AlreadyOn),
                    Affinity::OnPending => return Err(Error::OnPending),
                    Affinity::Off => {}
                }
                self.pending |= target;
                // `bit` knows no vCPU above 15, so the number fits.
                let target = mpidr as u8;
                Action::CpuOn { target, entry }
            }
            Function::AffinityInfo { wide } => {
                let instance = self.instance(wide, argument(wide, x1), x2 as u32);
                let state = self.state_of(instance.ok_or(Error::InvalidParameters)?);
                Action::Return(u64::from(state as u8))
            }
            Function::SystemOff => Action::SystemOff,
            Function::SystemReset => Action::SystemReset,
            Function::SmcccWorkaround1 => Action::Workaround(Workaround::One),
            Function::SmcccWorkaround2 => Action::Workaround(Workaround::Two {
                enable: x1 as u32 != 0,
            }),
            Function::SmcccWorkaround3 => Action::Workaround(Workaround::Three),
            // Answered by `query`.
            Function::Version
            | Function::MigrateInfoType
            | Function::Features
            | Function::SmcccVersion
            | Function::SmcccArchFeatures => return Err(Error::NotSupported),
        })
    }

    /// The bit of the vCPU with this MPIDR, zero when there is none. The reserved bits of an MPIDR
    /// argument must be zero, and so are Aff1 to Aff3 here: the number is the index.
    #[inline]
    const fn bit(&self, mpidr: u64) -> u16 {
        if mpidr < Self::MAX_VCPUS as u64 {
            1_u16.wrapping_shl(mpidr as u32) & self.present
        } else {
            0
        }
    }

    /// The vCPUs of the affinity instance that AFFINITY_INFO names, `None` when there is no such
    /// instance. Fields below `level` are ignored; level 3 has no meaning in an SMC32 MPIDR.
    fn instance(&self, wide: bool, mpidr: u64, level: u32) -> Option<u16> {
        let ignored = match level {
            0 => {
                return match self.bit(mpidr) {
                    0 => None,
                    bit => Some(bit),
                };
            }
            1 => 0xFF,
            2 => 0xFFFF,
            3 if wide => 0xFF_FFFF,
            _ => return None,
        };
        // All vCPUs are in the one instance whose numbers are zero at every level above the first; the
        // reserved bits of the argument must be zero too.
        (mpidr & !ignored == 0).then_some(self.present)
    }

    /// The state of a set of vCPUs: on if any is on, else pending if any is, else off.
    #[inline]
    const fn state_of(&self, vcpus: u16) -> Affinity {
        if self.on & vcpus != 0 {
            Affinity::On
        } else if self.pending & vcpus != 0 {
            Affinity::OnPending
        } else {
            Affinity::Off
        }
    }
}

/// An argument in the width of its calling convention.
#[inline]
const fn argument(wide: bool, x: u64) -> u64 {
    if wide { x } else { x as u32 as u64 }
}

/// The entry point of CPU_ON or CPU_SUSPEND. vCPUs run AArch64 only, so an address that is not a
/// multiple of four could never be executed.
fn entry_point(
    wide: bool,
    address: u64,
    context: u64,
    is_code: impl FnOnce(u64) -> bool,
) -> Result<EntryPoint, Error> {
    let address = argument(wide, address);
    if address & 3 == 0 && is_code(address) {
        Ok(EntryPoint {
            address: EntryAddress(address),
            context: argument(wide, context),
        })
    } else {
        Err(Error::InvalidAddress)
    }
}
