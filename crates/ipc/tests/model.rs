//! Random sequences against a reference: a plain list of the calls that are open.

use proptest::prelude::*;
use sched::Time;
use std::collections::{BTreeMap, BTreeSet};
use tessera_ipc::{CallError, Calls, Context, DEPTH, Fate, Refusal};

const N: u8 = 7;

/// One more than the contexts that there are, so that some steps name nobody.
fn context() -> impl Strategy<Value = u8> {
    0..=N
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Receive(u8),
    LeaveLoop(u8),
    Call(u8, u8, u64),
    /// The same, by whoever runs in somebody's turn: what the kernel does.
    CallByEnd(u8, u8, u64),
    Reply(u8),
    ReplyByEnd(u8),
    End(u8),
    Expire(u64),
    TakeFate(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let until = prop_oneof![3 => 0u64..50, 1 => Just(u64::MAX)];
    prop_oneof![
        8 => context().prop_map(Step::Receive),
        1 => context().prop_map(Step::LeaveLoop),
        2 => (context(), context(), until.clone()).prop_map(|(c, s, t)| Step::Call(c, s, t)),
        8 => (0..N, context(), until).prop_map(|(c, s, t)| Step::CallByEnd(c, s, t)),
        1 => context().prop_map(Step::Reply),
        3 => (0..N).prop_map(Step::ReplyByEnd),
        1 => context().prop_map(Step::End),
        1 => (0u64..50).prop_map(Step::Expire),
        4 => context().prop_map(Step::TakeFate),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    caller: u8,
    server: u8,
    until: u64,
}

#[derive(Default)]
struct Reference {
    open: Vec<Open>,
    receives: BTreeSet<u8>,
    fates: BTreeMap<u8, Fate>,
}

impl Reference {
    fn by_caller(&self, context: u8) -> Option<Open> {
        self.open.iter().copied().find(|o| o.caller == context)
    }

    fn by_server(&self, context: u8) -> Option<Open> {
        self.open.iter().copied().find(|o| o.server == context)
    }

    fn close(&mut self, call: Open) {
        self.open.retain(|o| *o != call);
    }

    fn depth(&self, context: u8) -> usize {
        self.by_server(context)
            .map_or(0, |o| 1 + self.depth(o.caller))
    }

    fn end_of(&self, context: u8) -> u8 {
        self.by_caller(context)
            .map_or(context, |o| self.end_of(o.server))
    }

    fn root_of(&self, context: u8) -> u8 {
        self.by_server(context)
            .map_or(context, |o| self.root_of(o.caller))
    }

    fn highest(&self, context: u8) -> Option<u8> {
        let call = self.by_caller(context)?;
        self.highest(call.server).max(Some(ceiling(call.server)))
    }

    fn call(&mut self, caller: u8, server: u8, until: u64) -> Result<(), Refusal> {
        for context in [caller, server] {
            if context >= N {
                return Err(Refusal::Nobody(Context(context)));
            }
        }
        if self.by_caller(caller).is_some() {
            return Err(Refusal::Waiting(Context(caller)));
        }
        if caller == server || !self.receives.contains(&server) {
            return Err(Refusal::Busy(Context(server)));
        }
        if self.depth(caller) >= DEPTH {
            return Err(Refusal::TooDeep);
        }
        self.open.push(Open {
            caller,
            server,
            until,
        });
        self.receives.remove(&caller);
        self.receives.remove(&server);
        Ok(())
    }

    fn reply(&mut self, server: u8) -> Option<u8> {
        if server >= N || self.by_caller(server).is_some() {
            return None;
        }
        self.receives.insert(server);
        let call = self.by_server(server)?;
        self.close(call);
        Some(call.caller)
    }

    /// All calls within that of `caller`, and that one.
    fn unwind(&mut self, caller: u8) {
        if let Some(call) = self.by_caller(caller) {
            self.unwind(call.server);
            self.close(call);
            self.receives.remove(&call.server);
            self.fates.insert(call.server, Fate::Unwound);
        }
    }

    fn end(&mut self, context: u8) {
        if context >= N {
            return;
        }
        self.unwind(context);
        if let Some(call) = self.by_server(context) {
            self.close(call);
            self.fates
                .insert(call.caller, Fate::Failed(CallError::Ended));
        }
        self.receives.remove(&context);
        self.fates.remove(&context);
    }

    fn expire(&mut self, now: u64) -> Option<u8> {
        let due = self.open.iter().filter(|o| o.until <= now);
        let first = due.min_by_key(|o| (self.depth(o.caller), o.caller))?.caller;
        self.unwind(first);
        self.fates.insert(first, Fate::Failed(CallError::TimedOut));
        Some(first)
    }
}

fn ceiling(context: u8) -> u8 {
    // Not in the order of the contexts.
    context.wrapping_mul(5) % 11
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_sequence_of_calls_agrees_with_a_list_of_them(steps in prop::collection::vec(step(), 1..200)) {
        let mut calls = Calls::<{ N as usize }>::new();
        let mut model = Reference::default();
        for n in 0..N {
            calls.set_ceiling(Context(n), ceiling(n));
        }
        // Callers that have not yet learnt how their call ended.
        let mut owed = BTreeSet::new();
        for step in steps {
            match step {
                Step::Receive(s) => {
                    calls.receive(Context(s));
                    if s < N && model.by_server(s).is_none() && model.by_caller(s).is_none() {
                        model.receives.insert(s);
                    }
                }
                Step::LeaveLoop(s) => {
                    calls.leave_loop(Context(s));
                    model.receives.remove(&s);
                }
                Step::Call(c, s, until) | Step::CallByEnd(c, s, until) => {
                    let caller = if matches!(step, Step::CallByEnd(..)) { model.end_of(c) } else { c };
                    // It runs, so it has been told how its last call ended.
                    let fate = calls.take_fate(Context(caller));
                    prop_assert_eq!(fate, model.fates.remove(&caller));
                    if matches!(fate, Some(Fate::Failed(_))) {
                        prop_assert!(owed.remove(&caller), "an error for no call");
                    }
                    let accepted = calls.call(Context(caller), Context(s), Time(until));
                    prop_assert_eq!(accepted, model.call(caller, s, until));
                    if accepted.is_ok() {
                        prop_assert!(owed.insert(caller), "a second call before the first has ended");
                    }
                }
                Step::Reply(s) | Step::ReplyByEnd(s) => {
                    let server = if matches!(step, Step::ReplyByEnd(_)) { model.end_of(s) } else { s };
                    let caller = calls.reply(Context(server)).map(|c| c.0);
                    prop_assert_eq!(caller, model.reply(server));
                    if let Some(caller) = caller {
                        prop_assert!(owed.remove(&caller), "a second reply");
                    }
                }
                Step::End(c) => {
                    calls.end_context(Context(c));
                    model.end(c);
                    owed.remove(&c);
                }
                Step::Expire(now) => {
                    let caller = calls.expire(Time(now)).map(|c| c.0);
                    prop_assert_eq!(caller, model.expire(now));
                }
                Step::TakeFate(c) => {
                    let fate = calls.take_fate(Context(c));
                    prop_assert_eq!(fate, model.fates.remove(&c));
                    if matches!(fate, Some(Fate::Failed(_))) {
                        prop_assert!(owed.remove(&c), "an error for no call");
                    }
                }
            }
            // Whoever begins its loop anew has forgotten its own call.
            owed.retain(|n| model.fates.get(n) != Some(&Fate::Unwound));
            prop_assert_eq!(calls.next_deadline(), Time(model.open.iter().map(|o| o.until).min().unwrap_or(u64::MAX)));
            for n in 0..N {
                let context = Context(n);
                prop_assert_eq!(calls.waits(context), model.by_caller(n).is_some());
                prop_assert_eq!(calls.caller(context).map(|c| c.0), model.by_server(n).map(|o| o.caller));
                prop_assert_eq!(calls.end(context).0, model.end_of(n));
                prop_assert_eq!(calls.root(context).0, model.root_of(n));
                prop_assert_eq!(calls.ceiling(context), model.highest(n));
                // Whoever is owed an end waits for it, or has it before it; nobody else waits.
                let failed = matches!(model.fates.get(&n), Some(Fate::Failed(_)));
                prop_assert_eq!(owed.contains(&n), calls.waits(context) || failed);
            }
        }
    }
}

#[test]
fn a_chain_has_no_more_calls_than_it_may() {
    let mut calls = Calls::<8>::new();
    for n in 1..8 {
        calls.receive(Context(n));
    }
    for n in 0..DEPTH as u8 {
        assert_eq!(calls.call(Context(n), Context(n + 1), Time::NEVER), Ok(()));
    }
    let last = DEPTH as u8;
    assert_eq!(
        calls.call(Context(last), Context(last + 1), Time::NEVER),
        Err(Refusal::TooDeep)
    );
    assert_eq!(calls.end(Context(0)), Context(last));
    assert_eq!(calls.root(Context(last)), Context(0));
}

#[test]
fn a_server_that_ends_in_a_chain_fails_its_caller_and_frees_those_that_work_for_it() {
    let mut calls = Calls::<4>::new();
    for n in 1..4 {
        calls.receive(Context(n));
    }
    for n in 0..3 {
        assert_eq!(calls.call(Context(n), Context(n + 1), Time::NEVER), Ok(()));
    }
    calls.end_context(Context(2));
    // The caller of the one that ended goes on, in the middle of what it does for its own caller.
    assert_eq!(calls.end(Context(0)), Context(1));
    assert_eq!(
        calls.take_fate(Context(1)),
        Some(Fate::Failed(CallError::Ended))
    );
    assert_eq!(calls.take_fate(Context(3)), Some(Fate::Unwound));
    assert_eq!(calls.reply(Context(1)), Some(Context(0)));
    assert_eq!(calls.ceiling(Context(0)), None);
}
