//! What a record can say.

macro_rules! numbered {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// What a number means; `None` if it means nothing.
            #[must_use]
            pub const fn decode(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

numbered! {
    /// What happened. The number 0 is an empty slot.
    pub enum Kind {
        /// A context was left for EL2. Argument: [`exit`](crate::Argument::exit).
        Exit = 1,
        /// A context goes on. Argument: [`context`](crate::Argument::context).
        Entry = 2,
        /// Another context's registers were loaded. Argument: [`context`](crate::Argument::context).
        Switch = 3,
        /// An interrupt was acknowledged. Argument: [`interrupt`](crate::Argument::interrupt).
        Interrupt = 4,
        /// A budget was used up. Argument: [`context`](crate::Argument::context).
        Budget = 5,
        /// A piece of a line was written to the port. Argument: [`console`](crate::Argument::console).
        Console = 6,
        /// The core waits. Argument: [`NONE`](crate::Argument::NONE).
        Idle = 7,
        /// A vCPU was woken. Argument: [`context`](crate::Argument::context).
        Wake = 8,
        /// A partition has another state. Argument: [`state`](crate::Argument::state).
        State = 9,
    }
}

numbered! {
    /// The state of a partition.
    pub enum State {
        /// It does not run.
        Off = 0,
        /// Its images are being copied.
        Loading = 1,
        /// It runs.
        Running = 2,
        /// It is being taken from its cores and reset.
        Stopping = 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_what_was_encoded() {
        for kind in Kind::ALL {
            assert_eq!(Kind::decode(*kind as u8), Some(*kind));
        }
        for state in State::ALL {
            assert_eq!(State::decode(*state as u8), Some(*state));
        }
        assert_eq!(Kind::decode(0), None);
        assert_eq!(Kind::decode(10), None);
        assert_eq!(State::decode(4), None);
    }
}
