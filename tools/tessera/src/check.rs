//! Checks a description and makes a [`System`] of it, still without images.
//!
//! Everything wrong is collected, not only the first thing. Each refusal points at the text,
//! says why, and what to do.

mod guest;
mod space;

use crate::board::Board;
use crate::description::{self as d, Description};
use crate::quantity::{Size, count};
use crate::refusal::{Refusal, Source};
use crate::system::{Guest, System};
use manifest::{CorePolicy, MAX_CONTEXTS_PER_CORE, MAX_CORES, MAX_PARTITIONS, TRACE_BYTES};
use std::ops::Range;
use toml::Spanned;

type Span = Range<usize>;

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
            format!(
                "the system uses {} cores, {} has {}",
                system.cores.len(),
                board.name(),
                board.cores()
            ),
            "too many cores",
            "use fewer cores, or another --board",
        ));
    }
    if system.memory() > board.memory() {
        refusals.push(source.refuse(
            span,
            format!(
                "the guests have {}, {} has {}",
                Size(system.memory()),
                board.name(),
                Size(board.memory())
            ),
            "too much memory",
            "give the guests less memory, or use another --board",
        ));
    }
    for (name, guest) in &description.guest {
        let Some(checked) = system
            .guest(name.get_ref())
            .filter(|g| !g.gic.suits(board.gic()))
        else {
            continue;
        };
        refusals.push(
            source.refuse(
                guest
                    .gic
                    .as_ref()
                    .map_or_else(|| name.span(), Spanned::span),
                format!(
                    "`{}` needs GICv{}, {} has GICv{}",
                    name.get_ref(),
                    checked.gic as u8,
                    board.name(),
                    board.gic() as u8
                ),
                "needs this one",
                "use another --board: a guest sees the interrupt controller of its host",
            ),
        );
    }
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(refusals)
    }
}

struct Check<'a> {
    source: &'a Source,
    refusals: Vec<Refusal>,
}

impl Check<'_> {
    fn refuse(
        &mut self,
        span: Span,
        reason: impl Into<String>,
        label: &str,
        remedy: impl Into<String>,
    ) {
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
            .map(|(name, guest)| {
                (
                    Some(name.get_ref()) == focus.as_ref(),
                    self.guest(name, guest),
                )
            })
            .collect();
        // The most urgent first: they are loaded and started in this order.
        guests.sort_by_key(|(_, g)| std::cmp::Reverse(g.vcpus.first().map_or(0, |v| v.priority)));
        System {
            name: description.name.get_ref().clone(),
            cores: description.core.iter().map(|c| policy(c.policy)).collect(),
            trace: self.trace(description),
            focus: guests.iter().position(|(focus, _)| *focus).unwrap_or(0),
            guests: guests.into_iter().map(|(_, g)| g).collect(),
        }
    }

    /// How large each core's trace ring is.
    fn trace(&mut self, description: &Description) -> u32 {
        let Some(trace) = &description.trace else {
            return 0;
        };
        let size = *trace.get_ref();
        match u32::try_from(size.0) {
            Ok(bytes) if bytes.is_power_of_two() && TRACE_BYTES.contains(&bytes) => bytes,
            _ => {
                self.refuse(
                    trace.span(),
                    format!("the trace rings cannot have {size} each"),
                    "this size",
                    format!(
                        "write a power of two from {} to {}, as \"64KiB\"",
                        Size((*TRACE_BYTES.start()).into()),
                        Size((*TRACE_BYTES.end()).into())
                    ),
                );
                0
            }
        }
    }

    fn name(&mut self, name: &Spanned<String>, what: &str) {
        let text = name.get_ref();
        if manifest::Name::new(text).is_some() {
            return;
        }
        let reason = if text.len() > 15 {
            format!(
                "the {what}'s name `{text}` has {} characters, it can have 15",
                text.len()
            )
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
            let Some((_, last)) = list.last() else {
                continue;
            };
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
                    format!(
                        "core {index} has {} vCPUs, it can have {MAX_CONTEXTS_PER_CORE}",
                        list.len()
                    ),
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
                            format!(
                                "`{}` and `{}` both have the keyboard",
                                first.get_ref(),
                                name.get_ref()
                            ),
                            "the second",
                            "leave `focus = true` on one guest",
                        )
                        .and(span.clone(), "the first");
                    self.refusals.push(refusal);
                }
            }
        }
        let by_initramfs = || {
            let with = description
                .guest
                .iter()
                .find(|(_, g)| g.initramfs.is_some());
            with.or_else(|| description.guest.first())
                .map(|(name, _)| name.get_ref().clone())
        };
        chosen
            .map(|(name, _)| name.get_ref().clone())
            .or_else(by_initramfs)
    }
}

fn policy(policy: d::Policy) -> CorePolicy {
    match policy {
        d::Policy::Shared => CorePolicy::Shared,
        d::Policy::Pinned => CorePolicy::Pinned,
    }
}
