//! Checks a description and makes a [`System`] of it, still without images.
//!
//! Everything wrong is collected, not only the first thing. Each refusal points at the text,
//! says why, and what to do.

use crate::board::Board;
use crate::description::{self as d, Description};
use crate::quantity::{Address, Size, count};
use crate::refusal::{Refusal, Source};
use crate::system::{self, Device, Guest, Region, System, Vcpu};
use manifest::{
    CorePolicy, DeviceKind, Gic, MAX_CONTEXTS_PER_CORE, MAX_CORES, MAX_PARTITIONS, MAX_VCPUS,
    OnFault, RegionKind,
};
use std::ops::Range;
use toml::Spanned;

type Span = Range<usize>;

/// A GICv2 distributor can name this many cores.
const GICV2_VCPUS: usize = 8;
/// Guest-physical addresses end here.
const ADDRESS_END: u64 = 1 << 39;

/// Checks everything that the description alone shows.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn check(description: &Description, source: &Source) -> Result<System, Vec<Refusal>> {
    let mut check = Check {
        source,
        refusals: Vec::new(),
    };
    let system = check.system(description);
    if check.refusals.is_empty() {
        Ok(system)
    } else {
        Err(check.refusals)
    }
}

/// Checks that a system suits a board.
///
/// # Errors
///
/// Everything that the board lacks.
pub fn board(
    description: &Description,
    system: &System,
    board: Board,
    source: &Source,
) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    let span = description.name.span();
    if system.cores.len() > board.cores() {
        refusals.push(source.refuse(
            span.clone(),
            format!("the system uses {} cores, {} has {}", system.cores.len(), board.name(), board.cores()),
            "too many cores",
            "use fewer cores, or another --board",
        ));
    }
    if system.memory() > board.memory() {
        refusals.push(source.refuse(
            span,
            format!("the guests have {}, {} has {}", Size(system.memory()), board.name(), Size(board.memory())),
            "too much memory",
            "give the guests less memory, or use another --board",
        ));
    }
    for (name, guest) in &description.guest {
        let Some(checked) = system.guest(name.get_ref()).filter(|g| !g.gic.suits(board.gic())) else {
            continue;
        };
        refusals.push(source.refuse(
            guest.gic.as_ref().map_or_else(|| name.span(), Spanned::span),
            format!(
                "`{}` needs GICv{}, {} has GICv{}",
                name.get_ref(),
                checked.gic as u8,
                board.name(),
                board.gic() as u8
            ),
            "needs this one",
            "use another --board: a guest sees the interrupt controller of its host",
        ));
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

struct Check<'a> {
    source: &'a Source,
    refusals: Vec<Refusal>,
}

/// A piece of a guest's address space and the text that asks for it.
struct Piece {
    what: String,
    at: u64,
    size: u64,
    span: Span,
}

impl Check<'_> {
    fn refuse(&mut self, span: Span, reason: impl Into<String>, label: &str, remedy: impl Into<String>) {
        let refusal = self.source.refuse(span, reason, label, remedy);
        self.refusals.push(refusal);
    }

    fn system(&mut self, description: &Description) -> System {
        self.name(&description.name, "system");
        let all = || description.name.span();
        if description.core.is_empty() || description.core.len() > MAX_CORES {
            let count = description.core.len();
            self.refuse(
                all(),
                format!("the system has {count} cores, it can have 1 to {MAX_CORES}"),
                "this system",
                "write one `[[core]]` table for each core",
            );
        }
        if description.guest.is_empty() || description.guest.len() > MAX_PARTITIONS {
            let count = description.guest.len();
            self.refuse(
                all(),
                format!("the system has {count} guests, it can have 1 to {MAX_PARTITIONS}"),
                "this system",
                "write one `[guest.NAME]` table for each guest",
            );
        }
        self.cores(description);
        let focus = self.focus(description);
        let mut guests: Vec<(bool, Guest)> = description
            .guest
            .iter()
            .map(|(name, guest)| (Some(name.get_ref()) == focus.as_ref(), self.guest(name, guest)))
            .collect();
        // The most urgent first: they are loaded and started in this order.
        guests.sort_by_key(|(_, g)| std::cmp::Reverse(g.vcpus.first().map_or(0, |v| v.priority)));
        System {
            name: description.name.get_ref().clone(),
            cores: description.core.iter().map(|c| policy(c.policy)).collect(),
            focus: guests.iter().position(|(focus, _)| *focus).unwrap_or(0),
            guests: guests.into_iter().map(|(_, g)| g).collect(),
        }
    }

    fn name(&mut self, name: &Spanned<String>, what: &str) {
        let text = name.get_ref();
        if manifest::Name::new(text).is_some() {
            return;
        }
        let reason = if text.len() > 15 {
            format!("the {what}'s name `{text}` has {} characters, it can have 15", text.len())
        } else {
            format!("`{text}` cannot be the {what}'s name")
        };
        self.refuse(
            name.span(),
            reason,
            "this name",
            "use 1 to 15 characters of a-z, 0-9, - and _: every console line carries it",
        );
    }

    /// Which core has which vCPUs.
    fn cores(&mut self, description: &Description) {
        let mut users: Vec<Vec<(&str, Span)>> = vec![Vec::new(); description.core.len()];
        for (name, guest) in &description.guest {
            let mut own: Vec<(u16, Span)> = Vec::new();
            for core in guest.cores.get_ref() {
                let index = *core.get_ref();
                if let Some((_, earlier)) = own.iter().find(|(other, _)| *other == index) {
                    let refusal = self
                        .source
                        .refuse(
                            core.span(),
                            format!("`{name}` has two vCPUs on core {index}", name = name.get_ref()),
                            "the second",
                            "give each vCPU of a guest its own core: two would share one VMID there",
                        )
                        .and(earlier.clone(), "the first");
                    self.refusals.push(refusal);
                    continue;
                }
                own.push((index, core.span()));
                match users.get_mut(usize::from(index)) {
                    Some(list) => list.push((name.get_ref(), core.span())),
                    None => self.refuse(
                        core.span(),
                        format!(
                            "`{}` uses core {index}, but the system has {} (counted from 0)",
                            name.get_ref(),
                            count(description.core.len(), "core"),
                        ),
                        "no such core",
                        "add a `[[core]]` table, or use a core that there is",
                    ),
                }
            }
        }
        for (index, (core, list)) in description.core.iter().zip(&users).enumerate() {
            let names: Vec<&str> = list.iter().map(|(name, _)| *name).collect();
            let Some((_, last)) = list.last() else { continue };
            if core.policy == d::Policy::Pinned && list.len() > 1 {
                let refusal = self
                    .source
                    .refuse(
                        last.clone(),
                        format!("core {index} is pinned, but {} run on it", names.join(" and ")),
                        "this vCPU",
                        "a pinned core has one vCPU: make it `policy = \"shared\"` or use another core",
                    )
                    .and(list[0].1.clone(), "and this one");
                self.refusals.push(refusal);
            } else if list.len() > MAX_CONTEXTS_PER_CORE {
                self.refuse(
                    last.clone(),
                    format!("core {index} has {} vCPUs, it can have {MAX_CONTEXTS_PER_CORE}", list.len()),
                    "one too many",
                    "use another core",
                );
            }
        }
    }

    /// The name of the guest that has the keyboard at first.
    fn focus(&mut self, description: &Description) -> Option<String> {
        let mut chosen: Option<(&Spanned<String>, Span)> = None;
        for (name, guest) in &description.guest {
            let Some(focus) = guest.focus.as_ref().filter(|f| *f.get_ref()) else {
                continue;
            };
            match &chosen {
                None => chosen = Some((name, focus.span())),
                Some((first, span)) => {
                    let refusal = self
                        .source
                        .refuse(
                            focus.span(),
                            format!("`{}` and `{}` both have the keyboard", first.get_ref(), name.get_ref()),
                            "the second",
                            "leave `focus = true` on one guest",
                        )
                        .and(span.clone(), "the first");
                    self.refusals.push(refusal);
                }
            }
        }
        let by_initramfs = || {
            let with = description.guest.iter().find(|(_, g)| g.initramfs.is_some());
            with.or_else(|| description.guest.first()).map(|(name, _)| name.get_ref().clone())
        };
        chosen.map(|(name, _)| name.get_ref().clone()).or_else(by_initramfs)
    }

    fn guest(&mut self, name: &Spanned<String>, guest: &d::Guest) -> Guest {
        self.name(name, "guest");
        let table = match guest.gic.as_ref().map(Spanned::get_ref) {
            None => d::GicTable::default(),
            Some(d::Gic::Version(version)) => d::GicTable {
                version: *version,
                ..d::GicTable::default()
            },
            Some(d::Gic::Table(table)) => table.clone(),
        };
        let vcpus = self.vcpus(name, guest, table.version);
        let spis = self.spis(&table);
        let mut pieces = Vec::new();
        let regions = self.regions(name, guest, &mut pieces);
        let devices = self.devices(name, guest, spis, &mut pieces);
        let here = || guest.gic.as_ref().map_or_else(|| name.span(), Spanned::span);
        let address = |given: &Option<Spanned<Address>>, default: u64| match given {
            Some(a) => (a.get_ref().0, a.span()),
            None => (default, here()),
        };
        let (gicd, gicd_span) = address(&table.distributor, system::GICD);
        let (gicr, gicr_span) = address(&table.redistributor, system::GICR);
        let (gicc, gicc_span) = address(&table.cpu_interface, system::GICC);
        let redistributors = system::REDISTRIBUTOR * vcpus.len() as u64;
        for (what, at, size, span) in [
            ("the distributor", gicd, 0x1_0000, gicd_span),
            ("the redistributors", gicr, redistributors, gicr_span),
            ("the CPU interface", gicc, 0x2000, gicc_span),
        ] {
            self.address(at, 0x1_0000, what, &span);
            pieces.push(Piece { what: what.into(), at, size, span });
        }
        self.overlaps(name.get_ref(), &pieces);
        self.start(guest);
        Guest {
            name: name.get_ref().clone(),
            gic: gic(table.version),
            on_fault: match guest.on_fault {
                d::OnFault::Stop => OnFault::Stop,
                d::OnFault::Restart => OnFault::Restart,
            },
            max_restarts: guest.max_restarts,
            autostart: guest.autostart,
            spis,
            vcpus,
            regions,
            loads: Vec::new(),
            devices,
            entry: 0,
            arguments: [0; 4],
            gicd,
            gicr,
            gicc,
            bootargs: guest.bootargs.as_ref().map_or_else(String::new, |b| b.get_ref().clone()),
            virtio_in_tree: matches!(
                guest.virtio.as_ref().map(Spanned::get_ref),
                Some(d::Virtio::Present(true) | d::Virtio::At(_))
            ),
        }
    }

    fn vcpus(&mut self, name: &Spanned<String>, guest: &d::Guest, version: d::GicVersion) -> Vec<Vcpu> {
        let cores = guest.cores.get_ref();
        let most = if version == d::GicVersion::V3 { MAX_VCPUS } else { GICV2_VCPUS };
        if cores.is_empty() || cores.len() > most {
            let why = if cores.len() > GICV2_VCPUS { " unless it needs GICv3" } else { "" };
            self.refuse(
                guest.cores.span(),
                format!("`{}` has {}, it can have 1 to {most}{why}", name.get_ref(), count(cores.len(), "vCPU")),
                "these",
                "write the core of each vCPU, as in `cores = [0, 1]`",
            );
        }
        let budget = self.budget(guest);
        let priority = guest.priority.as_ref().map_or(100, |p| *p.get_ref());
        cores
            .iter()
            .map(|core| Vcpu {
                core: *core.get_ref(),
                priority,
                budget,
            })
            .collect()
    }

    fn budget(&mut self, guest: &d::Guest) -> Option<(u64, u64)> {
        const HOUR: u64 = 3_600_000_000_000;
        let (budget, period) = match (&guest.budget, &guest.period) {
            (None, None) => return None,
            (Some(budget), Some(period)) => (budget, period),
            (Some(alone), None) => {
                let span = alone.span();
                self.refuse(span, "a budget needs a period", "without `period`", "add `period = \"1ms\"`");
                return None;
            }
            (None, Some(alone)) => {
                let span = alone.span();
                self.refuse(span, "a period needs a budget", "without `budget`", "add `budget = \"400us\"`");
                return None;
            }
        };
        let (b, p) = (budget.get_ref().0, period.get_ref().0);
        if !(100_000..=HOUR).contains(&p) {
            self.refuse(
                period.span(),
                format!("a period of {} is out of range", period.get_ref()),
                "100 us to one hour",
                "choose a longer period and a larger budget: each replenishment costs a context switch",
            );
        } else if b < 10_000 {
            self.refuse(
                budget.span(),
                format!("a budget of {} is too small", budget.get_ref()),
                "at least 10 us",
                "a context switch in and out must fit in it several times",
            );
        } else if b > p {
            let refusal = self
                .source
                .refuse(
                    budget.span(),
                    format!("the budget ({}) is longer than its period ({})", budget.get_ref(), period.get_ref()),
                    "this budget",
                    "a budget is the part of each period that the guest may use",
                )
                .and(period.span(), "its period");
            self.refusals.push(refusal);
        }
        Some((b, p))
    }

    fn spis(&mut self, table: &d::GicTable) -> u16 {
        let Some(spis) = &table.spis else { return 256 };
        let n = *spis.get_ref();
        if n == 0 || n > 256 || !n.is_multiple_of(32) {
            self.refuse(
                spis.span(),
                format!("a distributor cannot have {n} SPIs"),
                "not possible",
                "write a multiple of 32 from 32 to 256",
            );
        }
        n
    }

    fn regions(&mut self, name: &Spanned<String>, guest: &d::Guest, pieces: &mut Vec<Piece>) -> Vec<Region> {
        let mut regions = Vec::new();
        if let Some(memory) = &guest.memory {
            self.size(memory);
            let ok = self.extent(system::RAM, memory);
            pieces.push(Piece {
                what: "memory".into(),
                at: system::RAM,
                size: if ok { memory.get_ref().0 } else { 0 },
                span: memory.span(),
            });
            regions.push(Region {
                kind: RegionKind::Ram,
                ipa: system::RAM,
                size: memory.get_ref().0,
                physical: None,
            });
        }
        for region in &guest.region {
            self.size(&region.size);
            let at = region.address.get_ref().0;
            self.address(at, 0x1000, "a region", &region.address.span());
            if let Some(physical) = &region.physical {
                self.address(physical.get_ref().0, 0x1000, "a region's physical memory", &physical.span());
            }
            if let (Some(_), Some(fill)) = (&region.file, &region.fill) {
                let span = fill.span();
                self.refuse(span, "a region has a file or a fill, not both", "and a fill", "leave one out");
            }
            let ok = self.extent(at, &region.size);
            pieces.push(Piece {
                what: "a region".into(),
                at,
                size: if ok { region.size.get_ref().0 } else { 0 },
                span: region.address.span(),
            });
            regions.push(Region {
                kind: match region.kind {
                    d::RegionKind::Ram => RegionKind::Ram,
                    d::RegionKind::Rom => RegionKind::Rom,
                },
                ipa: at,
                size: region.size.get_ref().0,
                physical: region.physical.as_ref().map(|p| p.get_ref().0),
            });
        }
        if !regions.iter().any(|r| r.kind == RegionKind::Ram) {
            self.refuse(
                name.span(),
                format!("`{}` has no memory", name.get_ref()),
                "this guest",
                "add `memory = \"64MiB\"`, or a `[[guest.NAME.region]]` with `kind = \"ram\"`",
            );
        }
        regions
    }

    fn devices(&mut self, name: &Spanned<String>, guest: &d::Guest, spis: u16, pieces: &mut Vec<Piece>) -> Vec<Device> {
        let mut devices = Vec::new();
        let mut interrupts: Vec<(u16, Span)> = Vec::new();
        for (given, kind, what, (ipa, intid)) in [
            (&guest.uart, DeviceKind::Pl011, "the UART", system::UART),
            (&guest.rtc, DeviceKind::Pl031, "the RTC", system::RTC),
        ] {
            let here = given.as_ref().map_or_else(|| name.span(), Spanned::span);
            let place = match given.as_ref().map(Spanned::get_ref) {
                Some(d::Device::Present(false)) => continue,
                Some(d::Device::At(place)) => Some(place),
                _ => None,
            };
            let address = place.and_then(|p| p.address.as_ref());
            let interrupt = place.and_then(|p| p.interrupt.as_ref());
            let (ipa, span) = address.map_or((ipa, here.clone()), |a| (a.get_ref().0, a.span()));
            let (intid, at) = interrupt.map_or((intid, here), |i| (*i.get_ref(), i.span()));
            self.address(ipa, 0x1000, what, &span);
            self.interrupt(intid, spis, what, &at, &mut interrupts);
            pieces.push(Piece { what: what.into(), at: ipa, size: 0x1000, span });
            devices.push(Device { kind, ipa, size: 0x1000, intid });
        }
        if let Some(device) = self.virtio(name, guest, pieces) {
            devices.push(device);
        }
        devices
    }

    fn virtio(&mut self, name: &Spanned<String>, guest: &d::Guest, pieces: &mut Vec<Piece>) -> Option<Device> {
        let (mut ipa, mut slots, each) = system::VIRTIO;
        let mut span = guest.virtio.as_ref().map_or_else(|| name.span(), Spanned::span);
        match guest.virtio.as_ref().map(Spanned::get_ref) {
            Some(d::Virtio::Present(false)) => return None,
            Some(d::Virtio::At(given)) => {
                if let Some(n) = &given.slots {
                    slots = *n.get_ref();
                    if slots == 0 || slots > 32 || !slots.is_multiple_of(8) {
                        self.refuse(
                            n.span(),
                            format!("there cannot be {slots} virtio-mmio transports"),
                            "not possible",
                            "write 8, 16, 24 or 32: they fill whole pages of 4 KiB",
                        );
                    }
                }
                if let Some(address) = &given.address {
                    (ipa, span) = (address.get_ref().0, address.span());
                }
            }
            _ => {}
        }
        self.address(ipa, 0x1000, "the virtio-mmio transports", &span);
        let size = u32::from(slots) * each;
        pieces.push(Piece {
            what: "the virtio-mmio transports".into(),
            at: ipa,
            size: u64::from(size),
            span,
        });
        Some(Device { kind: DeviceKind::VirtioEmpty, ipa, size, intid: 0 })
    }

    fn interrupt(&mut self, intid: u16, spis: u16, what: &str, span: &Span, seen: &mut Vec<(u16, Span)>) {
        if intid < 32 || intid >= spis.saturating_add(32) {
            self.refuse(
                span.clone(),
                format!("{what} has interrupt {intid}, which is not an SPI"),
                "out of range",
                format!("write an INTID from 32 to {}", spis.saturating_add(31)),
            );
        } else if let Some((_, first)) = seen.iter().find(|(other, _)| *other == intid) {
            let refusal = self
                .source
                .refuse(
                    span.clone(),
                    format!("interrupt {intid} is given to two devices"),
                    format!("{what} has it"),
                    "give each device an interrupt of its own",
                )
                .and(first.clone(), "and it is used here");
            self.refusals.push(refusal);
        }
        seen.push((intid, span.clone()));
    }

    fn size(&mut self, size: &Spanned<Size>) {
        let n = size.get_ref().0;
        if n == 0 || !n.is_multiple_of(4096) {
            self.refuse(
                size.span(),
                format!("a size of {} is not a multiple of 4 KiB", size.get_ref()),
                "this size",
                "memory is given in pages of 4 KiB",
            );
        }
    }

    fn extent(&mut self, at: u64, size: &Spanned<Size>) -> bool {
        let ok = at.checked_add(size.get_ref().0).is_some_and(|end| end <= ADDRESS_END);
        if !ok {
            self.refuse(
                size.span(),
                format!("{} from {at:#x} ends above 512 GiB", size.get_ref()),
                "too much",
                "guest-physical addresses have 39 bits",
            );
        }
        ok
    }

    fn address(&mut self, at: u64, align: u64, what: &str, span: &Span) {
        if !at.is_multiple_of(align) || at >= ADDRESS_END {
            self.refuse(
                span.clone(),
                format!("{what} cannot be at {at:#x}"),
                "this address",
                format!("write a multiple of {} below 512 GiB", Size(align)),
            );
        }
    }

    fn overlaps(&mut self, guest: &str, pieces: &[Piece]) {
        for (i, a) in pieces.iter().enumerate() {
            for b in &pieces[i + 1..] {
                let apart = a.at.saturating_add(a.size) <= b.at || b.at.saturating_add(b.size) <= a.at;
                if apart || a.size == 0 || b.size == 0 {
                    continue;
                }
                let show = |p: &Piece| format!("{} is at {:#x} to {:#x}", p.what, p.at, p.at + p.size - 1);
                let (first, second) = (show(a), show(b));
                let mut refusal = self.source.refuse(
                    b.span.clone(),
                    format!("{} and {} of `{guest}` overlap", a.what, b.what),
                    second,
                    "move one of them, or make it smaller",
                );
                if a.span != b.span {
                    refusal = refusal.and(a.span.clone(), first);
                }
                self.refusals.push(refusal);
            }
        }
    }

    fn start(&mut self, guest: &d::Guest) {
        if let Some(arguments) = &guest.arguments
            && arguments.get_ref().len() > 4
        {
            self.refuse(
                arguments.span(),
                "a guest starts with at most four arguments",
                "too many",
                "they go to x0, x1, x2 and x3",
            );
        }
        if let Some(bootargs) = &guest.bootargs
            && (bootargs.get_ref().len() > 2047 || bootargs.get_ref().contains('\0'))
        {
            self.refuse(
                bootargs.span(),
                "this command line is too long, or has a zero byte",
                "at most 2047 bytes",
                "Linux reads 2047 bytes",
            );
        }
    }
}

fn policy(policy: d::Policy) -> CorePolicy {
    match policy {
        d::Policy::Shared => CorePolicy::Shared,
        d::Policy::Pinned => CorePolicy::Pinned,
    }
}

fn gic(version: d::GicVersion) -> Gic {
    match version {
        d::GicVersion::Any => Gic::Any,
        d::GicVersion::V2 => Gic::V2,
        d::GicVersion::V3 => Gic::V3,
    }
}
