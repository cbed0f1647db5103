//! The run: every form of a load into every register, round after round.

use crate::devices::{Device, Devices};
use crate::form::{Form, Load, REGISTERS, Register, first_wrong, pattern};
use crate::probe::Block;
use crate::report::{Counts, Outcome, Wrong};
use bare::arch;
use bare::time::{Clock, Nanos};

/// What is read in which form. Reads of UARTDR are most: they may end in a switch to another guest.
const LOADS: [(Device, Form); 16] = [
    (Device::Data, Form::Word),
    (Device::Mask, Form::Word),
    (Device::Data, Form::Half),
    (Device::Enabled, Form::Word),
    (Device::Data, Form::Byte),
    (Device::Divisor, Form::Half),
    (Device::Data, Form::SignedByte),
    (Device::Priorities, Form::Word),
    (Device::Data, Form::PairFirst),
    (Device::Enabled, Form::SignedWord),
    (Device::Data, Form::PairSecond),
    (Device::Mask, Form::Half),
    (Device::Data, Form::After),
    (Device::Compare, Form::Timer),
    (Device::Data, Form::Base),
    (Device::Divisor, Form::Word),
];

/// The registers that are not x19 to x29 have their turn in one round of so many.
const SELDOM: u64 = 4;

/// No load of a device takes so long, unless another guest ran meanwhile.
const LONG: Nanos = Nanos(50_000);

/// Does the rounds. Interrupts are masked.
pub fn run(devices: &Devices, clock: &Clock, rounds: u64) -> Outcome {
    let mut block = Block::new();
    let mut counts = Counts::default();
    let mut switched = [0; REGISTERS];
    let long = clock.ticks(LONG).0;
    for round in 1..=rounds {
        let turn = |r: &Register| r.is_kept() || round % SELDOM == 0;
        for register in Register::all().filter(turn) {
            for (index, (device, form)) in (0..).zip(LOADS) {
                if !form.has(register) {
                    continue;
                }
                let character = (round * 31 + register.0 as u64 * 7 + index) as u8;
                let load = Load {
                    form,
                    register,
                    device: devices.value(device, character),
                };
                match one(&mut block, devices, device, &load, (round, character)) {
                    Ok(took) if took >= long => {
                        counts.switched += 1;
                        let count = switched.get_mut(register.0);
                        if let Some(count) = count.filter(|_| device == Device::Data) {
                            *count += 1;
                        }
                    }
                    Ok(_) => {}
                    Err(wrong) => return Outcome::Wrong(wrong),
                }
                counts.loads += 1;
            }
        }
    }
    let kept = Register::all().filter(|r| r.is_kept());
    let each = kept.filter_map(|r| switched.get(r.0).copied());
    counts.least = each.min().unwrap_or(0);
    Outcome::Right(counts)
}

/// One load: how long it took, in ticks, or the register that was wrong.
fn one(
    block: &mut Block,
    devices: &Devices,
    device: Device,
    load: &Load,
    (round, character): (u64, u8),
) -> Result<u64, Wrong> {
    let Load { form, register, .. } = *load;
    if device == Device::Data {
        devices.arrive(character);
    }
    block.before = pattern(round);
    if form != Form::Timer
        && let Some(place) = block.before.get_mut(form.address(register).0)
    {
        *place = devices.address(device) as u64;
    }
    if let Some(place) = block.before.last_mut() {
        *place = Block::link(form, register);
    }
    let start = arch::counter().0;
    // SAFETY: the register holds the address of the device's register.
    unsafe { block.load(form, register) };
    let took = arch::counter().0 - start;
    let should = load.after(&block.before);
    let Some(wrong) = first_wrong(&block.after, &should) else {
        return Ok(took);
    };
    let value = |of: &[u64]| of.get(wrong.0).copied().unwrap_or(0);
    Err(Wrong {
        round,
        load: *load,
        device: device.name(),
        register: wrong,
        is: value(&block.after),
        should: value(&should),
    })
}
