//! The PL011 UART (Arm DDI 0183), as QEMU's `virt` machine has it: revision 1, FIFOs of 16.
//!
//! Characters leave through a [`Sink`], whose free room stands for the transmit FIFO: the FIFO
//! counts as holding `16 - room` characters, and none once the sink has room for 16. Characters
//! arrive through [`Pl011::push_rx`]. There is no baud rate; the divisors are kept and not used.
//!
//! Where the model is not the manual's part, it is QEMU's, because software that was written for
//! that machine runs here unmodified:
//!
//! - It sends and receives whether or not UARTCR enables it. Much early console code never does.
//! - UARTTXINTR is set by each character that leaves the FIFO at or below its level, not only by
//!   the one that takes it there from above. A sink with room takes a character at once, so there
//!   is no other moment at which a driver that waits for the interrupt could get it.
//! - UARTRXINTR is set by each character that arrives, as if the level were one. The receive
//!   timeout (UARTRTINTR) is set at the same moment: no second character is on the wire.
//!
//! Framing, parity and break errors do not happen, nor do infrared and DMA; their bits are kept. In
//! loopback (UARTCR.LBE) characters and modem lines come back and the sink sees nothing.

use crate::access::{Lanes, prime_cell_id};
use crate::rx_fifo::RxFifo;

/// Where characters go. A sink must be able to hold 16 of them at least, or the guest would never
/// see its FIFO empty.
pub trait Sink {
    /// Takes a character. Called only when there is room.
    fn put(&mut self, byte: u8);
    /// How many more characters it would take now.
    fn room(&self) -> usize;
}

/// PeriphID 0x00141011 (part 0x011, designer Arm, revision 1) below PCellID 0xB105F00D.
const ID: u64 = 0xB105_F00D_0014_1011;
/// The depth of the transmit FIFO with FIFOs enabled.
const TX_DEPTH: u8 = 16;

/// Bits of UARTDR and UARTRSR.
mod data {
    /// UARTDR: characters were lost before this one.
    pub const OE: u16 = 1 << 11;
    /// UARTRSR: overrun.
    pub const RSR_OE: u8 = 1 << 3;
}

/// Bits of UARTFR.
mod flag {
    pub const CTS: u32 = 1 << 0;
    pub const DSR: u32 = 1 << 1;
    pub const DCD: u32 = 1 << 2;
    pub const BUSY: u32 = 1 << 3;
    pub const RXFE: u32 = 1 << 4;
    pub const TXFF: u32 = 1 << 5;
    pub const RXFF: u32 = 1 << 6;
    pub const TXFE: u32 = 1 << 7;
    pub const RI: u32 = 1 << 8;
}

/// Bits of UARTCR, and its value at power-on.
mod control {
    pub const LBE: u16 = 1 << 7;
    pub const TXE: u16 = 1 << 8;
    pub const RXE: u16 = 1 << 9;
    pub const DTR: u16 = 1 << 10;
    pub const RTS: u16 = 1 << 11;
    pub const OUT1: u16 = 1 << 12;
    pub const OUT2: u16 = 1 << 13;
    pub const RESET: u16 = RXE | TXE;
    /// All but the reserved bits 6:3.
    pub const WRITABLE: u16 = 0xFF87;
}

/// Bits of UARTIMSC, UARTRIS, UARTMIS and UARTICR.
mod interrupt {
    pub const RI: u16 = 1 << 0;
    pub const CTS: u16 = 1 << 1;
    pub const DCD: u16 = 1 << 2;
    pub const DSR: u16 = 1 << 3;
    pub const RX: u16 = 1 << 4;
    pub const TX: u16 = 1 << 5;
    pub const RT: u16 = 1 << 6;
    pub const OE: u16 = 1 << 10;
    pub const ALL: u16 = 0x7FF;
}

/// LCR_H.FEN: FIFOs enabled.
const FEN: u8 = 1 << 4;
/// UARTIFLS at power-on: both levels at one half.
const IFLS_RESET: u8 = 0x12;

/// A UART.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pl011 {
    rx: RxFifo,
    /// A character was lost since the last one that the FIFO took. The next one it takes carries
    /// OE.
    lost: bool,
    /// UARTRSR.
    status: u8,
    /// Room in the sink as last heard of, 16 at most.
    room: u8,
    ilpr: u8,
    ibrd: u16,
    fbrd: u8,
    lcr_h: u8,
    cr: u16,
    ifls: u8,
    imsc: u16,
    ris: u16,
    dmacr: u8,
}

impl Default for Pl011 {
    fn default() -> Self {
        Self::new()
    }
}

impl Pl011 {
    const UARTDR: u32 = 0x00;
    const UARTRSR: u32 = 0x04;
    const UARTFR: u32 = 0x18;
    const UARTILPR: u32 = 0x20;
    const UARTIBRD: u32 = 0x24;
    const UARTFBRD: u32 = 0x28;
    const UARTLCR_H: u32 = 0x2C;
    const UARTCR: u32 = 0x30;
    const UARTIFLS: u32 = 0x34;
    const UARTIMSC: u32 = 0x38;
    const UARTRIS: u32 = 0x3C;
    const UARTMIS: u32 = 0x40;
    const UARTICR: u32 = 0x44;
    const UARTDMACR: u32 = 0x48;

    /// A UART at power-on, with a sink that has room.
    pub const fn new() -> Self {
        Self {
            rx: RxFifo::new(),
            lost: false,
            status: 0,
            room: TX_DEPTH,
            ilpr: 0,
            ibrd: 0,
            fbrd: 0,
            lcr_h: 0,
            cr: control::RESET,
            ifls: IFLS_RESET,
            imsc: 0,
            ris: 0,
            dmacr: 0,
        }
    }

    /// Back to power-on. What is known of the sink stays: it is not the guest's.
    pub fn reset(&mut self) {
        *self = Self {
            room: self.room,
            ..Self::new()
        };
    }

    /// Reads a register.
    #[inline]
    pub fn read(&mut self, offset: u64, size: u8) -> u64 {
        let Some(lanes) = Lanes::new(offset, size) else {
            return 0;
        };
        lanes.read(match lanes.register {
            Self::UARTDR => self.take(),
            Self::UARTRSR => u32::from(self.status),
            Self::UARTFR => self.flags(),
            Self::UARTILPR => u32::from(self.ilpr),
            Self::UARTIBRD => u32::from(self.ibrd),
            Self::UARTFBRD => u32::from(self.fbrd),
            Self::UARTLCR_H => u32::from(self.lcr_h),
            Self::UARTCR => u32::from(self.cr),
            Self::UARTIFLS => u32::from(self.ifls),
            Self::UARTIMSC => u32::from(self.imsc),
            Self::UARTRIS => u32::from(self.ris),
            Self::UARTMIS => u32::from(self.ris & self.imsc),
            Self::UARTDMACR => u32::from(self.dmacr),
            register => prime_cell_id(register, ID),
        })
    }

    /// Writes a register. A character goes to `sink`.
    #[inline]
    pub fn write(&mut self, offset: u64, size: u8, value: u64, sink: &mut impl Sink) {
        let Some(lanes) = Lanes::new(offset, size) else {
            return;
        };
        let Some(value) = lanes.write(value) else {
            return;
        };
        match lanes.register {
            Self::UARTDR => self.send(value as u8, sink),
            Self::UARTRSR => self.status = 0,
            Self::UARTILPR => self.ilpr = value as u8,
            Self::UARTIBRD => self.ibrd = value as u16,
            Self::UARTFBRD => self.fbrd = value as u8 & 0x3F,
            Self::UARTLCR_H => self.set_line(value as u8),
            Self::UARTCR => self.set_control(value as u16 & control::WRITABLE),
            Self::UARTIFLS => self.ifls = value as u8 & 0x3F,
            Self::UARTIMSC => self.imsc = value as u16 & interrupt::ALL,
            Self::UARTICR => self.ris &= !(value as u16),
            Self::UARTDMACR => self.dmacr = value as u8 & 7,
            _ => {}
        }
    }

    /// [`Pl011::read`] of a register that a driver polls, where the register begins; `None` for all others.
    #[inline(always)]
    pub fn quick_read(&self, register: u32, size: u8) -> Option<u64> {
        let value = match register {
            Self::UARTFR => self.flags(),
            Self::UARTIMSC => u32::from(self.imsc),
            Self::UARTMIS => u32::from(self.ris & self.imsc),
            _ => return None,
        };
        match size {
            4 => Some(u64::from(value)),
            2 => Some(u64::from(value & 0xFFFF)),
            _ => None,
        }
    }

    /// [`Pl011::write`] of UARTIMSC or UARTICR where it begins, if that does not move the interrupt line. Whether it did.
    #[inline(always)]
    pub fn quick_write(&mut self, register: u32, size: u8, value: u64) -> bool {
        let (mut imsc, mut ris) = (self.imsc, self.ris);
        match register {
            Self::UARTIMSC => imsc = value as u16 & interrupt::ALL,
            Self::UARTICR => ris &= !(value as u16),
            _ => return false,
        }
        let fits = (size == 2 || size == 4) && (imsc & ris != 0) == self.irq();
        if fits {
            (self.imsc, self.ris) = (imsc, ris);
        }
        fits
    }

    /// The interrupt line, UARTINTR.
    #[inline]
    pub const fn irq(&self) -> bool {
        self.ris & self.imsc != 0
    }

    /// A character arrives. When there is no room for it, it is lost, the guest is told of an
    /// overrun, and the answer is `false`; ask [`Pl011::rx_room`] first to lose none.
    pub fn push_rx(&mut self, byte: u8) -> bool {
        let status = if self.lost { data::OE } else { 0 };
        if self.rx.push(u16::from(byte) | status, self.rx_depth()) {
            self.lost = false;
            self.ris |= interrupt::RX;
            if self.fifos() {
                self.ris |= interrupt::RT;
            }
            true
        } else {
            self.lost = true;
            self.status |= data::RSR_OE;
            self.ris |= interrupt::OE;
            false
        }
    }

    /// How many characters can arrive before one would be lost.
    #[inline]
    pub fn rx_room(&self) -> usize {
        usize::from(self.rx_depth().saturating_sub(self.rx.count()))
    }

    /// The sink's room has changed, by anything but this UART's own characters.
    #[inline]
    pub fn tx_room_changed(&mut self, room: usize) {
        let was_above = self.tx_count() > self.tx_level();
        self.set_room(room);
        if was_above && self.tx_count() <= self.tx_level() {
            self.ris |= interrupt::TX;
        }
    }

    /// LCR_H.FEN.
    #[inline]
    const fn fifos(&self) -> bool {
        self.lcr_h & FEN != 0
    }

    #[inline]
    const fn rx_depth(&self) -> u8 {
        if self.fifos() { RxFifo::DEPTH } else { 1 }
    }

    #[inline]
    fn set_room(&mut self, room: usize) {
        self.room = room.min(usize::from(TX_DEPTH)) as u8;
    }

    /// How many characters the transmit FIFO counts as holding.
    #[inline]
    const fn tx_count(&self) -> u8 {
        if self.fifos() {
            TX_DEPTH.saturating_sub(self.room)
        } else {
            (self.room == 0) as u8
        }
    }

    /// The transmit interrupt is for this many characters or fewer: UARTIFLS.TXIFLSEL in
    /// sixteenths, or none with FIFOs disabled. Reserved values act as 7/8.
    #[inline]
    const fn tx_level(&self) -> u8 {
        if !self.fifos() {
            return 0;
        }
        match self.ifls & 7 {
            0 => 2,
            1 => 4,
            2 => 8,
            3 => 12,
            _ => 14,
        }
    }

    /// UARTFR.
    #[inline(always)]
    fn flags(&self) -> u32 {
        let mut flags = self.modem_lines();
        if self.tx_count() == 0 {
            flags |= flag::TXFE;
        } else {
            flags |= flag::BUSY;
            if self.room == 0 {
                flags |= flag::TXFF;
            }
        }
        if self.rx.is_empty() {
            flags |= flag::RXFE;
        } else if self.rx_room() == 0 {
            flags |= flag::RXFF;
        }
        flags
    }

    /// CTS, DSR, DCD and RI in UARTFR: nothing is connected, unless in loopback, where they are the
    /// UART's own RTS, DTR, Out1 and Out2.
    #[inline(always)]
    const fn modem_lines(&self) -> u32 {
        if self.cr & control::LBE == 0 {
            return 0;
        }
        let mut lines = 0;
        if self.cr & control::RTS != 0 {
            lines |= flag::CTS;
        }
        if self.cr & control::DTR != 0 {
            lines |= flag::DSR;
        }
        if self.cr & control::OUT1 != 0 {
            lines |= flag::DCD;
        }
        if self.cr & control::OUT2 != 0 {
            lines |= flag::RI;
        }
        lines
    }

    /// A read of UARTDR; zero when no character waits.
    fn take(&mut self) -> u32 {
        let entry = self.rx.pop().unwrap_or(0);
        if self.rx.is_empty() {
            self.ris &= !(interrupt::RX | interrupt::RT);
        }
        u32::from(entry)
    }

    /// A write of UARTDR. A character for which there is no room is lost.
    fn send(&mut self, byte: u8, sink: &mut impl Sink) {
        if self.cr & control::LBE != 0 {
            self.push_rx(byte);
            self.ris |= interrupt::TX;
            return;
        }
        if sink.room() != 0 {
            sink.put(byte);
        }
        self.set_room(sink.room());
        if self.tx_count() <= self.tx_level() {
            self.ris |= interrupt::TX;
        } else {
            self.ris &= !interrupt::TX;
        }
    }

    /// A write of UARTLCR_H. FIFOs that are turned on or off start empty.
    fn set_line(&mut self, value: u8) {
        if (self.lcr_h ^ value) & FEN != 0 {
            self.rx.clear();
            self.lost = false;
            self.ris &= !(interrupt::RX | interrupt::RT);
        }
        self.lcr_h = value;
    }

    /// A write of UARTCR. A modem line that changes by it raises its interrupt.
    fn set_control(&mut self, value: u16) {
        let before = self.modem_lines();
        self.cr = value;
        let changed = before ^ self.modem_lines();
        for (line, interrupt) in [
            (flag::RI, interrupt::RI),
            (flag::CTS, interrupt::CTS),
            (flag::DCD, interrupt::DCD),
            (flag::DSR, interrupt::DSR),
        ] {
            if changed & line != 0 {
                self.ris |= interrupt;
            }
        }
    }
}
