//! The boot arguments: words of the form `key=value` in `/chosen/bootargs`.
//!
//! | word | meaning | without it |
//! | --- | --- | --- |
//! | `period=1ms` | time between two releases of the task | 1 ms |
//! | `work=200us` | computation per release | 200 us |
//! | `loops=N` | the same as a count of loop rounds, for runs that must be equal | from `work` |
//! | `seconds=N` | print the final histogram after so many seconds; 0 is never | 0 |
//! | `end=off` | and then switch the machine off | go on |
//! | `mode=` | `normal`, `loop`, `fault`, `undef`, `reset`, `off` | `normal` |
//! | `after=N` | releases before the mode does its thing | 1000, 0 for `loop` |
//!
//! A duration is a number with `ns`, `us`, `ms` or `s`. A word that is not understood is
//! named in the first lines of output and has no effect.

use bare::time::Nanos;
use bare::word::{duration, number};

/// What the guest is to do, beside its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The periodic task, for ever.
    Normal,
    /// Spin with interrupts masked: takes all the time it gets.
    Loop,
    /// Read an address where nothing is.
    Fault,
    /// Execute an undefined instruction.
    Undef,
    /// PSCI SYSTEM_RESET.
    Reset,
    /// PSCI SYSTEM_OFF.
    Off,
}

/// The arguments, with their defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// Time between two releases, 1 us to 1000 s.
    pub period: Nanos,
    /// Computation per release, when undisturbed.
    pub work: Nanos,
    /// The same as rounds of the work loop, when given.
    pub loops: Option<u64>,
    /// Seconds until the final histogram, 0 for never.
    pub seconds: u64,
    /// Whether to switch the machine off then.
    pub end_off: bool,
    /// What happens after `after` releases.
    pub mode: Mode,
    /// See `mode`; without it the mode has its default.
    pub after: Option<u64>,
    /// The first word that was not understood.
    pub ignored: Option<&'a str>,
}

/// The limits of `period`: below, there is no time left for anything else; above, the
/// seconds of the summary make no sense.
const PERIODS: core::ops::RangeInclusive<u64> = 1_000..=1_000_000_000_000;
/// The limit of `work`.
const LONGEST_WORK: u64 = 1_000_000_000_000;

impl<'a> Arguments<'a> {
    /// Reads the arguments. Never fails: what is not understood is in `ignored`.
    pub fn parse(text: &'a str) -> Self {
        let mut arguments = Self {
            period: Nanos(1_000_000),
            work: Nanos(200_000),
            loops: None,
            seconds: 0,
            end_off: false,
            mode: Mode::Normal,
            after: None,
            ignored: None,
        };
        for word in text.split_ascii_whitespace() {
            if arguments.word(word).is_none() {
                arguments.ignored = arguments.ignored.or(Some(word));
            }
        }
        arguments
    }

    /// Releases before the mode does its thing.
    pub fn releases_before_mode(&self) -> u64 {
        self.after.unwrap_or(match self.mode {
            Mode::Loop => 0,
            _ => 1000,
        })
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let (key, value) = word.split_once('=')?;
        match key {
            "period" => {
                self.period = duration(value).filter(|period| PERIODS.contains(&period.0))?;
            }
            "work" => self.work = duration(value).filter(|work| work.0 <= LONGEST_WORK)?,
            "loops" => self.loops = Some(number(value)?),
            "seconds" => self.seconds = number(value)?,
            "after" => self.after = Some(number(value)?),
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
                    "loop" => Mode::Loop,
                    "fault" => Mode::Fault,
                    "undef" => Mode::Undef,
                    "reset" => Mode::Reset,
                    "off" => Mode::Off,
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
        assert_eq!(arguments.period, Nanos(1_000_000));
        assert_eq!(arguments.work, Nanos(200_000));
        assert_eq!(arguments.mode, Mode::Normal);
        assert_eq!(arguments.ignored, None);
    }

    #[test]
    fn every_word_is_understood() {
        let arguments = Arguments::parse(
            "period=250us work=7ns loops=9 seconds=30 end=off mode=fault after=12",
        );
        assert_eq!(
            arguments,
            Arguments {
                period: Nanos(250_000),
                work: Nanos(7),
                loops: Some(9),
                seconds: 30,
                end_off: true,
                mode: Mode::Fault,
                after: Some(12),
                ignored: None,
            }
        );
    }

    #[test]
    fn every_mode_has_its_word() {
        for (word, mode) in [
            ("mode=normal", Mode::Normal),
            ("mode=loop", Mode::Loop),
            ("mode=fault", Mode::Fault),
            ("mode=undef", Mode::Undef),
            ("mode=reset", Mode::Reset),
            ("mode=off", Mode::Off),
        ] {
            assert_eq!(Arguments::parse(word).mode, mode);
        }
    }

    #[test]
    fn a_loop_begins_at_once_unless_told_otherwise() {
        assert_eq!(Arguments::parse("mode=loop").releases_before_mode(), 0);
        assert_eq!(Arguments::parse("mode=off").releases_before_mode(), 1000);
        let told = Arguments::parse("after=5 mode=loop");
        assert_eq!(told.releases_before_mode(), 5);
    }

    #[test]
    fn a_word_that_is_not_understood_is_named_and_has_no_effect() {
        for word in [
            "quiet",
            "period=1",
            "period=ms",
            "period=0s",
            "period=2000s",
            "period=-1ms",
            "work=99999999999999999999s",
            "seconds=+3",
            "seconds=",
            "mode=dance",
            "end=maybe",
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
            prop_assert!(PERIODS.contains(&arguments.period.0));
        }
    }
}
