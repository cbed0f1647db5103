//! The PL011 UART (Arm DDI 0183), as firmware or the hypervisor set its baud rate, or the generic
//! UART of the SBSA (Arm DEN 0029, appendix B), which has some of its registers.

use crate::board::UartBoard;
use crate::registers::Registers;

const UARTDR: usize = 0x00;
const UARTFR: usize = 0x18;
const UARTLCR_H: usize = 0x2C;
const UARTCR: usize = 0x30;
const UARTIMSC: usize = 0x38;
const UARTICR: usize = 0x44;

const FR_BUSY: u32 = 1 << 3;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;

const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RT: u32 = 1 << 6;

/// The UART.
#[derive(Clone, Copy)]
pub struct Uart(Registers);

impl Uart {
    /// Enables the UART: 8 bits, FIFOs, no interrupts yet.
    ///
    /// # Safety
    ///
    /// `board` is true of the machine, and its registers are mapped as device memory.
    pub unsafe fn start(board: UartBoard) -> Self {
        // SAFETY: by the promise of the caller.
        let registers = unsafe { Registers::new(board.address) };
        registers.write(UARTIMSC, 0);
        // What a loader still sends is let out first; the line is not waited for for ever.
        for _ in 0..1_000_000 {
            if registers.read(UARTFR) & FR_BUSY == 0 {
                break;
            }
        }
        if !board.is_sbsa {
            registers.write(UARTLCR_H, 0x70);
            registers.write(UARTCR, 0x301);
        }
        registers.write(UARTICR, 0x7FF);
        Self(registers)
    }

    /// Sends a byte unless the FIFO is full; says whether it did.
    #[inline]
    pub fn try_send(self, byte: u8) -> bool {
        if self.0.read(UARTFR) & FR_TXFF != 0 {
            return false;
        }
        self.0.write(UARTDR, u32::from(byte));
        true
    }

    /// Sends bytes, waiting for room, but not for ever: then the rest is lost.
    pub fn send(self, bytes: &[u8]) {
        for byte in bytes {
            if !(0..1_000_000).any(|_| self.try_send(*byte)) {
                return;
            }
        }
    }

    /// The next byte received.
    pub fn receive(self) -> Option<u8> {
        (self.0.read(UARTFR) & FR_RXFE == 0).then(|| self.0.read(UARTDR) as u8)
    }

    /// Lets the receive interrupts in, and with `sending` the one for room in the FIFO.
    pub fn allow_interrupts(self, sending: bool) {
        let mask = INT_RX | INT_RT | if sending { INT_TX } else { 0 };
        self.0.write(UARTIMSC, mask);
    }

    /// Keeps every interrupt out and forgets the latched ones. What is received or sent from
    /// now on latches anew, so nothing is lost when they are let in again.
    pub fn mask_interrupts(self) {
        self.0.write(UARTIMSC, 0);
        self.0.write(UARTICR, 0x7FF);
    }
}
