//! The second word of a record: whom it concerns, and what more there is to say.

use crate::State;

/// The second word of a record.
///
/// | bits | what |
/// | --- | --- |
/// | 31:0 | what the kind says: a syndrome, an INTID, a number of characters, a state |
/// | 39:32 | the partition, by its index in the manifest |
/// | 47:40 | its vCPU |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Argument(pub u64);

impl Argument {
    /// Nothing to say.
    pub const NONE: Self = Self(0);

    /// Of a context that was left, and why: the low half of ESR_EL2, or 0 for an interrupt.
    #[inline]
    #[must_use]
    pub const fn exit(syndrome: u32, partition: u8, vcpu: u8) -> Self {
        Self(syndrome as u64 | (partition as u64) << 32 | (vcpu as u64) << 40)
    }

    /// Of a context.
    #[inline]
    #[must_use]
    pub const fn context(partition: u8, vcpu: u8) -> Self {
        Self::exit(0, partition, vcpu)
    }

    /// Of an interrupt.
    #[inline]
    #[must_use]
    pub const fn interrupt(intid: u32) -> Self {
        Self(intid as u64)
    }

    /// Of a piece of a line: how many characters, and whose.
    #[inline]
    #[must_use]
    pub const fn console(characters: u32, partition: u8) -> Self {
        Self::exit(characters, partition, 0)
    }

    /// Of a partition that has changed its state.
    #[inline]
    #[must_use]
    pub const fn state(state: State, partition: u8) -> Self {
        Self::exit(state as u32, partition, 0)
    }

    /// The partition, by its index in the manifest.
    #[inline]
    #[must_use]
    pub const fn partition(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// The vCPU of that partition.
    #[inline]
    #[must_use]
    pub const fn vcpu(self) -> u8 {
        (self.0 >> 40) as u8
    }

    /// The low half: a syndrome, an INTID, a number of characters, a state.
    #[inline]
    #[must_use]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_parts_come_back(syndrome: u32, partition: u8, vcpu: u8) {
            let argument = Argument::exit(syndrome, partition, vcpu);
            prop_assert_eq!(argument.low(), syndrome);
            prop_assert_eq!(argument.partition(), partition);
            prop_assert_eq!(argument.vcpu(), vcpu);
        }
    }

    #[test]
    fn the_parts_are_where_the_format_says() {
        assert_eq!(Argument::exit(0x9234_5678, 0xab, 0xcd).0, 0xcdab_9234_5678);
        assert_eq!(Argument::context(1, 2).0, 0x0201_0000_0000);
        assert_eq!(Argument::interrupt(27).0, 27);
        assert_eq!(Argument::console(7, 3).0, 0x3_0000_0007);
        assert_eq!(Argument::state(State::Stopping, 1).0, 0x1_0000_0003);
    }
}
