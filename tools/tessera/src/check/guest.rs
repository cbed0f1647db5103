//! Checks of one guest: its vCPUs, budget, interrupt controller and start.

use super::Check;
use super::space::Piece;
use crate::description as d;
use crate::quantity::{Address, count};
use crate::system::{self, Guest, Vcpu};
use manifest::{Gic, MAX_VCPUS, OnFault};
use toml::Spanned;

/// A GICv2 distributor can name this many cores.
const GICV2_VCPUS: usize = 8;

impl Check<'_> {
    pub(super) fn guest(&mut self, name: &Spanned<String>, guest: &d::Guest) -> Guest {
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
        let here = || {
            guest
                .gic
                .as_ref()
                .map_or_else(|| name.span(), Spanned::span)
        };
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
            pieces.push(Piece {
                what: what.into(),
                at,
                size,
                span,
            });
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
            bootargs: guest
                .bootargs
                .as_ref()
                .map_or_else(String::new, |b| b.get_ref().clone()),
            virtio_in_tree: matches!(
                guest.virtio.as_ref().map(Spanned::get_ref),
                Some(d::Virtio::Present(true) | d::Virtio::At(_))
            ),
        }
    }

    fn vcpus(
        &mut self,
        name: &Spanned<String>,
        guest: &d::Guest,
        version: d::GicVersion,
    ) -> Vec<Vcpu> {
        let cores = guest.cores.get_ref();
        let most = if version == d::GicVersion::V3 {
            MAX_VCPUS
        } else {
            GICV2_VCPUS
        };
        if cores.is_empty() || cores.len() > most {
            let why = if cores.len() > GICV2_VCPUS {
                " unless it needs GICv3"
            } else {
                ""
            };
            self.refuse(
                guest.cores.span(),
                format!(
                    "`{}` has {}, it can have 1 to {most}{why}",
                    name.get_ref(),
                    count(cores.len(), "vCPU")
                ),
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
                self.refuse(
                    span,
                    "a budget needs a period",
                    "without `period`",
                    "add `period = \"1ms\"`",
                );
                return None;
            }
            (None, Some(alone)) => {
                let span = alone.span();
                self.refuse(
                    span,
                    "a period needs a budget",
                    "without `budget`",
                    "add `budget = \"400us\"`",
                );
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
                    format!(
                        "the budget ({}) is longer than its period ({})",
                        budget.get_ref(),
                        period.get_ref()
                    ),
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

fn gic(version: d::GicVersion) -> Gic {
    match version {
        d::GicVersion::Any => Gic::Any,
        d::GicVersion::V2 => Gic::V2,
        d::GicVersion::V3 => Gic::V3,
    }
}
