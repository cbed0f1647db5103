//! The PL011 register by register: power-on values, masks, sizes, loopback, and numbers without
//! sense.

use proptest::prelude::*;
use tessera_devices::{Pl011, Sink};

use crate::wire::Wire;

const DR: u64 = 0x00;
const RSR: u64 = 0x04;
const FR: u64 = 0x18;
const LCR_H: u64 = 0x2C;
const CR: u64 = 0x30;
const IFLS: u64 = 0x34;
const IMSC: u64 = 0x38;
const RIS: u64 = 0x3C;
const MIS: u64 = 0x40;
const ICR: u64 = 0x44;

const FEN: u64 = 1 << 4;
const TXI: u64 = 1 << 5;
const LBE: u64 = 1 << 7;

/// Registers that are kept, with their value at power-on and the bits that can be written.
const KEPT: [(u64, u64, u64); 8] = [
    (0x20, 0, 0xFF),     // UARTILPR
    (0x24, 0, 0xFFFF),   // UARTIBRD
    (0x28, 0, 0x3F),     // UARTFBRD
    (LCR_H, 0, 0xFF),    // UARTLCR_H
    (CR, 0x300, 0xFF87), // UARTCR
    (IFLS, 0x12, 0x3F),  // UARTIFLS
    (IMSC, 0, 0x7FF),    // UARTIMSC
    (0x48, 0, 0x7),      // UARTDMACR
];

fn uart() -> (Pl011, Wire) {
    (Pl011::new(), Wire::new(16))
}

/// Every byte of the register block, without the effects of reading UARTDR.
fn image(uart: &mut Pl011) -> Vec<u64> {
    (4..0x1000)
        .step_by(4)
        .map(|offset| uart.read(offset, 4))
        .collect()
}

#[test]
fn power_on_values() {
    let (mut uart, _) = uart();
    for (register, power_on, _) in KEPT {
        assert_eq!(uart.read(register, 4), power_on, "{register:#x}");
    }
    assert_eq!(uart.read(FR, 4), 0x90, "both FIFOs empty");
    for zero in [DR, RSR, RIS, MIS, ICR] {
        assert_eq!(uart.read(zero, 4), 0, "{zero:#x}");
    }
    let id: Vec<_> = (0xFE0..0x1000)
        .step_by(4)
        .map(|at| uart.read(at, 4))
        .collect();
    assert_eq!(id, [0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1]);
    assert!(!uart.irq());
}

#[test]
fn kept_registers_keep_the_bits_they_have() {
    for (register, _, bits) in KEPT {
        let (mut uart, mut wire) = uart();
        uart.write(register, 4, 0xFFFF_FFFF, &mut wire);
        assert_eq!(uart.read(register, 4), bits, "{register:#x}");
        uart.write(register, 4, 0, &mut wire);
        assert_eq!(uart.read(register, 4), 0, "{register:#x}");
    }
}

#[test]
fn read_only_and_unknown_registers_ignore_writes() {
    let (mut uart, mut wire) = uart();
    let before = uart.clone();
    for register in (8..0x1000)
        .step_by(4)
        .filter(|offset| !KEPT.iter().any(|kept| kept.0 == *offset) && *offset != ICR)
    {
        uart.write(register, 4, 0xFFFF_FFFF, &mut wire);
    }
    assert_eq!(uart, before);
    assert!(wire.waiting.is_empty());
}

#[test]
fn a_byte_store_to_the_data_register_sends_a_character() {
    let (mut uart, mut wire) = uart();
    for size in [1, 2, 4] {
        uart.write(DR, size, 0x1234_5641, &mut wire);
    }
    assert_eq!(wire.waiting, *b"AAA");
}

#[test]
fn sending_needs_no_enabled_uart() {
    let (mut uart, mut wire) = uart();
    uart.write(CR, 4, 0, &mut wire);
    uart.write(DR, 4, 0x21, &mut wire);
    assert_eq!(wire.waiting, *b"!");
}

#[test]
fn narrow_reads_take_their_lanes_of_the_register() {
    let (mut uart, mut wire) = uart();
    uart.write(CR, 4, 0xFF87, &mut wire);
    assert_eq!(uart.read(CR, 1), 0x87);
    assert_eq!(uart.read(CR + 1, 1), 0xFF);
    assert_eq!(uart.read(CR + 2, 2), 0);
    assert_eq!(uart.read(CR, 2), 0xFF87);
}

#[test]
fn wide_and_crooked_accesses_do_nothing() {
    let (mut uart, mut wire) = uart();
    uart.push_rx(7);
    let before = uart.clone();
    for (offset, size) in [
        (DR, 8),
        (DR, 0),
        (DR, 3),
        (1, 2),
        (3, 2),
        (1, 4),
        (2, 4),
        (0x1000, 4),
        (u64::MAX, 1),
        (1 << 32, 4),
    ] {
        assert_eq!(uart.read(offset, size), 0, "{offset:#x} size {size}");
        uart.write(offset, size, u64::MAX, &mut wire);
        assert_eq!(uart, before, "{offset:#x} size {size}");
    }
    // A write to a lane above the first is not the register's.
    for (offset, size) in [(CR + 1, 1), (CR + 2, 2), (DR + 3, 1)] {
        uart.write(offset, size, u64::MAX, &mut wire);
    }
    assert_eq!(uart, before);
    assert!(wire.waiting.is_empty());
}

#[test]
fn the_transmit_level_is_what_ifls_says() {
    for (select, level) in [(0, 2), (1, 4), (2, 8), (3, 12), (4, 14), (7, 14)] {
        let (mut uart, mut wire) = uart();
        uart.write(LCR_H, 4, FEN, &mut wire);
        uart.write(IFLS, 4, select, &mut wire);
        for _ in 0..16 {
            uart.write(DR, 4, 0, &mut wire);
        }
        assert_eq!(uart.read(RIS, 4) & TXI, 0);
        for left in (0..16).rev() {
            let room = wire.drain(1);
            uart.tx_room_changed(room);
            let raised = uart.read(RIS, 4) & TXI != 0;
            assert_eq!(raised, left <= level, "select {select}, {left} left");
        }
    }
}

#[test]
fn a_cleared_transmit_interrupt_stays_down_until_the_level_is_crossed_again() {
    let (mut uart, mut wire) = uart();
    uart.write(LCR_H, 4, FEN, &mut wire);
    for _ in 0..16 {
        uart.write(DR, 4, 0, &mut wire);
    }
    uart.tx_room_changed(wire.drain(10));
    uart.write(ICR, 4, TXI, &mut wire);
    uart.tx_room_changed(wire.drain(6));
    assert_eq!(uart.read(RIS, 4) & TXI, 0);
}

#[test]
fn without_fifos_the_transmitter_holds_one_character() {
    let (mut uart, _) = uart();
    let mut wire = Wire::new(1);
    uart.write(DR, 4, 1, &mut wire);
    assert_eq!(uart.read(FR, 4), 0x38, "full, busy; nothing received");
    assert_eq!(uart.read(RIS, 4) & TXI, 0);
    uart.write(DR, 4, 2, &mut wire);
    assert_eq!(wire.waiting, [1], "the second is lost");
    uart.tx_room_changed(wire.drain(1));
    assert_eq!(uart.read(FR, 4), 0x90);
    assert_ne!(uart.read(RIS, 4) & TXI, 0);
}

#[test]
fn without_fifos_the_receiver_holds_one_character() {
    let (mut uart, _) = uart();
    assert_eq!(uart.rx_room(), 1);
    assert!(uart.push_rx(5));
    assert_eq!(uart.read(FR, 4), 0xC0, "receiver full, transmitter empty");
    assert_eq!(uart.read(RIS, 4), 1 << 4, "no timeout without FIFOs");
    assert_eq!(uart.read(DR, 4), 5);
    assert_eq!(uart.read(RIS, 4), 0);
}

#[test]
fn receive_interrupts_stay_up_until_the_fifo_is_empty() {
    let (mut uart, mut wire) = uart();
    uart.write(LCR_H, 4, FEN, &mut wire);
    uart.push_rx(1);
    uart.push_rx(2);
    assert_eq!(uart.read(RIS, 4), 0x50, "receive and receive timeout");
    uart.read(DR, 4);
    assert_eq!(uart.read(RIS, 4), 0x50);
    uart.read(DR, 4);
    assert_eq!(uart.read(RIS, 4), 0);
}

#[test]
fn a_reset_does_not_make_room_in_the_sink() {
    let (mut uart, mut wire) = uart();
    for _ in 0..16 {
        uart.write(DR, 4, 0, &mut wire);
    }
    uart.reset();
    assert_eq!(uart.read(FR, 4), 0x38, "still full");
    uart.tx_room_changed(wire.drain(16));
    assert_eq!(uart.read(FR, 4), 0x90);
}

#[test]
fn an_overrun_shows_in_rsr_and_ris_until_cleared() {
    let (mut uart, mut wire) = uart();
    uart.push_rx(1);
    uart.push_rx(2);
    assert_eq!(uart.read(RSR, 4), 8);
    assert_eq!(uart.read(RIS, 4) & 1 << 10, 1 << 10);
    uart.write(RSR, 4, 0, &mut wire);
    uart.write(ICR, 4, 1 << 10, &mut wire);
    assert_eq!(uart.read(RSR, 4), 0);
    assert_eq!(uart.read(RIS, 4) & 1 << 10, 0);
}

#[test]
fn the_line_is_the_masked_status() {
    let (mut uart, mut wire) = uart();
    uart.push_rx(1);
    assert!(!uart.irq());
    uart.write(IMSC, 4, 1 << 4, &mut wire);
    assert!(uart.irq());
    assert_eq!(uart.read(MIS, 4), 1 << 4);
    uart.write(ICR, 4, 1 << 4, &mut wire);
    assert!(!uart.irq());
    assert_eq!(uart.read(DR, 4), 1, "the character is still there");
}

#[test]
fn loopback_returns_characters_and_modem_lines() {
    let (mut uart, mut wire) = uart();
    uart.write(CR, 4, 0x301 | LBE, &mut wire);
    uart.write(DR, 4, 0x5A, &mut wire);
    assert!(wire.waiting.is_empty());
    assert_eq!(uart.read(DR, 4), 0x5A);
    uart.write(ICR, 4, 0x7FF, &mut wire);
    // DTR, RTS, Out1, Out2 come back as DSR, CTS, DCD, RI; each raises its interrupt.
    for (output, flag, interrupt) in [
        (1 << 10, 1 << 1, 1 << 3),
        (1 << 11, 1 << 0, 1 << 1),
        (1 << 12, 1 << 2, 1 << 2),
        (1 << 13, 1 << 8, 1 << 0),
    ] {
        uart.write(CR, 4, 0x301 | LBE | output, &mut wire);
        assert_eq!(uart.read(FR, 4), 0x90 | flag);
        assert_eq!(uart.read(RIS, 4), interrupt);
        uart.write(CR, 4, 0x301 | LBE, &mut wire);
        uart.write(ICR, 4, 0x7FF, &mut wire);
    }
    uart.write(CR, 4, 0xFF07, &mut wire);
    assert_eq!(
        uart.read(FR, 4),
        0x90,
        "not in loopback: nothing is connected"
    );
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(u64, u8),
    Write(u64, u8, u64),
    Receive(u8),
    Drain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![
        6 => (0_u64..0x13).prop_map(|register| register * 4),
        1 => 0_u64..0x1010,
        1 => any::<u64>(),
    ];
    let size =
        prop_oneof![6 => Just(4_u8), 2 => prop::sample::select(vec![1, 2, 8]), 1 => any::<u8>()];
    prop_oneof![
        3 => (offset.clone(), size.clone()).prop_map(|(offset, size)| Step::Read(offset, size)),
        4 => (offset, size, any::<u64>()).prop_map(|(offset, size, value)| Step::Write(offset, size, value)),
        2 => any::<u8>().prop_map(Step::Receive),
        2 => (0_usize..20).prop_map(Step::Drain),
    ]
}

proptest! {
    /// Nothing panics, nothing overflows, the flags agree with each other and with the sink, and a
    /// reset restores power-on.
    #[test]
    fn any_history_leaves_a_sound_uart(steps in prop::collection::vec(step(), 0..200), capacity in 16_usize..40) {
        let mut uart = Pl011::new();
        let mut wire = Wire::new(capacity);
        for step in steps {
            match step {
                Step::Read(offset, size) => {
                    let value = uart.read(offset, size);
                    prop_assert!(size >= 8 || value >> (8 * u32::from(size)) == 0);
                }
                Step::Write(offset, size, value) => uart.write(offset, size, value, &mut wire),
                Step::Receive(byte) => {
                    let room = uart.rx_room();
                    prop_assert_eq!(uart.push_rx(byte), room > 0);
                }
                Step::Drain(count) => uart.tx_room_changed(wire.drain(count)),
            }
            let fifos = uart.read(LCR_H, 4) & FEN != 0;
            let flags = uart.read(FR, 4);
            let depth = if fifos { 16 } else { 1 };
            prop_assert!(uart.rx_room() <= depth);
            prop_assert_eq!(flags >> 6 & 1 == 1, uart.rx_room() == 0, "RXFF");
            prop_assert_eq!(flags >> 5 & 1 == 1, wire.room() == 0, "TXFF");
            prop_assert_eq!(flags >> 7 & 1 == 1, flags >> 3 & 1 == 0, "TXFE and BUSY");
            let level = uart.read(RIS, 4) & uart.read(IMSC, 4);
            prop_assert_eq!(uart.read(MIS, 4), level);
            prop_assert_eq!(uart.irq(), level != 0);
        }
        uart.reset();
        uart.tx_room_changed(wire.drain(usize::MAX));
        prop_assert_eq!(image(&mut uart), image(&mut Pl011::new()));
        prop_assert_eq!(uart, Pl011::new());
    }
}
