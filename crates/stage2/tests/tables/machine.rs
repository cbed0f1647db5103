//! A machine made of vectors: frames for tables, and a record of every operation in its order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tessera_stage2::{Ipa, Maintenance, Pa, Tables};

/// What happened to the machine, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Write {
        table: u64,
        index: usize,
        old: u64,
        new: u64,
    },
    DsbIshst,
    DsbIsh,
    Isb,
    TlbiIpa(u64),
    TlbiVmalle1is,
    TlbiVmalls12e1is,
}

type Log = Rc<RefCell<Vec<Event>>>;

/// Frames, and a limit to how many there are.
pub struct Memory {
    pub tables: BTreeMap<u64, Vec<u64>>,
    pub left: usize,
    next: u64,
    log: Log,
}

impl Memory {
    /// A memory of `left` frames, and the barriers and invalidations that share its record.
    pub fn new(left: usize) -> (Self, Recorder) {
        let log = Log::default();
        let memory = Self {
            tables: BTreeMap::new(),
            left,
            next: 0x1000,
            log: log.clone(),
        };
        (memory, Recorder { log })
    }
}

impl Tables for Memory {
    fn allocate(&mut self, frames: usize) -> Option<Pa> {
        assert!(frames == 1 || frames == 2);
        self.left = self.left.checked_sub(frames)?;
        let size = 0x1000 * frames as u64;
        let table = self.next.next_multiple_of(size);
        self.next = table + size;
        self.tables.insert(table, vec![0; 512 * frames]);
        Some(Pa::new(table))
    }

    fn entry(&self, table: Pa, index: usize) -> u64 {
        self.tables[&table.get()][index]
    }

    fn set_entry(&mut self, table: Pa, index: usize, value: u64) {
        let entry = &mut self.tables.get_mut(&table.get()).unwrap()[index];
        let old = core::mem::replace(entry, value);
        self.log.borrow_mut().push(Event::Write {
            table: table.get(),
            index,
            old,
            new: value,
        });
    }
}

/// Records barriers and invalidations.
pub struct Recorder {
    log: Log,
}

impl Recorder {
    /// Takes what was recorded so far.
    pub fn take(&self) -> Vec<Event> {
        self.log.take()
    }

    /// The same without the writes.
    pub fn take_maintenance(&self) -> Vec<Event> {
        let mut events = self.take();
        events.retain(|event| !matches!(event, Event::Write { .. }));
        events
    }

    fn push(&mut self, event: Event) {
        self.log.borrow_mut().push(event);
    }
}

impl Maintenance for Recorder {
    fn dsb_ishst(&mut self) {
        self.push(Event::DsbIshst);
    }
    fn dsb_ish(&mut self) {
        self.push(Event::DsbIsh);
    }
    fn isb(&mut self) {
        self.push(Event::Isb);
    }
    fn tlbi_ipa(&mut self, ipa: Ipa) {
        self.push(Event::TlbiIpa(ipa.get()));
    }
    fn tlbi_vmalle1is(&mut self) {
        self.push(Event::TlbiVmalle1is);
    }
    fn tlbi_vmalls12e1is(&mut self) {
        self.push(Event::TlbiVmalls12e1is);
    }
}
