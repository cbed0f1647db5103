//! What the response-time analysis says, one statement per test.

use tessera_sched::rta::{Bound, Entity, Overheads, Task, Unschedulable, bound};

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

/// 1 ms and 10 ms of real-time work beside Linux.
fn phone() -> [Entity; 3] {
    [
        Entity::Background {
            priority: 1,
            interrupts: 0,
            per: 0,
        },
        Entity::Task(Task::new(9, 200_000, 1_000_000)),
        Entity::Task(Task::new(5, 2_000_000, 10_000_000)),
    ]
}

#[test]
fn the_textbook_example_has_the_textbook_responses() {
    let tasks = [Task::new(3, 3, 7), Task::new(2, 3, 12), Task::new(1, 5, 20)];
    let expected = [3, 6, 20].map(|r| Ok(Bound::Response(r)));
    assert_eq!(responses(&tasks, &FREE), expected);
}

#[test]
fn a_later_job_can_be_the_worst() {
    // Lehoczky's: the first job answers after 114, the fourth after 118.
    let tasks = [
        Task::new(2, 26, 70),
        Task {
            deadline: 200,
            ..Task::new(1, 62, 100)
        },
    ];
    assert_eq!(responses(&tasks, &FREE)[1], Ok(Bound::Response(118)));
}

#[test]
fn background_work_gets_what_is_left() {
    assert_eq!(bound(&phone(), 0, &FREE), Ok(Bound::Share(600)));
    let costs = Overheads {
        switch: 1000,
        interrupt: 500,
        masked: 4000,
    };
    assert_eq!(bound(&phone(), 0, &costs), Ok(Bound::Share(597)));
}

#[test]
fn background_work_delays_nobody_but_by_its_interrupts() {
    assert_eq!(bound(&phone(), 1, &FREE), Ok(Bound::Response(200_000)));
    let mut noisy = phone();
    noisy[0] = Entity::Background {
        priority: 1,
        interrupts: 10,
        per: 1_000_000,
    };
    let costs = Overheads {
        interrupt: 500,
        ..FREE
    };
    // Its own interrupt, one that blocks, one for the less urgent task, and ten.
    let expected = 200_000 + 500 + 500 + 500 + 10 * 500;
    assert_eq!(bound(&noisy, 1, &costs), Ok(Bound::Response(expected)));
}

#[test]
fn background_work_above_others_starves_them() {
    let mut upside_down = phone();
    upside_down[0] = Entity::Background {
        priority: 7,
        interrupts: 0,
        per: 0,
    };
    assert_eq!(bound(&upside_down, 1, &FREE), Ok(Bound::Response(200_000)));
    assert_eq!(
        bound(&upside_down, 2, &FREE),
        Err(Unschedulable::Starved { by: 0 })
    );
}

#[test]
fn two_background_entities_starve_each_other() {
    let one = Entity::Background {
        priority: 1,
        interrupts: 0,
        per: 0,
    };
    assert_eq!(
        bound(&[one, one], 0, &FREE),
        Err(Unschedulable::Starved { by: 1 })
    );
    assert_eq!(
        bound(&[one, one], 1, &FREE),
        Err(Unschedulable::Starved { by: 0 })
    );
}

#[test]
fn a_full_core_leaves_nothing_for_the_background() {
    let entities = [
        Entity::Task(Task::new(2, 10, 10)),
        Entity::Background {
            priority: 1,
            interrupts: 0,
            per: 0,
        },
    ];
    let nothing = Unschedulable::NothingLeft { per_thousand: 1000 };
    assert_eq!(bound(&entities, 1, &FREE), Err(nothing));
}

#[test]
fn a_sum_below_one_is_not_enough() {
    let tasks = [
        Task::new(2, 50, 100),
        Task {
            deadline: 70,
            ..Task::new(1, 40, 1000)
        },
    ];
    let missed = Unschedulable::DeadlineMissed {
        response: 90,
        deadline: 70,
    };
    assert_eq!(responses(&tasks, &FREE)[1], Err(missed));
}

#[test]
fn masked_interrupts_delay_the_most_urgent_once() {
    let tasks = [Task::new(2, 100, 1000), Task::new(1, 100, 1000)];
    let costs = Overheads { masked: 40, ..FREE };
    assert_eq!(responses(&tasks, &costs)[0], Ok(Bound::Response(140)));
}

#[test]
fn a_switch_or_an_interrupt_under_way_delays_the_most_urgent_once() {
    let tasks = [Task::new(2, 100, 1000), Task::new(1, 100, 1000)];
    let costs = Overheads { switch: 30, ..FREE };
    // That one, the switch to it, and the one away from it.
    assert_eq!(
        responses(&tasks, &costs)[0],
        Ok(Bound::Response(100 + 3 * 30))
    );
    let costs = Overheads {
        interrupt: 30,
        ..FREE
    };
    // That one, its own, and the other's.
    assert_eq!(
        responses(&tasks, &costs)[0],
        Ok(Bound::Response(100 + 3 * 30))
    );
}

#[test]
fn a_more_urgent_one_costs_its_work_two_switches_an_interrupt_and_one_overrun() {
    let tasks = [
        Task {
            events: 3,
            call: 7,
            ceiling: 2,
            ..Task::budget(2, 1000, 100_000)
        },
        Task::new(1, 1000, 100_000),
    ];
    let costs = Overheads {
        switch: 10,
        interrupt: 20,
        masked: 50,
    };
    let other = 1000 + 3 * (2 * 10 + 20) + (50 + 20 + 7);
    let own = 1000 + 2 * 10 + 20;
    assert_eq!(
        responses(&tasks, &costs)[1],
        Ok(Bound::Response(50 + other + own))
    );
}

#[test]
fn a_budget_is_late_by_its_wake_up_and_worth_nothing_after_its_period() {
    let task = Task {
        deadline: 5000,
        ..Task::budget(1, 100, 1000)
    };
    let costs = Overheads {
        masked: 50,
        interrupt: 20,
        ..FREE
    };
    // The masked stretch and the interrupt count twice.
    let response = 50 + 20 + 50 + 20 + 100;
    assert_eq!(responses(&[task], &costs)[0], Ok(Bound::Response(response)));
    let slow = [
        Task {
            deadline: 5000,
            ..Task::budget(1, 560, 1000)
        },
        Task::new(2, 441, 1011),
    ];
    let missed = Unschedulable::DeadlineMissed {
        response: 1001,
        deadline: 1000,
    };
    assert_eq!(responses(&slow, &FREE)[0], Err(missed));
    let declared = [
        Task {
            enforced: false,
            ..slow[0]
        },
        slow[1],
    ];
    // Each job is a little later than the one before, until the phases part.
    assert_eq!(responses(&declared, &FREE)[0], Ok(Bound::Response(1056)));
}

#[test]
fn a_call_blocks_only_those_below_its_ceiling() {
    let tasks = [
        Task::new(9, 10, 1000),
        Task::new(5, 10, 1000),
        Task {
            call: 300,
            ceiling: 5,
            ..Task::new(1, 400, 10_000)
        },
    ];
    let responses = responses(&tasks, &FREE);
    assert_eq!(responses[0], Ok(Bound::Response(10)));
    assert_eq!(responses[1], Ok(Bound::Response(320)));
}

#[test]
fn an_overloaded_core_ends_in_an_error_and_not_in_a_loop() {
    let patient = |priority| Task {
        deadline: u64::MAX,
        ..Task::new(priority, 2, 3)
    };
    assert_eq!(
        responses(&[patient(2), patient(1)], &FREE)[1],
        Err(Unschedulable::NoBound)
    );
}

#[test]
fn huge_values_end_in_an_error() {
    let huge = Task {
        deadline: u64::MAX,
        ..Task::new(1, u64::MAX - 1, u64::MAX)
    };
    let costs = Overheads {
        switch: u64::MAX,
        ..FREE
    };
    assert_eq!(responses(&[huge], &costs)[0], Err(Unschedulable::Overflow));
    let above = Task {
        priority: 2,
        ..huge
    };
    assert_eq!(
        responses(&[huge, above], &FREE)[0],
        Err(Unschedulable::Overflow)
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let ok = Task::new(1, 1, 2);
    let responses = responses(&[ok, Task::new(2, 0, 5), ok], &FREE);
    assert_eq!(responses[0], Err(Unschedulable::Invalid { which: 1 }));
    let rate = [Entity::Background {
        priority: 1,
        interrupts: 1,
        per: 0,
    }];
    assert_eq!(
        bound(&rate, 0, &FREE),
        Err(Unschedulable::Invalid { which: 0 })
    );
    assert_eq!(
        bound(&[], 0, &FREE),
        Err(Unschedulable::Missing { which: 0 })
    );
}
