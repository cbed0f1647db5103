//! The boot arguments: words of the form `key=value` in `/chosen/bootargs`.
//!
//! | word | meaning | without it |
//! | --- | --- | --- |
//! | `rounds=1000` | rounds, 1 to 1000000 | 1000 |
//! | `end=off` | switch the machine off afterwards | wait for ever |
//!
//! A word that is not understood has no effect, and is named in the first line.

use bare::word::number;
use core::ops::RangeInclusive;

/// The arguments, with their defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// Rounds.
    pub rounds: u64,
    /// Whether to switch the machine off afterwards.
    pub end_off: bool,
    /// The first word that was not understood.
    pub ignored: Option<&'a str>,
}

/// The limits of `rounds`.
const ROUNDS: RangeInclusive<u64> = 1..=1_000_000;

impl<'a> Arguments<'a> {
    /// Reads the arguments. Never fails: what is not understood is in `ignored`.
    pub fn parse(text: &'a str) -> Self {
        let mut arguments = Self {
            rounds: 1000,
            end_off: false,
            ignored: None,
        };
        for word in text.split_ascii_whitespace() {
            if arguments.word(word).is_none() {
                arguments.ignored = arguments.ignored.or(Some(word));
            }
        }
        arguments
    }

    fn word(&mut self, word: &str) -> Option<()> {
        match word.split_once('=')? {
            ("rounds", value) => {
                self.rounds = number(value).filter(|rounds| ROUNDS.contains(rounds))?;
            }
            ("end", "off") => self.end_off = true,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_word_is_understood() {
        let arguments = Arguments::parse("rounds=7 end=off");
        assert_eq!((arguments.rounds, arguments.end_off), (7, true));
        assert_eq!(arguments.ignored, None);
        assert_eq!(Arguments::parse("").rounds, 1000);
    }

    #[test]
    fn a_word_that_is_not_understood_is_named_and_has_no_effect() {
        for word in ["rounds=0", "rounds=1000001", "rounds=", "end=on", "quiet"] {
            let arguments = Arguments::parse(word);
            assert_eq!(arguments.ignored, Some(word));
            assert_eq!((arguments.rounds, arguments.end_off), (1000, false));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            prop_assert!(ROUNDS.contains(&Arguments::parse(&text).rounds));
        }
    }
}
