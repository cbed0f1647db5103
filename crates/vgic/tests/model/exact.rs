//! Step by step against the reference. A vCPU does not execute between a change that concerns it and its kick,
//! which comes at any later time; so every acknowledge and every register read must be exactly the reference's.

use crate::reference::Interrupt;
use crate::simulator::deactivate;
use crate::world::{Bits, Setup, World, id};

/// A bit of an interrupt's state.
type Property = fn(&Interrupt) -> bool;

impl World {
    /// One random step.
    pub fn step(&mut self) {
        if self.random.one_in(256) {
            self.change_mood();
        }
        let vcpu = self.random.below(self.setup.vcpus);
        match self.random.below(100) {
            0..22 => self.guest_acknowledges(vcpu),
            22..42 => self.guest_ends(vcpu),
            42..48 => self.guest_deactivates(vcpu),
            48..49 => {
                let mask = self
                    .random
                    .pick(&[0xff, 0xff, 0xff, 0xf8, 0xf8, 0x80, 0x40, 0]);
                self.guests[vcpu].priority_mask = mask;
            }
            49..63 => self.device_steps(vcpu),
            63..75 => self.guest_stores(vcpu),
            75..77 => self.guest_loads(vcpu),
            77..80 => self.switch(),
            _ if self.kicks != 0 => {
                let mut kicked = self.random.below(self.setup.vcpus);
                while self.kicks & 1 << kicked == 0 {
                    kicked = (kicked + 1) % self.setup.vcpus;
                }
                self.kicks &= !(1 << kicked);
                self.serve(kicked);
            }
            _ => {}
        }
        self.maintain(vcpu);
        self.check_order(vcpu);
    }

    fn guest_acknowledges(&mut self, vcpu: usize) {
        if !self.can_run(vcpu) {
            return;
        }
        let core = self.core_of(vcpu);
        let below = self.guests[vcpu].below();
        let sees = |(priority, _): &(u8, u16)| *priority < below;
        // What must be there, and what may be, as it moves.
        let best = self.candidates(vcpu).into_iter().filter(sees).min();
        let possible: Vec<(u8, u16)> = self.model.candidates(vcpu).filter(sees).collect();
        let waits = self.has_deliverable(vcpu);
        assert!(waits || best.is_none(), "a WFI of vCPU {vcpu} does not end");
        assert!(
            !waits || !possible.is_empty(),
            "a WFI of vCPU {vcpu} ends for nothing"
        );
        let got = self.guests[vcpu].acknowledge(&mut self.cores[core]);
        if self.trace {
            eprintln!("vCPU {vcpu} acknowledges {got:?}, best is {best:?}");
        }
        match got {
            None => assert_eq!(best, None, "vCPU {vcpu} does not see an interrupt"),
            Some(handling) => {
                let known = possible.contains(&(handling.priority, handling.intid));
                assert!(known, "vCPU {vcpu} gets {handling:?}, which is not there");
                if let Some((priority, intid)) = best {
                    assert!(
                        handling.priority <= priority,
                        "{handling:?} comes before {intid}"
                    );
                }
                self.model
                    .acknowledge(vcpu, handling.intid, handling.source);
            }
        }
    }

    fn guest_ends(&mut self, vcpu: usize) {
        if !self.can_run(vcpu) {
            return;
        }
        let core = self.core_of(vcpu);
        let ended = self.guests[vcpu].end(&mut self.cores[core], &mut self.physical);
        if self.trace {
            eprintln!("vCPU {vcpu} ends {ended:?}");
        }
        if let Some(handling) = ended
            && !self.setup.eoi_mode_1
        {
            self.model.get(vcpu, handling.intid).deactivate();
        }
    }

    /// A write to DIR, in any order, for an interrupt that the guest has priority-dropped.
    fn guest_deactivates(&mut self, vcpu: usize) {
        if !self.can_run(vcpu) || self.guests[vcpu].dropped.is_empty() {
            return;
        }
        let core = self.core_of(vcpu);
        let index = self.random.below(self.guests[vcpu].dropped.len());
        let handling = self.guests[vcpu].dropped.swap_remove(index);
        if self.trace {
            eprintln!("vCPU {vcpu} deactivates {handling:?}");
        }
        if self.cores[core].maintenance.not_present() {
            let others = self.on_core(vcpu, |vgic, vcpu, hw| {
                vgic.deactivate(vcpu, id(handling.intid), hw)
            });
            self.kick(others);
            self.flush(vcpu);
        } else {
            // Untrapped, the hardware only finds what this core has; see the limits in the crate's documentation.
            let here = |lr: &&tessera_vgic::ListRegister| {
                lr.is_active() && lr.intid() == handling.intid && lr.source() == handling.source
            };
            if self.cores[core].lrs.iter().find(here).is_none() {
                return;
            }
            deactivate(handling, &mut self.cores[core], &mut self.physical);
        }
        self.model.get(vcpu, handling.intid).deactivate();
    }

    fn device_steps(&mut self, vcpu: usize) {
        let intid = self.any_intid();
        if intid < 16 || self.quiet && !self.setup.calm && self.random.one_in(2) {
            return;
        }
        let action = match self.random.below(10) {
            // A running system: physical interrupts come again and again.
            often @ 0..6 if self.setup.calm => often + 10,
            // In quiet times lines fall.
            low @ 0..3 if self.quiet => low + 3,
            action => action,
        };
        if self.trace {
            eprintln!("device {action} of {intid}, vCPU {vcpu}");
        }
        match action {
            0..3 => self.set_line(vcpu, intid, true),
            3..6 => self.set_line(vcpu, intid, false),
            6..8 => self.pulse(vcpu, intid),
            _ => {
                // Shared ones come to the core of their target, mostly.
                let target = self.model.get(vcpu, intid).target.unwrap_or(vcpu);
                let vcpu = if self.random.one_in(8) && intid >= 32 {
                    vcpu
                } else {
                    target
                };
                self.physical_interrupt(vcpu, intid);
            }
        }
    }

    fn guest_stores(&mut self, vcpu: usize) {
        if !self.can_run(vcpu) || self.setup.calm && !self.random.one_in(8) {
            return;
        }
        // A GICv2's private interrupts are only its own vCPU's.
        let home = if self.v2() {
            vcpu
        } else {
            self.random.below(self.setup.vcpus)
        };
        let intid = self.any_intid();
        match self.random.below(24) {
            0..5 => self.store_to_bits(vcpu, home, intid, Bits::SetEnable),
            5..7 => self.store_to_bits(vcpu, home, intid, Bits::ClearEnable),
            7..9 => self.store_to_bits(vcpu, home, intid, Bits::SetPending),
            9..11 => self.store_to_bits(vcpu, home, intid, Bits::ClearPending),
            11 if self.setup.eoi_mode_1 => self.store_to_bits(vcpu, home, intid, Bits::SetActive),
            12 if self.setup.eoi_mode_1 => self.store_to_bits(vcpu, home, intid, Bits::ClearActive),
            13 => self.store_to_bits(vcpu, home, intid, Bits::Group),
            14..17 => {
                let priority = (self.random.below(8) * 0x20 + self.random.below(8)) as u8;
                self.store_priority(vcpu, home, intid, priority);
            }
            17 if intid >= 32 => {
                let target = self.random.below(self.setup.vcpus + 1);
                self.store_target(vcpu, intid, (target < self.setup.vcpus).then_some(target));
            }
            18 => {
                let level = self.random.one_in(2);
                self.store_config(vcpu, home, intid, level);
            }
            19 => {
                let off = self.random.below(16);
                self.store_groups(vcpu, [off != 0, off != 1]);
            }
            20 if self.v2() => self.store_sgi_sources(vcpu, intid & 15),
            _ => {
                let targets = self.random.next() as u32;
                let group1 = self.random.one_in(2);
                let intid = self.random.pick(&[0, 1, 2, 15]);
                if self.trace {
                    eprintln!("SGI {intid} by {vcpu} to {targets:#x}");
                }
                self.send_sgi(vcpu, intid, targets, group1);
            }
        }
    }

    /// A write to a bit register, of `intid` and perhaps others in its word.
    fn store_to_bits(&mut self, by: usize, home: usize, intid: u16, register: Bits) {
        let word = intid / 32;
        let mut value = 1u32 << (intid % 32);
        for other in self.hot.clone() {
            if other / 32 == word && self.random.one_in(4) {
                value |= 1 << (other % 32);
            }
        }
        if register == Bits::Group {
            value ^= self.fetch_bits(by, home, word, Bits::Group);
        }
        self.store_bits(by, home, word, register, value);
        let v2 = self.v2();
        for bit in 0..32u16 {
            let set = value & 1 << bit != 0;
            let fixed = v2 && word == 0 && bit < 16;
            let irq = self.model.get(home, word * 32 + bit);
            match register {
                Bits::Group => irq.group1 = set,
                Bits::SetEnable if set && !fixed => irq.enabled = true,
                Bits::ClearEnable if set && !fixed => irq.enabled = false,
                Bits::SetPending if set && !fixed => irq.latch = true,
                Bits::ClearPending if set && !fixed => irq.clear_latch(),
                Bits::SetActive if set => irq.activate_by_write(),
                Bits::ClearActive if set => irq.deactivate(),
                _ => {}
            }
        }
    }

    /// GICv2: SPENDSGIR or CPENDSGIR of one SGI.
    fn store_sgi_sources(&mut self, vcpu: usize, intid: u16) {
        let sources = self.random.next() as u8 & ((1u32 << self.setup.vcpus) - 1) as u8;
        let set = self.random.one_in(2);
        let offset = if set { 0xf20 } else { 0xf10 } + u32::from(intid);
        self.store(
            vcpu,
            tessera_vgic::Frame::Distributor,
            offset,
            1,
            u64::from(sources),
        );
        let irq = self.model.get(vcpu, intid);
        irq.sources = if set {
            irq.sources | sources
        } else {
            irq.sources & !sources
        };
        irq.latch = irq.sources != 0;
    }

    fn guest_loads(&mut self, vcpu: usize) {
        if !self.can_run(vcpu) {
            return;
        }
        let home = if self.v2() {
            vcpu
        } else {
            self.random.below(self.setup.vcpus)
        };
        let word = self.any_intid() / 32;
        self.compare_word(vcpu, home, word);
    }

    /// All registers of 32 interrupts.
    fn compare_word(&mut self, by: usize, home: usize, word: u16) {
        let registers: [(Bits, Property); 4] = [
            (Bits::Group, |irq| irq.group1),
            (
                self.random.pick(&[Bits::SetEnable, Bits::ClearEnable]),
                |irq| irq.enabled,
            ),
            (
                self.random.pick(&[Bits::SetPending, Bits::ClearPending]),
                |irq| irq.pending(),
            ),
            (
                self.random.pick(&[Bits::SetActive, Bits::ClearActive]),
                |irq| irq.active,
            ),
        ];
        for (register, expected) in registers {
            let value = self.fetch_bits(by, home, word, register);
            for bit in 0..32 {
                let want = expected(self.model.get(home, word * 32 + bit));
                assert_eq!(
                    value & 1 << bit != 0,
                    want,
                    "{register:?} of {} of vCPU {home}, read by {by}",
                    word * 32 + bit
                );
            }
        }
        if self.v2() && word == 0 {
            for intid in 0..16 {
                let frame = tessera_vgic::Frame::Distributor;
                let sources = self.fetch(by, frame, 0xf10 + u32::from(intid), 1);
                assert_eq!(
                    sources,
                    u64::from(self.model.get(home, intid).sources),
                    "sources of SGI {intid}"
                );
            }
        }
        for intid in word * 32..word * 32 + 32 {
            let (frame, offset) = self.place(home, word, 0x400 + u32::from(intid));
            let priority = self.fetch(by, frame, offset, 1);
            assert_eq!(priority, u64::from(self.model.get(home, intid).priority));
            let (frame, offset) = self.place(home, word, 0xc00 + u32::from(intid) / 16 * 4);
            let config = self.fetch(by, frame, offset, 4) >> (intid % 16 * 2) & 3;
            assert_eq!(
                config,
                if self.model.get(home, intid).level {
                    0
                } else {
                    2
                }
            );
            if word > 0 {
                let frame = tessera_vgic::Frame::Distributor;
                let route = if self.v2() {
                    self.fetch(by, frame, 0x800 + u32::from(intid), 1)
                } else {
                    self.fetch(by, frame, 0x6000 + u32::from(intid) * 8, 8)
                };
                assert_eq!(route, self.model.get(home, intid).route);
            }
        }
    }

    fn switch(&mut self) {
        let core = self.random.below(self.setup.cores);
        if self.random.one_in(4) {
            self.unload(core);
            return;
        }
        let vcpu = self.random.below(self.setup.vcpus);
        if self.core_of(vcpu) == core && !self.is_loaded(vcpu) {
            if self.trace {
                eprintln!("load {vcpu}");
            }
            self.load(vcpu);
        }
    }

    /// What `vcpu` should see. A shared interrupt that another vCPU's list register holds is not there yet, if that
    /// vCPU is still to be kicked: the change that brings it here is not complete.
    fn candidates(&self, vcpu: usize) -> Vec<(u8, u16)> {
        let mut moving = Vec::new();
        for (core, loaded) in self.loaded.iter().enumerate() {
            if let Some(other) = *loaded
                && other != vcpu
                && self.kicks & 1 << other != 0
            {
                moving.extend(
                    self.cores[core]
                        .lrs
                        .iter()
                        .map(|lr| lr.intid())
                        .filter(|intid| *intid >= 32),
                );
            }
        }
        self.model
            .candidates(vcpu)
            .filter(|(_, intid)| !moving.contains(intid))
            .collect()
    }

    /// What is pending in list registers is at least as urgent as what waits outside, and is there if anything waits.
    fn check_order(&mut self, vcpu: usize) {
        if !self.can_run(vcpu) {
            return;
        }
        let core = &self.cores[self.core_of(vcpu)];
        let pending = core
            .lrs
            .iter()
            .filter(|lr| lr.is_pending() && !lr.is_active());
        let inside: Vec<(u8, u16)> = pending.map(|lr| (lr.priority(), lr.intid())).collect();
        let waiting = self
            .candidates(vcpu)
            .into_iter()
            .filter(|entry| !inside.contains(entry));
        if let Some((best, intid)) = waiting.min() {
            let worst = inside.iter().map(|(priority, _)| *priority).max();
            assert!(
                worst.is_some(),
                "{intid} waits, and nothing is pending in a list register"
            );
            assert!(
                worst <= Some(best),
                "{intid} waits behind something less urgent"
            );
        }
    }

    /// Lets everything settle and compares all there is.
    pub fn settle(&mut self) {
        self.deliver_kicks();
        for vcpu in 0..self.setup.vcpus {
            self.load(vcpu);
            self.deliver_kicks();
            let words = self.setup.spis / 32;
            for word in 0..=words {
                self.compare_word(vcpu, vcpu, word);
            }
            let groups = u64::from(self.model.groups[0]) | u64::from(self.model.groups[1]) << 1;
            let fixed = if self.v2() { 0 } else { 0x50 };
            assert_eq!(
                self.fetch(vcpu, tessera_vgic::Frame::Distributor, 0, 4),
                groups | fixed,
                "CTLR, RWP"
            );
        }
        let mut linked = 0;
        for vcpu in (0..self.setup.vcpus).filter(|&vcpu| self.is_loaded(vcpu)) {
            linked += self.model.private[vcpu]
                .iter()
                .filter(|irq| irq.linked())
                .count();
        }
        linked += self.model.shared.iter().filter(|irq| irq.linked()).count();
        assert_eq!(
            self.physical.count(),
            linked,
            "physical interrupts are left active, or were lost"
        );
    }
}

/// Runs `steps` steps in a world and compares everything now and then.
pub fn run(setup: Setup, steps: usize) {
    let mut world = World::new(setup);
    world.store_all_on();
    world.change_mood();
    for step in 0..steps {
        world.step();
        if step % 1024 == 1023 {
            world.settle();
            if setup.calm {
                world.store_all_on();
            }
        }
    }
    world.settle();
    assert!(world.quick > 0, "no short way was ever taken");
    assert!(world.parts > 0, "no write was ever done in parts");
}

impl World {
    /// Sometimes little happens, so that list registers empty; always much happens to a few.
    fn change_mood(&mut self) {
        self.quiet = self.random.one_in(2);
        self.quiet |= self.setup.calm;
        self.focus = (0..3).map(|_| self.random.pick(&self.hot)).collect();
    }

    fn any_intid(&mut self) -> u16 {
        if self.random.one_in(2) {
            self.random.pick(&self.focus)
        } else {
            self.random.pick(&self.hot)
        }
    }

    /// What a guest does at boot: groups on, everything that is used enabled.
    fn store_all_on(&mut self) {
        for vcpu in 0..self.setup.vcpus {
            self.load(vcpu);
            if vcpu == 0 {
                self.store_groups(vcpu, [true; 2]);
            }
            for intid in self.hot.clone() {
                if intid >= 32 && vcpu > 0 {
                    continue;
                }
                self.store_to_bits(vcpu, vcpu, intid, Bits::SetEnable);
                if intid >= 32 {
                    let level = self.random.one_in(2);
                    self.store_config(vcpu, vcpu, intid, level);
                    let target = self.random.below(self.setup.vcpus);
                    self.store_target(vcpu, intid, Some(target));
                }
            }
        }
    }
}
