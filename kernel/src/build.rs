//! Makes every object from the manifest, once, and starts the cores.

use crate::arch::gic::Gic;
use crate::arch::start::Image;
use crate::arch::tlb::Tlb;
use crate::arch::{control, cpu, gicv2, gicv3, mmu, smc, timer};
use crate::fault::defect;
use crate::memory::{Arena, Frames, Range};
use crate::object::{DeviceSlot, Model, Partition, Placed, Shared, Start, State, Target as Then, Vcpu, VcpuLink};
use crate::platform::{Board, GicAddresses};
use crate::sched::{Core, OwnInterrupts};
use crate::console::Line;
use crate::{console, refuse, system};
use core::sync::atomic::AtomicU32;
use manifest::{ANYWHERE, CorePolicy, DeviceKind, Gic as GicVersion, MAX_CONTEXTS_PER_CORE, MAX_CORES, Manifest, RegionKind};
use sched::{Budget, Params, Ticks, Time};
use stage2::{AddressSpace, Ipa, Kind, Mapping, Pa, PaRange, Rights, Vmid};
use vgic::{Config, Distributor, VcpuIndex, Vgic};

/// Size of a core's stack in bytes.
const STACK: u64 = 8192;

/// The cores' stacks. The boot core keeps the one it has.
pub struct Stacks {
    guards: [Pa; MAX_CORES],
    tops: [usize; MAX_CORES],
    count: usize,
}

impl Stacks {
    /// A stack for every core.
    #[must_use]
    pub fn new(arena: &mut Arena, count: usize) -> Self {
        let mut stacks = Self { guards: [Pa::new(0); MAX_CORES], tops: [Image::stack_top(); MAX_CORES], count };
        for (guard, top) in stacks.guards.iter_mut().zip(&mut stacks.tops).take(count).skip(1) {
            (*guard, *top) = arena.stack(STACK);
        }
        stacks
    }

    /// The pages below them.
    pub fn guards(&self) -> impl Iterator<Item = Pa> {
        self.guards.iter().take(self.count).skip(1).copied()
    }
}

/// The registers that the kernel uses itself.
pub fn devices(board: &Board) -> impl Iterator<Item = Range> {
    let none = Range::default();
    let gic = match board.gic {
        GicAddresses::V2 { distributor, interface, hypervisor, .. } => [distributor, interface, hypervisor, none, none],
        GicAddresses::V3 { distributor, redistributors: [a, b, c, d] } => [distributor, a, b, c, d],
    };
    gic.into_iter().chain(board.uart.map(|(registers, ..)| registers)).filter(|range| range.len() != 0)
}

/// What a core starts from.
pub struct Seed {
    index: u16,
    affinity: u64,
    stack: usize,
    policy: Option<sched::Core<MAX_CONTEXTS_PER_CORE>>,
    vcpus: Option<&'static mut [Vcpu]>,
    gic: GicAddresses,
    vtcr: u64,
    own: OwnInterrupts,
    trace: Option<trace::Ring<'static>>,
    core: Option<Core>,
}

impl Seed {
    /// Sets up this core's hardware and makes its `Core`.
    pub fn core(&'static mut self) -> &'static mut Core {
        // SAFETY: this core's stack is in use, no guest has run here.
        unsafe { control::start(self.vtcr) }
        control::forget_all_guest_translations();
        let gic = start_gic(&self.gic);
        let (Some(policy), Some(vcpus), Some(gic)) = (self.policy.take(), self.vcpus.take(), gic) else {
            refuse(|line| line.text(&"core ").number(u64::from(self.index)).text(&" has no redistributor in the device tree"));
        };
        let target = gic.target();
        let core = self.core.insert(Core::new(self.index, gic, policy, vcpus, self.own));
        core.set_trace(self.trace.take());
        for intid in [crate::arch::gic::KICK, timer::EL1_VIRTUAL, self.own.timer, self.own.maintenance] {
            core.gic.enable(intid);
        }
        if let Some(intid) = self.own.console {
            core.gic.route_here(intid);
            core.gic.enable(intid);
            console::listen();
        }
        system::set_target(self.index, target);
        core
    }
}

/// Makes partitions, vCPUs and what each core starts from.
/// (Not inlined, like the functions below: each keeps large objects on the boot stack for a moment.)
///
/// A system that does not fit the board is refused.
#[inline(never)]
pub fn build(manifest: &Manifest<'static>, board: &Board, arena: &mut Arena, frames: &mut Frames, stacks: Stacks) -> &'static mut [Seed] {
    let count = manifest.cores.len();
    if count > board.core_count {
        refuse(|line| {
            line.text(&"the system needs ").number(count as u64).text(&" cores, the board has ").number(board.core_count as u64)
        });
    }
    let version = match board.gic {
        GicAddresses::V2 { .. } => GicVersion::V2,
        GicAddresses::V3 { .. } => GicVersion::V3,
    };
    start_distributor(&board.gic);
    let mut builder = Builder { manifest, board, version, arena, frames, slots: [0; MAX_CORES], vtcr: 0 };
    let mut partitions = builder.arena.room(manifest.partitions().len());
    for (index, record) in manifest.partitions().iter().enumerate() {
        partitions.push(builder.partition(index as u8, record));
    }
    let partitions: &[Partition] = partitions.all();
    system::set_partitions(partitions);
    console::set_focus(manifest.header.focus.get() as u8);
    // The boot core is core 0; the others follow in the tree's order.
    let here = cpu::affinity();
    let mut others = board.cores.iter().take(board.core_count).copied().filter(|&affinity| affinity != here);
    let mut seeds = builder.arena.room(count);
    for (core, stack) in (0..count).zip(&stacks.tops) {
        let mut policy = sched::Core::new();
        let vcpus = builder.core_vcpus(core, &mut policy, *stack as u64);
        seeds.push(Seed {
            index: core as u16,
            affinity: if core == 0 { here } else { others.next().unwrap_or(here) },
            stack: *stack,
            policy: Some(policy),
            vcpus: Some(vcpus),
            gic: board.gic,
            vtcr: builder.vtcr,
            own: OwnInterrupts {
                timer: board.timer,
                maintenance: board.maintenance,
                console: board.uart.map(|(_, _, intid)| intid).filter(|_| core == 0),
            },
            trace: trace_ring(core as u16, manifest.trace_bytes() as usize, builder.frames),
            core: None,
        });
    }
    let (partitions, used) = (partitions.len() as u64, builder.arena.used() >> 10);
    let mut line = console::early();
    line.text(&"system ").name(&manifest.header.system).text(&": ").number(partitions).text(&" partition(s), ");
    line.number(count as u64).text(&" core(s), ").number(used).text(&" KiB of kernel objects").end();
    seeds.all()
}

/// What partitions and vCPUs are made from.
struct Builder<'a> {
    manifest: &'a Manifest<'static>,
    board: &'a Board,
    version: GicVersion,
    arena: &'a mut Arena,
    frames: &'a mut Frames,
    /// vCPUs of each core so far.
    slots: [u8; MAX_CORES],
    /// VTCR_EL2 of every space.
    vtcr: u64,
}

impl Builder<'_> {
    #[inline(never)]
    fn partition(&mut self, index: u8, record: &'static manifest::Partition) -> Partition {
        let name = &record.name;
        let needs = GicVersion::decode(record.gic).unwrap_or(GicVersion::Any);
        if !needs.suits(self.version) {
            refuse_partition(name, |line| {
                line.text(&" needs a GICv").number(needs as u64).text(&", the board has a GICv").number(self.version as u64);
                line.text(&": a guest's interrupt controller is its board's")
            });
        }
        let (regions, mut space) = self.space(index, record);
        let vttbr = space.vttbr();
        self.vtcr = space.vtcr();
        let vcpus = self.manifest.vcpus(record);
        let slots = &mut self.slots;
        let mut links = self.arena.room(vcpus.len());
        for vcpu in vcpus {
            let core = vcpu.core.get();
            // The manifest's check has seen to it that there is one.
            let Some(slot) = slots.get_mut(usize::from(core)) else { defect("no core for a vCPU") };
            links.push(VcpuLink { core, slot: *slot, requests: AtomicU32::new(0) });
            *slot += 1;
        }
        let links = links.all();
        let devices = self.device_slots(record);
        let loads = self.manifest.loads(record);
        let shared = self.shared(record, space);
        let partition = Partition::new(index, record, self.version, vttbr, regions, loads, devices, links, shared);
        if record.autostart != 0 {
            partition.set_state(State::Loading);
        }
        partition
    }

    /// A partition's memory, and the address space with it.
    fn space(&mut self, index: u8, record: &'static manifest::Partition) -> (&'static [Placed], AddressSpace) {
        let name = &record.name;
        let refused = |error: stage2::Error| -> ! {
            refuse_partition(name, |line| {
                let (at, size) = error.numbers();
                line.text(&" cannot have its address space: ").text(&error.reason());
                line.text(&", ").hex(at.unwrap_or(0)).text(&" + ").hex(size.unwrap_or(0))
            })
        };
        let vmid = Vmid::new(index + 1).unwrap_or_else(|| defect("no VMID for a partition"));
        let bits = AddressSpace::MAX_IPA_BITS.min(control::physical_bits());
        let space = AddressSpace::new(self.arena, bits, pa_range(), vmid).unwrap_or_else(|error| refused(error));
        let records = self.manifest.regions(record);
        let mut regions = self.arena.room(records.len());
        for region in records {
            let r = place(name, region, self.frames);
            let ram = r.kind == RegionKind::Ram;
            let rights = Rights { write: ram, execute: true };
            space.map(self.arena, &mut Tlb, Mapping { ipa: Ipa::new(r.ipa), pa: r.pa, size: r.size, kind: Kind::Normal, rights }).unwrap_or_else(|error| refused(error));
            let mut line = console::early();
            line.name(name).text(if ram { &": RAM " } else { &": ROM " }).hex(r.ipa);
            line.text(&"-").hex(r.ipa + r.size).text(&" at ").hex(r.pa.get()).end();
            regions.push(r);
        }
        if let GicAddresses::V2 { guest, .. } = self.board.gic {
            let rights = Rights { write: true, execute: false };
            let (ipa, pa) = (Ipa::new(record.gicc.get()), Pa::new(guest.start));
            space.map(self.arena, &mut Tlb, Mapping { ipa, pa, size: 0x2000, kind: Kind::Device, rights }).unwrap_or_else(|error| refused(error));
        }
        (regions.all(), space)
    }

    #[inline(never)]
    fn shared(&mut self, record: &'static manifest::Partition, space: AddressSpace) -> Shared {
        let count = record.vcpus.get();
        let config = Config {
            version: if self.version == GicVersion::V2 { vgic::Version::V2 } else { vgic::Version::V3 },
            vcpus: count as u8,
            spis: record.spis.get(),
        };
        let bad = || -> ! {
            refuse_partition(&record.name, |line| {
                line.text(&" has more vCPUs or interrupts than its interrupt controller can have")
            })
        };
        let mut distributor = Distributor::new();
        let cpus = self.arena.slice(usize::from(count), |_| vgic::Cpu::new());
        if Vgic::new(config, &mut distributor, cpus).is_err() {
            bad();
        }
        let Ok(power) = psci::Vm::new(count as u8, workarounds()) else {
            bad();
        };
        let has = |kind: DeviceKind| self.manifest.devices(record).iter().any(|d| d.kind == kind as u8);
        Shared {
            space,
            distributor,
            cpus,
            power,
            uart: has(DeviceKind::Pl011).then(devices::Pl011::new),
            keys: crate::vmm::Keys::new(),
            rtc: has(DeviceKind::Pl031).then(|| devices::Pl031::new(0)),
            starts: [Start::default(); manifest::MAX_VCPUS],
            to_park: 0,
            then: Then::Off,
            seed: manifest::Seed::begin(&[0; 8], 0, 0),
            crash: None,
        }
    }

    fn device_slots(&mut self, record: &manifest::Partition) -> &'static [DeviceSlot] {
        let records = self.manifest.devices(record);
        let mut slots = self.arena.room(2 + records.len());
        slots.push(DeviceSlot { ipa: record.gicd.get(), size: 0x1_0000, model: Model::Distributor, intid: 0 });
        for d in records {
            let model = match DeviceKind::decode(d.kind) {
                Some(DeviceKind::Pl011) => Model::Pl011,
                Some(DeviceKind::Pl031) => Model::Pl031,
                _ => Model::VirtioEmpty,
            };
            slots.push(DeviceSlot { ipa: d.ipa.get(), size: u64::from(d.size.get()), model, intid: d.intid.get() });
        }
        if self.version == GicVersion::V3 {
            let size = 0x2_0000 * u64::from(record.vcpus.get());
            slots.push(DeviceSlot { ipa: record.gicr.get(), size, model: Model::Redistributors, intid: 0 });
        }
        slots.all()
    }

    /// The vCPUs of one core, in the order of their slots, and their entities.
    #[inline(never)]
    fn core_vcpus(&mut self, core: usize, policy: &mut sched::Core<MAX_CONTEXTS_PER_CORE>, stack: u64) -> &'static mut [Vcpu] {
        let policy_of = self.manifest.cores.get(core).and_then(|record| CorePolicy::decode(record.policy));
        let hcr = control::guest_traps(policy_of != Some(CorePolicy::Pinned));
        let mut made = self.arena.room(self.slots.get(core).map_or(0, |&slots| usize::from(slots)));
        for (record, partition) in self.manifest.partitions().iter().zip(system::partitions()) {
            for (index, vcpu) in self.manifest.vcpus(record).iter().enumerate() {
                if usize::from(vcpu.core.get()) == core {
                    let entity = entity(vcpu, partition, policy);
                    let mut vcpu = Vcpu::new(partition, VcpuIndex::new(index as u8), entity, hcr, stack);
                    if self.manifest.trace_bytes() != 0 {
                        crate::trace::enter(&mut vcpu.frame);
                    }
                    made.push(vcpu);
                }
            }
        }
        made.all()
    }
}

/// Enters a vCPU into its core's policy.
fn entity(record: &manifest::Vcpu, partition: &Partition, policy: &mut sched::Core<MAX_CONTEXTS_PER_CORE>) -> sched::Index {
    let (budget, period) = (record.budget_ns.get(), record.period_ns.get());
    let budget = (budget != 0).then(|| Budget { time: ticks(budget), period: ticks(period) });
    let Some(entity) = policy.add(Params { priority: record.priority, budget }, Time(timer::now())) else {
        refuse_partition(&partition.name, |line| {
            line.text(&": its budget is not valid on a counter of ").number(timer::frequency()).text(&" Hz")
        });
    };
    entity
}

fn place(partition: &'static manifest::Name, region: &manifest::Region, frames: &mut Frames) -> Placed {
    let (size, pa) = (region.size.get(), region.pa.get());
    let range = if pa == ANYWHERE {
        // A block of stage 2 needs its physical address aligned as its guest-physical one.
        let align = if size >= 1 << 30 { 1 << 30 } else { 2 << 20 };
        let align = if size < 2 << 20 { 4096 } else { align };
        frames.take(size, align).or_else(|| frames.take(size, (2 << 20).min(align)))
            .unwrap_or_else(|| {
                refuse_partition(partition, |line| {
                    line.text(&" needs ").number(size >> 20).text(&" MiB of contiguous memory, the board has ");
                    line.number(frames.largest() >> 20).text(&" MiB left")
                })
            })
    } else {
        let range = Range::new(pa, size);
        if !frames.take_at(range) {
            refuse_partition(partition, |line| {
                line.text(&" wants memory at physical address ").hex(pa).text(&", where none is free")
            });
        }
        range
    };
    Placed {
        ipa: region.ipa.get(),
        size,
        pa: Pa::new(range.start),
        kind: RegionKind::decode(region.kind).unwrap_or(RegionKind::Rom),
    }
}

/// Refuses a system because of one of its partitions.
fn refuse_partition(name: &manifest::Name, reason: impl for<'a> FnOnce(&'a mut Line) -> &'a mut Line) -> ! {
    refuse(|line| reason(line.name(name)))
}

/// What the firmware says of its workarounds. The kernel passes none of them through, so a core that needs one is
/// reported to guests as unknown.
fn workarounds() -> psci::Workarounds {
    let ask = |function| match smc::arch_feature(function) {
        1 => psci::Firmware::NotRequired,
        _ => psci::Firmware::Unknown,
    };
    psci::Workarounds { one: ask(0x8000_8000), two: ask(0x8000_7fff), three: ask(0x8000_3fff) }
}

/// Nanoseconds as ticks of the counter, at least one.
fn ticks(ns: u64) -> Ticks {
    const SECOND: u64 = 1_000_000_000;
    // In two parts, so that no product exceeds 64 bits: a period is at most an hour, a counter runs at a few GHz at most.
    let (seconds, rest) = (ns / SECOND, ns % SECOND);
    Ticks((seconds * timer::frequency() + rest * timer::frequency() / SECOND).max(1))
}

fn pa_range() -> PaRange {
    match control::physical_range() {
        0 => PaRange::Bits32,
        1 => PaRange::Bits36,
        2 => PaRange::Bits40,
        3 => PaRange::Bits42,
        4 => PaRange::Bits44,
        _ => PaRange::Bits48,
    }
}

fn registers(range: Range) -> crate::arch::mmio::Mmio {
    // SAFETY: `devices` has listed it, so the final tables show it; the tree says that it is part of the GIC.
    unsafe { mmu::registers(range.start, range.len()) }
}

fn start_distributor(gic: &GicAddresses) {
    match *gic {
        GicAddresses::V2 { distributor, .. } => gicv2::start_distributor(registers(distributor)),
        GicAddresses::V3 { distributor, .. } => gicv3::start_distributor(registers(distributor)),
    }
}

fn start_gic(gic: &GicAddresses) -> Option<Gic> {
    Some(match *gic {
        GicAddresses::V2 { distributor, interface, hypervisor, .. } => {
            Gic::V2(gicv2::Core::start(registers(distributor), registers(interface), registers(hypervisor)))
        }
        GicAddresses::V3 { distributor, redistributors } => {
            Gic::V3(gicv3::Core::start(registers(distributor), &redistributors.map(registers))?)
        }
    })
}

/// Makes a core's trace ring, if there is to be one.
#[inline(never)]
fn trace_ring(core: u16, bytes: usize, frames: &mut Frames) -> Option<trace::Ring<'static>> {
    if bytes == 0 {
        return None;
    }
    let size = trace::size(bytes) as u64;
    let Some(range) = frames.take(size, 4096) else {
        refuse(|line| line.text(&"there is no memory for a trace ring of ").number(size).text(&" bytes"));
    };
    let mut line = console::early();
    line.text(&"trace: core ").number(u64::from(core)).text(&" at ").hex(range.start).text(&", ").number(size).text(&" bytes").end();
    // SAFETY: just taken, shown by the window, and nobody else's for ever.
    let memory = unsafe { core::slice::from_raw_parts_mut(mmu::window(Pa::new(range.start)) as *mut u64, trace::words(bytes)) };
    trace::Ring::new(memory, core, timer::frequency()).ok()
}

/// Starts the other cores, then runs this one.
pub fn start_cores(seeds: &'static mut [Seed], root: Pa) -> ! {
    let mut seeds = seeds.iter_mut();
    let Some(first) = seeds.next() else { defect("no core to start") };
    let entry = mmu::image_pa() + (Image::secondary_start() - Image::start()) as u64;
    for (seed, place) in seeds.zip(&BOOT_WORDS) {
        place.set([root.get(), seed.stack as u64, core::ptr::from_mut(seed) as u64]);
        let at = mmu::image_pa() + (core::ptr::from_ref(place) as usize - Image::start()) as u64;
        if let Err(error) = smc::cpu_on(seed.affinity, entry, at) {
            refuse(|line| {
                line.text(&"core ").number(u64::from(seed.index)).text(&" (").hex(seed.affinity);
                line.text(&") does not start: ").text(&error)
            });
        }
    }
    crate::run(first)
}

/// What each core reads before its MMU is on - root of the tables, stack, seed - in the image so that their physical address is known.
static BOOT_WORDS: [Words; MAX_CORES] = [const { Words([const { core::sync::atomic::AtomicU64::new(0) }; 3]) }; MAX_CORES];

#[repr(C, align(64))]
struct Words([core::sync::atomic::AtomicU64; 3]);

impl Words {
    fn set(&self, words: [u64; 3]) {
        for (place, value) in self.0.iter().zip(words) {
            place.store(value, core::sync::atomic::Ordering::Relaxed);
        }
        mmu::publish(self);
    }
}
