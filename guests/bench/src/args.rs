//! The boot arguments: words of the form `key=value` in `/chosen/bootargs`.
//!
//! | word | meaning | without it |
//! | --- | --- | --- |
//! | `rows=empty,timer` | the rows to measure | all |
//! | `n=1000` | iterations of a loop row, 1 to 1000000 | 1000 |
//! | `samples=100` | samples of a sample row, 1 to 1000000 | 100 |
//! | `interval=10ms` | time from one timer sample to the next, 10 us to 10 s | 10 ms |
//! | `end=off` | switch the machine off afterwards | wait for ever |
//! | `mode=` | `normal`, `spin` | `normal` |
//!
//! A word that is not understood is named in the first lines of output and has no effect.

use crate::table::Selection;
use bare::time::Nanos;
use bare::word::{duration, number};
use core::ops::RangeInclusive;

/// What the guest is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Measure.
    Normal,
    /// Keep a core busy for ever.
    Spin,
}

/// The arguments, with their defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// The rows to measure.
    pub rows: Selection,
    /// Iterations of a loop row.
    pub iterations: u64,
    /// Samples of a sample row.
    pub samples: u64,
    /// Time from one timer sample to the next.
    pub interval: Nanos,
    /// Whether to switch the machine off afterwards.
    pub end_off: bool,
    /// What to do.
    pub mode: Mode,
    /// The first word that was not understood.
    pub ignored: Option<&'a str>,
}

/// The limits of `n` and `samples`.
const COUNTS: RangeInclusive<u64> = 1..=1_000_000;
/// The limits of `interval`.
const INTERVALS: RangeInclusive<u64> = 10_000..=10_000_000_000;

impl<'a> Arguments<'a> {
    /// Reads the arguments. Never fails: what is not understood is in `ignored`.
    pub fn parse(text: &'a str) -> Self {
        let mut arguments = Self {
            rows: Selection::ALL,
            iterations: 1000,
            samples: 100,
            interval: Nanos(10_000_000),
            end_off: false,
            mode: Mode::Normal,
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
        let (key, value) = word.split_once('=')?;
        let count = || number(value).filter(|count| COUNTS.contains(count));
        match key {
            "rows" => self.rows = Selection::parse(value)?,
            "n" => self.iterations = count()?,
            "samples" => self.samples = count()?,
            "interval" => {
                self.interval = duration(value).filter(|time| INTERVALS.contains(&time.0))?;
            }
            "end" => {
                self.end_off = match value {
                    "off" => true,
                    "on" => false,
                    _ => return None,
                }
            }
            "mode" => {
                self.mode = match value {
                    "normal" => Mode::Normal,
                    "spin" => Mode::Spin,
                    _ => return None,
                }
            }
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
    fn nothing_gives_the_defaults() {
        let arguments = Arguments::parse("");
        assert_eq!(arguments.rows, Selection::ALL);
        assert_eq!((arguments.iterations, arguments.samples), (1000, 100));
        assert_eq!(arguments.interval, Nanos(10_000_000));
        assert_eq!(arguments.mode, Mode::Normal);
        assert_eq!(arguments.ignored, None);
    }

    #[test]
    fn every_word_is_understood() {
        assert_eq!(
            Arguments::parse("rows=empty,storm n=7 samples=9 interval=50us end=off mode=spin"),
            Arguments {
                rows: Selection::parse("storm,empty").unwrap(),
                iterations: 7,
                samples: 9,
                interval: Nanos(50_000),
                end_off: true,
                mode: Mode::Spin,
                ignored: None,
            }
        );
    }

    #[test]
    fn a_word_that_is_not_understood_is_named_and_has_no_effect() {
        for word in [
            "quiet",
            "rows=",
            "rows=empty,dance",
            "n=0",
            "n=1000001",
            "n=-1",
            "samples=0",
            "interval=1us",
            "interval=10",
            "interval=11s",
            "end=maybe",
            "mode=dance",
        ] {
            let arguments = Arguments::parse(word);
            assert_eq!(arguments.ignored, Some(word));
            let without = Arguments {
                ignored: None,
                ..arguments
            };
            assert_eq!(without, Arguments::parse(""), "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let arguments = Arguments::parse(&text);
            prop_assert!(COUNTS.contains(&arguments.iterations));
            prop_assert!(COUNTS.contains(&arguments.samples));
            prop_assert!(INTERVALS.contains(&arguments.interval.0));
        }
    }
}
