//! Face one: the device models in the kernel. They are the portable crates; this connects them to a partition.

mod keys;

pub use keys::Keys;

use crate::arch::timer;
use crate::console::{self, Ring};
use crate::object::{DeviceSlot, Model, Partition, Shared, State, request};
use crate::sched::{Core, Timer};
use crate::system;
use devices::{Sink, VirtioEmpty};
use vgic::{Access as Registers, Frame, IntId, VcpuIndex, VcpuSet};

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
pub fn read(core: &mut Core, partition: &'static Partition, device: &DeviceSlot, offset: u64, size: u8) -> Option<u64> {
    let intid = device.intid;
    match device.model {
        Model::Distributor => gic_read(core, Frame::Distributor, offset as u32, size),
        Model::Redistributors => {
            let frame = Frame::Redistributor(VcpuIndex::new((offset >> 17) as u8));
            gic_read(core, frame, offset as u32 & 0x1_ffff, size)
        }
        Model::Pl011 => Some(uart(core, partition, Access { offset, size, store: None }, intid)),
        Model::Pl031 => Some(rtc(core, partition, Access { offset, size, store: None }, intid)),
        Model::VirtioEmpty => Some(VirtioEmpty.read(offset & 0x1ff, size)),
    }
}

/// A store to a device.
#[inline(always)]
pub fn write(core: &mut Core, partition: &'static Partition, device: &DeviceSlot, offset: u64, size: u8, value: u64) {
    let intid = device.intid;
    match device.model {
        Model::Distributor => gic_write(core, Frame::Distributor, offset as u32, size, value),
        Model::Redistributors => {
            let frame = Frame::Redistributor(VcpuIndex::new((offset >> 17) as u8));
            gic_write(core, frame, offset as u32 & 0x1_ffff, size, value);
        }
        Model::Pl011 => {
            uart(core, partition, Access { offset, size, store: Some(value) }, intid);
        }
        Model::Pl031 => {
            rtc(core, partition, Access { offset, size, store: Some(value) }, intid);
        }
        Model::VirtioEmpty => {}
    }
}

/// Which vCPU a shared interrupt's calls name does not matter.
const ANY: VcpuIndex = VcpuIndex::new(0);

fn set_line(shared: &mut Shared, intid: u16, high: bool) -> VcpuSet {
    match IntId::new(u32::from(intid)) {
        Some(intid) if !intid.is_private() => shared.vgic().set_line(ANY, intid, high),
        _ => VcpuSet::EMPTY,
    }
}

/// What a guest asks of a device's registers.
struct Access {
    offset: u64,
    size: u8,
    /// The value of a store; none for a load.
    store: Option<u64>,
}

/// An access to the console. Returns what a load reads.
#[unsafe(link_section = ".text.hot")]
#[inline(never)]
fn uart(core: &mut Core, partition: &'static Partition, access: Access, intid: u16) -> u64 {
    let Access { offset, size, store } = access;
    let mut shared = partition.shared.lock();
    let Some(uart) = &mut shared.uart else {
        return 0;
    };
    let before = uart.irq();
    let value = match store {
        Some(value) => {
            uart.write(offset, size, value, &mut Output(&partition.output));
            0
        }
        None => {
            let value = uart.read(offset, size);
            feed(&mut shared);
            value
        }
    };
    let after = shared.uart.as_ref().is_some_and(devices::Pl011::irq);
    let kicked = if before == after { VcpuSet::EMPTY } else { set_line(&mut shared, intid, after) };
    drop(shared);
    if store.is_some() {
        if partition.output.is_ready() {
            core.request_first(partition, request::CONSOLE);
        } else if partition.output.wants_timer() {
            core.request_first(partition, request::FLUSH);
        }
    }
    if !kicked.is_empty() {
        core.deliver(partition, kicked);
    }
    value
}

/// An access to the clock. Returns what a load reads.
#[inline(never)]
fn rtc(core: &mut Core, partition: &'static Partition, access: Access, intid: u16) -> u64 {
    let Access { offset, size, store } = access;
    let mut shared = partition.shared.lock();
    let Some(rtc) = &mut shared.rtc else {
        return 0;
    };
    let mut read = 0;
    match store {
        Some(value) => rtc.write(offset, size, value, seconds()),
        None => read = rtc.read(offset, size, seconds()),
    }
    let (line, alarm) = (rtc.irq(), rtc.next_alarm());
    let kicked = set_line(&mut shared, intid, line);
    drop(shared);
    // The alarm is vCPU 0's timer if that is here; else it is noticed with the next access.
    if let Some(link) = partition.vcpus.first().filter(|link| link.core == core.index) {
        let at = alarm.map(|second| second.saturating_mul(timer::frequency()));
        core.set_timer(usize::from(link.slot), Timer::Alarm, at);
    }
    core.deliver(partition, kicked);
    read
}

/// A partition's clock alarm is due.
#[inline(never)]
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

#[unsafe(link_section = ".text.hot")]
fn gic_read(core: &mut Core, frame: Frame, offset: u32, size: u8) -> Option<u64> {
    let index = core.vcpu().index;
    let partition = core.partition();
    let access = partition
        .shared
        .lock()
        .vgic()
        .read_local(index, frame, offset, size, &mut core.gic);
    match access {
        Registers::Value(value) => Some(value),
        Registers::Retry(others) => {
            core.deliver(partition, others);
            None
        }
    }
}

#[unsafe(link_section = ".text.hot")]
fn gic_write(core: &mut Core, frame: Frame, offset: u32, size: u8, value: u64) {
    let index = core.vcpu().index;
    let partition = core.partition();
    let kicked = {
        let mut shared = partition.shared.lock();
        let mut vgic = shared.vgic();
        vgic.sync(index, &mut core.gic)
            | vgic.write(index, frame, offset, size, value)
            | vgic.flush(index, &mut core.gic)
    };
    core.deliver(partition, kicked.without(index));
}
