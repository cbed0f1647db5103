//! One test for each way in which other hypervisors' virtual interrupt controllers were found broken.

use crate::world::{Bits, Setup, World, id};
use tessera_vgic::{Access, Frame, VcpuIndex, Version};

/// A world with a core for each vCPU, all loaded, both groups on.
pub fn world(version: Version, vcpus: usize, list_registers: usize, eoi_mode_1: bool) -> World {
    let setup = Setup {
        version,
        vcpus,
        cores: vcpus,
        list_registers,
        eoi_mode_1,
        spis: 64,
        seed: 7,
        calm: false,
    };
    let mut world = World::new(setup);
    for vcpu in (0..vcpus).rev() {
        world.load(vcpu);
        world.store_groups(vcpu, [true; 2]);
    }
    world
}

/// Enables edge-triggered SPIs at vCPU 0 with the given priorities, from INTID 32 on.
pub fn enable_spis(world: &mut World, priorities: &[u8]) {
    for (intid, priority) in (32..).zip(priorities) {
        world.store_config(0, 0, intid, false);
        world.store_priority(0, 0, intid, *priority);
        world.store_target(0, intid, Some(0));
        world.store_bits(0, 0, intid / 32, Bits::SetEnable, 1 << (intid % 32));
    }
}

/// The guest's handler: acknowledges, without ending it.
pub fn acknowledge(world: &mut World, vcpu: usize) -> Option<u16> {
    let core = world.core_of(vcpu);
    let handling = world.guests[vcpu].acknowledge(&mut world.cores[core]);
    world.maintain(vcpu);
    handling.map(|handling| handling.intid)
}

pub fn end(world: &mut World, vcpu: usize) {
    let core = world.core_of(vcpu);
    let World {
        guests,
        cores,
        physical,
        ..
    } = world;
    guests[vcpu]
        .end(&mut cores[core], physical)
        .expect("something to end");
    world.maintain(vcpu);
}

/// Handles everything, one after the other.
pub fn handle_all(world: &mut World, vcpu: usize) -> Vec<u16> {
    let mut order = Vec::new();
    while let Some(intid) = acknowledge(world, vcpu) {
        order.push(intid);
        end(world, vcpu);
    }
    order
}

pub const VERSIONS: [Version; 2] = [Version::V2, Version::V3];

#[test]
fn sixteen_interrupts_at_once_come_in_priority_order_with_four_list_registers() {
    for version in VERSIONS {
        let mut world = world(version, 1, 4, false);
        let priorities: Vec<u8> = (0..16u8).map(|i| (i * 7 % 16) * 8).collect();
        enable_spis(&mut world, &priorities);
        for intid in 32..48 {
            world.pulse(0, intid);
        }
        world.deliver_kicks();
        let mut expected: Vec<u16> = (32..48).collect();
        expected.sort_by_key(|intid| priorities[usize::from(*intid) - 32]);
        assert_eq!(handle_all(&mut world, 0), expected);
    }
}

#[test]
fn a_more_urgent_interrupt_evicts_a_pending_one_from_full_list_registers() {
    let mut world = world(Version::V3, 1, 2, false);
    enable_spis(&mut world, &[0x80, 0x90, 0x10]);
    world.pulse(0, 32);
    world.pulse(0, 33);
    world.deliver_kicks();
    world.pulse(0, 34);
    world.deliver_kicks();
    assert_eq!(handle_all(&mut world, 0), [34, 32, 33]);
}

#[test]
fn an_active_interrupt_is_spilled_for_a_pending_one_and_its_end_is_heard() {
    for version in VERSIONS {
        for list_registers in [1, 2] {
            let mut world = world(version, 1, list_registers, false);
            enable_spis(&mut world, &[0xa0, 0x80, 0x60, 0x40]);
            // Each one interrupts the handler of the one before.
            for intid in 32..36 {
                world.pulse(0, intid);
                world.deliver_kicks();
                assert_eq!(acknowledge(&mut world, 0), Some(intid));
            }
            for intid in (32..36).rev() {
                let mask = 1 << (intid - 32);
                assert_ne!(world.fetch_bits(0, 0, 1, Bits::SetActive) & mask, 0);
                end(&mut world, 0);
                // Heard at the latest when somebody looks.
                world.sync_and_flush(0);
                assert!(!world.vgic().active(VcpuIndex::new(0), id(intid)));
            }
            world.pulse(0, 32);
            world.deliver_kicks();
            assert_eq!(handle_all(&mut world, 0), [32]);
        }
    }
}

#[test]
fn a_spilled_hardware_interrupt_is_deactivated_physically_once() {
    for eoi_mode_1 in [false, true] {
        let mut world = world(Version::V3, 1, 1, eoi_mode_1);
        enable_spis(&mut world, &[0xa0, 0x80]);
        world.physical_interrupt(0, 32);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, 0), Some(32));
        world.pulse(0, 33);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, 0), Some(33));
        assert!(world.vgic().hw_in_flight(VcpuIndex::new(0), id(32)));
        assert!(world.physical.is_active(0, 32));
        if eoi_mode_1 {
            assert!(world.cores[0].maintenance.not_present());
            let kicks = world.on_core(0, |vgic, vcpu, hw| vgic.deactivate(vcpu, id(32), hw));
            assert!(kicks.is_empty());
        } else {
            end(&mut world, 0);
            end(&mut world, 0);
        }
        assert!(!world.physical.is_active(0, 32));
        assert!(!world.vgic().hw_in_flight(VcpuIndex::new(0), id(32)));
    }
}

#[test]
fn disabling_an_active_interrupt_leaves_it_active() {
    for version in VERSIONS {
        let mut world = world(version, 1, 4, false);
        enable_spis(&mut world, &[0x80]);
        world.pulse(0, 32);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, 0), Some(32));
        world.store_bits(0, 0, 1, Bits::ClearEnable, 1);
        assert_eq!(world.fetch_bits(0, 0, 1, Bits::SetActive), 1);
        // It comes again, and stays away until it is ended and enabled.
        world.pulse(0, 32);
        world.deliver_kicks();
        end(&mut world, 0);
        assert_eq!(world.fetch_bits(0, 0, 1, Bits::SetActive), 0);
        assert_eq!(acknowledge(&mut world, 0), None);
        world.store_bits(0, 0, 1, Bits::SetEnable, 1);
        assert_eq!(handle_all(&mut world, 0), [32]);
    }
}

#[test]
fn what_becomes_pending_while_disabled_is_kept() {
    for version in VERSIONS {
        let mut world = world(version, 1, 4, false);
        enable_spis(&mut world, &[0x80]);
        world.store_bits(0, 0, 1, Bits::ClearEnable, 1);
        world.pulse(0, 32);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, 0), None);
        assert_eq!(world.fetch_bits(0, 0, 1, Bits::SetPending), 1);
        world.store_bits(0, 0, 1, Bits::SetEnable, 1);
        assert_eq!(handle_all(&mut world, 0), [32]);
    }
}

#[test]
fn disabling_a_pending_interrupt_takes_it_out_of_its_list_register() {
    for version in VERSIONS {
        let mut world = world(version, 2, 4, false);
        enable_spis(&mut world, &[0x80]);
        world.pulse(0, 32);
        world.deliver_kicks();
        // The other vCPU disables it: complete when the first has been kicked, which RWP tells.
        world.store_bits(1, 1, 1, Bits::ClearEnable, 1);
        let control = |world: &mut World| {
            world
                .vgic()
                .read(VcpuIndex::new(1), Frame::Distributor, 0, 4)
        };
        if version == Version::V3 {
            assert_eq!(control(&mut world), Access::Value(1 << 31 | 0x53));
        }
        world.deliver_kicks();
        if version == Version::V3 {
            assert_eq!(control(&mut world), Access::Value(0x53));
        }
        assert_eq!(acknowledge(&mut world, 0), None);
        assert_eq!(world.fetch_bits(0, 0, 1, Bits::SetPending), 1);
    }
}

#[test]
fn no_maintenance_storm_with_all_list_registers_active() {
    for version in VERSIONS {
        let mut world = world(version, 1, 4, true);
        enable_spis(&mut world, &[0x90, 0x80, 0x70, 0x60, 0xa0, 0xb0]);
        for intid in 32..36 {
            world.pulse(0, intid);
            world.deliver_kicks();
            assert_eq!(acknowledge(&mut world, 0), Some(intid));
        }
        assert!(world.cores[0].lrs[..4].iter().all(|lr| lr.is_active()));
        // Two wait, less urgent than all that is active.
        world.pulse(0, 36);
        world.pulse(0, 37);
        world.deliver_kicks();
        assert!(!world.cores[0].maintenance_asserted());
        assert!(world.cores[0].lrs[..4].iter().any(|lr| lr.is_pending()));
        // The least urgent active one made room.
        assert!(world.cores[0].lrs[..4].iter().all(|lr| lr.intid() != 32));
        for _ in 0..3 {
            world.sync_and_flush(0);
            assert!(!world.cores[0].maintenance_asserted());
        }
    }
}

#[test]
fn an_interrupt_that_comes_again_while_active_keeps_its_place_in_the_order() {
    for version in VERSIONS {
        let mut world = world(version, 1, 2, false);
        enable_spis(&mut world, &[0xa0, 0x80, 0x90]);
        world.pulse(0, 32);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, 0), Some(32));
        for intid in 32..35 {
            world.pulse(0, intid);
            world.deliver_kicks();
        }
        // The guest has its interrupts masked until after this.
        end(&mut world, 0);
        assert_eq!(handle_all(&mut world, 0), [33, 34, 32]);
    }
}

#[test]
fn an_interrupt_that_comes_again_while_active_goes_to_its_new_target() {
    for version in VERSIONS {
        let mut world = world(version, 2, 2, false);
        enable_spis(&mut world, &[0xa0]);
        world.pulse(0, 32);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, 0), Some(32));
        world.store_target(0, 32, Some(1));
        world.pulse(0, 32);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, 1), None);
        end(&mut world, 0);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, 0), None);
        assert_eq!(handle_all(&mut world, 1), [32]);
    }
}

#[test]
fn the_ninth_and_the_sixteenth_cpu_get_their_interrupts() {
    let mut world = world(Version::V3, 16, 4, false);
    for target in [8, 15] {
        world.store_bits(0, target, 0, Bits::SetEnable, 1 << 5);
        world.store_target(0, 40, Some(target));
        world.store_bits(0, 0, 1, Bits::SetEnable, 1 << 8);
        world.send_sgi_to(0, 5, 1 << target);
        world.set_line(0, 40, true);
        world.deliver_kicks();
        assert_eq!(acknowledge(&mut world, target), Some(5));
        end(&mut world, target);
        assert_eq!(acknowledge(&mut world, target), Some(40));
        world.set_line(0, 40, false);
        world.deliver_kicks();
        end(&mut world, target);
        assert_eq!(acknowledge(&mut world, target), None);
    }
}

#[test]
fn a_line_that_stays_high_comes_again_after_its_end() {
    let mut world = world(Version::V3, 1, 4, false);
    enable_spis(&mut world, &[0x80]);
    world.store_config(0, 0, 32, true);
    world.set_line(0, 32, true);
    world.deliver_kicks();
    for _ in 0..3 {
        assert_eq!(acknowledge(&mut world, 0), Some(32));
        end(&mut world, 0);
    }
    world.set_line(0, 32, false);
    world.deliver_kicks();
    assert_eq!(acknowledge(&mut world, 0), None);
}

#[test]
fn gicv2_sgis_from_two_cpus_come_one_after_the_other() {
    let mut world = world(Version::V2, 3, 4, false);
    for from in [1, 2] {
        world.store(from, Frame::Distributor, 0xf00, 4, 1 << 16 | 6);
    }
    world.deliver_kicks();
    let mut sources = Vec::new();
    while let Some(6) = acknowledge(&mut world, 0) {
        sources.push(
            world.guests[0]
                .running
                .last()
                .map(|handling| handling.source),
        );
        end(&mut world, 0);
    }
    assert_eq!(sources, [Some(1), Some(2)]);
}

#[test]
fn an_interrupt_of_a_vcpu_that_is_switched_out_waits_for_it() {
    let setup = Setup {
        version: Version::V3,
        vcpus: 2,
        cores: 1,
        list_registers: 4,
        eoi_mode_1: false,
        spis: 64,
        seed: 1,
        calm: false,
    };
    let mut world = World::new(setup);
    world.load(0);
    world.store_groups(0, [true; 2]);
    enable_spis(&mut world, &[0x80]);
    world.load(1);
    assert!(!world.has_deliverable(0));
    world.pulse(0, 32);
    assert!(world.has_deliverable(0));
    assert_eq!(acknowledge(&mut world, 1), None);
    world.load(0);
    assert_eq!(acknowledge(&mut world, 0), Some(32));
    // Active: nothing for which a WFI ends, here or in memory.
    assert!(!world.has_deliverable(0));
    world.load(1);
    assert!(!world.has_deliverable(0));
    world.load(0);
    end(&mut world, 0);
    assert_eq!(world.fetch_bits(0, 0, 1, Bits::SetActive), 0);
}

#[test]
fn with_nothing_to_do_no_list_register_is_touched() {
    let mut world = world(Version::V3, 1, 4, false);
    enable_spis(&mut world, &[0x80]);
    let touched = |world: &mut World, serve: bool| {
        world.cores[0].touched.set(0);
        let kicks = world.on_core(0, |vgic, vcpu, hw| {
            if serve {
                vgic.serve(vcpu, hw)
            } else {
                vgic.sync(vcpu, hw) | vgic.flush(vcpu, hw)
            }
        });
        assert!(kicks.is_empty());
        world.cores[0].touched.get()
    };
    assert_eq!(touched(&mut world, false), 0);
    assert_eq!(touched(&mut world, true), 0);
    // One write to deliver, one read of the status register to find it ended.
    world.pulse(0, 32);
    assert_eq!(touched(&mut world, true), 1);
    assert_eq!(handle_all(&mut world, 0), [32]);
    assert_eq!(touched(&mut world, true), 0);
    assert_eq!(touched(&mut world, false), 1);
    assert_eq!(touched(&mut world, false), 0);
    // One that comes again in its list register: a read and a write, and for a shared one the status register.
    world.pulse(0, 32);
    assert_eq!(touched(&mut world, true), 1);
    assert_eq!(handle_all(&mut world, 0), [32]);
    world.pulse(0, 32);
    assert_eq!(touched(&mut world, true), 3);
    assert_eq!(handle_all(&mut world, 0), [32]);
    world.store_bits(0, 0, 0, Bits::SetEnable, 1 << 20);
    world.store_config(0, 0, 20, false);
    world.sync_and_flush(0);
    for expected in [1, 2] {
        world.pulse(0, 20);
        assert_eq!(touched(&mut world, true), expected);
        assert_eq!(handle_all(&mut world, 0), [20]);
    }
}
