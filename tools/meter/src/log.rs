//! QEMU's own log, which says what a plugin of QEMU 7.2 is not told: the cause of each exception.
//!
//! With `-d int,trace:gicv3_icc_iar1_read,trace:gic_acknowledge_irq -D FILE` QEMU writes, on the
//! thread of the core and before the first instruction of the vector is executed:
//!
//! ```text
//! Taking exception 4 [Data Abort] on CPU 0
//! ...from EL1 to EL2
//! ...with ESR 0x24/0x93890045
//! ...with FAR 0x9000038
//! ...with ELR 0x40201e90
//! ...to EL2 PC 0x7fc0000c00 PSTATE 0x3c9
//! gicv3_icc_iar1_read GICv3 ICC_IAR1 read cpu 0x0 value 0x1a
//! Exception return from AArch64 EL2 to AArch64 EL1 PC 0x40201e94
//! ```
//!
//! It flushes after each message, so what has been executed can be read. What was read is given
//! back to the file system as a hole: a Linux boot logs all its exceptions at EL1 as well.

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is read at once.
const CHUNK: usize = 64 << 10;
/// A longer line is none of ours.
const LONGEST_LINE: usize = 4096;
/// What is given back at once.
const HOLE: u64 = 4 << 20;
/// Interrupt numbers that say that there is none (GICv3, 2.2.1: 1020 to 1023).
const SPECIAL: std::ops::RangeInclusive<u32> = 1020..=1023;

/// An exception that was taken to EL2 from below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// The syndrome as QEMU writes it, also for an interrupt, which has none.
    pub esr: Option<u32>,
    /// The virtual address of an abort.
    pub far: Option<u64>,
    /// Where it was taken.
    pub elr: Option<u64>,
}

/// Interrupts that a core acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// The first.
    pub first: Option<u32>,
    /// How many.
    pub count: u64,
}

/// An exception whose lines are being read.
#[derive(Debug, Default)]
struct Taking {
    core: usize,
    from: Option<u32>,
    taken: Taken,
}

#[derive(Debug, Default, Clone)]
struct PerCore {
    taken: Option<Taken>,
    acknowledged: Acknowledged,
    /// Where its last exception to EL2, from any level, went.
    entered: Option<u64>,
}

/// What the log has said.
#[derive(Debug)]
pub struct Said {
    cores: Vec<PerCore>,
    taking: Option<Taking>,
    guests: bool,
    /// The last line, as far as it is written.
    partial: Vec<u8>,
}

impl Said {
    /// Nothing was said yet of a machine with so many cores.
    pub fn new(cores: usize) -> Self {
        Self {
            cores: vec![PerCore::default(); cores],
            taking: None,
            guests: false,
            partial: Vec::new(),
        }
    }

    /// An event begins on a core: the exception that it begins with. Acknowledges are counted
    /// from here.
    pub fn begin(&mut self, core: usize) -> Option<Taken> {
        let core = self.cores.get_mut(core)?;
        core.acknowledged = Acknowledged::default();
        core.taken.take()
    }

    /// What a core has acknowledged since `begin`.
    pub fn acknowledged(&self, core: usize) -> Acknowledged {
        let core = self.cores.get(core);
        core.map_or_else(Acknowledged::default, |core| core.acknowledged)
    }

    /// Whether the last exception to EL2 of some core went to this address.
    pub fn entered(&self, address: u64) -> bool {
        self.cores.iter().any(|core| core.entered == Some(address))
    }

    /// Whether EL2 has entered a lower level yet.
    pub fn guests(&self) -> bool {
        self.guests
    }

    /// Reads what was written since.
    pub fn add(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.partial.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole);
            }
        }
        if self.partial.len() + bytes.len() <= LONGEST_LINE {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn line(&mut self, line: &[u8]) {
        if let Ok(line) = std::str::from_utf8(line) {
            // None is a line of something else, or one that was not understood.
            let _ = self.exception(line).or_else(|| self.acknowledge(line));
        }
    }

    fn exception(&mut self, line: &str) -> Option<()> {
        if let Some(rest) = line.strip_prefix("Taking exception ") {
            self.taking = None;
            let (_, core) = rest.rsplit_once(" on CPU ")?;
            self.taking = Some(Taking {
                core: core.trim().parse().ok()?,
                ..Taking::default()
            });
            return Some(());
        }
        if let Some(rest) = line.strip_prefix("Exception return from AArch64 EL2 to ") {
            self.guests |= !rest.contains("EL2");
            return Some(());
        }
        let rest = line.strip_prefix("...")?;
        let taking = self.taking.as_mut()?;
        if let Some(levels) = rest.strip_prefix("from EL") {
            taking.from = levels.get(..1)?.parse().ok();
        } else if let Some(syndrome) = rest.strip_prefix("with ESR ") {
            let (_, syndrome) = syndrome.split_once('/')?;
            taking.taken.esr = u32::try_from(hexadecimal(syndrome)?).ok();
        } else if let Some(address) = rest.strip_prefix("with FAR ") {
            taking.taken.far = hexadecimal(address);
        } else if let Some(address) = rest.strip_prefix("with ELR ") {
            taking.taken.elr = hexadecimal(address);
        } else if let Some(place) = rest.strip_prefix("to EL") {
            let taking = self.taking.take()?;
            let address = hexadecimal(place.strip_prefix("2 PC ")?)?;
            let core = self.cores.get_mut(taking.core)?;
            core.entered = Some(address);
            if taking.from? < 2 {
                core.taken = Some(taking.taken);
            }
        }
        Some(())
    }

    /// A read of a physical ICC_IAR1_EL1, ICC_IAR0_EL1 or GICC_IAR. A time may stand before it.
    fn acknowledge(&mut self, line: &str) -> Option<()> {
        let (core, interrupt) = if let Some((_, rest)) = line.split_once("gicv3_icc_iar") {
            let (_, rest) = rest.split_once(" cpu ")?;
            let (affinity, value) = rest.split_once(" value ")?;
            (core(hexadecimal(affinity)?), hexadecimal(value)?)
        } else {
            let (_, rest) = line.split_once("gic_acknowledge_irq cpu ")?;
            let (core, interrupt) = rest.split_once(" acknowledged irq ")?;
            (core.parse().ok()?, interrupt.trim().parse().ok()?)
        };
        let interrupt = u32::try_from(interrupt).ok()?;
        if !SPECIAL.contains(&interrupt) {
            let acknowledged = &mut self.cores.get_mut(core)?.acknowledged;
            acknowledged.first.get_or_insert(interrupt);
            acknowledged.count += 1;
        }
        Some(())
    }
}

/// The core with an affinity: a machine `virt` with a GICv3 has 16 cores in a cluster.
fn core(affinity: u64) -> usize {
    ((affinity >> 8 & 0xFF) * 16 + (affinity & 0xFF)) as usize
}

/// The hexadecimal number that a text begins with, after 0x.
fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.trim_start().strip_prefix("0x")?;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit());
    u64::from_str_radix(digits.get(..end.unwrap_or(digits.len()))?, 16).ok()
}

/// The file.
#[derive(Debug)]
pub struct Log {
    file: File,
    read: u64,
    /// Up to here the file was given back.
    hole: u64,
    buffer: Vec<u8>,
    said: Said,
}

unsafe extern "C" {
    fn fallocate(file: c_int, mode: c_int, offset: i64, length: i64) -> c_int;
}

/// fallocate(2): FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE.
const PUNCH_HOLE: c_int = 2 | 1;

impl Log {
    /// Opens QEMU's log of a machine with so many cores.
    ///
    /// # Errors
    ///
    /// The file is not there, or not ours to write to.
    pub fn open(path: &Path, cores: usize) -> io::Result<Self> {
        Ok(Self {
            file: OpenOptions::new().read(true).write(true).open(path)?,
            read: 0,
            hole: 0,
            buffer: vec![0; CHUNK],
            said: Said::new(cores),
        })
    }

    /// Reads to the end, and returns what has been said.
    pub fn read(&mut self) -> &mut Said {
        loop {
            // A failure is no more of the log: the causes are then unknown.
            let length = self.file.read_at(&mut self.buffer, self.read).unwrap_or(0);
            self.said.add(&self.buffer[..length]);
            self.read += length as u64;
            if length < self.buffer.len() {
                break;
            }
        }
        if self.read - self.hole >= HOLE {
            self.give_back();
        }
        &mut self.said
    }

    /// Makes what was read a hole. QEMU's position in the file stays what it is.
    fn give_back(&mut self) {
        let length = self.read - self.hole;
        // SAFETY: a file that is open; offset and length are within what was read of it.
        let _ = unsafe {
            fallocate(
                self.file.as_raw_fd(),
                PUNCH_HOLE,
                self.hole.cast_signed(),
                length.cast_signed(),
            )
        };
        // Where that is not possible the log stays as it is.
        self.hole = self.read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    const ABORT: &str = "Taking exception 4 [Data Abort] on CPU 1\n\
        ...from EL1 to EL2\n\
        ...with ESR 0x24/0x93890045\n\
        ...with FAR 0x9000038\n\
        ...with SPSR 0x600003c5\n\
        ...with ELR 0x40201e90\n\
        ...to EL2 PC 0x7fc0000c00 PSTATE 0x3c9\n";
    const TAKEN: Taken = Taken {
        esr: Some(0x9389_0045),
        far: Some(0x900_0038),
        elr: Some(0x4020_1E90),
    };

    fn said(text: &str) -> Said {
        let mut said = Said::new(4);
        said.add(text.as_bytes());
        said
    }

    #[test]
    fn the_exception_belongs_to_its_core_and_to_one_event() {
        let mut said = said(ABORT);
        assert!(said.entered(0x7F_C000_0C00));
        assert_eq!(said.begin(0), None);
        assert_eq!(said.begin(1), Some(TAKEN));
        assert_eq!(said.begin(1), None);
    }

    #[test]
    fn exceptions_to_other_levels_and_from_el2_are_not_the_events() {
        let to_el1 = ABORT.replace("to EL2", "to EL1");
        let from_el2 = ABORT.replace("from EL1 to EL2", "from EL2 to EL2");
        assert_eq!(said(&to_el1).begin(1), None);
        assert!(!said(&to_el1).entered(0x7F_C000_0C00));
        let mut nested = said(&from_el2);
        assert_eq!(nested.begin(1), None);
        assert!(nested.entered(0x7F_C000_0C00));
        // An exception to EL3 that QEMU handles itself has no last line.
        let call = "Taking exception 13 [Secure Monitor Call] on CPU 1\n...from EL2 to EL3\n\
            ...with ESR 0x17/0x5e000000\n...handled as PSCI call\n";
        assert_eq!(said(&format!("{call}{ABORT}")).begin(1), Some(TAKEN));
        assert_eq!(said(&format!("{ABORT}{call}")).begin(1), Some(TAKEN));
    }

    #[test]
    fn acknowledges_are_those_of_the_physical_interface_after_the_event_began() {
        let mut said = said("gicv3_icc_iar1_read GICv3 ICC_IAR1 read cpu 0x0 value 0x1e\n");
        said.begin(0);
        assert_eq!(said.acknowledged(0), Acknowledged::default());
        said.add(
            b"gicv3_icc_iar1_read GICv3 ICC_IAR1 read cpu 0x0 value 0x3ff\n\
            123@4.5:gicv3_icc_iar1_read GICv3 ICC_IAR1 read cpu 0x0 value 0x1a\n\
            gicv3_icc_iar1_read GICv3 ICC_IAR1 read cpu 0x0 value 0x1b\n\
            gicv3_icv_iar_read GICv3 ICV_IAR1 read cpu 0x0 value 0x20\n\
            gic_acknowledge_irq cpu 2 acknowledged irq 27\n\
            gic_acknowledge_irq vcpu 2 acknowledged irq 28\n\
            gic_acknowledge_irq cpu 2 acknowledged irq 1023\n",
        );
        let expected = [(Some(26), 2), (None, 0), (Some(27), 1)];
        for (core, (first, count)) in expected.into_iter().enumerate() {
            assert_eq!(said.acknowledged(core), Acknowledged { first, count });
        }
    }

    #[test]
    fn a_guest_has_run_when_el2_was_left() {
        assert!(!said("Exception return from AArch64 EL2 to AArch64 EL2 PC 0x1\n").guests());
        assert!(!said("Exception return from AArch64 EL1 to AArch64 EL0 PC 0x1\n").guests());
        assert!(said("Exception return from AArch64 EL2 to AArch64 EL1 PC 0x1\n").guests());
        assert!(said("Exception return from AArch64 EL2 to AArch32 EL1 PC 0x1\n").guests());
    }

    #[test]
    fn what_was_read_is_given_back_and_the_writer_goes_on() {
        let path = std::env::temp_dir().join(format!("meter-log-{}", std::process::id()));
        let mut writer = File::create(&path).unwrap();
        let mut log = Log::open(&path, 4).unwrap();
        let lines = "x".repeat(99) + "\n";
        for _ in 0..40 {
            writer.write_all(lines.repeat(3000).as_bytes()).unwrap();
            writer.write_all(ABORT.as_bytes()).unwrap();
            assert_eq!(log.read().begin(1), Some(TAKEN));
        }
        let metadata = writer.metadata().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(metadata.len(), 40 * (300_000 + ABORT.len() as u64));
        assert!(metadata.blocks() * 512 <= HOLE + (1 << 20));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_a_read_ends(cuts in proptest::collection::vec(0usize..400, 0..9)) {
            let text = format!("{ABORT}gicv3_icc_iar1_read cpu 0x1 value 0x1b\nother\n");
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut said = Said::new(2);
            let mut from = 0;
            for cut in cuts {
                said.add(&text.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(said.acknowledged(1), Acknowledged { first: Some(27), count: 1 });
            prop_assert_eq!(said.begin(1), Some(TAKEN));
        }

        #[test]
        fn nothing_in_a_log_is_fatal(text in "(Taking exception |\\.\\.\\.|with ESR |to EL2 PC |0x|/| on CPU |[0-9a-fé]|\n| cpu |gicv3_icc_iar1_read| value ){0,60}") {
            said(&text);
        }
    }
}
