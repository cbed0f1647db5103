//! The exception vectors of EL2 (Arm ARM D1.4.1) and what begins an event.

/// What begins an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The core has not left EL2 yet.
    Boot,
    /// An exception from AArch64 at a lower level: synchronous, IRQ, FIQ, SError.
    Lower(Vector),
    /// The same from AArch32.
    Lower32(Vector),
    /// The core was idle at EL2.
    Wake,
}

/// The four kinds of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vector {
    /// Synchronous.
    Sync,
    /// IRQ.
    Irq,
    /// FIQ.
    Fiq,
    /// SError.
    SError,
}

/// Which vector an instruction is the first of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// None.
    Not,
    /// One for exceptions from a lower level.
    Lower(Origin),
    /// One for exceptions taken at EL2.
    Current(Vector),
}

impl Entry {
    /// The vector at an offset from VBAR_EL2 (Arm ARM D1.4.1).
    pub fn at(offset: u64) -> Self {
        if offset >= 0x800 || !offset.is_multiple_of(0x80) {
            return Self::Not;
        }
        let vector = match offset >> 7 & 3 {
            0 => Vector::Sync,
            1 => Vector::Irq,
            2 => Vector::Fiq,
            _ => Vector::SError,
        };
        match offset >> 9 {
            0 | 1 => Self::Current(vector),
            2 => Self::Lower(Origin::Lower(vector)),
            _ => Self::Lower(Origin::Lower32(vector)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_are_where_the_architecture_has_them() {
        assert_eq!(Entry::at(0x400), Entry::Lower(Origin::Lower(Vector::Sync)));
        assert_eq!(Entry::at(0x480), Entry::Lower(Origin::Lower(Vector::Irq)));
        assert_eq!(
            Entry::at(0x580),
            Entry::Lower(Origin::Lower(Vector::SError))
        );
        assert_eq!(Entry::at(0x700), Entry::Lower(Origin::Lower32(Vector::Fiq)));
        assert_eq!(Entry::at(0x280), Entry::Current(Vector::Irq));
        assert_eq!(Entry::at(0x000), Entry::Current(Vector::Sync));
        for offset in [0x404, 0x800, 0x880, u64::MAX - 0x7F] {
            assert_eq!(Entry::at(offset), Entry::Not);
        }
    }
}
