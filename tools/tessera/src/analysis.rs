//! Response-time analysis: what each partition can count on, core by core.
//!
//! The analysis itself is [`sched::rta`]; here a description is put in its terms. To the others
//! on its core a partition is its budget, or else its declared demand, or else work without end.
//! What it asks for itself is its demand, or else its budget.

use crate::description::Description;
use crate::quantity::Duration;
use crate::refusal::{Refusal, Source};
use manifest::CorePolicy;
use sched::REFILLS;
use sched::rta::{self, Bound, Entity, Overheads, Task, Unschedulable};
use std::fmt;
use std::ops::Range;
use toml::Spanned;

/// How often the devices of a guest without a budget interrupt at most.
const BACKGROUND_INTERRUPTS: (u32, u64) = (4, 1_000_000);

/// What a partition can count on, on one core.
#[derive(Clone, Debug)]
pub struct Row {
    /// The core.
    pub core: usize,
    /// The guest.
    pub guest: String,
    /// Its priority.
    pub priority: u8,
    /// Its budget and period, ns.
    pub budget: Option<(u64, u64)>,
    /// What it asks for: work, period and deadline, ns.
    pub demand: Option<(u64, u64, u64)>,
    /// What it gets.
    pub bound: Bound,
}

/// The analysis of a system.
#[derive(Clone, Debug)]
pub struct Report {
    /// One row for each vCPU.
    pub rows: Vec<Row>,
    /// What has been assumed of the kernel.
    pub overheads: Overheads,
    /// The policy of each core and the part of it, in thousandths, that is promised to somebody.
    pub cores: Vec<(CorePolicy, u64)>,
}

/// A partition on one core.
#[derive(Clone)]
struct Share<'a> {
    name: &'a str,
    span: Range<usize>,
    priority: u8,
    budget: Option<(u64, u64)>,
    demand: Option<(u64, u64, u64)>,
}

/// Analyses every core.
///
/// # Errors
///
/// Every partition that cannot meet its deadline, or may never run.
pub fn analyse(
    description: &Description,
    policies: &[CorePolicy],
    source: &Source,
) -> Result<Report, Vec<Refusal>> {
    let overheads = overheads(description);
    let mut report = Report {
        rows: Vec::new(),
        overheads,
        cores: Vec::new(),
    };
    let mut refusals = Vec::new();
    for (core, policy) in policies.iter().enumerate() {
        let shares = shares(description, core);
        report.cores.push((*policy, promised(&shares)));
        for which in 0..shares.len() {
            match bound(&shares, which, &overheads) {
                Ok(bound) => report.rows.push(row(core, &shares[which], bound)),
                Err(error) => refusals.push(refuse(&shares, which, core, error, source)),
            }
        }
    }
    if refusals.is_empty() {
        Ok(report)
    } else {
        Err(refusals)
    }
}

fn overheads(description: &Description) -> Overheads {
    let given = &description.overheads;
    Overheads {
        switch: given.switch.0,
        interrupt: given.interrupt.0,
        masked: given.masked.0,
    }
}

/// Who is on a core.
fn shares(description: &Description, core: usize) -> Vec<Share<'_>> {
    let mut shares = Vec::new();
    for (name, guest) in &description.guest {
        let here = guest
            .cores
            .get_ref()
            .iter()
            .any(|c| usize::from(*c.get_ref()) == core);
        if !here {
            continue;
        }
        let time = |d: &Spanned<Duration>| d.get_ref().0;
        let budget = guest.budget.as_ref().zip(guest.period.as_ref());
        let demand = guest.demand.as_ref().map(Spanned::get_ref);
        let span = guest
            .demand
            .as_ref()
            .map(Spanned::span)
            .or_else(|| guest.budget.as_ref().map(Spanned::span))
            .or_else(|| guest.priority.as_ref().map(Spanned::span))
            .unwrap_or_else(|| name.span());
        shares.push(Share {
            name: name.get_ref(),
            span,
            priority: guest.priority.as_ref().map_or(100, |p| *p.get_ref()),
            budget: budget.map(|(b, p)| (time(b), time(p))),
            demand: demand.map(|d| {
                let deadline = d.deadline.as_ref().map_or_else(|| time(&d.period), time);
                (time(&d.work), time(&d.period), deadline)
            }),
        });
    }
    shares
}

/// What a partition is to the others.
fn load(share: &Share<'_>) -> Entity {
    let priority = share.priority;
    match (share.budget, share.demand) {
        // It may use its budget in any number of pieces.
        (Some((time, period)), _) => Entity::Task(Task {
            events: u32::try_from(REFILLS).unwrap_or(u32::MAX),
            ..Task::budget(priority, time, period)
        }),
        (None, Some((work, period, deadline))) => Entity::Task(Task {
            deadline,
            ..Task::new(priority, work, period)
        }),
        (None, None) => Entity::Background {
            priority,
            interrupts: BACKGROUND_INTERRUPTS.0,
            per: BACKGROUND_INTERRUPTS.1,
        },
    }
}

fn bound(
    shares: &[Share<'_>],
    which: usize,
    overheads: &Overheads,
) -> Result<Bound, Unschedulable> {
    let mut entities: Vec<Entity> = shares.iter().map(load).collect();
    let Some((share, own)) = shares.get(which).zip(entities.get_mut(which)) else {
        return Err(Unschedulable::Missing { which });
    };
    let Some((work, period, deadline)) = share.demand else {
        return rta::bound(&entities, which, overheads);
    };
    let Some((budget, replenished)) = share.budget else {
        return rta::bound(&entities, which, overheads);
    };
    // How much of it falls into one period of the budget at most.
    let jobs = replenished.div_ceil(period.max(1));
    if work.saturating_mul(jobs) <= budget {
        *own = Entity::Task(Task {
            deadline,
            enforced: true,
            ..Task::new(share.priority, work, period)
        });
        return rta::bound(&entities, which, overheads);
    }
    // It waits for its budget: each further piece comes one period of the budget later.
    let Bound::Response(piece) = rta::bound(&entities, which, overheads)? else {
        return Err(Unschedulable::NoBound);
    };
    let pieces = work.max(work.saturating_mul(jobs)).div_ceil(budget.max(1));
    let response = replenished
        .saturating_mul(pieces.saturating_sub(1))
        .saturating_add(piece);
    let enough =
        u128::from(work) * u128::from(replenished) <= u128::from(budget) * u128::from(period);
    if response > deadline || !enough {
        return Err(Unschedulable::DeadlineMissed { response, deadline });
    }
    Ok(Bound::Response(response))
}

/// The part of a core, in thousandths, that budgets and demands take.
fn promised(shares: &[Share<'_>]) -> u64 {
    let parts = shares.iter().filter_map(|s| {
        let (work, period) = s.budget.or_else(|| s.demand.map(|(w, p, _)| (w, p)))?;
        Some(work.saturating_mul(1000).div_ceil(period.max(1)))
    });
    parts.sum()
}

fn row(core: usize, share: &Share<'_>, bound: Bound) -> Row {
    Row {
        core,
        guest: share.name.to_string(),
        priority: share.priority,
        budget: share.budget,
        demand: share.demand,
        bound,
    }
}

fn refuse(
    shares: &[Share<'_>],
    which: usize,
    core: usize,
    error: Unschedulable,
    source: &Source,
) -> Refusal {
    let share = &shares[which];
    let (name, span) = (share.name, share.span.clone());
    let all = || shares.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
    match error {
        Unschedulable::DeadlineMissed { response, deadline } => source.refuse(
            span,
            format!(
                "`{name}` cannot meet its deadline on core {core}: it may take {} or more, the deadline is {}",
                Duration(response),
                Duration(deadline)
            ),
            "asks for this",
            format!("the core has {}: raise its priority or budget, lower those of others, or use another core", all()),
        ),
        Unschedulable::Starved { by } => {
            let other = &shares[by];
            source
                .refuse(
                    span,
                    format!("`{name}` may never run on core {core}: `{}` is at least as urgent and has no budget", other.name),
                    "may never run",
                    format!("give `{}` a budget and a period, or a lower priority", other.name),
                )
                .and(other.span.clone(), "may run for ever")
        }
        Unschedulable::NothingLeft { per_thousand } => source.refuse(
            span,
            format!("core {core} has nothing left for `{name}`: the others take {} % of it", per_thousand.div_ceil(10)),
            "gets nothing",
            "lower the budgets of the others, or use another core",
        ),
        Unschedulable::NoBound => source.refuse(
            span,
            format!("core {core} is loaded to its limit: no worst case can be given for `{name}`"),
            "no bound",
            "lower the budgets on this core, or use another core",
        ),
        other => source.refuse(
            span,
            format!("the timing of `{name}` on core {core} cannot be analysed: {other}"),
            "this",
            "write durations above zero",
        ),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |ns: u64| Duration(ns).to_string();
        writeln!(
            f,
            "{:<5}{:<17}{:>8}  {:<17}{:<28}worst case",
            "core", "guest", "priority", "budget", "asks for"
        )?;
        for row in &self.rows {
            let budget = row.budget.map_or_else(
                || "none".into(),
                |(b, p)| format!("{} / {}", time(b), time(p)),
            );
            let asks = match (row.demand, row.budget) {
                (Some((w, p, d)), _) if d == p => format!("{} each {}", time(w), time(p)),
                (Some((w, p, d)), _) => format!("{} each {} by {}", time(w), time(p), time(d)),
                (None, Some(_)) => "its budget".into(),
                (None, None) => "what is left".into(),
            };
            let (worst, limit) = match row.bound {
                Bound::Response(ns) => {
                    let limit = row.demand.map(|(_, _, d)| d).or(row.budget.map(|(_, p)| p));
                    (
                        format!("done after {}", time(ns)),
                        limit.map(|l| format!(" (limit {})", time(l))),
                    )
                }
                Bound::Share(share) => {
                    (format!("{}.{} % of the core", share / 10, share % 10), None)
                }
            };
            writeln!(
                f,
                "{:<5}{:<17}{:>8}  {budget:<17}{asks:<28}{worst}{}",
                row.core,
                row.guest,
                row.priority,
                limit.unwrap_or_default()
            )?;
        }
        for (core, (policy, promised)) in self.cores.iter().enumerate() {
            let kind = match policy {
                CorePolicy::Shared => "shared",
                CorePolicy::Pinned => "pinned",
            };
            writeln!(
                f,
                "core {core} ({kind}): {}.{} % promised to budgets and demands",
                promised / 10,
                promised % 10
            )?;
        }
        let Overheads {
            switch,
            interrupt,
            masked,
        } = self.overheads;
        write!(
            f,
            "assumed of the kernel: context switch {}, interrupt {}, interrupts masked for {} at most",
            time(switch),
            time(interrupt),
            time(masked)
        )
    }
}
