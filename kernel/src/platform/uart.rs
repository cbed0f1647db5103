//! The board's serial port: Arm PL011 (DDI 0183) or Cadence (Zynq UltraScale+ TRM, UG1085).
//!
//! The boot loader has set the speed. Output is polled, a character at a time, by whoever has the console's turn;
//! an interrupt says when input has come or, if asked, when there is room again.

use crate::arch::mmio::Mmio;

/// Which part it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartKind {
    /// Arm PL011.
    Pl011,
    /// Cadence, as in Xilinx Zynq.
    Cadence,
}

/// A serial port.
#[derive(Debug)]
pub struct Uart {
    registers: Mmio,
    kind: UartKind,
}

mod pl011 {
    pub const DR: usize = 0;
    pub const FR: usize = 0x18;
    pub const LCR_H: usize = 0x2c;
    pub const CR: usize = 0x30;
    pub const IMSC: usize = 0x38;
    pub const ICR: usize = 0x44;
    pub const RX_EMPTY: u32 = 1 << 4;
    pub const TX_FULL: u32 = 1 << 5;
    pub const RX: u32 = 1 << 4 | 1 << 6;
    pub const TX: u32 = 1 << 5;
}

mod cadence {
    pub const CR: usize = 0;
    pub const IER: usize = 8;
    pub const IDR: usize = 0xc;
    pub const ISR: usize = 0x14;
    pub const RX_TRIGGER: usize = 0x20;
    pub const SR: usize = 0x2c;
    pub const FIFO: usize = 0x30;
    pub const RX_EMPTY: u32 = 1 << 1;
    pub const TX_FULL: u32 = 1 << 4;
    pub const RX: u32 = 1;
    pub const TX_EMPTY: u32 = 1 << 3;
}

impl Uart {
    /// Takes over a port: FIFOs on, transmitter and receiver on, every interrupt off.
    #[must_use]
    pub fn new(registers: Mmio, kind: UartKind) -> Self {
        match kind {
            UartKind::Pl011 => {
                registers.write32(pl011::IMSC, 0);
                registers.write32(pl011::ICR, 0x7ff);
                registers.write32(pl011::LCR_H, 3 << 5 | 1 << 4); // 8 bits, FIFOs
                registers.write32(pl011::CR, 1 << 9 | 1 << 8 | 1);
            }
            UartKind::Cadence => {
                registers.write32(cadence::IDR, !0);
                registers.write32(cadence::ISR, !0);
                registers.write32(cadence::CR, 1 << 4 | 1 << 2); // TX and RX enable
                registers.write32(cadence::RX_TRIGGER, 1);
            }
        }
        Self { registers, kind }
    }

    /// Sends a character if there is room.
    pub fn put(&mut self, byte: u8) -> bool {
        let (status, full, data) = match self.kind {
            UartKind::Pl011 => (pl011::FR, pl011::TX_FULL, pl011::DR),
            UartKind::Cadence => (cadence::SR, cadence::TX_FULL, cadence::FIFO),
        };
        let room = self.registers.read32(status) & full == 0;
        if room {
            self.registers.write32(data, u32::from(byte));
        }
        room
    }

    /// A character that has come in.
    pub fn get(&mut self) -> Option<u8> {
        let (status, empty, data) = match self.kind {
            UartKind::Pl011 => (pl011::FR, pl011::RX_EMPTY, pl011::DR),
            UartKind::Cadence => (cadence::SR, cadence::RX_EMPTY, cadence::FIFO),
        };
        (self.registers.read32(status) & empty == 0).then(|| self.registers.read32(data) as u8)
    }

    /// Says what raises the port's interrupt: input, and room for output. The Cadence raises it for as long as there is any.
    pub fn interrupt_for(&mut self, input: bool, room: bool) {
        let bits = |rx, tx| if input { rx } else { 0 } | if room { tx } else { 0 };
        match self.kind {
            UartKind::Pl011 => self.registers.write32(pl011::IMSC, bits(pl011::RX, pl011::TX)),
            UartKind::Cadence => {
                let wanted = bits(cadence::RX, cadence::TX_EMPTY);
                self.registers.write32(cadence::IDR, (cadence::RX | cadence::TX_EMPTY) & !wanted);
                self.registers.write32(cadence::IER, wanted);
            }
        }
    }

    /// Takes note of the port's interrupt.
    pub fn acknowledge(&mut self) {
        match self.kind {
            UartKind::Pl011 => self.registers.write32(pl011::ICR, pl011::RX | pl011::TX),
            UartKind::Cadence => self.registers.write32(cadence::ISR, cadence::RX | cadence::TX_EMPTY),
        }
    }
}
