//! What the run queue promises, one promise per test.

use tessera_sched::{Budget, Core, Index, Params, REFILLS, Ticks, Time};

fn free(priority: u8) -> Params {
    Params {
        priority,
        budget: None,
    }
}

fn budgeted(priority: u8, time: u64, period: u64) -> Params {
    Params {
        priority,
        budget: Some(Budget {
            time: Ticks(time),
            period: Ticks(period),
        }),
    }
}

/// A core whose entities are all awake at time 0, and the first choice made.
fn awake<const M: usize>(params: [Params; M]) -> (Core<8>, [Index; M]) {
    let mut core = Core::new();
    let indices = params.map(|p| core.add(p, Time(0)).unwrap());
    for index in indices {
        core.wake(index, Time(0));
    }
    core.pick(Time(0));
    (core, indices)
}

/// Lets time pass up to `end` with a timer that is never late, and counts for how long
/// `who` had the core.
fn time_of(core: &mut Core<8>, who: Index, begin: u64, end: u64) -> u64 {
    let (mut now, mut total) = (begin, 0);
    while now < end {
        let next = core.next_event().map_or(end, |t| t.0.min(end));
        assert!(next > now);
        if core.running() == Some(who) {
            total += next - now;
        }
        now = next;
        core.pick(Time(now));
    }
    total
}

#[test]
fn an_empty_core_is_idle() {
    let mut core = Core::<4>::new();
    assert_eq!(core.pick(Time(5)), None);
    assert_eq!(core.running(), None);
    assert_eq!(core.next_event(), None);
}

#[test]
fn a_full_core_takes_no_more() {
    let mut core = Core::<2>::new();
    assert!(core.add(free(1), Time(0)).is_some());
    assert!(core.add(free(1), Time(0)).is_some());
    assert_eq!(core.add(free(1), Time(0)), None);
}

#[test]
fn a_budget_that_means_nothing_is_refused() {
    let mut core = Core::<2>::new();
    assert_eq!(core.add(budgeted(1, 0, 10), Time(0)), None);
    assert_eq!(core.add(budgeted(1, 11, 10), Time(0)), None);
    assert_eq!(core.add(budgeted(1, 0, 0), Time(0)), None);
    assert_eq!(
        core.add(budgeted(1, 10, 10), Time(0)).map(Index::get),
        Some(0)
    );
}

#[test]
fn an_index_of_another_core_does_nothing() {
    let mut other = Core::<8>::new();
    for _ in 0..7 {
        other.add(free(1), Time(0));
    }
    let stranger = other.add(free(9), Time(0)).unwrap();
    let mut core = Core::<4>::new();
    let own = core.add(free(1), Time(0)).unwrap();
    core.wake(own, Time(0));
    core.pick(Time(0));
    assert!(!core.wake(stranger, Time(0)));
    core.raise(stranger, 9);
    core.block(stranger, Time(0));
    core.reset(stranger, Time(0));
    assert_eq!(core.pick(Time(1)), Some(own));
    assert_eq!(core.usable_from(stranger), None);
}

#[test]
fn the_more_urgent_one_preempts_and_the_other_resumes() {
    let (mut core, [low]) = awake([free(1)]);
    let high = core.add(free(2), Time(0)).unwrap();
    assert_eq!(core.running(), Some(low));
    assert!(core.wake(high, Time(3)));
    assert_eq!(core.pick(Time(3)), Some(high));
    core.block(high, Time(4));
    assert_eq!(core.running(), None);
    assert_eq!(core.pick(Time(4)), Some(low));
}

#[test]
fn a_less_urgent_or_equal_one_does_not_preempt() {
    let (mut core, [running]) = awake([free(2)]);
    for priority in [1, 2] {
        let other = core.add(free(priority), Time(0)).unwrap();
        assert!(!core.wake(other, Time(1)));
        assert_eq!(core.pick(Time(1)), Some(running));
    }
}

#[test]
fn waking_twice_is_waking_once() {
    let (mut core, [a, b]) = awake([free(1), free(1)]);
    assert!(!core.wake(a, Time(1)));
    core.block(a, Time(2));
    assert_eq!(core.pick(Time(2)), Some(b));
    assert!(!core.wake(b, Time(3)));
    core.block(b, Time(3));
    assert_eq!(core.pick(Time(3)), None);
}

#[test]
fn equals_run_in_the_order_in_which_they_woke() {
    let mut core = Core::<4>::new();
    let [a, b, c] = [(); 3].map(|()| core.add(free(1), Time(0)).unwrap());
    for index in [c, a, b] {
        core.wake(index, Time(0));
    }
    for expected in [c, a, b] {
        assert_eq!(core.pick(Time(1)), Some(expected));
        core.block(expected, Time(1));
    }
}

#[test]
fn a_preempted_one_keeps_its_place_before_its_equals() {
    let (mut core, [a, b]) = awake([free(1), free(1)]);
    let high = core.add(free(2), Time(0)).unwrap();
    core.wake(high, Time(1));
    core.pick(Time(1));
    core.block(high, Time(2));
    assert_eq!(core.pick(Time(2)), Some(a));
    core.block(a, Time(3));
    assert_eq!(core.pick(Time(3)), Some(b));
}

#[test]
fn one_that_used_its_budget_goes_behind_its_equals() {
    let (mut core, [a, b]) = awake([budgeted(1, 5, 8), free(1)]);
    assert_eq!(core.pick(Time(5)), Some(b));
    // Its refill at 8 does not preempt an equal, and is no event.
    assert_eq!(core.next_event(), None);
    assert_eq!(core.pick(Time(9)), Some(b));
    core.block(b, Time(10));
    assert_eq!(core.pick(Time(10)), Some(a));
}

#[test]
fn the_budget_ends_the_turn_and_the_refill_comes_a_period_after_its_begin() {
    let (mut core, [high, low]) = awake([budgeted(2, 3, 10), free(1)]);
    assert_eq!(core.next_event(), Some(Time(3)));
    assert_eq!(core.pick(Time(3)), Some(low));
    assert_eq!(core.next_event(), Some(Time(10)));
    assert_eq!(core.pick(Time(10)), Some(high));
    assert_eq!(core.next_event(), Some(Time(13)));
}

#[test]
fn an_idle_core_wakes_for_any_refill() {
    let (mut core, [a, b]) = awake([budgeted(1, 2, 20), budgeted(7, 3, 30)]);
    assert_eq!(core.pick(Time(3)), Some(a));
    assert_eq!(core.pick(Time(5)), None);
    assert_eq!(core.next_event(), Some(Time(20)));
    assert_eq!(core.pick(Time(20)), Some(a));
    assert_eq!(core.running(), Some(a));
    assert_eq!(core.usable_from(b), Some(Time(30)));
}

#[test]
fn a_less_urgent_refill_is_no_event_for_the_running_one() {
    let (mut core, [low]) = awake([budgeted(1, 2, 20)]);
    assert_eq!(core.pick(Time(2)), None);
    let high = core.add(free(2), Time(2)).unwrap();
    core.wake(high, Time(3));
    assert_eq!(core.pick(Time(3)), Some(high));
    assert_eq!(core.next_event(), None);
    core.block(high, Time(50));
    assert_eq!(core.pick(Time(50)), Some(low));
}

#[test]
fn a_depleted_one_that_wakes_moves_the_next_event_without_a_pick() {
    let (mut core, [high]) = awake([budgeted(2, 3, 10)]);
    let low = core.add(free(1), Time(0)).unwrap();
    core.block(high, Time(3));
    core.wake(low, Time(3));
    assert_eq!(core.pick(Time(3)), Some(low));
    assert_eq!(core.next_event(), None);
    assert!(!core.wake(high, Time(4)));
    assert_eq!(core.next_event(), Some(Time(10)));
    assert_eq!(core.pick(Time(10)), Some(high));
}

#[test]
fn blocking_early_leaves_the_rest_of_the_budget_for_the_same_period() {
    let (mut core, [a]) = awake([budgeted(1, 6, 100)]);
    core.block(a, Time(2));
    core.pick(Time(2));
    core.wake(a, Time(40));
    assert_eq!(core.pick(Time(40)), Some(a));
    assert_eq!(core.next_event(), Some(Time(44)));
    // The two ticks used from 0 on come back at 100, the other four at 140.
    assert_eq!(core.pick(Time(44)), None);
    assert_eq!(core.next_event(), Some(Time(100)));
    assert_eq!(core.pick(Time(100)), Some(a));
    assert_eq!(core.pick(Time(102)), None);
    assert_eq!(core.next_event(), Some(Time(140)));
}

#[test]
fn sleeping_late_in_a_period_earns_no_double_budget() {
    // The defect of the POSIX server: a refill that counts from before the sleep.
    let (mut core, [a]) = awake([budgeted(1, 10, 100)]);
    core.block(a, Time(1));
    core.pick(Time(1));
    core.wake(a, Time(95));
    core.pick(Time(95));
    assert_eq!(time_of(&mut core, a, 95, 195), 10);
}

#[test]
fn being_held_off_costs_no_share_of_the_core() {
    let (mut core, [low]) = awake([budgeted(1, 10, 100)]);
    let high = core.add(free(2), Time(0)).unwrap();
    let mut total = 0;
    for period in 0..50 {
        let begin = period * 100;
        core.wake(high, Time(begin));
        assert_eq!(core.pick(Time(begin)), Some(high));
        // A different stretch each time: a phase that drifted would show.
        let stretch = (period * 37) % 85;
        core.block(high, Time(begin + stretch));
        core.pick(Time(begin + stretch));
        total += time_of(&mut core, low, begin + stretch, begin + 100);
    }
    assert_eq!(total, 50 * 10);
}

#[test]
fn one_starved_for_long_comes_back_with_two_budgets_at_most() {
    let (mut core, [low]) = awake([budgeted(1, 10, 100)]);
    let high = core.add(free(2), Time(0)).unwrap();
    core.wake(high, Time(0));
    core.pick(Time(0));
    core.block(high, Time(10_000));
    core.pick(Time(10_000));
    assert_eq!(time_of(&mut core, low, 10_000, 10_100), 20);
    assert_eq!(time_of(&mut core, low, 10_100, 10_200), 10);
}

#[test]
fn an_endless_loop_gets_exactly_its_budget_per_period() {
    for (time, period) in [(1, 10), (3, 10), (10, 10), (7, 1000)] {
        let (mut core, [a, _]) = awake([budgeted(2, time, period), free(1)]);
        for k in 0..200 {
            assert_eq!(time_of(&mut core, a, k * period, (k + 1) * period), time);
        }
    }
}

#[test]
fn an_endless_loop_charged_late_gets_neither_more_nor_less_in_the_long_run() {
    let (time, period, late) = (20, 100, 7);
    let (mut core, [a, _]) = awake([budgeted(2, time, period), free(1)]);
    let (mut now, mut total) = (0, 0);
    while now < 1000 * period {
        let next = core.next_event().unwrap().0 + late;
        if core.running() == Some(a) {
            total += next - now;
        }
        now = next;
        core.pick(Time(now));
    }
    assert!(total.abs_diff(1000 * time) <= late, "{total}");
}

#[test]
fn an_overrun_is_taken_from_the_next_refill() {
    let (mut core, [a]) = awake([budgeted(1, 10, 100)]);
    // Charged at 14 for a budget that ended at 10.
    assert_eq!(core.pick(Time(14)), None);
    assert_eq!(core.next_event(), Some(Time(104)));
    core.pick(Time(104));
    assert_eq!(time_of(&mut core, a, 104, 200), 6);
}

#[test]
fn a_core_that_stood_still_for_ages_is_paid_back_without_a_loop() {
    let (mut core, [a]) = awake([budgeted(1, 10, 100)]);
    let ages = 1 << 50;
    assert_eq!(core.pick(Time(ages)), None);
    assert_eq!(core.usable_from(a), Some(Time(ages / 10 * 100 + ages % 10)));
    // Even at the end of time nothing overflows.
    let (mut core, [a]) = awake([budgeted(1, 1, u64::MAX)]);
    assert_eq!(core.pick(Time(u64::MAX - 1)), None);
    assert_eq!(core.usable_from(a), Some(Time::NEVER));
    assert_eq!(core.next_event(), None);
}

#[test]
fn a_whole_core_as_budget_never_waits() {
    let (mut core, [a, _]) = awake([budgeted(2, 10, 10), free(1)]);
    assert_eq!(time_of(&mut core, a, 0, 5000), 5000);
}

#[test]
fn many_short_turns_keep_the_list_of_refills_short() {
    let (mut core, [a]) = awake([budgeted(1, 50, 1000)]);
    for k in 0..20 {
        let now = k * 10;
        core.wake(a, Time(now));
        core.pick(Time(now));
        core.block(a, Time(now + 1));
        core.pick(Time(now + 1));
        assert!(core.refills(a).unwrap() <= REFILLS);
    }
    assert_eq!(core.refills(a), Some(REFILLS));
    core.wake(a, Time(191));
    core.pick(Time(191));
    assert_eq!(core.pick(Time(221)), None);
    // What had been used before some time is the most that can be back a period later,
    // and at the end all of it is.
    let mut total = 0;
    for end in 222..=1300 {
        total += time_of(&mut core, a, end - 1, end);
        let used = match end.saturating_sub(1000) {
            x @ 0..=191 => x.div_ceil(10),
            x => (20 + (x - 191)).min(50),
        };
        assert!(total <= used, "{total} of {used} at {end}");
    }
    assert_eq!(total, 50);
}

#[test]
fn a_restart_neither_refills_a_budget_nor_loses_it() {
    let (mut core, [a]) = awake([budgeted(1, 10, 100)]);
    core.reset(a, Time(4));
    assert!(!core.is_runnable(a));
    assert_eq!(core.pick(Time(4)), None);
    core.wake(a, Time(5));
    assert_eq!(core.pick(Time(5)), Some(a));
    assert_eq!(core.next_event(), Some(Time(11)));
    core.reset(a, Time(11));
    core.pick(Time(11));
    assert!(!core.wake(a, Time(12)));
    assert_eq!(core.pick(Time(12)), None);
    assert_eq!(core.next_event(), Some(Time(100)));
}

#[test]
fn a_raised_one_finishes_past_its_budget_and_pays_back() {
    let (mut core, [caller, other]) = awake([budgeted(2, 10, 100), free(3)]);
    assert_eq!(core.running(), Some(other));
    core.block(other, Time(0));
    assert_eq!(core.pick(Time(0)), Some(caller));
    core.raise(caller, 5);
    // More urgent than its own priority, but not than the ceiling.
    assert!(!core.wake(other, Time(8)));
    assert_eq!(core.pick(Time(10)), Some(caller));
    assert_eq!(core.next_event(), None);
    core.lower(caller, Time(15));
    assert_eq!(core.pick(Time(15)), Some(other));
    core.block(other, Time(16));
    assert_eq!(core.pick(Time(16)), None);
    assert_eq!(core.next_event(), Some(Time(105)));
}

#[test]
fn a_ceiling_never_lowers_a_priority() {
    let (mut core, [a, b]) = awake([free(3), free(2)]);
    core.raise(a, 1);
    assert_eq!(core.pick(Time(1)), Some(a));
    core.lower(a, Time(2));
    assert_eq!(core.pick(Time(2)), Some(a));
    core.block(a, Time(2));
    assert_eq!(core.pick(Time(2)), Some(b));
}

#[test]
fn above_the_ceiling_there_is_still_preemption() {
    let (mut core, [caller]) = awake([free(1)]);
    let [below, above] = [4, 6].map(|p| core.add(free(p), Time(0)).unwrap());
    core.raise(caller, 5);
    assert!(!core.wake(below, Time(1)));
    assert!(core.wake(above, Time(1)));
    assert_eq!(core.pick(Time(1)), Some(above));
    core.block(above, Time(2));
    assert_eq!(core.pick(Time(2)), Some(caller));
    core.lower(caller, Time(3));
    assert_eq!(core.pick(Time(3)), Some(below));
}

#[test]
fn the_highest_priority_there_is_works_like_any_other() {
    let (mut core, [top, low]) = awake([budgeted(255, 3, 10), free(254)]);
    let equal = core.add(free(255), Time(0)).unwrap();
    assert_eq!(core.running(), Some(top));
    assert!(!core.wake(equal, Time(1)));
    assert_eq!(core.pick(Time(3)), Some(equal));
    core.block(equal, Time(4));
    assert_eq!(core.pick(Time(4)), Some(low));
    assert_eq!(core.next_event(), Some(Time(10)));
    assert!(core.wake(equal, Time(5)));
    assert_eq!(core.pick(Time(5)), Some(equal));
}

#[test]
fn of_nested_calls_the_highest_ceiling_holds() {
    let (mut core, [caller]) = awake([free(1)]);
    let other = core.add(free(5), Time(0)).unwrap();
    core.raise(caller, 5);
    core.raise(caller, 3);
    assert!(!core.wake(other, Time(1)));
    // Back in the outer call, whose ceiling is lower.
    core.lower(caller, Time(2));
    core.raise(caller, 3);
    assert_eq!(core.pick(Time(2)), Some(other));
}
