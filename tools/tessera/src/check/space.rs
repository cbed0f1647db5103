//! Checks of a guest's address space: memory, devices, their interrupts, and that nothing overlaps.

use super::{Check, Span};
use crate::description as d;
use crate::quantity::Size;
use crate::system::{self, Device, Region};
use manifest::{DeviceKind, RegionKind};
use toml::Spanned;

/// Guest-physical addresses end here.
const ADDRESS_END: u64 = 1 << 39;

/// A piece of a guest's address space and the text that asks for it.
pub(super) struct Piece {
    pub(super) what: String,
    pub(super) at: u64,
    pub(super) size: u64,
    pub(super) span: Span,
}

impl Check<'_> {
    pub(super) fn regions(
        &mut self,
        name: &Spanned<String>,
        guest: &d::Guest,
        pieces: &mut Vec<Piece>,
    ) -> Vec<Region> {
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
                self.address(
                    physical.get_ref().0,
                    0x1000,
                    "a region's physical memory",
                    &physical.span(),
                );
            }
            if let (Some(_), Some(fill)) = (&region.file, &region.fill) {
                let span = fill.span();
                self.refuse(
                    span,
                    "a region has a file or a fill, not both",
                    "and a fill",
                    "leave one out",
                );
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

    pub(super) fn devices(
        &mut self,
        name: &Spanned<String>,
        guest: &d::Guest,
        spis: u16,
        pieces: &mut Vec<Piece>,
    ) -> Vec<Device> {
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
            pieces.push(Piece {
                what: what.into(),
                at: ipa,
                size: 0x1000,
                span,
            });
            devices.push(Device {
                kind,
                ipa,
                size: 0x1000,
                intid,
            });
        }
        if let Some(device) = self.virtio(name, guest, pieces) {
            devices.push(device);
        }
        devices
    }

    fn virtio(
        &mut self,
        name: &Spanned<String>,
        guest: &d::Guest,
        pieces: &mut Vec<Piece>,
    ) -> Option<Device> {
        let (mut ipa, mut slots, each) = system::VIRTIO;
        let mut span = guest
            .virtio
            .as_ref()
            .map_or_else(|| name.span(), Spanned::span);
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
        Some(Device {
            kind: DeviceKind::VirtioEmpty,
            ipa,
            size,
            intid: 0,
        })
    }

    fn interrupt(
        &mut self,
        intid: u16,
        spis: u16,
        what: &str,
        span: &Span,
        seen: &mut Vec<(u16, Span)>,
    ) {
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
        let ok = at
            .checked_add(size.get_ref().0)
            .is_some_and(|end| end <= ADDRESS_END);
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

    pub(super) fn address(&mut self, at: u64, align: u64, what: &str, span: &Span) {
        if !at.is_multiple_of(align) || at >= ADDRESS_END {
            self.refuse(
                span.clone(),
                format!("{what} cannot be at {at:#x}"),
                "this address",
                format!("write a multiple of {} below 512 GiB", Size(align)),
            );
        }
    }

    pub(super) fn overlaps(&mut self, guest: &str, pieces: &[Piece]) {
        for (i, a) in pieces.iter().enumerate() {
            for b in &pieces[i + 1..] {
                let apart =
                    a.at.saturating_add(a.size) <= b.at || b.at.saturating_add(b.size) <= a.at;
                if apart || a.size == 0 || b.size == 0 {
                    continue;
                }
                let show =
                    |p: &Piece| format!("{} is at {:#x} to {:#x}", p.what, p.at, p.at + p.size - 1);
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
}
