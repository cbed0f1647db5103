//! Whatever a guest writes, wherever, in whatever state: no panic, no physical interrupt deactivated twice or left
//! behind, no INTID in two list registers, no maintenance that does not go away. (The simulator checks these.)

use crate::simulator::{Handling, deactivate};
use crate::world::{Setup, World, id};
use tessera_vgic::{Access, Frame, IntId, SgiRegister, VcpuIndex};

/// Any vCPU, now and then one that the guest does not have.
fn any_vcpu(world: &mut World) -> u8 {
    let limit = if world.random.one_in(50) {
        256
    } else {
        world.setup.vcpus
    };
    world.random.below(limit) as u8
}

/// An offset that is likely to be a register.
fn any_offset(world: &mut World) -> u32 {
    let base = world.random.pick(&[0, 0, 0x1_0000, 0x6000]);
    let limit = world.random.pick(&[0x20, 0x400, 0x1000, 0x2000]);
    let aligned = !world.random.one_in(10);
    let offset = base + world.random.below(limit) as u32;
    if world.random.one_in(200) {
        world.random.next() as u32
    } else if aligned {
        offset & !3
    } else {
        offset
    }
}

fn any_value(world: &mut World) -> u64 {
    let value = world.random.next();
    match world.random.below(4) {
        0 => value,
        1 => value & world.random.next() & world.random.next(),
        2 => 1 << (value & 63),
        _ => world.random.pick(&[0, u64::MAX, 1, 3]),
    }
}

fn step(world: &mut World) {
    let vcpu = world.random.below(world.setup.vcpus);
    let core = world.core_of(vcpu);
    let index = VcpuIndex::new(any_vcpu(world));
    let intid = world.random.below(320) as u32;
    let intid = IntId::new(intid).expect("below 1020");
    match world.random.below(20) {
        0..7 => {
            let frame = any_frame(world);
            let (offset, value) = (any_offset(world), any_value(world));
            let size = world.random.pick(&[4, 4, 4, 4, 1, 2, 8, 0, 3, 255]);
            let kicks = world.vgic().write(index, frame, offset, size, value);
            world.kick(kicks);
        }
        7..9 => {
            let frame = any_frame(world);
            let offset = any_offset(world);
            let size = world.random.pick(&[4, 4, 4, 1, 8, 0]);
            match world.vgic().read(index, frame, offset, size) {
                Access::Value(value) if size == 4 => assert!(value <= u64::from(u32::MAX)),
                Access::Value(_) => {}
                Access::Retry(set) => world.kick(set),
            }
        }
        9 => {
            let high = world.random.one_in(2);
            let kicks = world.vgic().set_line(index, intid, high);
            world.kick(kicks);
        }
        10 => {
            let kicks = world.vgic().pulse(index, intid);
            world.kick(kicks);
        }
        11 => {
            let register =
                world
                    .random
                    .pick(&[SgiRegister::Sgi0, SgiRegister::Sgi1, SgiRegister::Asgi1]);
            let value = any_value(world);
            let kicks = world.vgic().send_sgi(index, register, value);
            world.kick(kicks);
        }
        12 => {
            // The kernel injects only interrupts that exist, and private ones only into the loaded vCPU.
            let spis = world.setup.spis;
            if (16..32 + spis).contains(&intid.get())
                && world.is_loaded(vcpu)
                && !world.physical.is_active(core, intid.get())
            {
                world.physical.activate(core, intid.get());
                let kicks =
                    world
                        .vgic()
                        .inject_hw(VcpuIndex::new(vcpu as u8), intid, id(intid.get()));
                world.kick(kicks);
            }
        }
        13..16 if world.is_loaded(vcpu) => {
            world.guests[vcpu].acknowledge(&mut world.cores[core]);
        }
        16..18 if world.is_loaded(vcpu) => {
            let World {
                guests,
                cores,
                physical,
                ..
            } = world;
            guests[vcpu].end(&mut cores[core], physical);
            if let Some(handling) = guests[vcpu].dropped.pop() {
                deactivate(handling, &mut cores[core], physical);
            }
        }
        18 if world.is_loaded(vcpu) => {
            let handling = Handling {
                intid: intid.get(),
                source: 0,
                priority: 0,
            };
            if world.cores[core].maintenance.not_present() {
                let kicks = world.on_core(vcpu, |vgic, vcpu, hw| vgic.deactivate(vcpu, intid, hw));
                world.kick(kicks);
            } else {
                deactivate(handling, &mut world.cores[core], &mut world.physical);
            }
        }
        _ => {
            if world.random.one_in(2) {
                world.load(vcpu);
            } else {
                world.unload(core);
            }
        }
    }
    world.maintain(vcpu);
    if world.random.one_in(3) {
        world.deliver_kicks();
        for vcpu in 0..world.setup.vcpus {
            if world.is_loaded(vcpu) {
                world.flush(vcpu);
            }
        }
    }
}

fn any_frame(world: &mut World) -> Frame {
    match world.random.below(2) {
        0 => Frame::Distributor,
        _ => Frame::Redistributor(VcpuIndex::new(any_vcpu(world))),
    }
}

/// Runs `steps` steps, and then ends everything: no physical interrupt may be left.
pub fn run(setup: Setup, steps: usize) {
    let mut world = World::new(setup);
    for _ in 0..steps {
        step(&mut world);
    }
    world.still = true;
    world.deliver_kicks();
    let words = setup.spis / 32;
    for vcpu in 0..setup.vcpus {
        world.load(vcpu);
        for word in 0..=words {
            for register in [0x280, 0x380] {
                let (frame, offset) = world.place(vcpu, word, register + u32::from(word) * 4);
                world.store(vcpu, frame, offset, 4, u64::from(u32::MAX));
            }
        }
        world.deliver_kicks();
    }
    for vcpu in 0..setup.vcpus {
        world.load(vcpu);
        world.deliver_kicks();
    }
    assert_eq!(
        world.physical.count(),
        0,
        "physical interrupts are left active"
    );
    let spilled = world
        .cores
        .iter()
        .any(|core| core.maintenance.not_present());
    assert!(!spilled, "something is left spilled");
}
