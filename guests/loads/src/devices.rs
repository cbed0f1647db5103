//! The devices that are read, prepared so that what they have is known: a PL011 in loopback (Arm DDI 0183, 3.4),
//! the distributor's registers of SPIs that nothing uses, the physical timer's compare value.
//!
//! In loopback a character that is written is there to be read, raises the receive interrupt, and lowers it when it is read.
//! So a read of UARTDR changes what is pending for this guest. The interrupt is enabled in the distributor, and never taken.

use bare::arch;
use bare::board::IntId;
use bare::gic::{self, Gic};
use bare::registers::Registers;
use bare::time::Ticks;

const UARTDR: usize = 0x00;
const UARTFR: usize = 0x18;
const UARTIBRD: usize = 0x24;
const UARTCR: usize = 0x30;
const UARTIMSC: usize = 0x38;
const UARTICR: usize = 0x44;
/// UARTCR.LBE: loopback.
const LOOPBACK: u32 = 1 << 7;
/// UARTIMSC: a character has come.
const RECEIVE: u32 = 1 << 4;
/// UARTFR.RXFE: none has.
const EMPTY: u32 = 1 << 4;
const GICD_IPRIORITYR: usize = 0x400;
/// Of the UART's interrupt.
const PRIORITY: u8 = 0x80;
/// What the divisor, the priorities and the timer are set to, as far as they keep it.
const DIVISOR: u32 = 0xBE1D;
const PRIORITIES: u32 = 0xA0B0_C0D0;
const COMPARE: u64 = 0x7EAD_BEEF_0123_C0DE;
/// Which of the last 32 SPIs are enabled.
const ENABLED: u32 = 0x8765_0000;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// UARTDR: a character, and above it UARTRSR, which is 0.
    Data,
    /// UARTIMSC.
    Mask,
    /// UARTIBRD.
    Divisor,
    /// GICD_ISENABLER.
    Enabled,
    /// GICD_IPRIORITYR.
    Priorities,
    /// CNTP_CVAL_EL0.
    Compare,
}

impl Device {
    /// Its name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "UARTDR",
            Self::Mask => "UARTIMSC",
            Self::Divisor => "UARTIBRD",
            Self::Enabled => "GICD_ISENABLER",
            Self::Priorities => "GICD_IPRIORITYR",
            Self::Compare => "CNTP_CVAL_EL0",
        }
    }
}

/// The devices, prepared.
pub struct Devices {
    uart: Registers,
    interrupt: IntId,
    gic: Gic,
    /// The values that they had: UARTCR and UARTIBRD.
    before: [u32; 2],
    enabled: (usize, u32),
    priorities: (usize, u32),
}

impl Devices {
    /// Prepares them, or says what the machine does not have. Interrupts are masked.
    pub fn prepare(uart: Registers, interrupt: IntId, gic: Gic) -> Result<Self, &'static str> {
        let distributor = gic.distributor();
        let last = (gic.spi_end() - 1) as usize;
        let enabled = gic::GICD_ISENABLER + last / 32 * 4;
        let priorities = GICD_IPRIORITYR + last / 4 * 4;
        distributor.write(enabled, ENABLED);
        distributor.write(priorities, PRIORITIES);
        arch::set_physical_timer(Some(Ticks(COMPARE)));
        arch::set_physical_timer(None);
        let devices = Self {
            uart,
            interrupt,
            gic,
            before: [uart.read(UARTCR), uart.read(UARTIBRD)],
            enabled: (enabled, distributor.read(enabled)),
            priorities: (priorities, distributor.read(priorities)),
        };
        gic.enable(interrupt, PRIORITY);
        uart.write(UARTIBRD, DIVISOR);
        let [control, _] = devices.before;
        uart.write(UARTCR, control | LOOPBACK);
        uart.write(UARTIMSC, RECEIVE);
        devices.arrive(0x2A);
        if uart.read(UARTFR) & EMPTY != 0 || uart.read(UARTDR) != 0x2A {
            devices.restore();
            return Err("the UART has no loopback");
        }
        Ok(devices)
    }

    /// As they were, but for the timer.
    pub fn restore(&self) {
        let [control, divisor] = self.before;
        self.uart.write(UARTIMSC, 0);
        self.uart.write(UARTICR, 0x7FF);
        self.uart.write(UARTCR, control);
        self.uart.write(UARTIBRD, divisor);
        self.gic.disable(self.interrupt);
        let (offset, value) = self.enabled;
        let clear = offset - gic::GICD_ISENABLER + gic::GICD_ICENABLER;
        self.gic.distributor().write(clear, value);
    }

    /// A character arrives: what a read of UARTDR gives next.
    pub fn arrive(&self, character: u8) {
        self.uart.write(UARTDR, character.into());
    }

    /// Where a device's register is.
    pub fn address(&self, device: Device) -> usize {
        match device {
            Device::Data => self.uart.address(UARTDR),
            Device::Mask => self.uart.address(UARTIMSC),
            Device::Divisor => self.uart.address(UARTIBRD),
            Device::Enabled => self.gic.distributor().address(self.enabled.0),
            Device::Priorities => self.gic.distributor().address(self.priorities.0),
            Device::Compare => 0,
        }
    }

    /// What it has there, and above; `character` has arrived.
    pub fn value(&self, device: Device, character: u8) -> [u64; 2] {
        let first = match device {
            Device::Data => character.into(),
            Device::Mask => RECEIVE.into(),
            Device::Divisor => DIVISOR.into(),
            Device::Enabled => self.enabled.1.into(),
            Device::Priorities => self.priorities.1.into(),
            Device::Compare => COMPARE,
        };
        [first, 0]
    }
}
