//! Little-endian numbers without alignment, as the records hold them.
//!
//! Reading one is a call: where unaligned loads are forbidden it takes up to fifteen instructions, and the checks of a
//! manifest read a hundred of them, once.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

macro_rules! little {
    ($($(#[$doc:meta])* $name:ident: $number:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name([u8; size_of::<$number>()]);

        impl $name {
            /// Stores a number.
            #[must_use]
            pub const fn new(value: $number) -> Self {
                Self(value.to_le_bytes())
            }

            /// The number.
            #[inline(never)]
            #[must_use]
            pub const fn get(&self) -> $number {
                number(&self.0) as $number
            }
        }

        impl From<$number> for $name {
            fn from(value: $number) -> Self {
                Self::new(value)
            }
        }

        impl From<$name> for $number {
            fn from(value: $name) -> Self {
                value.get()
            }
        }
    )*};
}

/// The number that bytes are. A loop, because the optimiser puts a single wide load into every caller in spite of
/// `inline(never)`, where it becomes a load for each byte.
#[inline(never)]
const fn number(mut bytes: &[u8]) -> u64 {
    let mut value = 0;
    while let [rest @ .., last] = bytes {
        value = value << 8 | *last as u64;
        bytes = rest;
    }
    value
}

little! {
    /// 16 bits.
    U16: u16;
    /// 32 bits.
    U32: u32;
    /// 64 bits.
    U64: u64;
}
