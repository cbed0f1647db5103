//! Face one: the device models in the kernel. They are the portable crates; this connects them to a partition.

mod keys;

pub use keys::Keys;

use crate::arch::gic::Gic;
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

/// What a guest asks of a device's registers.
pub struct Access {
    /// From the first of them.
    pub offset: u64,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// The value of a store; none for a load.
    pub store: Option<u64>,
}

/// What an access has to have followed by, outside the device.
pub struct Follows {
    partition: &'static Partition,
    /// vCPUs whose interrupts have changed.
    kicked: VcpuSet,
    /// [`request`]s to vCPU 0.
    asks: u32,
}

/// Does what follows an access.
pub fn follow(core: &mut Core, then: Follows) {
    if then.asks != 0 {
        core.request_first(then.partition, then.asks);
    }
    core.deliver(then.partition, then.kicked);
}

/// An access to a device. What a load reads; `None`: the guest must repeat it.
#[inline(never)]
pub fn access(core: &mut Core, partition: &'static Partition, device: &DeviceSlot, access: Access) -> Option<u64> {
    let intid = device.intid;
    let (frame, offset) = match device.model {
        Model::Distributor => (Frame::Distributor, access.offset as u32),
        Model::Redistributors => {
            let vcpu = VcpuIndex::new((access.offset >> 17) as u8);
            (Frame::Redistributor(vcpu), access.offset as u32 & 0x1_ffff)
        }
        Model::Pl011 => {
            let (value, then) = uart(partition, access, intid);
            if let Some(then) = then {
                follow(core, then);
            }
            return Some(value);
        }
        Model::Pl031 => return Some(rtc(core, partition, access, intid)),
        Model::VirtioEmpty => return Some(VirtioEmpty.read(access.offset & 0x1ff, access.size)),
    };
    match access.store {
        None => gic_read(core, frame, offset, access.size),
        Some(value) => {
            gic_write(core, frame, offset, access.size, value);
            Some(0)
        }
    }
}

/// A word of the distributor whose access moves no interrupt from where it is; what a load reads.
#[inline(always)]
pub fn quick_gic(partition: &Partition, index: VcpuIndex, offset: u32, store: Option<u64>, gic: &mut Gic) -> Option<u64> {
    let mut shared = partition.shared.enter();
    let mut vgic = shared.vgic();
    match store {
        None => vgic.quick_read(offset).map(u64::from),
        Some(value) => vgic.quick_write(index, offset, value as u32, gic).then_some(0),
    }
}

/// A register of the console whose access moves no character and no interrupt; what a load reads.
#[inline(always)]
pub fn quick_uart(partition: &Partition, offset: u32, size: u8, store: Option<u64>) -> Option<u64> {
    let mut shared = partition.shared.enter();
    let uart = shared.uart.as_mut()?;
    match store {
        None => uart.quick_read(offset, size),
        Some(value) => uart.quick_write(offset, size, value).then_some(0),
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

/// An access to the console: what a load reads, and what follows.
#[inline(never)]
pub fn uart(partition: &'static Partition, access: Access, intid: u16) -> (u64, Option<Follows>) {
    let Access { offset, size, store } = access;
    let mut shared = partition.shared.lock();
    let Some(uart) = &mut shared.uart else {
        return (0, None);
    };
    let before = uart.irq();
    let value = match store {
        Some(value) => {
            uart.write(offset, size, value, &mut Output(&partition.output));
            0
        }
        None => {
            let value = uart.read(offset, size);
            if !shared.keys.is_empty() {
                feed(&mut shared);
            }
            value
        }
    };
    let after = shared.uart.as_ref().is_some_and(devices::Pl011::irq);
    let kicked = if before == after { VcpuSet::EMPTY } else { set_line(&mut shared, intid, after) };
    drop(shared);
    let asks = match store {
        // Only a character makes output.
        Some(_) if offset == 0 => {
            if partition.output.is_ready() {
                request::CONSOLE
            } else if partition.output.wants_timer() {
                request::FLUSH
            } else {
                0
            }
        }
        _ => 0,
    };
    let follows = !kicked.is_empty() || asks != 0;
    (value, follows.then_some(Follows { partition, kicked, asks }))
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

/// A write to the interrupt controller that is not done yet.
#[derive(Clone, Copy, Debug)]
pub struct GicWrite {
    frame: Frame,
    offset: u32,
    size: u8,
    value: u32,
    /// The interrupts that it is still about.
    left: u32,
}

impl GicWrite {
    /// None.
    pub const NONE: Self = Self { frame: Frame::Distributor, offset: 0, size: 0, value: 0, left: 0 };
}

fn gic_write(core: &mut Core, frame: Frame, offset: u32, size: u8, value: u64) {
    // The other half of a pair: the first one comes first.
    while core.vcpu().asked & request::WRITE != 0 {
        let slot = core.slot();
        gic_write_piece(core, slot);
    }
    let vcpu = core.vcpu();
    let (partition, index) = (vcpu.partition, vcpu.index);
    let (left, kicked) = {
        let mut shared = partition.shared.lock();
        let mut vgic = shared.vgic();
        let left = vgic.concerns(index, frame, offset, size, value);
        // Two interrupts are moved in one piece: each can take some hundred instructions.
        if vgic::without_two(left) != 0 {
            (left, VcpuSet::EMPTY)
        } else {
            let kicked = vgic.sync(index, &mut core.gic)
                | vgic.write(index, frame, offset, size, value)
                | vgic.flush(index, &mut core.gic);
            (0, kicked)
        }
    };
    if left != 0 {
        let vcpu = core.vcpu();
        vcpu.write = GicWrite { frame, offset, size, value: value as u32, left };
        vcpu.asked |= request::WRITE;
        core.again = true;
    }
    core.deliver(partition, kicked.without(index));
}

/// Does a piece of a write that moves many interrupts, as work of the vCPU before it goes on. What it leads to is the next piece.
#[inline(never)]
pub fn gic_write_piece(core: &mut Core, slot: usize) {
    let vcpu = &mut core.vcpus[slot];
    let (partition, index) = (vcpu.partition, vcpu.index);
    let GicWrite { frame, offset, size, value, left } = vcpu.write;
    let rest = vgic::without_two(left);
    vcpu.write.left = rest;
    if rest == 0 {
        vcpu.asked &= !request::WRITE;
    }
    vcpu.asked |= request::ATTENTION;
    let kicked = partition.shared.lock().vgic().write_part(index, frame, offset, size, u64::from(value), left & !rest);
    core.deliver(partition, kicked.without(index));
}
