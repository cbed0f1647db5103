//! The PL031: the clock, the alarm, and the registers.

use proptest::prelude::*;
use tessera_devices::Pl031;

use crate::amba_id;

const DR: u64 = 0x00;
const MR: u64 = 0x04;
const LR: u64 = 0x08;
const CR: u64 = 0x0C;
const IMSC: u64 = 0x10;
const RIS: u64 = 0x14;
const MIS: u64 = 0x18;
const ICR: u64 = 0x1C;

/// Some moment of Unix time.
const EPOCH: u32 = 1_700_000_000;

#[test]
fn linux_finds_it_and_reads_the_time() {
    let mut clock = Pl031::new(EPOCH);
    let (periph, cell) = amba_id(|register| clock.read(register, 4, 0));
    assert_eq!(cell, 0xB105_F00D);
    assert_eq!(periph, 0x0014_1031);
    assert_eq!(clock.read(CR, 4, 0), 1, "running");
    clock.write(CR, 4, 0, 5);
    assert_eq!(clock.read(CR, 4, 5), 1, "and it cannot be stopped");
    assert_eq!(clock.read(DR, 4, 5), u64::from(EPOCH) + 5);
    assert_eq!(clock.read(DR, 4, 65), u64::from(EPOCH) + 65);
}

#[test]
fn power_on_values() {
    let mut clock = Pl031::new(0);
    for (register, value) in [
        (DR, 0),
        (MR, 0),
        (LR, 0),
        (CR, 1),
        (IMSC, 0),
        (RIS, 0),
        (MIS, 0),
        (ICR, 0),
    ] {
        assert_eq!(clock.read(register, 4, 0), value, "{register:#x}");
    }
    assert_eq!((clock.irq(), clock.next_alarm()), (false, None));
}

#[test]
fn a_loaded_time_goes_on_from_there() {
    let mut clock = Pl031::new(EPOCH);
    clock.write(LR, 4, 1000, 70);
    assert_eq!(clock.read(DR, 4, 70), 1000);
    assert_eq!(clock.read(DR, 4, 100), 1030);
    assert_eq!(clock.read(LR, 4, 100), 1000);
}

#[test]
fn an_alarm_rises_at_its_second_and_is_cleared() {
    let mut clock = Pl031::new(EPOCH);
    clock.write(MR, 4, u64::from(EPOCH) + 60, 10);
    assert_eq!(clock.next_alarm(), None, "masked");
    clock.write(IMSC, 4, 1, 10);
    assert_eq!(clock.next_alarm(), Some(60));
    clock.advance(59);
    assert!(!clock.irq());
    clock.advance(60);
    assert!(clock.irq());
    assert_eq!(clock.next_alarm(), None, "up already");
    assert_eq!((clock.read(RIS, 4, 61), clock.read(MIS, 4, 61)), (1, 1));
    clock.write(ICR, 4, 0, 62);
    assert!(clock.irq(), "a zero clears nothing");
    clock.write(ICR, 4, 1, 62);
    assert!(!clock.irq());
    assert_eq!(clock.read(RIS, 4, 63), 0);
    // The counter meets it again one turn later.
    assert_eq!(clock.next_alarm(), Some(60 + (1 << 32)));
}

#[test]
fn a_masked_alarm_is_remembered() {
    let mut clock = Pl031::new(0);
    clock.write(MR, 4, 7, 0);
    assert_eq!(clock.read(RIS, 4, 7), 1);
    assert_eq!(clock.read(MIS, 4, 7), 0);
    assert!(!clock.irq());
    clock.write(IMSC, 4, 1, 8);
    assert!(clock.irq());
}

#[test]
fn a_match_with_the_present_second_is_at_once() {
    let mut clock = Pl031::new(100);
    clock.write(IMSC, 4, 1, 5);
    clock.write(MR, 4, 105, 5);
    assert!(clock.irq());
}

#[test]
fn a_match_in_the_past_waits_for_the_counter_to_wrap() {
    let mut clock = Pl031::new(100);
    clock.write(IMSC, 4, 1, 5);
    clock.write(MR, 4, 104, 5);
    assert_eq!(clock.next_alarm(), Some(4 + (1 << 32)));
}

#[test]
fn loading_a_time_moves_the_alarm() {
    let mut clock = Pl031::new(0);
    clock.write(IMSC, 4, 1, 0);
    clock.write(MR, 4, 1000, 0);
    clock.write(LR, 4, 990, 5);
    assert_eq!(clock.next_alarm(), Some(15));
}

#[test]
fn turns_that_nobody_looked_at_are_one_alarm() {
    let mut clock = Pl031::new(0);
    clock.write(IMSC, 4, 1, 0);
    clock.write(MR, 4, 9, 0);
    clock.write(ICR, 4, 1, 9 + (5 << 32));
    assert!(!clock.irq());
    assert_eq!(clock.next_alarm(), Some(9 + (6 << 32)));
}

#[test]
fn accesses_that_are_not_a_registers_own_do_nothing() {
    let mut clock = Pl031::new(EPOCH);
    let before = clock.clone();
    for (offset, size) in [(MR, 8), (MR + 2, 2), (MR + 1, 4), (0x1000, 4), (LR, 0)] {
        clock.write(offset, size, u64::MAX, 0);
        if size != 2 {
            assert_eq!(clock.read(offset, size, 0), 0);
        }
    }
    assert_eq!(clock, before);
    assert_eq!(clock.read(DR, 1, 0), u64::from(EPOCH) & 0xFF);
}

proptest! {
    /// The alarm rises exactly when a counter that is looked at every second meets the match
    /// register.
    #[test]
    fn the_alarm_is_when_the_counter_matches(
        epoch: u32,
        writes in prop::collection::vec((0_u64..20, prop::sample::select(vec![MR, LR, IMSC, ICR]), 0_u32..40), 1..30),
    ) {
        let mut clock = Pl031::new(epoch);
        // The reference: a counter that steps, and the comparator behind it.
        let (mut now, mut counter, mut matching) = (0_u64, epoch, None);
        let (mut raised, mut enabled) = (false, false);
        for (wait, register, value) in writes {
            let alarm = clock.next_alarm();
            for _ in 0..wait {
                let was_up = raised && enabled;
                now += 1;
                counter = counter.wrapping_add(1);
                raised |= matching == Some(counter);
                if raised && enabled && !was_up {
                    prop_assert_eq!(alarm, Some(now));
                }
            }
            clock.advance(now);
            prop_assert_eq!(clock.irq(), raised && enabled);
            // Values near the counter, so that matches happen.
            let near = counter.wrapping_add(value).wrapping_sub(5);
            let written = match register {
                MR | LR => near,
                _ => value,
            };
            clock.write(register, 4, u64::from(written), now);
            match register {
                MR => matching = Some(near),
                LR => {
                    counter = near;
                    matching = matching.or(Some(0));
                }
                IMSC => enabled = value & 1 == 1,
                _ => raised &= value & 1 == 0,
            }
            if matches!(register, MR | LR) {
                raised |= matching == Some(counter);
            }
            prop_assert_eq!(clock.irq(), raised && enabled);
            prop_assert_eq!(clock.read(DR, 4, now), u64::from(counter));
            prop_assert_eq!(clock.read(RIS, 4, now), u64::from(raised));
        }
    }

    /// Any numbers, and a time that may be anything: no panic, and a reset restores power-on.
    #[test]
    fn any_history_can_be_reset(
        epoch: u32,
        steps in prop::collection::vec((any::<bool>(), 0_u64..0x24, any::<u8>(), any::<u64>(), any::<u64>()), 0..40),
    ) {
        let mut clock = Pl031::new(epoch);
        for (write, offset, size, value, now) in steps {
            let size = if size & 1 == 0 { 4 } else { size };
            if write {
                clock.write(offset, size, value, now);
            } else {
                clock.read(offset, size, now);
            }
            let alarm = clock.next_alarm();
            prop_assert!(alarm.is_none() || !clock.irq());
        }
        clock.reset();
        prop_assert_eq!(clock, Pl031::new(epoch));
    }
}
