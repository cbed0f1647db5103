//! What an A64 instruction does to the stack and to the flow of control (Arm ARM, chapter C4).

/// What an instruction does, as far as the stack is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
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
    /// Returns to the caller.
    Return,
    /// Ends here.
    End,
}

/// Decodes `adrp`: the page and the register.
#[must_use]
pub fn page_of(word: u32, at: u64) -> Option<(u64, u32)> {
    (word & 0x9f00_0000 == 0x9000_0000).then(|| {
        (
            (at & !0xfff).wrapping_add_signed(immediate_adr(word) << 12),
            word & 31,
        )
    })
}

/// Decodes `adr`: the address.
#[must_use]
pub fn near(word: u32, at: u64) -> Option<u64> {
    (word & 0x9f00_0000 == 0x1000_0000).then(|| at.wrapping_add_signed(immediate_adr(word)))
}

/// The `add` that completes an `adrp`, within the next instructions.
#[must_use]
pub fn added(words: &[u32], register: u32) -> Option<u64> {
    let add = words
        .iter()
        .take(8)
        .find(|w| **w & 0xffc0_0000 == 0x9100_0000 && (**w >> 5) & 31 == register)?;
    Some(u64::from((add >> 10) & 0xfff))
}

/// What an instruction does to x9 while a function with a large frame computes there where its stack will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `sub x9, sp, #n`.
    Begin(u64),
    /// `sub x9, x9, #n`, or `and x9, x9, #mask`, which may take that much away.
    More(u64),
    /// `mov sp, x9`.
    Set,
}

/// Decodes the steps of a large frame.
#[must_use]
pub fn probe(word: u32) -> Option<Probe> {
    let shift = if word >> 22 & 1 == 1 { 12 } else { 0 };
    let amount = u64::from((word >> 10) & 0xfff) << shift;
    match word {
        w if w & 0xff80_03ff == 0xd100_03e9 => Some(Probe::Begin(amount)),
        w if w & 0xff80_03ff == 0xd100_0129 => Some(Probe::More(amount)),
        // A mask of ones above zeros, as alignment is: N is 1, and it is rotated by as many bits as it has.
        w if w & 0xffc0_03ff == 0x9240_0129 => {
            let ones = (w >> 10 & 0x3f) + 1;
            Some(Probe::More((1u64 << (64 - ones).min(16)) - 1))
        }
        0x9100_013f => Some(Probe::Set),
        _ => None,
    }
}

fn immediate_adr(word: u32) -> i64 {
    signed(
        u64::from((word >> 29) & 3) | u64::from((word >> 5) & 0x7_ffff) << 2,
        21,
    )
}

fn signed(value: u64, bits: u32) -> i64 {
    ((value << (64 - bits)) as i64) >> (64 - bits)
}

/// Decodes what matters of an A64 instruction (Arm ARM, chapter C4).
#[must_use]
pub fn effect(word: u32, at: u64) -> Effect {
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
        w if w & 0xffff_fc1f == 0xd65f_0000 => Effect::Return,
        // eret, brk, udf
        w if w == 0xd69f_03e0 || w & 0xffe0_001f == 0xd420_0000 || w >> 16 == 0 => Effect::End,
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
        w if w & 0xbfe0_001f == 0x8b20_001f => {
            if sp_base {
                Effect::Dynamic
            } else {
                Effect::Fresh
            }
        }
        // pairs with write-back: the general registers, then D and Q
        w if sp_base && w & 0xfe80_0000 == 0xa880_0000 => {
            Effect::Move(signed(u64::from(w >> 15 & 0x7f), 7) * 8)
        }
        w if sp_base && w & 0xfe80_0000 == 0x6c80_0000 => {
            Effect::Move(signed(u64::from(w >> 15 & 0x7f), 7) * 8)
        }
        w if sp_base && w & 0xfe80_0000 == 0xac80_0000 => {
            Effect::Move(signed(u64::from(w >> 15 & 0x7f), 7) * 16)
        }
        // single registers with write-back
        w if sp_base && w & 0x3b20_0400 == 0x3800_0400 => {
            Effect::Move(signed(u64::from(w >> 12 & 0x1ff), 9))
        }
        _ => Effect::None,
    }
}
