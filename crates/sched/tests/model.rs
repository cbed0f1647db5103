//! The run queue against an independent model, one tick of budget at a time.
//!
//! The model knows no refills: it holds, for every single tick of a budget, the time
//! from which that tick may be used. It shares no code with the crate. After every step
//! the choice, the time of the next event and the budgets must agree, and at the end the
//! guarantee on consumption is checked on the record of who ran when.

use proptest::prelude::*;
use tessera_sched::{Budget, Core, Index, Params, REFILLS, Ticks, Time};

/// A budget in the model: per tick of it, from when on it is usable, in order.
struct Server {
    period: u64,
    ticks: Vec<u64>,
    /// The longest time by which a tick was used later than it could have been.
    held_off: u64,
    /// Ticks used ahead of time since it was last eligible, and the most ever.
    ahead: u64,
    overrun: u64,
}

impl Server {
    /// Nothing may be used before `time`, and one tick after the other from then on.
    fn delay_to(&mut self, time: u64) {
        for (tick, earliest) in self.ticks.iter_mut().zip(time..) {
            *tick = (*tick).max(earliest);
        }
    }

    /// The core was used from `at` up to `to`.
    fn charge(&mut self, mut at: u64, to: u64) {
        while at < to {
            // Consecutive ticks are taken together, and come back together.
            let together = self
                .ticks
                .windows(2)
                .take_while(|w| w[1] == w[0] + 1)
                .count()
                + 1;
            for _ in 0..together.min((to - at) as usize) {
                let tick = self.ticks.remove(0);
                self.held_off = self.held_off.max(at.saturating_sub(tick));
                self.ahead = if tick > at { self.ahead + 1 } else { 0 };
                self.overrun = self.overrun.max(self.ahead);
                self.ticks.push(tick + self.period);
                at += 1;
            }
            if self.pieces() > REFILLS {
                self.join_last_two();
            }
        }
    }

    /// How many runs of consecutive ticks there are.
    fn pieces(&self) -> usize {
        self.ticks.windows(2).filter(|w| w[1] != w[0] + 1).count() + 1
    }

    /// The last piece but one waits until the two are one.
    fn join_last_two(&mut self) {
        let mut k = self.ticks.len() - 1;
        while self.ticks[k - 1] + 1 == self.ticks[k] {
            k -= 1;
        }
        let gap = self.ticks[k] - self.ticks[k - 1] - 1;
        let mut one_more = true;
        while one_more {
            k -= 1;
            one_more = k > 0 && self.ticks[k - 1] + 1 == self.ticks[k];
            self.ticks[k] += gap;
        }
    }
}

struct Entity {
    priority: u8,
    server: Option<Server>,
    runnable: bool,
    depleted: bool,
    raised: Option<u8>,
    /// A serial number: who was queued first.
    queued: u64,
    ran: Vec<(u64, u64)>,
}

impl Entity {
    fn urgency(&self) -> u8 {
        self.raised.map_or(self.priority, |c| c.max(self.priority))
    }

    fn eligible(&self) -> bool {
        self.runnable && (!self.depleted || self.raised.is_some())
    }
}

/// The model and the crate's core side by side.
struct Pair {
    core: Core<8>,
    indices: Vec<Index>,
    entities: Vec<Entity>,
    running: Option<usize>,
    since: u64,
    serial: u64,
    now: u64,
    /// The next event may be that of the running one's budget, which no longer matters.
    raised_since_pick: bool,
}

impl Pair {
    fn new(params: &[Params], now: u64) -> Self {
        let mut core = Core::new();
        let indices = params
            .iter()
            .map(|&p| core.add(p, Time(now)).unwrap())
            .collect();
        let entity = |p: &Params| Entity {
            priority: p.priority,
            server: p.budget.map(|b| Server {
                period: b.period.0,
                ticks: (now..now + b.time.0).collect(),
                held_off: 0,
                ahead: 0,
                overrun: 0,
            }),
            runnable: false,
            depleted: false,
            raised: None,
            queued: 0,
            ran: Vec::new(),
        };
        let entities = params.iter().map(entity).collect();
        Self {
            core,
            indices,
            entities,
            running: None,
            since: now,
            serial: 0,
            now,
            raised_since_pick: false,
        }
    }

    fn charge(&mut self) {
        let Some(i) = self.running else { return };
        let (from, to) = (self.since, self.now);
        let entity = &mut self.entities[i];
        entity.ran.push((from, to));
        if let Some(server) = &mut entity.server {
            // What it could have used more than a period ago is forgotten.
            if server.ticks[0] + server.period < from {
                server.delay_to(from - server.period);
            }
            server.charge(from, to);
            entity.depleted |= server.ticks[0] > to;
        }
        self.since = to;
    }

    fn enqueue(&mut self, i: usize) {
        self.serial += 1;
        self.entities[i].queued = self.serial;
    }

    fn more_urgent_than_running(&self, i: usize) -> bool {
        self.running
            .is_none_or(|r| self.entities[i].urgency() > self.entities[r].urgency())
    }

    fn wake(&mut self, i: usize, late: u64) -> Result<(), TestCaseError> {
        // In one step where that is possible.
        let preempted = late == 0 && self.core.preempt(self.indices[i], Time(self.now));
        let said = preempted || self.core.wake(self.indices[i], Time(self.now));
        let mut expected = false;
        if !self.entities[i].runnable {
            self.enqueue(i);
            let entity = &mut self.entities[i];
            entity.runnable = true;
            if let Some(server) = &mut entity.server {
                entity.depleted = server.ticks[0] > self.now;
                if !entity.depleted {
                    server.delay_to(self.now);
                }
            }
            expected = self.entities[i].eligible() && self.more_urgent_than_running(i);
        }
        prop_assert_eq!(said, expected, "wake of {} at {}", i, self.now);
        if preempted {
            self.picked(self.core.running().map(Index::get))?;
        } else if said {
            self.now += late;
            self.pick()?;
        }
        self.check_next_event()
    }

    fn block(&mut self, i: usize, reset: bool) -> Result<(), TestCaseError> {
        if reset {
            self.core.reset(self.indices[i], Time(self.now));
        } else {
            self.core.block(self.indices[i], Time(self.now));
        }
        if self.running == Some(i) {
            self.charge();
            self.running = None;
        }
        self.entities[i].runnable = false;
        if reset {
            self.entities[i].raised = None;
        }
        prop_assert_eq!(self.core.running().map(Index::get), self.running);
        self.pick()
    }

    fn pick(&mut self) -> Result<(), TestCaseError> {
        let said = self.core.pick(Time(self.now)).map(Index::get);
        self.picked(said)
    }

    /// The core has chosen.
    fn picked(&mut self, said: Option<usize>) -> Result<(), TestCaseError> {
        let now = self.now;
        self.charge();
        for i in 0..self.entities.len() {
            let entity = &mut self.entities[i];
            let due = entity.server.as_ref().is_some_and(|s| s.ticks[0] <= now);
            if entity.runnable && entity.depleted && due {
                entity.depleted = false;
                if entity.raised.is_none() {
                    self.enqueue(i);
                }
            }
        }
        let rank = |&i: &usize| {
            let e = &self.entities[i];
            (std::cmp::Reverse(e.urgency()), e.queued)
        };
        let best = (0..self.entities.len())
            .filter(|&i| self.entities[i].eligible())
            .min_by_key(rank);
        prop_assert_eq!(said, best, "choice at {}", now);
        prop_assert_eq!(self.core.running().map(Index::get), best);
        self.running = best;
        self.since = now;
        self.raised_since_pick = false;
        for (entity, &index) in self.entities.iter().zip(&self.indices) {
            prop_assert_eq!(self.core.is_runnable(index), entity.runnable);
            let Some(server) = &entity.server else {
                prop_assert_eq!(self.core.usable_from(index), None);
                continue;
            };
            let (first, budget) = (server.ticks[0], server.ticks.len() as u64);
            prop_assert_eq!(self.core.usable_from(index), Some(Time(first)));
            prop_assert_eq!(self.core.refills(index), Some(server.pieces()));
            prop_assert!(server.pieces() <= REFILLS);
            // It never has to wait for longer than a period, and what it overran.
            if entity.runnable && entity.depleted {
                let debt = server.ahead.div_ceil(budget) * server.period;
                prop_assert!(first <= now + server.period + debt);
            }
        }
        self.check_next_event()
    }

    /// The next event is the first time at which another choice is due: never later,
    /// never in the past, and not before something it knows of can have changed.
    fn check_next_event(&self) -> Result<(), TestCaseError> {
        let mut expected = u64::MAX;
        if let Some(r) = self.running
            && let entity = &self.entities[r]
            && entity.raised.is_none()
            && let Some(server) = &entity.server
        {
            let usable = server
                .ticks
                .iter()
                .zip(self.since..)
                .take_while(|&(&t, at)| t <= at);
            expected = self.since + usable.count() as u64;
        }
        for (i, entity) in self.entities.iter().enumerate() {
            if let Some(server) = &entity.server
                && entity.runnable
                && !entity.eligible()
                && self.more_urgent_than_running(i)
            {
                expected = expected.min(server.ticks[0]);
            }
        }
        let said = self.core.next_event().map_or(u64::MAX, |t| t.0);
        if self.raised_since_pick {
            prop_assert!(said <= expected && said > self.since);
        } else {
            prop_assert_eq!(said, expected, "event after {}", self.since);
        }
        prop_assert!(expected > self.since);
        Ok(())
    }

    /// Time passes. The kernel's timer fires `late` ticks late.
    fn run(&mut self, length: u64, late: u64) -> Result<(), TestCaseError> {
        let end = self.now + length;
        let mut rounds = 0;
        while let Some(event) = self.core.next_event().filter(|&t| t.0 <= end) {
            self.now = self.now.max(event.0) + late;
            self.pick()?;
            rounds += 1;
            prop_assert!(rounds <= 2 * length + 2, "events without progress");
        }
        self.now = self.now.max(end);
        Ok(())
    }

    /// No window of `n` periods holds more than the guarantee says.
    fn check_consumption(&self) -> Result<(), TestCaseError> {
        for entity in &self.entities {
            let Some(server) = &entity.server else {
                continue;
            };
            let begin = entity.ran.first().map_or(0, |r| r.0);
            let length = (self.now - begin) as usize;
            let mut used = vec![0u64; length + 1];
            for &(from, to) in &entity.ran {
                used[(from - begin) as usize..(to - begin) as usize].fill(1);
            }
            let mut total = 0;
            for u in &mut used {
                total += std::mem::replace(u, total);
            }
            let budget = server.ticks.len() as u64;
            prop_assert!(server.held_off <= server.period);
            for n in 1..=4 {
                let window = (n * server.period) as usize;
                let most = n * budget + server.held_off.min(budget) + server.overrun;
                for x in 0..=length {
                    let in_window = used[(x + window).min(length)] - used[x];
                    prop_assert!(
                        in_window <= most,
                        "{} in {} periods, {} allowed",
                        in_window,
                        n,
                        most
                    );
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wake(usize, u64),
    Block(usize),
    Reset(usize),
    /// Whoever runs blocks, and wakes again a little later.
    Nap(u64),
    Run(u64, u64),
    Pick,
    Raise(usize, u8),
    Lower(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let late = || prop_oneof![8 => Just(0u64), 3 => 1u64..4, 1 => 4u64..150];
    let who = || 0usize..5;
    prop_oneof![
        6 => (who(), late()).prop_map(|(i, l)| Step::Wake(i, l)),
        2 => who().prop_map(Step::Block),
        1 => who().prop_map(Step::Reset),
        6 => (0u64..5).prop_map(Step::Nap),
        8 => (0u64..12, late()).prop_map(|(t, l)| Step::Run(t, l)),
        2 => (10u64..300, late()).prop_map(|(t, l)| Step::Run(t, l)),
        2 => Just(Step::Pick),
        1 => (who(), 0u8..5).prop_map(|(i, c)| Step::Raise(i, c)),
        1 => who().prop_map(Step::Lower),
    ]
}

fn params() -> impl Strategy<Value = Params> {
    let budget = (1u64..=24, 0u64..150).prop_map(|(time, more)| Budget {
        time: Ticks(time),
        period: Ticks(time + more),
    });
    (0u8..4, prop::option::weighted(0.75, budget))
        .prop_map(|(priority, budget)| Params { priority, budget })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn history(params: &[Params], begin: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(params, begin);
    for step in steps {
        match step {
            Step::Wake(i, late) if i < params.len() => pair.wake(i, late)?,
            Step::Block(i) if i < params.len() => pair.block(i, false)?,
            Step::Reset(i) if i < params.len() => pair.block(i, true)?,
            Step::Nap(length) => {
                if let Some(i) = pair.running {
                    pair.block(i, false)?;
                    pair.run(length, 0)?;
                    pair.wake(i, 0)?;
                }
            }
            Step::Run(length, late) => pair.run(length, late)?,
            Step::Pick => pair.pick()?,
            Step::Raise(i, ceiling) if i < params.len() => {
                pair.core.raise(pair.indices[i], ceiling);
                let highest = pair.entities[i].raised.unwrap_or(0).max(ceiling);
                pair.entities[i].raised = Some(highest);
                if pair.running == Some(i) {
                    pair.raised_since_pick = true;
                    pair.check_next_event()?;
                } else {
                    pair.pick()?;
                }
            }
            Step::Lower(i) if i < params.len() => {
                pair.core.lower(pair.indices[i], Time(pair.now));
                // One whose refill came in the meantime never left the queue.
                let entity = &mut pair.entities[i];
                let now = pair.now;
                if entity.raised.take().is_some()
                    && pair.running != Some(i)
                    && let Some(server) = &entity.server
                {
                    entity.depleted &= server.ticks[0] > now;
                }
                pair.pick()?;
            }
            _ => {}
        }
    }
    pair.pick()?;
    pair.check_consumption()
}

proptest! {
    #![proptest_config(config(1200))]

    #[test]
    fn any_history_agrees_with_the_model_and_keeps_the_guarantee(
        params in prop::collection::vec(params(), 1..=5),
        begin in 0u64..100,
        steps in prop::collection::vec(step(), 1..400),
    ) {
        history(&params, begin, steps)?;
    }

    /// Turns so short and so many that the list of refills is full most of the time.
    #[test]
    fn a_history_of_many_short_turns_agrees_with_the_model_and_keeps_the_guarantee(
        (time, period) in (16u64..=24, 200u64..400),
        naps in prop::collection::vec((1u64..3, 1u64..14), 1..200),
    ) {
        let budget = Budget { time: Ticks(time), period: Ticks(period) };
        let params = [Params { priority: 1, budget: Some(budget) }];
        let turn = |(run, nap)| [Step::Run(run, 0), Step::Nap(nap), Step::Wake(0, 0)];
        history(&params, 0, naps.into_iter().flat_map(turn).collect())?;
    }
}
