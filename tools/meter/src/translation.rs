//! What an instruction is: the hypervisor's or another's, and in whose memory.
//!
//! A hypervisor's instruction is known by where QEMU keeps it in its own memory, not by its
//! virtual address, which a guest may use too. The place of RAM is learned from the first
//! instruction that is translated at all: the MMU is off, so its virtual address is physical.
//! The place of the hypervisor follows from `image=`, or from the first instruction at one of
//! its virtual addresses - the boot runs before any guest.
//!
//! QEMU's log says more: where an exception to EL2 goes, which is a vector; and whether any
//! guest has run. Until one has, all code is the hypervisor's, so one that moves itself is
//! followed.

use crate::arguments::Arguments;
use crate::context::{self, ContextId};
use crate::counts::{MarkId, OperationId};
use crate::decode::{self, Operation};
use crate::engine;
use crate::log::Said;
use crate::phase::PhaseId;
use crate::vectors::Entry;
use std::collections::HashMap;
use std::ops::Range;

/// 2 MiB.
const PAGE_SHIFT: u32 = 21;
/// The pages that there is room for: 16 GiB of memory that holds code.
pub const PAGES: usize = 8192;
/// Bytes of a vector table.
const TABLE: u64 = 0x800;
/// Bytes from one vector to the next.
const VECTOR: u64 = 0x80;

/// An instruction of the hypervisor and its page.
#[derive(Debug)]
pub struct Known {
    /// What the engine is told.
    pub instruction: engine::Instruction,
    /// The counter of its page.
    pub page: usize,
}

/// A marker and its page.
#[derive(Debug)]
pub struct Marker {
    /// The phase that begins.
    pub phase: PhaseId,
    /// The counter of its page.
    pub page: usize,
}

/// An instruction's places.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The virtual address.
    pub address: u64,
    /// Where QEMU keeps it.
    pub host: Option<u64>,
}

/// What translation knows.
#[derive(Debug)]
pub struct Translation {
    /// Host address minus physical address, in RAM.
    ram: Option<u64>,
    /// Host addresses of the hypervisor.
    hypervisor: Option<Range<u64>>,
    /// Vector tables, as linked.
    pub vectors: Vec<u64>,
    marks: HashMap<u64, MarkId>,
    /// Instructions seen, by address and opcode: a block may be translated many times.
    known: HashMap<(u64, u32), &'static Known>,
    markers: HashMap<(PhaseId, usize), &'static Marker>,
    /// What is counted.
    pub operations: Vec<Operation>,
    /// The counter of each page, from 0.
    pages: HashMap<u64, usize>,
    /// Others' instructions seen at the hypervisor's virtual addresses.
    pub aliases: u64,
    /// Instructions that QEMU could not place.
    pub nowhere: u64,
}

impl Translation {
    /// Nothing was translated yet.
    pub fn new(arguments: &Arguments) -> Self {
        let marks = arguments.marks.iter().enumerate();
        Self {
            ram: None,
            hypervisor: None,
            vectors: arguments.vectors.into_iter().collect(),
            marks: marks
                .map(|(index, mark)| (mark.address, index as MarkId))
                .collect(),
            known: HashMap::new(),
            markers: HashMap::new(),
            operations: Vec::new(),
            pages: HashMap::new(),
            aliases: 0,
            nowhere: 0,
        }
    }

    /// Learns where RAM and the hypervisor are.
    pub fn learn(&mut self, arguments: &Arguments, place: Place) {
        let Some(host) = place.host else {
            self.nowhere += 1;
            return;
        };
        let in_ram = |ram: &Range<u64>| ram.contains(&place.address);
        if self.ram.is_none() && arguments.ram.as_ref().is_none_or(in_ram) {
            self.ram = Some(host.wrapping_sub(place.address));
        }
        let Some(el2) = arguments.el2.as_ref().filter(|_| self.hypervisor.is_none()) else {
            return;
        };
        match (arguments.image, self.ram) {
            (Some(image), Some(ram)) => self.settle(el2, ram.wrapping_add(image)),
            (None, _) if el2.contains(&place.address) => {
                self.settle(el2, host.wrapping_sub(place.address - el2.start));
            }
            _ => {}
        }
    }

    fn settle(&mut self, el2: &Range<u64>, host: u64) {
        self.hypervisor = Some(host..host.wrapping_add(el2.end - el2.start));
    }

    /// Learns from QEMU's log, at the first instruction of a block. `said` reads it.
    pub fn learn_from_log<'a>(
        &mut self,
        arguments: &Arguments,
        place: Place,
        said: impl FnOnce() -> Option<&'a mut Said>,
    ) {
        let (Some(el2), Some(host)) = (&arguments.el2, place.host) else {
            return;
        };
        let inside = self
            .hypervisor
            .as_ref()
            .is_some_and(|code| code.contains(&host));
        let moved = !inside && arguments.image.is_none() && el2.contains(&place.address);
        let vector = place.address.is_multiple_of(VECTOR);
        if !(moved || inside && vector) {
            return;
        }
        let Some(said) = said() else { return };
        if moved && !said.guests() {
            self.settle(el2, host.wrapping_sub(place.address - el2.start));
        }
        let entered = vector && said.entered(place.address);
        if let Some(linked) = self.linked(el2, host).filter(|_| entered) {
            self.add_table(linked.wrapping_sub(place.address % TABLE));
        }
    }

    /// A vector table, of which nothing was executed yet as a vector.
    fn add_table(&mut self, table: u64) {
        if !self.vectors.contains(&table) {
            self.vectors.push(table);
            let vector = |address: u64| {
                let offset = address.wrapping_sub(table);
                offset < TABLE && offset.is_multiple_of(VECTOR)
            };
            self.known.retain(|(address, _), _| !vector(*address));
        }
    }

    /// The address that an instruction of the hypervisor is linked at; nothing for others'.
    pub fn linked(&self, el2: &Range<u64>, host: u64) -> Option<u64> {
        let code = self.hypervisor.as_ref()?;
        code.contains(&host).then(|| host - code.start + el2.start)
    }

    /// The physical address of a place.
    fn physical(&self, arguments: &Arguments, place: Place) -> u64 {
        let physical = place
            .host
            .zip(self.ram)
            .map(|(host, ram)| host.wrapping_sub(ram));
        // Code that is not in RAM - flash, at boot - runs with the MMU off.
        let in_ram = |physical: &u64| {
            let ram = arguments.ram.as_ref();
            ram.is_none_or(|ram| ram.contains(physical))
        };
        physical.filter(in_ram).unwrap_or(place.address)
    }

    /// The context whose memory a place is in.
    pub fn context(&self, arguments: &Arguments, place: Place) -> ContextId {
        context::at(&arguments.contexts, self.physical(arguments, place))
    }

    /// The counter of the page that an instruction is in.
    pub fn counter(&mut self, arguments: &Arguments, place: Place) -> usize {
        let next = self.pages.len();
        let page = self.physical(arguments, place) >> PAGE_SHIFT;
        match self.pages.get(&page) {
            Some(counter) => *counter,
            None if next < PAGES => {
                self.pages.insert(page, next);
                next
            }
            None => PAGES,
        }
    }

    /// The pages that have a counter, by address.
    pub fn pages(&self) -> Vec<(u64, usize)> {
        let pages = self.pages.iter();
        let mut pages: Vec<_> = pages
            .map(|(page, counter)| (page << PAGE_SHIFT, *counter))
            .collect();
        pages.sort_unstable();
        pages
    }

    /// The pages that have a counter: those from 0 to here.
    pub fn used(&self) -> usize {
        self.pages.len()
    }

    /// The physical address of the hypervisor's first byte.
    pub fn hypervisor(&self) -> Option<u64> {
        let code = self.hypervisor.as_ref().zip(self.ram);
        code.map(|(code, ram)| code.start.wrapping_sub(ram))
    }

    /// The hypervisor's instruction at its linked address.
    pub fn known(&mut self, linked: u64, opcode: u32, page: usize) -> &'static Known {
        if let Some(known) = self.known.get(&(linked, opcode)) {
            return known;
        }
        let entries = self.vectors.iter().filter_map(|table| {
            let offset = linked.checked_sub(*table)?;
            Some(Entry::at(offset))
        });
        let entry = entries.fold(Entry::Not, |found, entry| match found {
            Entry::Not => entry,
            found => found,
        });
        let operation = decode::counted(opcode);
        let class = operation.as_ref().map(|operation| operation.class);
        let operation = operation.map(|operation| self.operation(operation));
        // Never freed: translated code points to it.
        let known: &'static Known = Box::leak(Box::new(Known {
            instruction: engine::Instruction {
                address: linked,
                entry,
                flow: decode::flow(opcode),
                mark: self.marks.get(&linked).copied(),
                operation,
                class,
            },
            page,
        }));
        self.known.insert((linked, opcode), known);
        known
    }

    /// The marker of a phase in a page.
    pub fn marker(&mut self, phase: PhaseId, page: usize) -> &'static Marker {
        let marker = self.markers.entry((phase, page));
        // Never freed, as above.
        marker.or_insert_with(|| Box::leak(Box::new(Marker { phase, page })))
    }

    fn operation(&mut self, operation: Operation) -> OperationId {
        let known = self.operations.iter().position(|known| *known == operation);
        let index = known.unwrap_or_else(|| {
            self.operations.push(operation);
            self.operations.len() - 1
        });
        index as OperationId
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{Origin, Vector};

    const NOP: u32 = 0xD503_201F;
    /// Where QEMU keeps RAM, which begins at 0x4000_0000.
    const RAM: u64 = 0x7F00_0000_0000 - 0x4000_0000;

    fn place(address: u64, physical: u64) -> Place {
        Place {
            address,
            host: Some(RAM + physical),
        }
    }

    fn arguments(words: &[&str]) -> Arguments {
        Arguments::parse(words.iter().copied(), |_| unreachable!()).unwrap()
    }

    #[test]
    fn a_hypervisor_that_moves_before_a_guest_runs_is_followed_and_no_guest_is() {
        let arguments = arguments(&["el2=0x200000-0x300000", "log=x"]);
        let mut translation = Translation::new(&arguments);
        let mut said = Said::new(1);
        translation.learn(&arguments, place(0x4020_0000, 0x4020_0000));
        assert_eq!(translation.hypervisor(), None);
        let mut at = |address, physical, said: &mut Said| {
            let place = place(address, physical);
            translation.learn(&arguments, place);
            translation.learn_from_log(&arguments, place, || Some(said));
            translation.hypervisor()
        };
        assert_eq!(at(0x20_1000, 0x4020_1000, &mut said), Some(0x4020_0000));
        assert_eq!(at(0x20_1008, 0x5020_1008, &mut said), Some(0x5020_0000));
        said.add(b"Exception return from AArch64 EL2 to AArch64 EL1 PC 0x1\n");
        assert_eq!(at(0x20_1010, 0x6020_1010, &mut said), Some(0x5020_0000));
    }

    #[test]
    fn vectors_are_learned_from_where_exceptions_go() {
        let arguments = arguments(&["el2=0x200000-0x300000", "log=x"]);
        let mut translation = Translation::new(&arguments);
        let mut said = Said::new(1);
        let vector = place(0x20_0C00, 0x4020_0C00);
        translation.learn(&arguments, vector);
        translation.learn_from_log(&arguments, vector, || Some(&mut said));
        let entry = |translation: &mut Translation, address| {
            translation.known(address, NOP, 0).instruction.entry
        };
        assert_eq!(entry(&mut translation, 0x20_0C00), Entry::Not);
        said.add(b"Taking exception 5 [IRQ] on CPU 0\n...from EL1 to EL2\n...to EL2 PC 0x200c00\n");
        translation.learn_from_log(&arguments, vector, || Some(&mut said));
        assert_eq!(translation.vectors, [0x20_0800]);
        let sync = Entry::Lower(Origin::Lower(Vector::Sync));
        assert_eq!(entry(&mut translation, 0x20_0C00), sync);
        let irq = Entry::Lower(Origin::Lower(Vector::Irq));
        assert_eq!(entry(&mut translation, 0x20_0C80), irq);
        assert_eq!(entry(&mut translation, 0x20_0C04), Entry::Not);
    }

    #[test]
    fn a_guests_code_at_a_vectors_address_is_no_vector() {
        let arguments = arguments(&["el2=0x200000-0x300000", "image=0x40200000", "log=x"]);
        let mut translation = Translation::new(&arguments);
        let mut said = Said::new(1);
        said.add(b"Taking exception 5 [IRQ] on CPU 0\n...from EL1 to EL2\n...to EL2 PC 0x200c00\n");
        translation.learn(&arguments, place(0x4020_0000, 0x4020_0000));
        let guest = place(0x20_0C00, 0x5000_0C00);
        translation.learn(&arguments, guest);
        translation.learn_from_log(&arguments, guest, || Some(&mut said));
        assert_eq!(translation.vectors, [0u64; 0]);
    }

    #[test]
    fn a_context_is_found_by_the_physical_address() {
        let arguments = arguments(&["context=a:0x50000000-0x60000000"]);
        let mut translation = Translation::new(&arguments);
        translation.learn(&arguments, place(0x4020_0000, 0x4020_0000));
        let contexts = [0x4FFF_FFFC, 0x5000_0000, 0x6000_0000]
            .map(|physical| translation.context(&arguments, place(0x1000, physical)));
        assert_eq!(contexts, [0, 1, 0]);
    }
}
