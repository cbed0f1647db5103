//! The person's terminal: raw while a machine runs, marks in colour.

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::io::{self, Write};

/// Puts the terminal in raw mode until it is dropped.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// `None` if standard input is not a terminal.
    #[must_use]
    pub fn enter() -> Option<Self> {
        let stdin = io::stdin();
        if !isatty(&stdin) {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Shows the console's bytes as they come, with each `[guest]` mark in a colour of its own.
#[derive(Debug)]
pub struct Screen {
    colour: bool,
    /// The beginning of a line that may become a mark.
    held: Vec<u8>,
    at_line_start: bool,
}

/// Longest mark: a name of 15 characters in brackets.
const MARK: usize = 17;
/// Foreground colours that are readable on light and dark.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

impl Screen {
    /// Colours only if `colour`.
    #[must_use]
    pub fn new(colour: bool) -> Self {
        Self {
            colour,
            held: Vec::new(),
            at_line_start: true,
        }
    }

    /// Shows some bytes.
    ///
    /// # Errors
    ///
    /// The output's.
    pub fn show(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        if !self.colour {
            out.write_all(bytes)?;
            return out.flush();
        }
        for &byte in bytes {
            self.byte(byte, out)?;
        }
        out.flush()
    }

    fn byte(&mut self, byte: u8, out: &mut impl Write) -> io::Result<()> {
        let begins = self.at_line_start && byte == b'[';
        if begins || (!self.held.is_empty() && self.held.len() < MARK) {
            self.at_line_start = false;
            self.held.push(byte);
            let name = byte == b'[' || matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
            if byte == b']' {
                let colour = colour_of(&self.held);
                write!(out, "\x1b[{colour}m")?;
                self.release(out)?;
                return write!(out, "\x1b[0m");
            }
            return if name { Ok(()) } else { self.release(out) };
        }
        self.release(out)?;
        self.at_line_start = byte == b'\n' || (self.at_line_start && byte == b'\r');
        out.write_all(&[byte])
    }

    fn release(&mut self, out: &mut impl Write) -> io::Result<()> {
        if let Some(&last) = self.held.last() {
            out.write_all(&self.held)?;
            self.at_line_start = last == b'\n';
            self.held.clear();
        }
        Ok(())
    }
}

fn colour_of(mark: &[u8]) -> u8 {
    let sum: usize = mark.iter().map(|&b| usize::from(b)).sum();
    COLOURS[sum % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(colour: bool, chunks: &[&str]) -> String {
        let mut screen = Screen::new(colour);
        let mut out = Vec::new();
        for chunk in chunks {
            screen.show(chunk.as_bytes(), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn without_colour_bytes_pass_unchanged() {
        assert_eq!(shown(false, &["[rt] a\r\n", "[x"]), "[rt] a\r\n[x");
    }

    #[test]
    fn a_mark_at_the_start_of_a_line_is_coloured_even_in_pieces() {
        let text = shown(true, &["[r", "t] a [b] c\r\n", "[rt] d"]);
        let plain = regex::Regex::new("\x1b\\[[0-9]+m")
            .unwrap()
            .replace_all(&text, "")
            .into_owned();
        assert_eq!(plain, "[rt] a [b] c\r\n[rt] d");
        assert_eq!(text.matches("[rt]\x1b[0m").count(), 2);
        assert_eq!(text.matches("[b]\x1b[0m").count(), 0);
    }

    #[test]
    fn what_only_looks_like_a_mark_is_not_lost() {
        let text = shown(
            true,
            &["[    0.000000] Booting Linux\n[this-is-a-very-long-word-in] brackets\n"],
        );
        assert_eq!(
            text,
            "[    0.000000] Booting Linux\n[this-is-a-very-long-word-in] brackets\n"
        );
    }
}
