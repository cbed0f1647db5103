//! The PL031 real-time clock (Arm DDI 0224), as QEMU's `virt` machine has it.
//!
//! The counter counts seconds. The model has no clock: each operation is told `now`, the host's
//! seconds, which must not run backwards, and the counter is `now` plus an offset that a write to
//! RTCLR sets. Whoever owns the model arms one deadline at [`Pl031::next_alarm`] and then calls
//! [`Pl031::advance`].
//!
//! Like that machine's, the clock runs from the start: RTCCR reads one and cannot be written. The
//! match register takes part from its first write on.

use crate::access::{Lanes, prime_cell_id};

/// The only bit of RTCIMSC, RTCRIS, RTCMIS and RTCICR.
const RTCINTR: u32 = 1;
/// Seconds until a 32-bit counter has the same value again.
const TURN: u64 = 1 << 32;
/// PeriphID 0x00141031 (part 0x031, designer Arm, revision 1) below PCellID 0xB105F00D.
const ID: u64 = 0xB105_F00D_0014_1031;

/// A real-time clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pl031 {
    /// The counter when `now` is zero, at power-on.
    epoch: u32,
    /// The counter less `now`, modulo 2^32.
    offset: u32,
    /// RTCMR.
    matching: u32,
    /// RTCLR: the value that was loaded last.
    load: u32,
    /// RTCIMSC: whether the interrupt reaches the line.
    enabled: bool,
    /// RTCRIS.
    raised: bool,
    /// When the counter next equals RTCMR. `None` until RTCMR or RTCLR is written.
    match_at: Option<u64>,
}

impl Pl031 {
    const RTCDR: u32 = 0x00;
    const RTCMR: u32 = 0x04;
    const RTCLR: u32 = 0x08;
    const RTCCR: u32 = 0x0C;
    const RTCIMSC: u32 = 0x10;
    const RTCRIS: u32 = 0x14;
    const RTCMIS: u32 = 0x18;
    const RTCICR: u32 = 0x1C;

    /// A clock whose counter is `epoch` when `now` is zero: seconds of Unix time at that moment, or
    /// zero if `now` is Unix time itself.
    pub const fn new(epoch: u32) -> Self {
        Self {
            epoch,
            offset: epoch,
            matching: 0,
            load: 0,
            enabled: false,
            raised: false,
            match_at: None,
        }
    }

    /// Back to power-on, the counter included: it is `now` plus the epoch again.
    pub fn reset(&mut self) {
        *self = Self::new(self.epoch);
    }

    /// Reads a register.
    pub fn read(&mut self, offset: u64, size: u8, now: u64) -> u64 {
        self.advance(now);
        let Some(lanes) = Lanes::new(offset, size) else {
            return 0;
        };
        lanes.read(match lanes.register {
            Self::RTCDR => self.counter(now),
            Self::RTCMR => self.matching,
            Self::RTCLR => self.load,
            Self::RTCCR => 1,
            Self::RTCIMSC => u32::from(self.enabled),
            Self::RTCRIS => u32::from(self.raised),
            Self::RTCMIS => u32::from(self.irq()),
            register => prime_cell_id(register, ID),
        })
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u64, size: u8, value: u64, now: u64) {
        self.advance(now);
        let Some(lanes) = Lanes::new(offset, size) else {
            return;
        };
        let Some(value) = lanes.write(value) else {
            return;
        };
        match lanes.register {
            Self::RTCMR => {
                self.matching = value;
                self.arm(now);
            }
            Self::RTCLR => {
                self.load = value;
                self.offset = value.wrapping_sub(now as u32);
                self.arm(now);
            }
            Self::RTCIMSC => self.enabled = value & RTCINTR != 0,
            Self::RTCICR if value & RTCINTR != 0 => self.raised = false,
            _ => {}
        }
    }

    /// Takes note that time has passed. Raises the interrupt if the counter has met RTCMR since.
    pub fn advance(&mut self, now: u64) {
        if let Some(at) = self.match_at.filter(|&at| at <= now) {
            self.raised = true;
            // The counter meets RTCMR once in each turn; skip the turns that nobody looked at.
            let turns = (now.wrapping_sub(at) / TURN).wrapping_add(1);
            self.match_at = at.checked_add(turns.saturating_mul(TURN));
        }
    }

    /// The interrupt line, as of the last operation.
    #[inline]
    pub const fn irq(&self) -> bool {
        self.raised && self.enabled
    }

    /// When the line will rise by itself: the `now` at which [`Pl031::advance`] should be called.
    /// `None` when it is up, or masked, or no match is set.
    #[inline]
    pub const fn next_alarm(&self) -> Option<u64> {
        if self.enabled && !self.raised {
            self.match_at
        } else {
            None
        }
    }

    /// RTCDR.
    #[inline]
    const fn counter(&self, now: u64) -> u32 {
        self.offset.wrapping_add(now as u32)
    }

    /// Finds the next match. It is now if the counter equals RTCMR already.
    fn arm(&mut self, now: u64) {
        let seconds = self.matching.wrapping_sub(self.counter(now));
        self.match_at = now.checked_add(u64::from(seconds));
        self.advance(now);
    }
}
