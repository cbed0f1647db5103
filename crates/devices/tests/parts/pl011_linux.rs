//! The PL011 under the steps of Linux's driver for it (amba-pl011): probe, startup, console,
//! transmit and receive by interrupt.

use proptest::prelude::*;
use tessera_devices::{Pl011, Sink};

use crate::amba_id;
use crate::wire::Wire;

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const IBRD: u64 = 0x24;
const FBRD: u64 = 0x28;
const LCR_H: u64 = 0x2C;
const CR: u64 = 0x30;
const IFLS: u64 = 0x34;
const IMSC: u64 = 0x38;
const RIS: u64 = 0x3C;
const MIS: u64 = 0x40;
const ICR: u64 = 0x44;

const FR_BUSY: u64 = 1 << 3;
const FR_RXFE: u64 = 1 << 4;
const FR_TXFF: u64 = 1 << 5;
const RXI: u64 = 1 << 4;
const TXI: u64 = 1 << 5;
const RTI: u64 = 1 << 6;
const ERRORS: u64 = 0xF << 7;

/// Passes of the interrupt handler's loop before the driver gives up.
const PASSES: usize = 256;

/// The driver's state: what it wants to send, what it got.
struct Driver {
    uart: Pl011,
    wire: Wire,
    im: u64,
    to_send: std::collections::VecDeque<u8>,
    received: Vec<u8>,
    overruns: usize,
}

impl Driver {
    fn read(&mut self, register: u64) -> u64 {
        self.uart.read(register, 4)
    }

    fn write(&mut self, register: u64, value: u64) {
        self.uart.write(register, 4, value, &mut self.wire);
    }

    /// Probe and startup.
    fn start(capacity: usize) -> Self {
        let mut driver = Self {
            uart: Pl011::new(),
            wire: Wire::new(capacity),
            im: 0,
            to_send: Default::default(),
            received: Vec::new(),
            overruns: 0,
        };
        let (periph, cell) = amba_id(|register| driver.uart.read(register, 4));
        assert_eq!(cell, 0xB105_F00D);
        assert_eq!(periph & 0x000F_FFFF, 0x0004_1011, "the driver's match");
        assert_eq!(periph >> 20, 1, "revision 1, so FIFOs of 16");
        driver.write(IMSC, 0);
        driver.write(ICR, 0xFFFF);
        // Startup: clear errors and receive interrupts, set levels and line, enable, drain, unmask.
        driver.write(ICR, ERRORS | RTI | RXI);
        driver.write(IFLS, 0x12);
        driver.write(CR, 0x301 | 1 << 11 | 1 << 10);
        driver.write(IBRD, 13);
        driver.write(FBRD, 1);
        driver.write(LCR_H, 0x70);
        driver.write(ICR, RTI | RXI);
        for _ in 0..32 {
            if driver.read(FR) & FR_RXFE != 0 {
                break;
            }
            driver.read(DR);
        }
        driver.im = RTI | RXI;
        driver.write(IMSC, driver.im);
        driver
    }

    /// The driver sends what it has, at most eight characters when an interrupt asked for them and
    /// then without a look at the FIFO.
    fn transmit(&mut self, from_irq: bool) -> bool {
        let mut count = 8;
        while let Some(&byte) = self.to_send.front() {
            if from_irq {
                if count == 0 {
                    break;
                }
                count -= 1;
            } else if self.read(FR) & FR_TXFF != 0 {
                break;
            }
            self.write(DR, u64::from(byte));
            self.to_send.pop_front();
        }
        if self.to_send.is_empty() {
            self.im &= !TXI;
            self.write(IMSC, self.im);
        }
        !self.to_send.is_empty()
    }

    /// Something was queued to be sent.
    fn start_tx(&mut self) {
        if self.transmit(false) {
            self.im |= TXI;
            self.write(IMSC, self.im);
        }
    }

    /// The interrupt handler.
    fn interrupt(&mut self) {
        let mut status = self.read(RIS) & self.im;
        assert_ne!(status, 0, "an interrupt without a cause");
        for _ in 0..PASSES {
            self.write(ICR, status & !(TXI | RTI | RXI));
            if status & (RTI | RXI) != 0 {
                while self.read(FR) & FR_RXFE == 0 {
                    let data = self.read(DR);
                    self.overruns += usize::from(data >> 11 & 1 == 1);
                    self.received.push(data as u8);
                }
            }
            if status & TXI != 0 {
                self.transmit(true);
            }
            status = self.read(RIS) & self.im;
            if status == 0 {
                break;
            }
        }
    }

    /// Takes interrupts while the line is up, each time leaving the host a chance to send `drained`
    /// characters on. Returns how many interrupts there were.
    fn settle(&mut self, drained: usize) -> usize {
        for interrupts in 0..10_000 {
            if self.uart.irq() {
                self.interrupt();
            } else if self.wire.waiting.is_empty() {
                return interrupts;
            }
            let room = self.wire.drain(drained);
            self.uart.tx_room_changed(room);
        }
        panic!("the interrupt line never came to rest");
    }
}

#[test]
fn startup_leaves_the_line_down() {
    let mut driver = Driver::start(16);
    assert!(!driver.uart.irq());
    assert_eq!(driver.read(MIS), 0);
    assert_eq!(driver.read(FR) & (FR_BUSY | FR_TXFF), 0);
}

#[test]
fn a_console_write_polls_until_room_and_waits_until_idle() {
    let mut driver = Driver::start(16);
    let text: Vec<u8> = (0..100).collect();
    for &byte in &text {
        while driver.read(FR) & FR_TXFF != 0 {
            let room = driver.wire.drain(3);
            driver.uart.tx_room_changed(room);
        }
        driver.write(DR, u64::from(byte));
    }
    let mut polls = 0;
    while driver.read(FR) & FR_BUSY != 0 {
        let room = driver.wire.drain(3);
        driver.uart.tx_room_changed(room);
        polls += 1;
        assert!(polls < 100);
    }
    assert_eq!(driver.wire.sent, text);
}

#[test]
fn a_full_fifo_raises_the_interrupt_when_it_has_drained_to_its_level() {
    let mut driver = Driver::start(16);
    driver.to_send.extend(0..100);
    driver.start_tx();
    assert_eq!(driver.wire.waiting.len(), 16);
    assert_ne!(driver.read(FR) & FR_TXFF, 0);
    assert!(!driver.uart.irq(), "full: nothing to do");
    for left in (8..16).rev() {
        let room = driver.wire.drain(1);
        driver.uart.tx_room_changed(room);
        assert_eq!(driver.uart.irq(), left == 8, "{left} characters left");
    }
    driver.interrupt();
    // Eight more went in, above the level again.
    assert_eq!(driver.wire.waiting.len(), 16);
    assert!(!driver.uart.irq());
    driver.settle(4);
    assert_eq!(driver.wire.sent, (0..100).collect::<Vec<u8>>());
}

#[test]
fn a_deep_sink_takes_everything_at_once() {
    let mut driver = Driver::start(100_000);
    driver.to_send.extend((0..5000).map(|n| n as u8));
    driver.start_tx();
    assert!(driver.to_send.is_empty());
    assert!(!driver.uart.irq());
}

#[test]
fn one_key_is_received() {
    let mut driver = Driver::start(16);
    assert!(driver.uart.push_rx(b'a'));
    assert!(driver.uart.irq());
    driver.interrupt();
    assert_eq!(driver.received, b"a");
    assert!(!driver.uart.irq());
}

#[test]
fn a_paste_of_more_than_the_fifo_loses_the_rest_and_says_so() {
    let mut driver = Driver::start(16);
    assert_eq!(driver.uart.rx_room(), 16);
    for byte in 0..20 {
        assert_eq!(driver.uart.push_rx(byte), byte < 16);
    }
    assert_eq!(driver.uart.rx_room(), 0);
    driver.interrupt();
    assert_eq!(driver.received, (0..16).collect::<Vec<u8>>());
    assert_eq!(driver.overruns, 0, "those in the FIFO are intact");
    // The next character carries the news.
    driver.uart.push_rx(99);
    driver.interrupt();
    assert_eq!((driver.received[16], driver.overruns), (99, 1));
    driver.uart.push_rx(100);
    driver.interrupt();
    assert_eq!(driver.overruns, 1);
}

#[test]
fn keys_that_came_before_startup_do_not_block_those_after() {
    let mut uart = Pl011::new();
    // FIFOs are off: one character waits, the others are lost.
    assert_eq!(
        [1, 2, 3].map(|byte| uart.push_rx(byte)),
        [true, false, false]
    );
    let mut driver = Driver::start(16);
    driver.uart = uart;
    for (register, value) in [(ICR, 0xFFFF), (LCR_H, 0x70), (IMSC, RTI | RXI)] {
        driver.write(register, value);
    }
    assert!(!driver.uart.irq());
    driver.uart.push_rx(b'x');
    driver.interrupt();
    assert_eq!(driver.received, b"x");
}

proptest! {
    /// Whatever the sizes and the order, every character arrives, in order, and the driver comes to
    /// rest.
    #[test]
    fn everything_sent_and_received_arrives(
        capacity in 16_usize..64,
        drained in 1_usize..40,
        bursts in prop::collection::vec((0_usize..200, 0_usize..16), 1..10),
    ) {
        let mut driver = Driver::start(capacity);
        let (mut sent, mut keys) = (Vec::new(), Vec::new());
        for (out, typed) in bursts {
            for _ in 0..out {
                sent.push(sent.len() as u8);
                driver.to_send.push_back(*sent.last().unwrap());
            }
            driver.start_tx();
            for _ in 0..typed {
                prop_assert!(driver.uart.rx_room() > 0);
                keys.push(keys.len() as u8);
                driver.uart.push_rx(*keys.last().unwrap());
            }
            driver.settle(drained);
            prop_assert!(driver.to_send.is_empty());
        }
        prop_assert_eq!(&driver.wire.sent, &sent);
        prop_assert_eq!(&driver.received, &keys);
        prop_assert_eq!(driver.overruns, 0);
        prop_assert_eq!(driver.wire.room(), capacity);
    }
}
