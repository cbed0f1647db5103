//! The worst stack depth of a program, from its machine code.
//!
//! Every function is followed along its branches with the depth of the stack at each instruction;
//! calls and tail calls are edges of a graph whose deepest path is the answer. An indirect call
//! may reach any function whose address stands in the program's data, and such calls are taken to
//! nest [`NESTING`] deep at most: the formatting of messages is what needs them.
//!
//! A function that calls itself, by whatever chain, is taken to do so [`RECURSION`] times, and is
//! named, so that somebody looks whether that is so.
//!
//! A panic ends the program, so what it needs is told apart: paths stop where it begins.

use crate::a64::{Effect, Probe, added, effect, near, page_of, probe};
use crate::symbols::{Program, Symbol};
use std::collections::{BTreeMap, BTreeSet};

/// How deep indirect calls are taken to nest.
pub const NESTING: usize = 3;
/// How often a function that calls itself is on the stack: page tables have four levels.
pub const RECURSION: usize = 4;
/// Where a panic begins.
const PANIC: [&str; 2] = ["core::panicking::panic_fmt", "__rustc::rust_begin_unwind"];
/// Where the stacks begin that all cores but the first have, and the first has after its boot.
const RUNNING: [&str; 9] = [
    "tessera_kernel::boot_secondary",
    "tessera_kernel::exit::abort::quick",
    "tessera_kernel::exit::call::entry",
    "tessera_kernel::exit::interrupt::entry",
    "tessera_kernel::exit::serror::entry",
    "tessera_kernel::exit::sysreg::quick",
    "tessera_kernel::exit::trap_entry",
    "tessera_kernel::trace::interrupt",
    "tessera_kernel::trace::synchronous",
];
/// What only the vectors jump to, where the stack begins anew, though its address is taken.
const ENTRIES: [&str; 3] = ["synchronous_entry", "traced_entry", "vectors"];
/// No function's own frame is as large as this; a loop that moves the stack pointer is noticed so.
const FRAME_LIMIT: u64 = 1 << 20;

/// The result.
#[derive(Debug, Default)]
pub struct Depth {
    /// Bytes in the worst case.
    pub bytes: u64,
    /// The functions on the way there, each with its part.
    pub path: Vec<(String, u64)>,
    /// Bytes in the worst case once the program runs: below [`RUNNING`].
    pub running: u64,
    /// What a panic needs on top.
    pub panic: u64,
    /// Functions that call themselves by a chain of direct calls.
    pub recursive: BTreeSet<String>,
    /// Functions that move the stack pointer by an amount that is not in the code.
    pub dynamic: BTreeSet<String>,
}

/// A function's part of the graph.
#[derive(Debug, Default)]
struct Node {
    /// Its own deepest point.
    own: u64,
    /// Whom it calls, and how deep it is then.
    calls: BTreeMap<u64, u64>,
    /// How deep it is at its deepest indirect call.
    indirect: Option<u64>,
    /// Whether it comes back.
    returns: bool,
    /// Whether it moves the stack pointer by an amount that is not in the code.
    dynamic: bool,
}

/// Functions and labels by address, each with where it ends.
type Bodies = BTreeMap<u64, (Symbol, u64)>;

/// Finds the worst depth.
#[must_use]
pub fn worst(program: &Program) -> Depth {
    let bodies = bodies(program);
    let returning = returning(program, &bodies);
    let mut depth = Depth::default();
    let mut nodes = BTreeMap::new();
    for (&start, (symbol, _)) in &bodies {
        let node = follow(program, start, &bodies, &returning);
        if node.dynamic {
            depth.dynamic.insert(symbol.name.clone());
        }
        nodes.insert(start, node);
    }
    let mut taken = taken(program, &nodes);
    taken.retain(|at| {
        let name = bodies
            .get(at)
            .map_or("", |(symbol, _)| symbol.name.as_str());
        !RUNNING.contains(&name) && !ENTRIES.contains(&name)
    });
    let panics = bodies
        .iter()
        .filter(|(_, (s, _))| PANIC.contains(&s.name.as_str()))
        .map(|(at, _)| *at);
    let mut graph = Graph {
        nodes: &nodes,
        bodies: &bodies,
        panics: panics.collect(),
        cycles: cycles(&nodes),
        known: BTreeMap::new(),
        recursive: BTreeSet::new(),
        indirect: (0, None),
    };
    // Level 0 without indirect calls, then each with the deepest of the level below behind them.
    for level in 0..=NESTING {
        graph.known.clear();
        for &start in nodes.keys() {
            graph.depth(start, &mut Vec::new());
        }
        if level < NESTING {
            let deepest = taken
                .iter()
                .map(|t| (graph.known.get(t).map_or(0, |k| k.0), Some(*t)))
                .max();
            graph.indirect = deepest.unwrap_or((0, None));
        }
    }
    depth.panic = graph
        .panics
        .iter()
        .filter_map(|p| graph.known.get(p))
        .map(|k| k.0)
        .max()
        .unwrap_or(0);
    let outside = graph
        .known
        .iter()
        .filter(|(start, _)| !graph.panics.contains(*start));
    if let Some((&start, (bytes, _))) = outside.max_by_key(|(_, (bytes, _))| *bytes) {
        depth.bytes = *bytes;
        depth.path = graph.path(start);
    }
    depth.running = graph
        .known
        .iter()
        .filter(|(start, _)| {
            let name = bodies.get(start).map(|(symbol, _)| symbol.name.as_str());
            name.is_some_and(|name| RUNNING.contains(&name))
        })
        .map(|(_, (bytes, _))| *bytes)
        .max()
        .unwrap_or(0);
    depth.recursive = graph
        .recursive
        .iter()
        .filter_map(|s| bodies.get(s))
        .map(|(s, _)| s.name.clone())
        .collect();
    depth
}

/// The functions that come back, as far as their code shows: what follows a call of any other is
/// not reached by it.
fn returning(program: &Program, bodies: &Bodies) -> BTreeSet<u64> {
    let mut returning = BTreeSet::new();
    loop {
        let more: Vec<u64> = bodies
            .keys()
            .filter(|start| !returning.contains(*start))
            .filter(|start| follow(program, **start, bodies, &returning).returns)
            .copied()
            .collect();
        if more.is_empty() {
            return returning;
        }
        returning.extend(more);
    }
}

/// The functions and the labels of assembly, with where each ends.
fn bodies(program: &Program) -> Bodies {
    let mut starts: BTreeMap<u64, Symbol> = program.functions.clone();
    for symbol in program.by_name.values() {
        let covered = program.function_at(symbol.address).is_some();
        if !symbol.code && !covered && program.instruction(symbol.address).is_some() {
            starts
                .entry(symbol.address)
                .or_insert_with(|| symbol.clone());
        }
    }
    let addresses: Vec<u64> = starts.keys().copied().collect();
    starts
        .into_iter()
        .map(|(start, symbol)| {
            let next = addresses
                .iter()
                .find(|a| **a > start)
                .copied()
                .unwrap_or(u64::MAX);
            let end = if symbol.code && symbol.size > 0 {
                start + symbol.size
            } else {
                next
            };
            (start, (symbol, end))
        })
        .collect()
}

/// Follows a function along all its branches.
fn follow(program: &Program, start: u64, bodies: &Bodies, returning: &BTreeSet<u64>) -> Node {
    let mut node = Node::default();
    let Some((symbol, end)) = bodies.get(&start) else {
        return node;
    };
    let end = *end;
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    let mut work = vec![(start, 0u64)];
    let mut table: Option<u64> = None;
    // Where the stack of a large frame will end, which a loop touches page by page.
    let mut large: Option<u64> = None;
    loop {
        while let Some((mut at, mut depth)) = work.pop() {
            while seen.get(&at).is_none_or(|known| *known < depth) {
                if at >= end || at < start {
                    // A jump into another function is a tail call; so is assembly that falls into it.
                    if bodies.contains_key(&at) && (at != end || !symbol.code) {
                        deepen(&mut node.calls, at, depth);
                        node.returns |= returning.contains(&at);
                    }
                    break;
                }
                seen.insert(at, depth);
                let Some(word) = program.instruction(at) else {
                    break;
                };
                match probe(word) {
                    Some(Probe::Begin(amount)) => large = Some(depth + amount),
                    Some(Probe::More(amount)) => large = large.map(|end| end + amount),
                    Some(Probe::Set) | None => {}
                }
                match effect(word, at) {
                    Effect::None => {}
                    Effect::Move(-4096) if large.is_some() => {
                        depth = depth.max((depth + 4096).min(large.unwrap_or(0)));
                    }
                    Effect::Move(by) => depth = depth.saturating_add_signed(-by),
                    Effect::Fresh if probe(word) == Some(Probe::Set) && large.is_some() => {
                        depth = large.unwrap_or(depth);
                    }
                    Effect::Fresh => depth = 0,
                    Effect::Dynamic => node.dynamic = true,
                    Effect::Call(target) => {
                        deepen(&mut node.calls, target, depth);
                        if bodies.contains_key(&target) && !returning.contains(&target) {
                            break;
                        }
                    }
                    Effect::CallIndirect => node.indirect = node.indirect.max(Some(depth)),
                    Effect::Branch(target) => work.push((target, depth)),
                    Effect::Jump(target) => {
                        work.push((target, depth));
                        break;
                    }
                    Effect::JumpIndirect => {
                        table = table.max(Some(depth));
                        node.returns = true;
                        break;
                    }
                    Effect::Return => {
                        node.returns = true;
                        break;
                    }
                    Effect::End => break,
                }
                if depth > FRAME_LIMIT {
                    node.dynamic = true;
                    return node;
                }
                node.own = node.own.max(depth);
                at += 4;
            }
        }
        let Some(depth) = table else { return node };
        // Code that only a table of cases reaches. A tail call through a register is an indirect call.
        let missed = (start..end.min(start + FRAME_LIMIT))
            .step_by(4)
            .find(|a| !seen.contains_key(a));
        match missed.filter(|at| program.instruction(*at).is_some()) {
            Some(at) => work.push((at, depth)),
            None => {
                if depth == 0 {
                    node.indirect = node.indirect.max(Some(0));
                }
                return node;
            }
        }
    }
}

fn deepen(calls: &mut BTreeMap<u64, u64>, target: u64, depth: u64) {
    let known = calls.entry(target).or_insert(depth);
    *known = (*known).max(depth);
}

/// Functions whose address stands in data, or is computed by code that does not call it.
fn taken(program: &Program, nodes: &BTreeMap<u64, Node>) -> BTreeSet<u64> {
    let mut taken = BTreeSet::new();
    for (_, bytes) in &program.data {
        for word in bytes.chunks_exact(8) {
            let address = u64::from_le_bytes(word.try_into().unwrap_or([0; 8]));
            if nodes.contains_key(&address) {
                taken.insert(address);
            }
        }
    }
    for (base, bytes) in &program.code {
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|w| u32::from_le_bytes(w.try_into().unwrap_or([0; 4])))
            .collect();
        for (i, word) in words.iter().enumerate() {
            let at = base + 4 * i as u64;
            let target = match page_of(*word, at) {
                Some((page, register)) => words
                    .get(i + 1..)
                    .and_then(|w| added(w, register))
                    .map(|low| page + low),
                None => near(*word, at),
            };
            taken.extend(target.filter(|t| nodes.contains_key(t)));
        }
    }
    taken
}

/// Finds the functions that reach themselves; those of one cycle have one number.
fn cycles(nodes: &BTreeMap<u64, Node>) -> BTreeMap<u64, usize> {
    let reach = |from: u64| {
        let mut seen = BTreeSet::new();
        let mut work = vec![from];
        while let Some(at) = work.pop() {
            let calls = nodes.get(&at).into_iter().flat_map(|n| n.calls.keys());
            work.extend(calls.copied().filter(|c| seen.insert(*c)));
        }
        seen
    };
    let all: BTreeMap<u64, BTreeSet<u64>> = nodes.keys().map(|at| (*at, reach(*at))).collect();
    let mut cycles = BTreeMap::new();
    for (at, reached) in all.iter().filter(|(at, reached)| reached.contains(*at)) {
        let same = reached
            .iter()
            .find(|r| cycles.contains_key(*r) && all.get(r).is_some_and(|b| b.contains(at)));
        let number = same
            .and_then(|r| cycles.get(r).copied())
            .unwrap_or(cycles.len());
        cycles.insert(*at, number);
    }
    cycles
}

/// The graph of calls.
struct Graph<'a> {
    nodes: &'a BTreeMap<u64, Node>,
    bodies: &'a Bodies,
    panics: BTreeSet<u64>,
    /// The functions that are on a cycle, with the number of that cycle.
    cycles: BTreeMap<u64, usize>,
    /// Depth of a function with all below it, and who is next on the deepest path.
    known: BTreeMap<u64, (u64, Option<u64>)>,
    recursive: BTreeSet<u64>,
    /// What an indirect call reaches at this level.
    indirect: (u64, Option<u64>),
}

impl Graph<'_> {
    fn depth(&mut self, start: u64, above: &mut Vec<u64>) -> u64 {
        if let Some((bytes, _)) = self.known.get(&start) {
            return *bytes;
        }
        let cycle = self.cycles.get(&start).copied();
        if cycle.is_some() {
            let times = above.iter().filter(|a| **a == start).count();
            if times > 0 {
                self.recursive.insert(start);
            }
            if times >= RECURSION {
                return 0;
            }
        }
        let Some(node) = self.nodes.get(&start) else {
            return 0;
        };
        above.push(start);
        let mut best = (node.own, None);
        for (&target, &at) in &node.calls {
            if self.panics.contains(&target) {
                continue;
            }
            let bytes = at + self.depth(target, above);
            if bytes > best.0 {
                best = (bytes, Some(target));
            }
        }
        if let Some(at) = node.indirect
            && at + self.indirect.0 > best.0
        {
            best = (at + self.indirect.0, self.indirect.1);
        }
        above.pop();
        // Inside a cycle the answer depends on how often it has been gone round.
        let inside = cycle.is_some() && above.iter().any(|a| self.cycles.get(a).copied() == cycle);
        if !inside {
            self.known.insert(start, best);
        }
        best.0
    }

    fn path(&self, start: u64) -> Vec<(String, u64)> {
        let mut path = Vec::new();
        let mut next = Some(start);
        while let Some(at) = next
            && path.len() < 64
        {
            let Some(((bytes, below), (symbol, _))) = self.known.get(&at).zip(self.bodies.get(&at))
            else {
                break;
            };
            let rest = below.and_then(|b| self.known.get(&b)).map_or(0, |k| k.0);
            path.push((symbol.name.clone(), bytes.saturating_sub(rest)));
            next = *below;
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of functions at 0x1000, 0x1100 and so on.
    fn program(functions: &[(&str, &[u32])]) -> Program {
        let mut program = Program {
            by_name: BTreeMap::new(),
            functions: BTreeMap::new(),
            code: Vec::new(),
            data: Vec::new(),
            text_len: 0,
            read_only_len: 0,
            writable_len: 0,
        };
        for (i, (name, words)) in functions.iter().enumerate() {
            let address = 0x1000 + 0x100 * i as u64;
            let size = 4 * words.len() as u64;
            let symbol = Symbol {
                name: (*name).into(),
                address,
                size,
                code: true,
            };
            program.functions.insert(address, symbol.clone());
            program.by_name.insert(symbol.name.clone(), symbol);
            program.code.push((
                address,
                words.iter().flat_map(|w| w.to_le_bytes()).collect(),
            ));
        }
        program
    }

    const RET: u32 = 0xd65f_03c0;
    /// stp x29, x30, [sp, #-32]!
    const PUSH_32: u32 = 0xa9be_7bfd;
    /// ldp x29, x30, [sp], #32
    const POP_32: u32 = 0xa8c2_7bfd;
    /// sub sp, sp, #48
    const SUB_48: u32 = 0xd100_c3ff;
    /// str x30, [sp, #-16]!
    const PUSH_16: u32 = 0xf81f_0ffe;
    /// blr x8
    const BLR: u32 = 0xd63f_0100;

    fn bl(words: i32) -> u32 {
        0x9400_0000 | (words as u32 & 0x3ff_ffff)
    }

    #[test]
    fn a_call_adds_the_depth_at_which_it_is_made() {
        let program = program(&[
            ("outer", &[PUSH_32, bl(0x3f), POP_32, RET]),
            ("inner", &[SUB_48, RET]),
        ]);
        let depth = worst(&program);
        assert_eq!(depth.bytes, 80);
        assert_eq!(
            depth.path,
            [("outer".to_string(), 32), ("inner".to_string(), 48)]
        );
    }

    #[test]
    fn what_was_popped_before_a_tail_call_does_not_count() {
        let b = 0x1400_0000 | 0x3e;
        let program = program(&[("outer", &[PUSH_32, POP_32, b]), ("inner", &[SUB_48, RET])]);
        assert_eq!(worst(&program).bytes, 48);
    }

    #[test]
    fn single_registers_with_write_back_count() {
        assert_eq!(worst(&program(&[("f", &[PUSH_16, RET])])).bytes, 16);
    }

    #[test]
    fn the_deeper_of_two_branches_counts() {
        // cbz x0, +2 instructions
        let cbz = 0xb400_0000 | 2 << 5;
        assert_eq!(
            worst(&program(&[("f", &[cbz, RET, SUB_48, RET])])).bytes,
            48
        );
    }

    #[test]
    fn a_function_that_calls_itself_is_named_and_counted_a_few_times() {
        // cbz x0, past the call
        let cbz = 0xb400_0000 | 2 << 5;
        let depth = worst(&program(&[("f", &[PUSH_32, cbz, bl(-2), POP_32, RET])]));
        assert!(depth.recursive.contains("f"));
        assert_eq!(depth.bytes, 32 * RECURSION as u64);
    }

    #[test]
    fn an_indirect_call_reaches_what_stands_in_data_and_nests_a_few_times() {
        let mut program = program(&[("f", &[PUSH_16, BLR, RET]), ("g", &[SUB_48, RET])]);
        assert_eq!(worst(&program).bytes, 48, "no address is taken");
        program
            .data
            .push((0x8000, 0x1100u64.to_le_bytes().to_vec()));
        assert_eq!(worst(&program).bytes, 64);
        program
            .data
            .push((0x8008, 0x1000u64.to_le_bytes().to_vec()));
        assert_eq!(worst(&program).bytes, 48 + 16 * NESTING as u64);
    }

    #[test]
    fn what_follows_a_call_that_never_returns_is_another_function() {
        // `stop` only loops; the word after the call belongs to nobody here.
        let program = program(&[
            ("f", &[PUSH_16, bl(0x3f), SUB_48, RET]),
            ("stop", &[0x1400_0000]),
        ]);
        let depth = worst(&program);
        assert_eq!(depth.bytes, 16);
        assert!(depth.recursive.is_empty(), "{depth:?}");
    }

    #[test]
    fn a_panic_is_told_apart() {
        let program = program(&[
            ("f", &[PUSH_16, bl(0x3f), RET]),
            (PANIC[0], &[SUB_48, 0x1400_0000]),
        ]);
        let depth = worst(&program);
        assert_eq!((depth.bytes, depth.panic), (16, 48));
    }

    #[test]
    fn a_large_frame_that_is_touched_page_by_page_counts_once() {
        let depth = worst(&program(&[(
            "f",
            &[
                PUSH_32,
                0xd140_0be9, // sub x9, sp, #2, lsl #12
                0xd124_8129, // sub x9, x9, #2336
                0x927a_e529, // and x9, x9, #0xffffffffffffffc0
                0xd140_07ff, // sub sp, sp, #1, lsl #12
                0xeb29_63ff, // cmp sp, x9
                0x5400_006d, // b.le past the loop
                0xf900_03ff, // str xzr, [sp]
                0x17ff_fffc, // b to the loop
                0x9100_013f, // mov sp, x9
                RET,
            ],
        )]));
        assert_eq!(depth.bytes, 32 + 8192 + 2336 + 63);
        assert!(depth.dynamic.is_empty(), "{depth:?}");
    }

    #[test]
    fn a_stack_pointer_moved_by_a_register_is_named() {
        // sub sp, sp, x8
        let depth = worst(&program(&[("f", &[0xcb28_63ff, RET])]));
        assert!(depth.dynamic.contains("f"));
    }
}
