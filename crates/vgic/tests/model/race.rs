//! With guests that run on while kicks are under way, as real ones do. What a guest sees at a given moment is
//! then open within limits; what must hold is that nothing is lost, nothing is delivered twice, nothing is
//! active in two places, and a disable that has completed (RWP reads 0) is final.

use crate::simulator::{Handling, deactivate};
use crate::world::{Bits, Setup, World, id};
use std::collections::BTreeMap;
use tessera_vgic::{Access, Frame, VcpuIndex};

/// Whose interrupt: the vCPU of a private one (0 for shared ones), the INTID, the source of a GICv2 SGI.
type Name = (usize, u16, u8);

#[derive(Default, Clone, Copy, Debug)]
struct Tally {
    /// How often it was made pending, and the time of the last.
    sets: u32,
    last_set: u64,
    acknowledged: u32,
    last_acknowledged: u64,
}

struct Race {
    world: World,
    tallies: BTreeMap<Name, Tally>,
    /// Interrupts that some guest handles: the vCPU it is active on.
    active: BTreeMap<(usize, u16), usize>,
    /// Disabled, and since then some vCPU has read RWP as 0.
    surely_disabled: Vec<(usize, u16)>,
    time: u64,
}

fn owner(vcpu: usize, intid: u16) -> usize {
    if intid < 32 { vcpu } else { 0 }
}

impl Race {
    fn new(setup: Setup) -> Race {
        let mut race = Race {
            world: World::new(setup),
            tallies: BTreeMap::new(),
            active: BTreeMap::new(),
            surely_disabled: Vec::new(),
            time: 0,
        };
        race.world.late = true;
        // In half of the GICv3 races the private interrupts are of group 1, as Linux has them.
        let group1 = !race.world.v2() && race.world.random.one_in(2);
        for vcpu in 0..setup.vcpus {
            race.load(vcpu);
            if group1 {
                race.world.store_bits(vcpu, vcpu, 0, Bits::Group, u32::MAX);
                for intid in 0..32 {
                    race.world.model.get(vcpu, intid).group1 = true;
                }
            }
            race.world.store_groups(vcpu, [true; 2]);
            for intid in race.world.hot.clone() {
                // Odd ones are edge-triggered.
                race.world.store_config(vcpu, vcpu, intid, intid % 2 == 0);
                race.enable(vcpu, vcpu, intid);
                if intid >= 32 {
                    race.world.store_target(vcpu, intid, Some(vcpu));
                }
            }
        }
        race
    }

    fn load(&mut self, vcpu: usize) {
        if self.world.load(vcpu) {
            self.set((vcpu, 27, 0));
        }
    }

    fn is_level(intid: u16) -> bool {
        intid >= 16 && intid.is_multiple_of(2)
    }

    fn set(&mut self, name: Name) {
        let tally = self.tallies.entry(name).or_default();
        tally.sets += 1;
        tally.last_set = self.time;
    }

    fn enable(&mut self, by: usize, home: usize, intid: u16) {
        self.world
            .store_bits(by, home, intid / 32, Bits::SetEnable, 1 << (intid % 32));
        self.world.model.get(home, intid).enabled = true;
        self.surely_disabled
            .retain(|entry| *entry != (owner(home, intid), intid));
    }

    fn step(&mut self) {
        self.time += 1;
        let vcpu = self.world.random.below(self.world.setup.vcpus);
        match self.world.random.below(100) {
            0..28 => {
                self.acknowledge(vcpu);
            }
            28..48 => {
                self.finish(vcpu);
            }
            48..70 => self.device(vcpu),
            70..80 => self.send_sgi(vcpu),
            80..88 => self.store(vcpu),
            88..90 => self.read_rwp(vcpu),
            90..93 => {
                let core = self.world.core_of(vcpu);
                if self.world.random.one_in(4) {
                    self.world.unload(core);
                } else if !self.world.is_loaded(vcpu) {
                    self.load(vcpu);
                }
            }
            _ => {
                let kicked = self.world.kicks & 1 << vcpu != 0;
                self.world.kicks &= !(1 << vcpu);
                if kicked {
                    self.world.serve(vcpu);
                }
            }
        }
        self.world.maintain(vcpu);
    }

    /// Gives whether there was one.
    fn acknowledge(&mut self, vcpu: usize) -> bool {
        if !self.world.is_loaded(vcpu) {
            return false;
        }
        let core = self.world.core_of(vcpu);
        let Some(handling) = self.world.guests[vcpu].acknowledge(&mut self.world.cores[core])
        else {
            return false;
        };
        let Handling { intid, source, .. } = handling;
        let key = (owner(vcpu, intid), intid);
        if self.world.trace {
            eprintln!("vCPU {vcpu} acknowledges {handling:?}");
        }
        let before = self.active.insert(key, vcpu);
        assert_eq!(
            before, None,
            "{intid} is active on two vCPUs, {vcpu} is the second"
        );
        assert!(
            !self.surely_disabled.contains(&key),
            "{intid} comes to {vcpu} though it is disabled"
        );
        let tally = self.tallies.entry((key.0, intid, source)).or_default();
        tally.acknowledged += 1;
        tally.last_acknowledged = self.time;
        assert!(
            Race::is_level(intid) || tally.acknowledged <= tally.sets,
            "{intid} comes to {vcpu} more often than it was sent: {tally:?}"
        );
        // A handler quiets its device.
        if Race::is_level(intid) && self.world.random.one_in(2) {
            self.world.set_line(vcpu, intid, false);
        }
        self.world.maintain(vcpu);
        true
    }

    /// EOI, or DIR of any that was dropped. Gives whether there was one.
    fn finish(&mut self, vcpu: usize) -> bool {
        if !self.world.is_loaded(vcpu) {
            return false;
        }
        let core = self.world.core_of(vcpu);
        let eoi_mode_1 = self.world.setup.eoi_mode_1;
        let dropped = self.world.guests[vcpu].dropped.len();
        let idle = self.world.guests[vcpu].running.is_empty();
        let handling = if dropped > 0 && (idle || self.world.random.one_in(2)) {
            let index = self.world.random.below(dropped);
            self.world.guests[vcpu].dropped.swap_remove(index)
        } else {
            let world = &mut self.world;
            let count = world.cores[core].eoi_count;
            let ended = world.guests[vcpu].end(&mut world.cores[core], &mut world.physical);
            let Some(handling) = ended else { return false };
            if world.trace {
                eprintln!("vCPU {vcpu} ends {handling:?}");
            }
            assert!(
                world.cores[core].eoi_count == count || world.cores[core].maintenance.not_present(),
                "the end of {} goes unheard",
                handling.intid
            );
            if eoi_mode_1 {
                return true;
            }
            self.active
                .remove(&(owner(vcpu, handling.intid), handling.intid));
            self.world.maintain(vcpu);
            return true;
        };
        let intid = handling.intid;
        if self.world.trace {
            eprintln!("vCPU {vcpu} deactivates {handling:?}");
        }
        if self.world.cores[core].maintenance.not_present() {
            let others = self
                .world
                .on_core(vcpu, |vgic, vcpu, hw| vgic.deactivate(vcpu, id(intid), hw));
            self.world.kick(others);
            self.world.flush(vcpu);
        } else {
            let count = self.world.cores[core].eoi_count;
            deactivate(
                handling,
                &mut self.world.cores[core],
                &mut self.world.physical,
            );
            assert_eq!(
                self.world.cores[core].eoi_count, count,
                "the end of {intid} goes unheard"
            );
        }
        self.active.remove(&(owner(vcpu, intid), intid));
        self.world.maintain(vcpu);
        true
    }

    fn device(&mut self, vcpu: usize) {
        let intid = self.world.random.pick(&self.world.hot);
        if intid < 16 {
            return;
        }
        if self.world.trace {
            eprintln!("device of {intid}, vCPU {vcpu}");
        }
        if Race::is_level(intid) {
            let high = self.world.random.one_in(2);
            self.world.set_line(vcpu, intid, high);
        } else if self
            .world
            .random
            .one_in(if self.world.setup.calm { 6 } else { 2 })
        {
            self.set((owner(vcpu, intid), intid, 0));
            self.world.pulse(vcpu, intid);
        } else {
            let target = self.world.model.get(vcpu, intid).target.unwrap_or(vcpu);
            let active = self.world.physical.count();
            self.world.physical_interrupt(target, intid);
            if self.world.physical.count() > active {
                self.set((owner(target, intid), intid, 0));
            }
        }
    }

    fn send_sgi(&mut self, vcpu: usize) {
        if !self.world.is_loaded(vcpu) {
            return;
        }
        let targets = match self.world.random.one_in(2) {
            true => 1 << self.world.random.below(self.world.setup.vcpus),
            false => self.world.random.next() as u32 & ((1 << self.world.setup.vcpus) - 1),
        };
        // The SGIs are in front.
        let intid = self.world.random.pick(&self.world.hot.clone()[..2]);
        if self.world.trace {
            eprintln!("SGI {intid} by {vcpu} to {targets:#x}");
        }
        for target in (0..self.world.setup.vcpus).filter(|target| targets & 1 << target != 0) {
            let source = if self.world.v2() { vcpu as u8 } else { 0 };
            self.set((target, intid, source));
        }
        if self.world.v2() {
            let value = u64::from(targets) << 16 | u64::from(intid);
            self.world.store(vcpu, Frame::Distributor, 0xf00, 4, value);
        } else {
            self.world.send_sgi_to(vcpu, intid, u64::from(targets));
        }
    }

    fn store(&mut self, vcpu: usize) {
        if !self.world.is_loaded(vcpu) || self.world.setup.calm && !self.world.random.one_in(8) {
            return;
        }
        let setup = self.world.setup;
        let home = if self.world.v2() {
            vcpu
        } else {
            self.world.random.below(setup.vcpus)
        };
        let intid = self.world.random.pick(&self.world.hot);
        match self.world.random.below(8) {
            0..2 => {
                self.world
                    .store_bits(vcpu, home, intid / 32, Bits::ClearEnable, 1 << (intid % 32));
                self.world.model.get(home, intid).enabled = false;
            }
            2..5 => self.enable(vcpu, home, intid),
            5..7 => {
                let priority = (self.world.random.below(8) * 0x20) as u8;
                self.world.store_priority(vcpu, home, intid, priority);
            }
            _ if intid >= 32 => {
                let target = self.world.random.below(setup.vcpus);
                self.world.store_target(vcpu, intid, Some(target));
            }
            _ => {}
        }
    }

    /// When RWP reads 0, all disables have completed.
    fn read_rwp(&mut self, vcpu: usize) {
        if !self.world.is_loaded(vcpu) || self.world.v2() {
            return;
        }
        let value = self
            .world
            .vgic()
            .read(VcpuIndex::new(vcpu as u8), Frame::Distributor, 0, 4);
        if value != Access::Value(0x53) {
            return;
        }
        self.surely_disabled.clear();
        for home in 0..self.world.setup.vcpus {
            for intid in self.world.hot.clone() {
                if !self.world.model.get(home, intid).enabled {
                    self.surely_disabled.push((owner(home, intid), intid));
                }
            }
        }
    }

    /// Enables everything, lets the guests handle all there is, and looks whether something is missing.
    fn drain(&mut self) {
        self.time += 1;
        self.world.still = true;
        self.world.deliver_kicks();
        let vcpus = self.world.setup.vcpus;
        for vcpu in 0..vcpus {
            self.load(vcpu);
            for intid in self.world.hot.clone() {
                self.enable(vcpu, vcpu, intid);
            }
        }
        loop {
            let mut progress = false;
            for vcpu in 0..vcpus {
                self.load(vcpu);
                self.world.deliver_kicks();
                self.time += 1;
                while self.finish(vcpu) {
                    progress = true;
                }
                while self.acknowledge(vcpu) {
                    progress = true;
                    self.world.deliver_kicks();
                }
                if progress {
                    for intid in self.world.hot.clone() {
                        if self.active.get(&(owner(vcpu, intid), intid)) == Some(&vcpu)
                            && Race::is_level(intid)
                        {
                            self.world.set_line(vcpu, intid, false);
                        }
                    }
                    self.world.deliver_kicks();
                }
            }
            if !progress {
                break;
            }
        }
        assert!(self.active.is_empty(), "{:?} are never ended", self.active);
        assert_eq!(
            self.world.physical.count(),
            0,
            "a physical interrupt is left active"
        );
        for (name, tally) in &self.tallies {
            assert!(
                Race::is_level(name.1)
                    || tally.sets == 0
                    || tally.last_set <= tally.last_acknowledged,
                "{name:?} is lost: {tally:?}"
            );
        }
        for vcpu in 0..vcpus {
            self.load(vcpu);
            let _ = self
                .world
                .on_core(vcpu, |vgic, vcpu, hw| vgic.sync(vcpu, hw));
        }
        for vcpu in 0..vcpus {
            for intid in self.world.hot.clone() {
                assert!(
                    !self.world.model.get(vcpu, intid).line,
                    "the line of {intid} is high and not heard"
                );
                let index = VcpuIndex::new(vcpu as u8);
                assert!(
                    !self.world.vgic().active(index, id(intid)),
                    "{intid} is left active"
                );
                assert!(
                    !self.world.vgic().hw_in_flight(index, id(intid)),
                    "{intid} is left linked"
                );
            }
        }
        self.world.still = false;
    }
}

/// Runs `steps` steps with kicks under way, and drains now and then.
pub fn run(setup: Setup, steps: usize) {
    let mut race = Race::new(setup);
    for step in 0..steps {
        race.step();
        if step % 512 == 511 {
            race.drain();
        }
    }
    race.drain();
}
