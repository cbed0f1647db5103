//! Contexts: the guests, told apart by the memory that their code is in.
//!
//! QEMU 7.2 lets no plugin read VMID or VTTBR_EL2, but says where in memory a block of
//! instructions is. A guest's RAM is its own, so the block that a core executes names the guest.

use std::ops::Range;

/// 0 is unknown; the others are the contexts of the arguments, in order, from 1.
pub type ContextId = u16;

/// Code that is in no context's memory.
pub const UNKNOWN: ContextId = 0;

/// A guest and its RAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Physical addresses.
    pub memory: Range<u64>,
}

/// The context that a physical address belongs to.
pub fn at(contexts: &[Context], physical: u64) -> ContextId {
    let found = contexts
        .iter()
        .position(|context| context.memory.contains(&physical));
    found.map_or(UNKNOWN, |index| {
        ContextId::try_from(index + 1).unwrap_or(UNKNOWN)
    })
}

/// What one core runs below EL2.
#[derive(Debug, Default)]
pub struct Running {
    /// What runs since EL2 was left; unknown until a block was executed.
    now: ContextId,
    /// The last one that was known, whatever EL2 did since.
    last: ContextId,
}

impl Running {
    /// The core executes a block of a context. Returns the context before when that is another.
    pub fn block(&mut self, context: ContextId) -> Option<ContextId> {
        self.now = context;
        if context == UNKNOWN || context == self.last {
            return None;
        }
        Some(std::mem::replace(&mut self.last, context))
    }

    /// The core enters EL2: what it left. When it has executed nothing since EL2, that is
    /// unknown.
    pub fn leave(&mut self) -> ContextId {
        std::mem::replace(&mut self.now, UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contexts() -> [Context; 2] {
        [("a", 0x1000..0x2000), ("b", 0x2000..0x3000)].map(|(name, memory)| Context {
            name: name.into(),
            memory,
        })
    }

    #[test]
    fn an_address_is_in_the_context_whose_memory_it_is() {
        let found = [0xFFF, 0x1000, 0x1FFF, 0x2000, 0x3000].map(|place| at(&contexts(), place));
        assert_eq!(found, [0, 1, 1, 2, 0]);
    }

    #[test]
    fn a_core_that_ran_nothing_since_el2_left_nothing_known() {
        let mut running = Running::default();
        assert_eq!(running.leave(), UNKNOWN);
        running.block(2);
        assert_eq!(running.leave(), 2);
        assert_eq!(running.leave(), UNKNOWN);
    }

    proptest! {
        #[test]
        fn switches_are_between_known_contexts_and_each_follows_the_last(
            blocks in proptest::collection::vec((0u16..4, any::<bool>()), 0..100),
        ) {
            let mut running = Running::default();
            let mut current = UNKNOWN;
            for (context, enters) in blocks {
                if let Some(from) = running.block(context) {
                    prop_assert_eq!(from, current);
                    prop_assert!(context != current && context != UNKNOWN);
                    current = context;
                } else {
                    prop_assert!(context == current || context == UNKNOWN);
                }
                if enters {
                    prop_assert_eq!(running.leave(), context);
                }
            }
        }
    }
}
