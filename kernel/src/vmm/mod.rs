//! Face one: the device models in the kernel. They are the portable crates; this connects them to a partition.

mod keys;

pub use keys::Keys;

use crate::arch::timer;
use crate::console::{self, Ring};
use crate::object::{Model, Partition, Shared, State, request};
use crate::sched::{Core, Timer};
use crate::system;
use devices::{Sink, VirtioEmpty};
use vgic::{Access, Frame, IntId, VcpuIndex, VcpuSet};

/// A partition's ring as the place where its UART's characters go.
struct Output<'a>(&'a Ring);

impl Sink for Output<'_> {
    fn put(&mut self, byte: u8) {
        self.0.push(byte);
    }
    fn room(&self) -> usize {
        self.0.room()
    }
}

/// Seconds since the counter began.
fn seconds() -> u64 {
    timer::now() / timer::frequency().max(1)
}

/// A load from a device. `None`: the guest must repeat it.
#[inline(always)]
pub fn read(core: &mut Core, model: Model, offset: u64, size: u8, intid: u16) -> Option<u64> {
    match model {
        Model::Distributor => gic_read(core, Frame::Distributor, offset as u32, size),
        Model::Redistributors => {
            let frame = Frame::Redistributor(VcpuIndex::new((offset >> 17) as u8));
            gic_read(core, frame, offset as u32 & 0x1_ffff, size)
        }
        Model::Pl011 => {
            let (value, kicked) = with_uart(core, intid, |shared| {
                let value = shared.uart.as_mut().map_or(0, |uart| uart.read(offset, size));
                feed(shared);
                value
            });
            deliver(core, kicked);
            Some(value)
        }
        Model::Pl031 => {
            let (value, kicked) = with_rtc(core, intid, |shared| {
                shared.rtc.as_mut().map_or(0, |rtc| rtc.read(offset, size, seconds()))
            });
            deliver(core, kicked);
            Some(value)
        }
        Model::VirtioEmpty => Some(VirtioEmpty.read(offset & 0x1ff, size)),
    }
}

/// A store to a device.
#[inline(always)]
pub fn write(core: &mut Core, model: Model, offset: u64, size: u8, value: u64, intid: u16) {
    match model {
        Model::Distributor => gic_write(core, Frame::Distributor, offset as u32, size, value),
        Model::Redistributors => {
            let frame = Frame::Redistributor(VcpuIndex::new((offset >> 17) as u8));
            gic_write(core, frame, offset as u32 & 0x1_ffff, size, value);
        }
        Model::Pl011 => {
            let partition = core.partition();
            let ((), kicked) = with_uart(core, intid, |shared| {
                if let Some(uart) = &mut shared.uart {
                    uart.write(offset, size, value, &mut Output(&partition.output));
                }
            });
            if partition.output.is_ready() {
                core.request_first(partition, request::CONSOLE);
            } else if partition.output.wants_timer() {
                core.request_first(partition, request::FLUSH);
            }
            deliver(core, kicked);
        }
        Model::Pl031 => {
            let ((), kicked) = with_rtc(core, intid, |shared| {
                if let Some(rtc) = &mut shared.rtc {
                    rtc.write(offset, size, value, seconds());
                }
            });
            deliver(core, kicked);
        }
        Model::VirtioEmpty => {}
    }
}

fn deliver(core: &mut Core, kicked: VcpuSet) {
    let partition = core.partition();
    core.deliver(partition, kicked);
}

/// Which vCPU a shared interrupt's calls name does not matter.
const ANY: VcpuIndex = VcpuIndex::new(0);

fn set_line(shared: &mut Shared, intid: u16, high: bool) -> VcpuSet {
    match IntId::new(u32::from(intid)) {
        Some(intid) if !intid.is_private() => shared.vgic().set_line(ANY, intid, high),
        _ => VcpuSet::EMPTY,
    }
}

fn with_uart<T>(core: &mut Core, intid: u16, f: impl FnOnce(&mut Shared) -> T) -> (T, VcpuSet) {
    let mut shared = core.partition().shared.lock();
    let before = shared.uart.as_ref().is_some_and(devices::Pl011::irq);
    let result = f(&mut shared);
    let after = shared.uart.as_ref().is_some_and(devices::Pl011::irq);
    let kicked = if before == after { VcpuSet::EMPTY } else { set_line(&mut shared, intid, after) };
    (result, kicked)
}

fn with_rtc<T>(core: &mut Core, intid: u16, f: impl FnOnce(&mut Shared) -> T) -> (T, VcpuSet) {
    let partition = core.partition();
    let mut shared = partition.shared.lock();
    let result = f(&mut shared);
    let line = shared.rtc.as_ref().is_some_and(devices::Pl031::irq);
    let alarm = shared.rtc.as_ref().and_then(devices::Pl031::next_alarm);
    let kicked = set_line(&mut shared, intid, line);
    drop(shared);
    // The alarm is vCPU 0's timer if that is here; else it is noticed with the next access.
    if let Some(link) = partition.vcpus.first().filter(|link| link.core == core.index) {
        let at = alarm.map(|second| second.saturating_mul(timer::frequency()));
        core.set_timer(usize::from(link.slot), Timer::Alarm, at);
    }
    (result, kicked)
}

/// A partition's clock alarm is due.
pub fn clock_alarm(core: &mut Core, slot: usize, now: u64) {
    let partition = core.vcpus[slot].partition;
    let Some(device) = partition.devices.iter().find(|d| d.model == Model::Pl031) else {
        return;
    };
    let kicked = {
        let mut shared = partition.shared.lock();
        if let Some(rtc) = &mut shared.rtc {
            rtc.advance(now / timer::frequency().max(1));
        }
        let line = shared.rtc.as_ref().is_some_and(devices::Pl031::irq);
        set_line(&mut shared, device.intid, line)
    };
    core.deliver(partition, kicked);
}

/// Gives a UART the keys that it has room for.
fn feed(shared: &mut Shared) {
    let Some(uart) = &mut shared.uart else {
        return;
    };
    while uart.rx_room() != 0
        && let Some(byte) = shared.keys.pop()
    {
        uart.push_rx(byte);
    }
}

/// A key for a partition.
pub fn input(core: &mut Core, partition: &'static Partition, byte: u8) {
    let Some(device) = partition.devices.iter().find(|d| d.model == Model::Pl011) else {
        return;
    };
    let kicked = {
        let mut shared = partition.shared.lock();
        if partition.state() != State::Running {
            return;
        }
        shared.keys.push(byte);
        feed(&mut shared);
        let line = shared.uart.as_ref().is_some_and(devices::Pl011::irq);
        set_line(&mut shared, device.intid, line)
    };
    core.deliver(partition, kicked);
}

/// A partition's output has moved on: its UART may have room again.
pub fn output_room(shared: &mut Shared, partition: &Partition) -> VcpuSet {
    let Some(device) = partition.devices.iter().find(|d| d.model == Model::Pl011) else {
        return VcpuSet::EMPTY;
    };
    let Some(uart) = &mut shared.uart else {
        return VcpuSet::EMPTY;
    };
    let before = uart.irq();
    uart.tx_room_changed(partition.output.room());
    let after = uart.irq();
    if before == after { VcpuSet::EMPTY } else { set_line(shared, device.intid, after) }
}

/// The serial port has room again: whoever has output goes on.
pub fn console_has_room(core: &mut Core) {
    for partition in system::partitions() {
        if console::has_work(partition.index, &partition.output) {
            core.request_first(partition, request::CONSOLE);
        }
    }
}

fn gic_read(core: &mut Core, frame: Frame, offset: u32, size: u8) -> Option<u64> {
    let index = core.vcpu().index;
    let partition = core.partition();
    let access = partition
        .shared
        .lock()
        .vgic()
        .read_local(index, frame, offset, size, &mut core.gic);
    match access {
        Access::Value(value) => Some(value),
        Access::Retry(others) => {
            core.deliver(partition, others);
            None
        }
    }
}

fn gic_write(core: &mut Core, frame: Frame, offset: u32, size: u8, value: u64) {
    let index = core.vcpu().index;
    let partition = core.partition();
    let kicked = {
        let mut shared = partition.shared.lock();
        let mut vgic = shared.vgic();
        vgic.sync(index, &mut core.gic)
            | vgic.write(index, frame, offset, size, value)
            | vgic.sync(index, &mut core.gic)
            | vgic.flush(index, &mut core.gic)
    };
    core.deliver(partition, kicked.without(index));
}
