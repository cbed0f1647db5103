//! The worst stack depth of a program, from its machine code.
//!
//! Every function is followed along its branches with the depth of the stack at each instruction;
//! calls and tail calls are edges of a graph whose deepest path is the answer. An indirect call
//! may reach any function whose address stands in the program's data, and such calls are taken to
//! nest [`NESTING`] deep at most: the formatting of messages is what needs them.

use crate::symbols::{Program, Symbol};
use std::collections::{BTreeMap, BTreeSet};

/// How deep indirect calls are taken to nest.
pub const NESTING: usize = 3;
/// No function's own frame is as large as this; a loop that moves the stack pointer is noticed so.
const FRAME_LIMIT: u64 = 1 << 20;

/// The result.
#[derive(Debug, Default)]
pub struct Depth {
    /// Bytes in the worst case.
    pub bytes: u64,
    /// The functions on the way there, each with its part.
    pub path: Vec<(String, u64)>,
    /// Functions that call themselves by a chain of direct calls: their depth has no bound here.
    pub recursive: BTreeSet<String>,
    /// Functions that move the stack pointer by an amount that is not in the code.
    pub dynamic: BTreeSet<String>,
}

/// What an instruction does, as far as the stack is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Nothing.
    None,
    /// Moves the stack pointer up (positive frees) by a fixed amount.
    Move(i64),
    /// Sets the stack pointer from another register than the frame pointer: a new stack.
    Fresh,
    /// Moves the stack pointer by a register's value.
    Dynamic,
    /// Calls an address.
    Call(u64),
    /// Calls through a register.
    CallIndirect,
    /// Goes to an address.
    Jump(u64),
    /// Goes to an address, or on.
    Branch(u64),
    /// Goes where a register says: a table of cases, or a tail call.
    JumpIndirect,
    /// Ends here.
    End,
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
}

/// Finds the worst depth.
#[must_use]
pub fn worst(program: &Program) -> Depth {
    let mut depth = Depth::default();
    let bodies = bodies(program);
    let mut nodes = BTreeMap::new();
    for (&start, (symbol, end)) in &bodies {
        let (node, dynamic) = follow(program, start, *end, &bodies);
        if dynamic {
            depth.dynamic.insert(symbol.name.clone());
        }
        nodes.insert(start, node);
    }
    let taken = taken(program, &nodes);
    let mut graph = Graph { nodes: &nodes, bodies: &bodies, known: BTreeMap::new(), recursive: BTreeSet::new(), indirect: (0, None) };
    // Level 0 without indirect calls, then each with the deepest of the level below behind them.
    for level in 0..=NESTING {
        graph.known.clear();
        for &start in nodes.keys() {
            graph.depth(start, &mut Vec::new());
        }
        if level < NESTING {
            let deepest = taken.iter().map(|t| (graph.known.get(t).map_or(0, |k| k.0), Some(*t))).max();
            graph.indirect = deepest.unwrap_or((0, None));
        }
    }
    let top = graph.known.iter().max_by_key(|(_, (bytes, _))| *bytes).map(|(start, _)| *start);
    if let Some(start) = top {
        depth.bytes = graph.known.get(&start).map_or(0, |k| k.0);
        depth.path = graph.path(start);
    }
    depth.recursive = graph.recursive.iter().filter_map(|s| bodies.get(s)).map(|(s, _)| s.name.clone()).collect();
    depth
}

/// The functions and the labels of assembly, with where each ends.
fn bodies(program: &Program) -> BTreeMap<u64, (Symbol, u64)> {
    let mut starts: BTreeMap<u64, Symbol> = program.functions.clone();
    for symbol in program.by_name.values() {
        let covered = program.function_at(symbol.address).is_some();
        if !symbol.code && !covered && program.instruction(symbol.address).is_some() {
            starts.entry(symbol.address).or_insert_with(|| symbol.clone());
        }
    }
    let addresses: Vec<u64> = starts.keys().copied().collect();
    starts
        .into_iter()
        .map(|(start, symbol)| {
            let next = addresses.iter().find(|a| **a > start).copied().unwrap_or(u64::MAX);
            let end = if symbol.code && symbol.size > 0 { start + symbol.size } else { next };
            (start, (symbol, end))
        })
        .collect()
}

/// Follows a function along all its branches.
fn follow(program: &Program, start: u64, end: u64, bodies: &BTreeMap<u64, (Symbol, u64)>) -> (Node, bool) {
    let mut node = Node::default();
    let mut dynamic = false;
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    let mut work = vec![(start, 0u64)];
    let mut table: Option<u64> = None;
    loop {
        while let Some((mut at, mut depth)) = work.pop() {
            while seen.get(&at).is_none_or(|known| *known < depth) {
                if at >= end || at < start {
                    // Falls or jumps into another function: a tail call.
                    if bodies.contains_key(&at) {
                        deepen(&mut node.calls, at, depth);
                    }
                    break;
                }
                seen.insert(at, depth);
                let Some(word) = program.instruction(at) else { break };
                match effect(word, at) {
                    Effect::None => {}
                    Effect::Move(by) => depth = depth.saturating_add_signed(-by),
                    Effect::Fresh => depth = 0,
                    Effect::Dynamic => dynamic = true,
                    Effect::Call(target) => deepen(&mut node.calls, target, depth),
                    Effect::CallIndirect => node.indirect = node.indirect.max(Some(depth)),
                    Effect::Branch(target) => work.push((target, depth)),
                    Effect::Jump(target) => {
                        work.push((target, depth));
                        break;
                    }
                    Effect::JumpIndirect => {
                        table = table.max(Some(depth));
                        break;
                    }
                    Effect::End => break,
                }
                if depth > FRAME_LIMIT {
                    return (node, true);
                }
                node.own = node.own.max(depth);
                at += 4;
            }
        }
        // Code that only a table of cases reaches.
        let missed = (start..end.min(start + FRAME_LIMIT)).step_by(4).find(|a| !seen.contains_key(a));
        match (table, missed) {
            (Some(depth), Some(at)) if program.instruction(at).is_some() => work.push((at, depth)),
            (Some(depth), _) => {
                // A tail call through a register, too, for all that is known.
                if depth == 0 {
                    node.indirect = node.indirect.max(Some(0));
                }
                return (node, dynamic);
            }
            _ => return (node, dynamic),
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
        let words: Vec<u32> =
            bytes.chunks_exact(4).map(|w| u32::from_le_bytes(w.try_into().unwrap_or([0; 4]))).collect();
        for (i, word) in words.iter().enumerate() {
            let at = base + 4 * i as u64;
            let target = match page_of(*word, at) {
                Some((page, register)) => words.get(i + 1..).and_then(|w| added(w, register)).map(|low| page + low),
                None => near(*word, at),
            };
            taken.extend(target.filter(|t| nodes.contains_key(t)));
        }
    }
    taken
}

/// `adrp`: the page and the register.
fn page_of(word: u32, at: u64) -> Option<(u64, u32)> {
    (word & 0x9f00_0000 == 0x9000_0000)
        .then(|| ((at & !0xfff).wrapping_add_signed(immediate_adr(word) << 12), word & 31))
}

/// `adr`: the address.
fn near(word: u32, at: u64) -> Option<u64> {
    (word & 0x9f00_0000 == 0x1000_0000).then(|| at.wrapping_add_signed(immediate_adr(word)))
}

/// The `add` that completes an `adrp`, within the next instructions.
fn added(words: &[u32], register: u32) -> Option<u64> {
    let add = words.iter().take(8).find(|w| **w & 0xffc0_0000 == 0x9100_0000 && (**w >> 5) & 31 == register)?;
    Some(u64::from((add >> 10) & 0xfff))
}

fn immediate_adr(word: u32) -> i64 {
    signed(u64::from((word >> 29) & 3) | u64::from((word >> 5) & 0x7_ffff) << 2, 21)
}

fn signed(value: u64, bits: u32) -> i64 {
    ((value << (64 - bits)) as i64) >> (64 - bits)
}

/// Decodes what matters of an A64 instruction (Arm ARM, chapter C4).
fn effect(word: u32, at: u64) -> Effect {
    let to = |value: u32, bits: u32| at.wrapping_add_signed(signed(u64::from(value), bits) * 4);
    let sp_base = (word >> 5) & 31 == 31;
    match word {
        w if w & 0xfc00_0000 == 0x9400_0000 => Effect::Call(to(w & 0x3ff_ffff, 26)),
        w if w & 0xfc00_0000 == 0x1400_0000 => Effect::Jump(to(w & 0x3ff_ffff, 26)),
        w if w & 0xff00_0000 == 0x5400_0000 => Effect::Branch(to((w >> 5) & 0x7_ffff, 19)),
        w if w & 0x7e00_0000 == 0x3400_0000 => Effect::Branch(to((w >> 5) & 0x7_ffff, 19)),
        w if w & 0x7e00_0000 == 0x3600_0000 => Effect::Branch(to((w >> 5) & 0x3fff, 14)),
        w if w & 0xffff_fc1f == 0xd63f_0000 => Effect::CallIndirect,
        w if w & 0xffff_fc1f == 0xd61f_0000 => Effect::JumpIndirect,
        w if w & 0xffff_fc1f == 0xd65f_0000 || w == 0xd69f_03e0 => Effect::End,
        w if w & 0xffe0_001f == 0xd420_0000 || w >> 16 == 0 => Effect::End,
        // add and sub of an immediate, to sp
        w if w & 0xbf80_001f == 0x9100_001f => {
            let shift = if w >> 22 & 1 == 1 { 12 } else { 0 };
            let amount = i64::from((w >> 10) & 0xfff) << shift;
            let down = w >> 30 & 1 == 1;
            match (w >> 5) & 31 {
                31 => Effect::Move(if down { -amount } else { amount }),
                29 => Effect::None,
                _ => Effect::Fresh,
            }
        }
        // add and sub of a register, to sp
        w if w & 0xbfe0_001f == 0x8b20_001f => if sp_base { Effect::Dynamic } else { Effect::Fresh },
        // pairs with write-back: the general registers, then D and Q
        w if sp_base && w & 0xfe80_0000 == 0xa880_0000 => Effect::Move(signed(u64::from(w >> 15 & 0x7f), 7) * 8),
        w if sp_base && w & 0xfe80_0000 == 0x6c80_0000 => Effect::Move(signed(u64::from(w >> 15 & 0x7f), 7) * 8),
        w if sp_base && w & 0xfe80_0000 == 0xac80_0000 => Effect::Move(signed(u64::from(w >> 15 & 0x7f), 7) * 16),
        // single registers with write-back
        w if sp_base && w & 0x3b20_0400 == 0x3800_0400 => Effect::Move(signed(u64::from(w >> 12 & 0x1ff), 9)),
        _ => Effect::None,
    }
}

/// The graph of calls.
struct Graph<'a> {
    nodes: &'a BTreeMap<u64, Node>,
    bodies: &'a BTreeMap<u64, (Symbol, u64)>,
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
        if above.contains(&start) {
            self.recursive.insert(start);
            return 0;
        }
        let Some(node) = self.nodes.get(&start) else { return 0 };
        above.push(start);
        let mut best = (node.own, None);
        for (&target, &at) in &node.calls {
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
        self.known.insert(start, best);
        best.0
    }

    fn path(&self, start: u64) -> Vec<(String, u64)> {
        let mut path = Vec::new();
        let mut next = Some(start);
        while let Some(at) = next
            && path.len() < 64
        {
            let Some(((bytes, below), (symbol, _))) = self.known.get(&at).zip(self.bodies.get(&at)) else { break };
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
            let symbol = Symbol { name: (*name).into(), address, size, code: true };
            program.functions.insert(address, symbol.clone());
            program.by_name.insert(symbol.name.clone(), symbol);
            program.code.push((address, words.iter().flat_map(|w| w.to_le_bytes()).collect()));
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
        let program = program(&[("outer", &[PUSH_32, bl(0x3f), POP_32, RET]), ("inner", &[SUB_48, RET])]);
        let depth = worst(&program);
        assert_eq!(depth.bytes, 80);
        assert_eq!(depth.path, [("outer".to_string(), 32), ("inner".to_string(), 48)]);
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
        assert_eq!(worst(&program(&[("f", &[cbz, RET, SUB_48, RET])])).bytes, 48);
    }

    #[test]
    fn a_function_that_calls_itself_is_named() {
        let depth = worst(&program(&[("f", &[PUSH_32, bl(-1), RET])]));
        assert!(depth.recursive.contains("f"));
    }

    #[test]
    fn an_indirect_call_reaches_what_stands_in_data_and_nests_a_few_times() {
        let mut program = program(&[("f", &[PUSH_16, BLR, RET]), ("g", &[SUB_48, RET])]);
        assert_eq!(worst(&program).bytes, 48, "no address is taken");
        program.data.push((0x8000, 0x1100u64.to_le_bytes().to_vec()));
        assert_eq!(worst(&program).bytes, 64);
        program.data.push((0x8008, 0x1000u64.to_le_bytes().to_vec()));
        assert_eq!(worst(&program).bytes, 48 + 16 * NESTING as u64);
    }

    #[test]
    fn a_stack_pointer_moved_by_a_register_is_named() {
        // sub sp, sp, x8
        let depth = worst(&program(&[("f", &[0xcb28_63ff, RET])]));
        assert!(depth.dynamic.contains("f"));
    }
}
