//! Response-time analysis: whether each entity of a core meets its deadline, always.
//!
//! Run on the host, by `check`, before anything is built. A sum of shares below one is
//! necessary and not enough; this is enough. It is the exact analysis for fixed
//! priorities with preemption (Joseph and Pandya 1986; Audsley et al. 1993), with
//! release jitter, and over the whole busy window so that deadlines may exceed periods
//! (Tindell 1994, after Lehoczky 1990). The costs of the kernel are added where they
//! arise; with costs of zero the result is the exact worst case, and otherwise an upper
//! bound.
//!
//! What is added for the entity under analysis:
//!
//! - once, the longest stretch in which a less urgent entity or the kernel cannot be
//!   preempted: interrupts masked, a context switch, an interrupt's handling, or a call
//!   at a raised priority that reaches this entity's ([`Task::call`]);
//! - for its own jobs, and for each job of one as urgent or more so: two switches for
//!   each of [`Task::events`]. An equal counts as more urgent, which is safe and not
//!   exact;
//! - the handling of every interrupt, whoever it is for: those of the less urgent and of
//!   its own next jobs arrive while the entity runs;
//! - for each more urgent entity with a budget once, the time by which it can overrun
//!   that before it is charged. It is paid back, so it does not add up;
//! - if it has a budget itself, the time from its interrupt to its wake-up, once more. A
//!   job that woke late has its refill late, while the next may be on time.
//!
//! A budget is analysed as a task of its `time` in each `period`: the sporadic server of
//! this crate loads the core no more than such a task does, and delays its own entity by
//! no more than the above as long as the entity keeps to the budget. This holds for
//! responses up to the period, because the server forgets older claims; so a later
//! deadline counts as one at the period's end.
//!
//! All times are nanoseconds. Arithmetic is checked, iterations are bounded.

/// Work that comes at most once in each period: a partition's budget, or what it
/// declares to need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// A higher number is more urgent.
    pub priority: u8,
    /// The most time that it uses in one period, ns; not zero.
    pub wcet: u64,
    /// The least time between two releases, ns; not zero.
    pub period: u64,
    /// From release to the end of the work at the latest, ns; may exceed the period.
    pub deadline: u64,
    /// How late the work may become ready after its release, ns.
    pub jitter: u64,
    /// How often in a period, at most, an interrupt comes for it and it is started. Once
    /// for work that runs to its end without waiting. A budget used in several pieces
    /// comes back in as many (at most [`REFILLS`](crate::REFILLS)), and each that finds
    /// its entity waiting is an event too.
    pub events: u32,
    /// The longest call that it makes to a server at a raised priority, ns; zero for none.
    pub call: u64,
    /// The highest ceiling of those servers.
    pub ceiling: u8,
    /// Whether `wcet` in `period` is a budget that the run queue enforces.
    pub enforced: bool,
}

impl Task {
    /// Declared work: its period is its deadline, no jitter, one event per period, no
    /// calls, nothing enforced.
    #[must_use]
    pub const fn new(priority: u8, wcet: u64, period: u64) -> Self {
        Self {
            priority,
            wcet,
            period,
            deadline: period,
            jitter: 0,
            events: 1,
            call: 0,
            ceiling: 0,
            enforced: false,
        }
    }

    /// The same with a budget that is enforced.
    #[must_use]
    pub const fn budget(priority: u8, time: u64, period: u64) -> Self {
        Self {
            enforced: true,
            ..Self::new(priority, time, period)
        }
    }
}

/// One of those that share the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// Work that is bounded per period, by a budget or by declaration.
    Task(Task),
    /// Work without bound: it takes whatever is left, and so must be the least urgent.
    Background {
        /// A higher number is more urgent.
        priority: u8,
        /// How many interrupts for it arrive in each `per`, at most.
        interrupts: u32,
        /// Nanoseconds; not zero unless `interrupts` is.
        per: u64,
    },
}

impl Entity {
    const fn priority(&self) -> u8 {
        match self {
            Self::Task(task) => task.priority,
            Self::Background { priority, .. } => *priority,
        }
    }
}

/// What the kernel costs on this machine, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overheads {
    /// One switch between two entities.
    pub switch: u64,
    /// Taking and handling one interrupt, up to the decision whom to run.
    pub interrupt: u64,
    /// The longest stretch with interrupts masked.
    pub masked: u64,
}

/// What an entity can count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// From release to the end of the work it takes no longer than this, ns.
    Response(u64),
    /// In the long run it gets at least this share of the core, in parts per thousand.
    Share(u16),
}

/// Why there is no bound that is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unschedulable {
    /// Some job takes at least `response`, which is longer than `deadline`.
    #[error("a response takes {response} ns or more, the deadline is {deadline} ns")]
    DeadlineMissed {
        /// Nanoseconds.
        response: u64,
        /// Nanoseconds.
        deadline: u64,
    },
    /// An entity without a budget is at least as urgent, and may never let go.
    #[error("entity {by} has no budget and is at least as urgent: it may starve this one")]
    Starved {
        /// Its place in the slice.
        by: usize,
    },
    /// The bounded work alone takes the whole core, and leaves nothing.
    #[error("the others need {per_thousand} thousandths of the core, nothing is left")]
    NothingLeft {
        /// What they need, in parts per thousand, rounded up.
        per_thousand: u64,
    },
    /// No bound was found within the limit of iterations: the load is at or above the
    /// whole core, or so near to it that the busy window is too long to follow.
    #[error("no bound found: the core is loaded to its limit or beyond")]
    NoBound,
    /// An entity has no work, no period, or an interrupt rate without a unit.
    #[error("entity {which} has a work or a period of zero")]
    Invalid {
        /// Its place in the slice.
        which: usize,
    },
    /// There is no entity with this number.
    #[error("there is no entity {which}")]
    Missing {
        /// The number asked for.
        which: usize,
    },
    /// A sum left the range of 64 bits.
    #[error("a time exceeds 2^64 ns")]
    Overflow,
}

/// How many evaluations of the demand one analysis may take.
const ITERATIONS: u32 = 200_000;

/// Parts of the whole in which shares are added up.
const WHOLE: u64 = 1_000_000_000;

/// The bound for `entities[which]`, where all of `entities` share one core.
///
/// # Errors
///
/// Why it has none, or none that meets its deadline.
pub fn bound(
    entities: &[Entity],
    which: usize,
    overheads: &Overheads,
) -> Result<Bound, Unschedulable> {
    let own = entities
        .get(which)
        .ok_or(Unschedulable::Missing { which })?;
    for (which, entity) in entities.iter().enumerate() {
        let valid = match *entity {
            Entity::Task(task) => task.wcet > 0 && task.period > 0,
            Entity::Background {
                interrupts, per, ..
            } => interrupts == 0 || per > 0,
        };
        if !valid {
            return Err(Unschedulable::Invalid { which });
        }
    }
    let starves = |(k, other): &(usize, &Entity)| {
        *k != which
            && matches!(other, Entity::Background { .. })
            && other.priority() >= own.priority()
    };
    if let Some((by, _)) = entities.iter().enumerate().find(starves) {
        return Err(Unschedulable::Starved { by });
    }
    let level = Level {
        entities,
        which,
        own: own.priority(),
        overheads,
    };
    match own {
        Entity::Task(task) => level.response(task).map(Bound::Response),
        Entity::Background { .. } => level.share().map(Bound::Share),
    }
}

/// The core as the entity under analysis sees it.
struct Level<'a> {
    entities: &'a [Entity],
    which: usize,
    own: u8,
    overheads: &'a Overheads,
}

impl Level<'_> {
    /// The longest response of any job in the busy window that begins when all others
    /// are released together, as late and then as densely as their jitter allows.
    fn response(&self, task: &Task) -> Result<u64, Unschedulable> {
        let blocking = self.blocking()?;
        let job = self.job(task)?;
        let mut iterations = 0;
        let (mut late, mut deadline) = (task.jitter, task.deadline);
        if task.enforced {
            late = add(late, self.wake_latency(&mut iterations)?)?;
            deadline = deadline.min(add(task.period, task.jitter)?);
        }
        let mut worst = 0;
        let mut window = job;
        let mut work = 0;
        let mut offset = 0;
        loop {
            work = add(work, job)?;
            // The least window that holds all its demand; the demand only grows.
            loop {
                step(&mut iterations)?;
                let demand = add(add(blocking, work)?, self.interference(window)?)?;
                let response = add(demand, late)?.saturating_sub(offset);
                if response > deadline {
                    return Err(Unschedulable::DeadlineMissed { response, deadline });
                }
                if demand <= window {
                    worst = worst.max(response);
                    break;
                }
                window = demand;
            }
            offset = add(offset, task.period)?;
            // Has the core caught up before the next job? One that is ready earlier, by
            // its jitter, then finds nothing in its way that the first did not.
            if window <= offset {
                return Ok(worst);
            }
        }
    }

    /// The longest from an interrupt to the end of its handling: what cannot be
    /// interrupted, then all that came in the meantime.
    fn wake_latency(&self, iterations: &mut u32) -> Result<u64, Unschedulable> {
        let mut latency = 0;
        loop {
            step(iterations)?;
            let mut sum = self.unpreemptible();
            for entity in self.entities {
                sum = add(sum, self.interrupts_in(latency, entity)?)?;
            }
            if sum <= latency {
                return Ok(latency);
            }
            latency = sum;
        }
    }

    /// The longest that the kernel itself cannot be interrupted.
    fn unpreemptible(&self) -> u64 {
        let Overheads {
            switch,
            interrupt,
            masked,
        } = *self.overheads;
        masked.max(switch).max(interrupt)
    }

    /// The longest that something less urgent holds the core once. Only one thing can:
    /// it must have begun before the release.
    fn blocking(&self) -> Result<u64, Unschedulable> {
        let mut longest = self.unpreemptible();
        for entity in self.entities {
            if let Entity::Task(other) = entity
                && other.priority < self.own
                && other.ceiling >= self.own
            {
                // A masked stretch that begins in the call may outlast it.
                longest = longest.max(add(other.call, self.overheads.masked)?);
            }
        }
        Ok(longest)
    }

    /// What else is done in a window of this length: the jobs of the more urgent, and
    /// everyone's interrupts.
    fn interference(&self, window: u64) -> Result<u64, Unschedulable> {
        let mut sum = 0;
        for (k, entity) in self.entities.iter().enumerate() {
            sum = add(sum, self.interrupts_in(window, entity)?)?;
            if let Entity::Task(task) = entity
                && k != self.which
                && task.priority >= self.own
            {
                let jobs = mul(releases(window, task)?, self.job(task)?)?;
                sum = add(sum, add(jobs, self.overrun(task)?)?)?;
            }
        }
        Ok(sum)
    }

    /// The handling of an entity's interrupts in a window of this length.
    fn interrupts_in(&self, window: u64, entity: &Entity) -> Result<u64, Unschedulable> {
        let (times, count) = match *entity {
            Entity::Task(ref task) => (releases(window, task)?, task.events),
            Entity::Background { interrupts: 0, .. } => return Ok(0),
            Entity::Background {
                interrupts, per, ..
            } => (window.div_ceil(per), interrupts),
        };
        mul(times, mul(u64::from(count), self.overheads.interrupt)?)
    }

    /// One job with its switches.
    fn job(&self, task: &Task) -> Result<u64, Unschedulable> {
        let switches = mul(2, mul(u64::from(task.events), self.overheads.switch)?)?;
        add(task.wcet, switches)
    }

    /// By how much a task can exceed its budget before that ends its turn.
    fn overrun(&self, task: &Task) -> Result<u64, Unschedulable> {
        if !task.enforced {
            return Ok(0);
        }
        add(
            task.call,
            add(self.overheads.masked, self.overheads.interrupt)?,
        )
    }

    /// What is left in the long run when all others take what they can.
    fn share(&self) -> Result<u16, Unschedulable> {
        let mut taken = 0;
        for entity in self.entities {
            let (work, count, period) = match *entity {
                Entity::Task(ref task) => (self.job(task)?, task.events, task.period),
                Entity::Background {
                    interrupts, per, ..
                } => (0, interrupts, per.max(1)),
            };
            let interrupts = mul(u64::from(count), self.overheads.interrupt)?;
            let work = add(work, interrupts)?;
            let part = u128::from(work)
                .saturating_mul(u128::from(WHOLE))
                .div_ceil(u128::from(period));
            let part = u64::try_from(part).map_err(|_| Unschedulable::Overflow)?;
            taken = add(taken, part)?;
        }
        let per_thousand = WHOLE.saturating_sub(taken) / (WHOLE / 1000);
        match u16::try_from(per_thousand) {
            Ok(share) if share > 0 => Ok(share),
            _ => Err(Unschedulable::NothingLeft {
                per_thousand: taken.div_ceil(WHOLE / 1000),
            }),
        }
    }
}

/// How often a task is released in a window of this length at most.
fn releases(window: u64, task: &Task) -> Result<u64, Unschedulable> {
    Ok(add(window, task.jitter)?.div_ceil(task.period))
}

fn add(a: u64, b: u64) -> Result<u64, Unschedulable> {
    a.checked_add(b).ok_or(Unschedulable::Overflow)
}

fn mul(a: u64, b: u64) -> Result<u64, Unschedulable> {
    a.checked_mul(b).ok_or(Unschedulable::Overflow)
}

/// Counts one iteration, up to the limit.
fn step(iterations: &mut u32) -> Result<(), Unschedulable> {
    if *iterations >= ITERATIONS {
        return Err(Unschedulable::NoBound);
    }
    *iterations = iterations.saturating_add(1);
    Ok(())
}
