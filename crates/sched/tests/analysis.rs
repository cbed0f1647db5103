//! The response-time analysis against simulations, one time unit after the other, and
//! against the run queue itself.

use std::collections::VecDeque;

use proptest::prelude::*;
use tessera_sched::rta::{Bound, Entity, Overheads, Task, Unschedulable, bound};
use tessera_sched::{Budget, Core, Params, Ticks, Time};

const FREE: Overheads = Overheads {
    switch: 0,
    interrupt: 0,
    masked: 0,
};

fn responses(tasks: &[Task], overheads: &Overheads) -> Vec<Result<Bound, Unschedulable>> {
    let entities: Vec<_> = tasks.iter().copied().map(Entity::Task).collect();
    (0..tasks.len())
        .map(|k| bound(&entities, k, overheads))
        .collect()
}

/// Fewer choices than a random generator of the test framework, and cheaper ones.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn per_thousand(tasks: &[Task]) -> u64 {
    tasks
        .iter()
        .map(|t| (t.wcet * 1000).div_ceil(t.period))
        .sum()
}

/// Tasks that load the core to at most `load` thousandths, all of different priority.
fn tasks(load: u64) -> impl Strategy<Value = Vec<Task>> {
    let task = (1u64..=8, 2u64..=30, 0u64..12);
    prop::collection::vec(task, 1..=5).prop_map(move |list| {
        let mut tasks = Vec::new();
        for (wcet, period, jitter) in list {
            let priority = ((tasks.len() * 7) % 11) as u8;
            let task = Task {
                deadline: 2000,
                jitter,
                ..Task::new(priority, wcet, period)
            };
            tasks.push(task);
            if per_thousand(&tasks) > load {
                tasks.pop();
            }
        }
        tasks
    })
}

/// The worst response of `tasks[which]` when everything is released at once, as late and
/// then as densely as it can be: one unit of time after the other, up to the first in
/// which nothing is left to do.
fn critical_instant(tasks: &[Task], which: usize) -> u64 {
    let own = tasks[which];
    let mut left: Vec<u64> = vec![0; tasks.len()];
    let mut released: Vec<u64> = vec![0; tasks.len()];
    let (mut worst, mut finished, mut time) = (0, 0, 0u64);
    loop {
        for (k, task) in tasks.iter().enumerate() {
            while released[k] * task.period <= time + task.jitter {
                released[k] += 1;
                left[k] += task.wcet;
            }
        }
        let busy = (0..tasks.len())
            .filter(|&k| left[k] > 0 && tasks[k].priority >= own.priority)
            .max_by_key(|&k| tasks[k].priority);
        let Some(k) = busy else { return worst };
        left[k] -= 1;
        time += 1;
        if k == which && left[k].is_multiple_of(own.wcet) {
            worst = worst.max(time + own.jitter - finished * own.period);
            finished += 1;
        }
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn without_overheads_the_bound_is_the_response_at_the_critical_instant(tasks in tasks(999)) {
        for (k, response) in responses(&tasks, &FREE).into_iter().enumerate() {
            let simulated = critical_instant(&tasks, k);
            prop_assert_eq!(response, Ok(Bound::Response(simulated)), "task {}", k);
            // And the verdict turns exactly there.
            let mut tighter = tasks.clone();
            tighter[k].deadline = simulated;
            prop_assert_eq!(&responses(&tighter, &FREE)[k], &Ok(Bound::Response(simulated)));
            tighter[k].deadline = simulated - 1;
            let missed = matches!(
                responses(&tighter, &FREE)[k],
                Err(Unschedulable::DeadlineMissed { response, .. }) if response <= simulated
            );
            prop_assert!(missed);
        }
    }
}

/// A core with a kernel that costs time, as it is: interrupts are taken one by one,
/// switches and masked stretches cannot be preempted, calls run at their ceiling.
struct Machine<'a> {
    tasks: &'a [Task],
    overheads: Overheads,
    dice: Dice,
    time: u64,
    /// Per task: nominal release of the next job, and when its interrupt comes.
    coming: Vec<(u64, u64)>,
    /// Per task: nominal release, work left and work done of the jobs that are ready.
    ready: Vec<VecDeque<(u64, u64, u64)>>,
    /// Who was ready first among equals.
    order: Vec<u64>,
    current: Option<usize>,
    worst: Vec<u64>,
}

impl Machine<'_> {
    fn urgency(&self, k: usize) -> u8 {
        let task = &self.tasks[k];
        match self.ready[k].front() {
            Some(&(_, _, done)) if done > 0 && done < task.call => task.priority.max(task.ceiling),
            _ => task.priority,
        }
    }

    fn schedule_release(&mut self, k: usize) {
        let task = self.tasks[k];
        let slack = if self.dice.below(3) == 0 {
            self.dice.below(9)
        } else {
            0
        };
        let release = self.coming[k].0 + task.period + slack;
        let delay = self.dice.below(task.jitter + 1);
        // A job becomes ready after the one before it.
        self.coming[k] = (release, (release + delay).max(self.coming[k].1));
    }

    fn run(&mut self, until: u64) {
        while self.time < until {
            let pending = (0..self.tasks.len()).find(|&k| self.coming[k].1 <= self.time);
            if let Some(k) = pending {
                self.time += self.overheads.interrupt;
                let wcet = self.tasks[k].wcet;
                let work = if self.dice.below(4) == 0 {
                    1 + self.dice.below(wcet)
                } else {
                    wcet
                };
                if self.ready[k].is_empty() {
                    self.order[k] = self.time;
                }
                self.ready[k].push_back((self.coming[k].0, work, 0));
                self.schedule_release(k);
                continue;
            }
            let best = (0..self.tasks.len())
                .filter(|&k| !self.ready[k].is_empty())
                .max_by_key(|&k| (self.urgency(k), std::cmp::Reverse(self.order[k])));
            let stretch = match self.dice.below(4) {
                0 => 1 + self.dice.below(self.overheads.masked.max(1)),
                _ => 1,
            };
            let Some(k) = best else {
                self.time += stretch;
                continue;
            };
            if self.current != Some(k) {
                self.current = Some(k);
                self.time += self.overheads.switch;
                continue;
            }
            let Some(job) = self.ready[k].front_mut() else {
                continue;
            };
            let stretch = stretch.min(job.1);
            self.time += stretch;
            job.1 -= stretch;
            job.2 += stretch;
            if job.1 == 0 {
                self.worst[k] = self.worst[k].max(self.time - job.0);
                self.ready[k].pop_front();
                self.order[k] = self.time;
            }
        }
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn no_response_on_a_machine_with_overheads_exceeds_its_bound(
        mut tasks in tasks(800),
        calls in prop::collection::vec((0u64..6, 0u8..12), 5),
        equal in prop::bool::weighted(0.2),
        switch in 0u64..3,
        interrupt in 0u64..3,
        masked in 0u64..5,
        seed in 1u64..,
    ) {
        for (task, (call, ceiling)) in tasks.iter_mut().zip(calls) {
            task.call = if call > 1 { call.min(task.wcet) } else { 0 };
            task.ceiling = if task.call > 0 { ceiling } else { 0 };
            if equal {
                task.priority /= 4;
            }
        }
        let overheads = Overheads { switch, interrupt, masked };
        let bounds = responses(&tasks, &overheads);
        let mut dice = Dice(seed);
        for round in 0..3 {
            let first = |t: &Task, dice: &mut Dice| {
                let phase = if round == 0 { 0 } else { dice.below(t.period) };
                (phase, phase + t.jitter)
            };
            let coming = tasks.iter().map(|t| first(t, &mut dice)).collect();
            let mut machine = Machine {
                tasks: &tasks,
                overheads,
                dice: Dice(1 + dice.below(u64::MAX)),
                time: 0,
                coming,
                ready: vec![VecDeque::new(); tasks.len()],
                order: vec![0; tasks.len()],
                current: None,
                worst: vec![0; tasks.len()],
            };
            machine.run(600);
            for (k, found) in machine.worst.iter().enumerate() {
                if let Ok(Bound::Response(bound)) = bounds[k] {
                    prop_assert!(*found <= bound, "task {}: {} > {}", k, found, bound);
                }
            }
        }
    }

    /// The theorem that a budget rests on: the more urgent entities do whatever they
    /// like, the kernel masks interrupts now and then, and one that keeps to its own
    /// budget still answers within the bound.
    #[test]
    fn budgets_keep_the_bound_whatever_the_more_urgent_do(
        mut tasks in tasks(1000),
        masked in prop_oneof![Just(0u64), 1u64..6],
        seed in 1u64..,
    ) {
        for task in &mut tasks {
            *task = Task::budget(task.priority, task.wcet, task.period);
        }
        let bounds = responses(&tasks, &Overheads { masked, ..FREE });
        let mut dice = Dice(seed);
        for (honest, bound) in bounds.into_iter().enumerate() {
            if let Ok(Bound::Response(bound)) = bound {
                one_honest_among_hostile(&tasks, honest, bound, masked, &mut dice)?;
            }
        }
    }
}

fn one_honest_among_hostile(
    tasks: &[Task],
    honest: usize,
    bound: u64,
    masked: u64,
    dice: &mut Dice,
) -> Result<(), TestCaseError> {
    let mut core = Core::<8>::new();
    let add = |t: &Task| {
        let budget = Budget {
            time: Ticks(t.wcet),
            period: Ticks(t.period),
        };
        core.add(
            Params {
                priority: t.priority,
                budget: Some(budget),
            },
            Time(0),
        )
        .unwrap()
    };
    let indices: Vec<_> = tasks.iter().map(add).collect();
    let own = tasks[honest];
    let (mut release, mut left) = (dice.below(own.period), 0);
    let mut running = None;
    // Up to when interrupts are masked.
    let mut unmasked = 0;
    for time in 0..800 {
        let now = Time(time);
        if running == Some(honest) {
            left -= 1;
            if left == 0 {
                prop_assert!(time - release <= bound, "{} > {}", time - release, bound);
                core.block(indices[honest], now);
                release += own.period + dice.below(2) * dice.below(5);
                unmasked = time;
            }
        }
        prop_assert!(
            left == 0 || time - release < bound,
            "not done after {}",
            bound
        );
        if unmasked > time {
            // Time passes, interrupts wait, and nobody chooses.
            continue;
        }
        for (k, &index) in indices.iter().enumerate() {
            // Everyone else wakes and blocks at random, or loops.
            match dice.below(12) {
                _ if k == honest => {}
                0 => core.block(index, now),
                1..=7 => {
                    core.wake(index, now);
                }
                _ => {}
            }
        }
        if time >= release && left == 0 {
            left = own.wcet;
            core.wake(indices[honest], now);
        }
        running = core.pick(now).map(|i| i.get());
        if dice.below(5) == 0 {
            unmasked = time + dice.below(masked + 1);
        }
    }
    Ok(())
}
