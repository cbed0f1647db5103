//! What the guest prints: fixed forms that a program can read. Each line begins `loads: `.

use crate::form::{Load, Register};
use bare::text::Line;

/// A register that was wrong after a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// The round, from 1.
    pub round: u64,
    /// The load.
    pub load: Load,
    /// What was read, by name.
    pub device: &'static str,
    /// The first register that was wrong.
    pub register: Register,
    /// What it held.
    pub is: u64,
    /// What it should have held.
    pub should: u64,
}

/// How often what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Loads.
    pub loads: u64,
    /// Loads of which each took as long as another guest's turn.
    pub switched: u64,
    /// The same of UARTDR alone, for the register of x19 to x29 that has fewest.
    pub least: u64,
}

/// How the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every register was right after every load.
    Right(Counts),
    /// One was not.
    Wrong(Wrong),
    /// The machine does not have what is needed.
    NotPossible(&'static str),
}

/// The last line but one.
pub fn outcome(line: &mut Line, outcome: Outcome) {
    line.text("loads: ");
    match outcome {
        Outcome::Right(counts) => {
            line.number(counts.loads).text(" loads right, ");
            line.number(counts.switched)
                .text(" with a switch; of UARTDR at least ");
            line.number(counts.least).text(" into each of x19-x29");
        }
        Outcome::Wrong(wrong) => {
            line.text("wrong: x").number(wrong.register.0 as u64);
            line.text(" is ").hex(wrong.is);
            line.text(", not ").hex(wrong.should);
            line.text(", after ").text(wrong.load.form.name());
            line.number(wrong.load.register.0 as u64);
            line.text(" of ").text(wrong.device);
            line.text(" in round ").number(wrong.round);
        }
        Outcome::NotPossible(reason) => _ = line.text("not possible: ").text(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Form;

    fn shown(of: Outcome) -> String {
        let mut line = Line::new();
        outcome(&mut line, of);
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_outcome_has_its_fixed_form() {
        let counts = Counts {
            loads: 1000,
            switched: 30,
            least: 2,
        };
        assert_eq!(
            shown(Outcome::Right(counts)),
            "loads: 1000 loads right, 30 with a switch; of UARTDR at least 2 into each of x19-x29"
        );
        let load = Load {
            form: Form::Byte,
            register: Register(23),
            device: [0x41, 0],
        };
        let wrong = Wrong {
            round: 12,
            load,
            device: "UARTDR",
            register: Register(23),
            is: 0xA5,
            should: 0x41,
        };
        assert_eq!(
            shown(Outcome::Wrong(wrong)),
            "loads: wrong: x23 is 0xa5, not 0x41, after ldrb w23 of UARTDR in round 12"
        );
        assert_eq!(
            shown(Outcome::NotPossible("the tree names no UART")),
            "loads: not possible: the tree names no UART"
        );
    }
}
