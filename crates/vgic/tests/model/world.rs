//! A guest, its vCPUs on their cores, the devices, and the kernel between them: everything that a test steps.

use crate::random::Random;
use crate::reference::Reference;
use crate::simulator::{Core, Guest, Hw, Physical};
use tessera_vgic::{
    Access, Config, Cpu, Distributor, Frame, Groups, IntId, OneSgi, SgiRegister, VcpuIndex,
    VcpuSet, Version, Vgic,
};

/// How a world is made.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub version: Version,
    pub vcpus: usize,
    pub cores: usize,
    pub list_registers: usize,
    pub eoi_mode_1: bool,
    pub spis: u16,
    pub seed: u64,
    /// Few interrupts, few register writes, prompt handlers: the state of a system that just runs.
    pub calm: bool,
}

pub struct World {
    pub setup: Setup,
    pub random: Random,
    pub dist: Box<Distributor>,
    pub cpus: Vec<Cpu>,
    pub cores: Vec<Core>,
    /// The vCPU whose list registers each core has.
    pub loaded: Vec<Option<usize>>,
    pub guests: Vec<Guest>,
    pub physical: Physical,
    pub model: Reference,
    /// vCPUs that were to be kicked and have not been yet.
    pub kicks: u32,
    /// Whether kicks of vCPUs that are switched out are late, too.
    pub late: bool,
    /// No timer runs out any more while its vCPU is away.
    pub still: bool,
    /// Whether the kernel tries a short way.
    pub shortcuts: Random,
    /// How often a short way was taken.
    pub quick: u32,
    /// Writes that were interrupted.
    pub parts: u32,
    /// The interrupts that this world uses: few, so that much happens to each.
    pub hot: Vec<u16>,
    /// Those to which most happens at present, and whether little else does.
    pub focus: Vec<u16>,
    pub quiet: bool,
    pub trace: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bits {
    Group = 1,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
}

impl World {
    pub fn new(setup: Setup) -> World {
        let mut random = Random(setup.seed);
        let config = Config {
            version: setup.version,
            vcpus: setup.vcpus as u8,
            spis: setup.spis,
        };
        let mut dist = Box::new(Distributor::new());
        let mut cpus: Vec<Cpu> = (0..setup.vcpus).map(|_| Cpu::new()).collect();
        Vgic::new(config, &mut dist, &mut cpus).expect("a possible configuration");
        let (mut hot, count): (Vec<u16>, usize) = if setup.calm {
            (vec![0, 1, 27], 7)
        } else {
            (vec![0, 1, 2, 15, 16, 27, 30, 31], 20)
        };
        while hot.len() < count {
            let spi = 32 + random.below(usize::from(setup.spis)) as u16;
            if !hot.contains(&spi) {
                hot.push(spi);
            }
        }
        let guest = || Guest {
            priority_mask: 0xff,
            eoi_mode_1: setup.eoi_mode_1,
            running: Vec::new(),
            dropped: Vec::new(),
        };
        World {
            setup,
            random,
            dist,
            cpus,
            cores: (0..setup.cores)
                .map(|core| Core::new(core, setup.list_registers))
                .collect(),
            loaded: vec![None; setup.cores],
            guests: (0..setup.vcpus).map(|_| guest()).collect(),
            physical: Physical::default(),
            model: Reference::new(setup.version, setup.vcpus, usize::from(setup.spis)),
            kicks: 0,
            late: false,
            still: false,
            shortcuts: Random(setup.seed ^ 0x5eed),
            quick: 0,
            parts: 0,
            hot,
            focus: Vec::new(),
            quiet: false,
            trace: std::env::var_os("VGIC_TRACE").is_some(),
        }
    }

    pub fn v2(&self) -> bool {
        self.setup.version == Version::V2
    }

    pub fn core_of(&self, vcpu: usize) -> usize {
        vcpu % self.setup.cores
    }

    pub fn is_loaded(&self, vcpu: usize) -> bool {
        self.loaded[self.core_of(vcpu)] == Some(vcpu)
    }

    /// Loaded, and nobody wants anything of it: it can execute.
    pub fn can_run(&self, vcpu: usize) -> bool {
        self.is_loaded(vcpu) && self.kicks & 1 << vcpu == 0
    }

    pub fn vgic(&mut self) -> Vgic<'_> {
        Vgic::attach(&mut self.dist, &mut self.cpus)
    }

    /// Runs the kernel on the core of `vcpu`.
    pub fn on_core<R>(
        &mut self,
        vcpu: usize,
        run: impl FnOnce(&mut Vgic, VcpuIndex, &mut Hw) -> R,
    ) -> R {
        let core = self.core_of(vcpu);
        let mut vgic = Vgic::attach(&mut self.dist, &mut self.cpus);
        let mut hw = Hw {
            core: &mut self.cores[core],
            physical: &mut self.physical,
        };
        run(&mut vgic, VcpuIndex::new(vcpu as u8), &mut hw)
    }

    /// Runs the kernel on the core of `vcpu`, with that vCPU's part alone.
    pub fn on_core_cpu<R>(&mut self, vcpu: usize, run: impl FnOnce(&mut Cpu, &mut Hw) -> R) -> R {
        let core = self.core_of(vcpu);
        let mut hw = Hw {
            core: &mut self.cores[core],
            physical: &mut self.physical,
        };
        run(&mut self.cpus[vcpu], &mut hw)
    }

    pub fn kick(&mut self, set: VcpuSet) {
        if self.trace {
            eprintln!("    kicks {:#x}", set.bits());
        }
        self.kicks |= set.bits();
        if !self.late {
            for vcpu in (0..self.setup.vcpus).filter(|&vcpu| set.bits() & 1 << vcpu != 0) {
                if !self.is_loaded(vcpu) {
                    self.serve(vcpu);
                }
            }
        }
    }

    /// What the kernel does when a kick comes to the core of a vCPU.
    pub fn serve(&mut self, vcpu: usize) {
        if self.is_loaded(vcpu) {
            self.sync_and_flush(vcpu);
        } else {
            self.kicks &= !(1 << vcpu);
            let others = self.on_core(vcpu, |vgic, vcpu, hw| vgic.sync(vcpu, hw));
            self.kick(others);
        }
    }

    /// What the kernel does before the guest runs again.
    pub fn flush(&mut self, vcpu: usize) {
        let others = self.on_core(vcpu, |vgic, vcpu, hw| vgic.flush(vcpu, hw));
        assert!(!others.contains(VcpuIndex::new(vcpu as u8)));
        self.kicks &= !(1 << vcpu);
        self.kick(others);
        assert!(
            !self.cores[self.core_of(vcpu)].maintenance_asserted(),
            "maintenance right after a flush"
        );
    }

    /// What the kernel does for a kick or a maintenance interrupt.
    pub fn sync_and_flush(&mut self, vcpu: usize) {
        if self.random.one_in(3)
            && let Some(others) = self.on_core(vcpu, |vgic, vcpu, hw| vgic.serve_changes(vcpu, hw))
        {
            self.kick(others);
        }
        let one_by_one = self.random.one_in(2);
        let others = self.on_core(vcpu, |vgic, vcpu, hw| {
            if one_by_one {
                vgic.sync(vcpu, hw)
            } else {
                vgic.serve(vcpu, hw)
            }
        });
        assert!(!others.contains(VcpuIndex::new(vcpu as u8)));
        self.kick(others);
        if one_by_one {
            self.flush(vcpu);
        } else {
            self.kicks &= !(1 << vcpu);
            assert!(
                !self.cores[self.core_of(vcpu)].maintenance_asserted(),
                "maintenance after being served"
            );
        }
    }

    /// Delivers every kick, and those that follow from it.
    pub fn deliver_kicks(&mut self) {
        for _ in 0..100 {
            if self.kicks == 0 {
                return;
            }
            let vcpu = self.kicks.trailing_zeros() as usize;
            self.kicks &= !(1 << vcpu);
            self.serve(vcpu);
        }
        panic!("kicks without end");
    }

    /// Serves the maintenance interrupt of `vcpu`'s core; once must be enough.
    pub fn maintain(&mut self, vcpu: usize) {
        let core = self.core_of(vcpu);
        if self.is_loaded(vcpu) && self.cores[core].maintenance_asserted() {
            self.sync_and_flush(vcpu);
            assert!(
                !self.cores[core].maintenance_asserted(),
                "maintenance storm"
            );
        }
    }

    pub fn unload(&mut self, core: usize) {
        if let Some(vcpu) = self.loaded[core] {
            let (others, in_flight) = self
                .on_core_cpu(vcpu, |cpu, hw| {
                    cpu.quick_save(id(TIMER), hw).map(|f| (VcpuSet::EMPTY, f))
                })
                .unwrap_or_else(|| {
                    self.on_core(vcpu, |vgic, vcpu, hw| vgic.save(vcpu, id(TIMER), hw))
                });
            assert_eq!(
                in_flight,
                self.vgic()
                    .hw_in_flight(VcpuIndex::new(vcpu as u8), id(TIMER))
            );
            self.loaded[core] = None;
            self.kick(others);
            // The private physical interrupts of a core are active for the vCPU that is loaded there.
            for intid in 16..32 {
                if self.physical.is_active(core, intid) {
                    self.physical.deactivate(core, intid);
                }
            }
            let empty = self.cores[core]
                .lrs
                .iter()
                .all(|lr| lr.is_invalid() && !lr.has_eoi());
            assert!(
                empty,
                "a list register is left: {:x?}",
                self.cores[core].lrs
            );
            assert_eq!(self.cores[core].maintenance, Default::default());
            // A kick that came too late for the loaded vCPU is served for the one that is switched out.
            if !self.late && self.kicks & 1 << vcpu != 0 {
                self.serve(vcpu);
            }
            // The next vCPU's guest, or this core's next use, counts from anything.
            self.cores[core].eoi_count = self.random.below(4) as u32;
        }
    }

    /// Whether an interrupt came with it is what it returns: that of a timer that ran out while the vCPU was away.
    pub fn load(&mut self, vcpu: usize) -> bool {
        let core = self.core_of(vcpu);
        self.unload(core);
        self.loaded[core] = Some(vcpu);
        self.kicks &= !(1 << vcpu);
        for intid in 16..32 {
            let index = VcpuIndex::new(vcpu as u8);
            if self.vgic().hw_in_flight(index, id(intid)) {
                self.physical.activate(core, intid);
            }
        }
        let active = self.physical.is_active(core, TIMER);
        let due = !self.still && self.random.one_in(3);
        if due && !active {
            self.physical.activate(core, TIMER);
            let irq = self.model.get(vcpu, TIMER);
            irq.latch = true;
            irq.pending_link = true;
        }
        let (others, in_flight) = self
            .on_core_cpu(vcpu, |cpu, hw| {
                cpu.quick_load(id(TIMER), due, hw)
                    .map(|f| (VcpuSet::EMPTY, f))
            })
            .unwrap_or_else(|| {
                self.on_core(vcpu, |vgic, vcpu, hw| vgic.load(vcpu, id(TIMER), due, hw))
            });
        // Serving it may have released the physical one.
        assert_eq!(in_flight, self.physical.is_active(core, TIMER));
        assert!(in_flight || active || !due, "nobody hears of the timer");
        self.kick(others);
        assert!(
            !self.cores[core].maintenance_asserted(),
            "maintenance right after a load"
        );
        due && !active
    }

    // --- register addresses -------------------------------------------------------------------------------

    /// The frame and offset of a register of interrupts `word * 32 ..`, at `offset` of the distributor's map.
    pub fn place(&self, home: usize, word: u16, offset: u32) -> (Frame, u32) {
        if word == 0 && !self.v2() {
            (
                Frame::Redistributor(VcpuIndex::new(home as u8)),
                0x1_0000 + offset,
            )
        } else {
            (Frame::Distributor, offset)
        }
    }

    /// A guest's store; `vcpu` executes it.
    pub fn store(&mut self, vcpu: usize, frame: Frame, offset: u32, size: u8, value: u64) {
        if self.trace {
            eprintln!("store by {vcpu}: {frame:?} {offset:#x}/{size} = {value:#x}");
        }
        let quick = frame == Frame::Distributor
            && size == 4
            && offset.is_multiple_of(4)
            && self.shortcuts.one_in(2);
        if quick
            && self.on_core(vcpu, |vgic, vcpu, hw| {
                vgic.quick_write(vcpu, offset, value as u32, hw)
            })
        {
            self.quick += 1;
            return;
        }
        // In one go, or in parts between which others look at their interrupts.
        let mut left = u32::MAX;
        if self.random.one_in(2) {
            left = self.on_core(vcpu, |vgic, vcpu, _| {
                vgic.concerns(vcpu, frame, offset, size, value)
            });
        }
        loop {
            let mut part = left & self.random.next() as u32;
            if part == 0 || left == u32::MAX {
                part = left;
            }
            if part == 0 {
                part = u32::MAX;
            }
            let others = self.on_core(vcpu, |vgic, vcpu, _| {
                vgic.write_part(vcpu, frame, offset, size, value, part)
            });
            self.kick(others);
            left &= !part;
            if left == 0 {
                break;
            }
            self.parts += 1;
            if self.random.one_in(2) {
                self.sync_and_flush(vcpu);
            }
        }
        // The kernel may or may not have other reasons to sync.
        if self.random.one_in(2) {
            self.flush(vcpu)
        } else {
            self.sync_and_flush(vcpu)
        }
    }

    /// A guest's load, with all that it takes to get the value.
    pub fn fetch(&mut self, vcpu: usize, frame: Frame, offset: u32, size: u8) -> u64 {
        if self.random.one_in(3) {
            let others = self.on_core(vcpu, |vgic, vcpu, hw| vgic.sync(vcpu, hw));
            self.kick(others);
        }
        if frame == Frame::Distributor
            && size == 4
            && offset.is_multiple_of(4)
            && self.shortcuts.one_in(2)
            && let Some(value) = self.vgic().quick_read(offset)
        {
            self.quick += 1;
            return u64::from(value);
        }
        for _ in 0..3 {
            let local = self.random.one_in(2);
            let access = self.on_core(vcpu, |vgic, vcpu, hw| {
                if local {
                    vgic.read_local(vcpu, frame, offset, size, hw)
                } else {
                    vgic.read(vcpu, frame, offset, size)
                }
            });
            match access {
                Access::Value(value) => {
                    self.flush(vcpu);
                    return value;
                }
                Access::Retry(set) => {
                    assert!(!set.is_empty(), "a retry that waits for nobody");
                    self.kick(set);
                    self.deliver_kicks();
                    self.flush(vcpu);
                }
            }
        }
        panic!("the read of {frame:?} {offset:#x} makes no progress");
    }

    pub fn store_bits(&mut self, by: usize, home: usize, word: u16, register: Bits, value: u32) {
        let (frame, offset) =
            self.place(home, word, (register as u32) * 0x80 + u32::from(word) * 4);
        self.store(by, frame, offset, 4, u64::from(value));
    }

    pub fn fetch_bits(&mut self, by: usize, home: usize, word: u16, register: Bits) -> u32 {
        let (frame, offset) =
            self.place(home, word, (register as u32) * 0x80 + u32::from(word) * 4);
        self.fetch(by, frame, offset, 4) as u32
    }

    pub fn store_priority(&mut self, by: usize, home: usize, intid: u16, priority: u8) {
        let (frame, offset) = self.place(home, intid / 32, 0x400 + u32::from(intid));
        self.store(by, frame, offset, 1, u64::from(priority));
        self.model.get(home, intid).priority = priority & 0xf8;
    }

    /// Sends an SPI to a vCPU, or nowhere.
    pub fn store_target(&mut self, by: usize, intid: u16, target: Option<usize>) {
        let vcpus = self.setup.vcpus;
        if self.v2() {
            let mask = target.map_or(0, |vcpu| 1u64 << vcpu);
            self.store(by, Frame::Distributor, 0x800 + u32::from(intid), 1, mask);
            if vcpus > 1 {
                let irq = self.model.get(0, intid);
                (irq.target, irq.route) = (target, mask);
            }
        } else {
            let affinity = target.map_or(0x200, |vcpu| vcpu as u64);
            self.store(
                by,
                Frame::Distributor,
                0x6000 + u32::from(intid) * 8,
                8,
                affinity,
            );
            let irq = self.model.get(0, intid);
            (irq.target, irq.route) = (target, affinity);
        }
    }

    pub fn store_groups(&mut self, by: usize, groups: [bool; 2]) {
        let value = u64::from(groups[0]) | u64::from(groups[1]) << 1;
        self.store(by, Frame::Distributor, 0, 4, value);
        self.model.groups = groups;
    }

    /// Two bits of ICFGR.
    pub fn store_config(&mut self, by: usize, home: usize, intid: u16, level: bool) {
        let (frame, offset) = self.place(home, intid / 32, 0xc00 + u32::from(intid) / 16 * 4);
        let shift = u32::from(intid) % 16 * 2;
        let old = self.fetch(by, frame, offset, 4);
        let value = old & !(3 << shift) | if level { 0 } else { 2 << shift };
        self.store(by, frame, offset, 4, value);
        if intid >= 16 {
            self.model.get(home, intid).level = level;
        }
    }

    /// An SGI from `from` to the vCPUs in `targets`; GICv3: in the group of the register.
    pub fn send_sgi(&mut self, from: usize, intid: u16, targets: u32, group1: bool) {
        let mut reached = Vec::new();
        if self.v2() {
            let (filter, list) = match self.random.below(3) {
                0 => (0u64, targets & 0xff),
                1 => (1, !(1 << from)),
                _ => (2, 1 << from),
            };
            let value = filter << 24 | u64::from(targets & 0xff) << 16 | u64::from(intid);
            self.store(from, Frame::Distributor, 0xf00, 4, value);
            for vcpu in (0..self.setup.vcpus).filter(|vcpu| list & 1 << vcpu != 0) {
                self.model.get(vcpu, intid).sources |= 1 << from;
                reached.push(vcpu);
            }
        } else {
            let all = self.random.one_in(4);
            let targets = match self.random.one_in(2) {
                true => 1 << self.random.below(self.setup.vcpus),
                false => targets,
            };
            let list = if all { !(1 << from) } else { targets & 0xffff };
            let value = u64::from(intid) << 24 | if all { 1 << 40 } else { u64::from(list) };
            let register = match group1 {
                true => SgiRegister::Sgi1,
                false => self.random.pick(&[SgiRegister::Sgi0, SgiRegister::Asgi1]),
            };
            if !(group1 && self.send_quickly(from, value)) {
                let others =
                    self.on_core(from, |vgic, vcpu, _| vgic.send_sgi(vcpu, register, value));
                self.kick(others);
                self.flush(from);
            }
            for vcpu in (0..self.setup.vcpus).filter(|vcpu| list & 1 << vcpu != 0) {
                if self.model.get(vcpu, intid).group1 == group1 {
                    reached.push(vcpu);
                }
            }
        }
        for vcpu in reached {
            self.model.get(vcpu, intid).latch = true;
        }
    }

    /// The short way for an SGI of group 1, if it is one and the kernel happens to try it.
    fn send_quickly(&mut self, from: usize, value: u64) -> bool {
        let Some(sgi) = OneSgi::from_value(value).filter(|_| !self.shortcuts.one_in(3)) else {
            return false;
        };
        let sent = self.on_core(from, |vgic, vcpu, hw| vgic.quick_sgi(vcpu, sgi, hw));
        if sent {
            self.quick += 1;
            let target = VcpuSet::only(sgi.target);
            self.kick(target.without(VcpuIndex::new(from as u8)));
        }
        sent
    }

    /// GICv3: an SGI to the vCPUs in `targets`, in the group that it has for all of them.
    pub fn send_sgi_to(&mut self, from: usize, intid: u16, targets: u64) {
        let value = u64::from(intid) << 24 | targets;
        let group1 = self.model.get(from, intid).group1;
        if group1 && self.send_quickly(from, value) {
            return;
        }
        let register = match group1 {
            true => SgiRegister::Sgi1,
            false => SgiRegister::Sgi0,
        };
        let kicks = self.on_core(from, |vgic, vcpu, _| vgic.send_sgi(vcpu, register, value));
        self.kick(kicks);
        self.flush(from);
    }

    /// A device's line; called on any core.
    pub fn set_line(&mut self, vcpu: usize, intid: u16, high: bool) {
        let irq = self.model.get(vcpu, intid);
        if high && !irq.line && !irq.level {
            irq.latch = true;
        }
        irq.line = high;
        let kicks = self
            .vgic()
            .set_line(VcpuIndex::new(vcpu as u8), id(intid), high);
        self.kick(kicks);
    }

    pub fn pulse(&mut self, vcpu: usize, intid: u16) {
        self.model.get(vcpu, intid).latch = true;
        let kicks = self.vgic().pulse(VcpuIndex::new(vcpu as u8), id(intid));
        self.kick(kicks);
    }

    /// A physical interrupt comes to `vcpu`'s core, if it is not active there.
    pub fn physical_interrupt(&mut self, vcpu: usize, intid: u16) {
        let core = self.core_of(vcpu);
        if self.physical.is_active(core, intid) {
            return;
        }
        // A physical PPI belongs to one vCPU of its core: the one that is loaded.
        if intid < 32 && !self.is_loaded(vcpu) {
            return;
        }
        self.physical.activate(core, intid);
        let irq = self.model.get(vcpu, intid);
        irq.latch = true;
        irq.pending_link = true;
        // It stops the vCPU if that is loaded, and the kernel syncs, injects and flushes. An SPI may as well have been
        // meant for another core when it came.
        let here = self.is_loaded(vcpu) && (intid < 32 || self.random.one_in(2));
        if here && self.random.one_in(2) {
            let others = self.on_core(vcpu, |vgic, vcpu, hw| {
                vgic.deliver_hw(vcpu, id(intid), id(intid), hw)
            });
            self.kicks &= !(1 << vcpu);
            self.kick(others);
            return;
        }
        if here {
            let others = self.on_core(vcpu, |vgic, vcpu, hw| vgic.sync(vcpu, hw));
            self.kick(others);
        }
        let kicks = self
            .vgic()
            .inject_hw(VcpuIndex::new(vcpu as u8), id(intid), id(intid));
        self.kick(kicks);
        if here {
            self.flush(vcpu);
        }
    }

    /// Whether the kernel would find something for which `vcpu` leaves a WFI.
    pub fn has_deliverable(&mut self, vcpu: usize) -> bool {
        let below = self.guests[vcpu].below();
        self.on_core(vcpu, |vgic, vcpu, hw| {
            vgic.has_deliverable(vcpu, below, Groups::BOTH, hw)
        })
    }
}

/// The private interrupt that is a vCPU's timer.
const TIMER: u16 = 27;

pub fn id(intid: u16) -> IntId {
    IntId::new(u32::from(intid)).expect("an ordinary INTID")
}
