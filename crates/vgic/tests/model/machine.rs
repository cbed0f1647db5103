//! The controller as a device: configuration, reset, identification, accesses, SGIs, waiting.

use crate::peers::{VERSIONS, acknowledge, enable_spis, handle_all, world};
use crate::world::{Bits, World, id};
use tessera_vgic::{
    Config, ConfigError, Cpu, Distributor, Frame, Groups, VcpuIndex, Version, Vgic,
};

#[test]
fn a_ninth_cpu_is_refused_on_gicv2_and_a_seventeenth_on_gicv3() {
    let mut dist = Distributor::new();
    let mut cpus: Vec<Cpu> = (0..20).map(|_| Cpu::new()).collect();
    for (version, vcpus) in [(Version::V2, 9), (Version::V3, 17), (Version::V3, 0)] {
        let config = Config {
            version,
            vcpus,
            spis: 32,
        };
        assert_eq!(
            Vgic::new(config, &mut dist, &mut cpus).err(),
            Some(ConfigError::Vcpus(vcpus))
        );
    }
    let config = Config {
        version: Version::V3,
        vcpus: 1,
        spis: 33,
    };
    assert_eq!(
        Vgic::new(config, &mut dist, &mut cpus).err(),
        Some(ConfigError::Spis(33))
    );
}

#[test]
fn a_reset_controller_is_like_a_new_one() {
    for version in VERSIONS {
        let mut world = world(version, 2, 2, false);
        enable_spis(&mut world, &[0x80, 0x70, 0x60, 0x50]);
        for intid in 32..36 {
            world.pulse(0, intid);
        }
        world.set_line(1, 27, true);
        world.deliver_kicks();
        acknowledge(&mut world, 0);
        world.unload(0);
        world.unload(1);
        world.vgic().reset();
        let fresh = World::new(world.setup);
        world.model = fresh.model;
        world.guests = fresh.guests;
        world.settle();
        assert!(!world.has_deliverable(0));
    }
}

#[test]
fn resetting_one_cpu_leaves_the_shared_interrupts() {
    let mut world = world(Version::V3, 1, 2, false);
    enable_spis(&mut world, &[0x80]);
    world.store_bits(0, 0, 0, Bits::SetEnable, 1 << 27);
    world.unload(0);
    world.pulse(0, 32);
    world.set_line(0, 27, true);
    assert!(world.vgic().pending(VcpuIndex::new(0), id(27)));
    world.vgic().reset_vcpu(VcpuIndex::new(0));
    assert!(!world.vgic().pending(VcpuIndex::new(0), id(27)));
    world.load(0);
    assert_eq!(handle_all(&mut world, 0), [32]);
}

#[test]
fn a_waking_redistributor_acknowledges_the_handshake() {
    let mut world = world(Version::V3, 1, 2, false);
    let frame = Frame::Redistributor(VcpuIndex::new(0));
    assert_eq!(world.fetch(0, frame, 0x14, 4), 6);
    world.store(0, frame, 0x14, 4, 0);
    assert_eq!(world.fetch(0, frame, 0x14, 4), 0);
    world.store(0, frame, 0x14, 4, 2);
    assert_eq!(world.fetch(0, frame, 0x14, 4), 6);
}

#[test]
fn the_identification_registers_tell_the_truth() {
    let mut world = world(Version::V3, 3, 2, false);
    let dist = Frame::Distributor;
    // 64 SPIs, ten bits of INTID, no LPIs, one security state.
    assert_eq!(world.fetch(0, dist, 0x4, 4), 2 | 9 << 19);
    assert_eq!(world.fetch(0, dist, 0xffe8, 4) >> 4 & 15, 3);
    for vcpu in 0..3u8 {
        let frame = Frame::Redistributor(VcpuIndex::new(vcpu));
        let last = if vcpu == 2 { 1 << 4 } else { 0 };
        let number = u64::from(vcpu);
        assert_eq!(
            world.fetch(0, frame, 0x8, 8),
            number << 32 | number << 8 | last
        );
        assert_eq!(world.fetch(0, frame, 0xc, 4), number);
        assert_eq!(world.fetch(0, frame, 0xffe8, 4) >> 4 & 15, 3);
    }
    let mut world = self::world(Version::V2, 3, 2, false);
    assert_eq!(world.fetch(0, dist, 0x4, 4), 2 | 2 << 5);
    assert_eq!(world.fetch(0, dist, 0xfe8, 4) >> 4 & 15, 2);
    assert_eq!(world.fetch(2, dist, 0x800, 4), 0x0404_0404);
    assert_eq!(world.fetch(2, dist, 0x100, 4) & 0xffff, 0xffff);
}

#[test]
fn an_unaligned_or_wide_access_reads_as_zero_and_is_ignored() {
    let mut world = world(Version::V3, 1, 2, false);
    enable_spis(&mut world, &[0x80]);
    for (offset, size) in [
        (0x104, 8),
        (0x104, 1),
        (0x104, 2),
        (0x105, 4),
        (0x106, 4),
        (0x6101, 8),
        (0x104, 3),
    ] {
        assert_eq!(world.fetch(0, Frame::Distributor, offset, size), 0);
        world.store(0, Frame::Distributor, offset + 0x80, size, u64::MAX);
    }
    assert_eq!(world.fetch_bits(0, 0, 1, Bits::SetEnable), 1);
}

#[test]
fn an_sgi_goes_to_those_who_have_it_in_the_group_of_the_register() {
    let mut world = world(Version::V3, 3, 2, false);
    for vcpu in 0..3 {
        world.store_bits(0, vcpu, 0, Bits::SetEnable, 1 << 4);
    }
    world.store_bits(0, 1, 0, Bits::Group, 1 << 4);
    let send = |world: &mut World, register, value| {
        let kicks = world.vgic().send_sgi(VcpuIndex::new(0), register, value);
        kicks.bits()
    };
    use tessera_vgic::SgiRegister::{Asgi1, Sgi0, Sgi1};
    assert_eq!(send(&mut world, Sgi1, 4 << 24 | 7), 0b010);
    assert_eq!(send(&mut world, Sgi0, 4 << 24 | 7), 0b101);
    // To all but the sender.
    world.deliver_kicks();
    assert_eq!(send(&mut world, Asgi1, 4 << 24 | 1 << 40) & 1, 0);
    // An affinity, and a range, that nobody has.
    assert_eq!(send(&mut world, Sgi1, 4 << 24 | 1 << 16 | 7), 0);
    assert_eq!(send(&mut world, Sgi1, 4 << 24 | 1 << 44 | 7), 0);
}

#[test]
fn a_wait_ends_only_for_what_the_guest_lets_through() {
    let mut world = world(Version::V3, 1, 2, false);
    enable_spis(&mut world, &[0x80]);
    world.pulse(0, 32);
    world.deliver_kicks();
    let deliverable = |world: &mut World, below, groups| {
        world.on_core(0, |vgic, vcpu, hw| {
            vgic.has_deliverable(vcpu, below, groups, hw)
        })
    };
    assert!(deliverable(&mut world, 0x88, Groups::GROUP0));
    assert!(!deliverable(&mut world, 0x80, Groups::GROUP0));
    assert!(!deliverable(&mut world, 0xff, Groups::GROUP1));
}

#[test]
fn a_gicv2_interrupt_with_several_targets_goes_to_the_lowest() {
    let mut world = world(Version::V2, 3, 2, false);
    enable_spis(&mut world, &[0x80]);
    world.store(0, Frame::Distributor, 0x820, 1, 0b110);
    assert_eq!(world.fetch(0, Frame::Distributor, 0x820, 1), 0b110);
    world.pulse(0, 32);
    world.deliver_kicks();
    assert_eq!(handle_all(&mut world, 2), []);
    assert_eq!(handle_all(&mut world, 1), [32]);
}
