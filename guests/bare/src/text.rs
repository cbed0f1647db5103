//! Lines of text without `core::fmt`, which costs some thousand instructions a line.
//!
//! A [`Line`] is a small buffer that numbers are written into; what does not fit is cut.

/// The longest line, in bytes.
const LONGEST: usize = 256;

/// One line of output under construction.
pub struct Line {
    bytes: [u8; LONGEST],
    used: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self {
            bytes: [0; LONGEST],
            used: 0,
        }
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    /// Appends one byte.
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        if let Some(place) = self.bytes.get_mut(self.used) {
            *place = byte;
            self.used += 1;
        }
        self
    }

    /// Appends text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for byte in text.bytes() {
            self.byte(byte);
        }
        self
    }

    /// Appends a number in decimal.
    pub fn number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut count = 0;
        for digit in &mut digits {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            count += 1;
            if number == 0 {
                break;
            }
        }
        for digit in digits.iter().take(count).rev() {
            self.byte(*digit);
        }
        self
    }

    /// Appends a number in hexadecimal, with its `0x`.
    pub fn hex(&mut self, number: u64) -> &mut Self {
        self.text("0x");
        let digits = (16 - number.leading_zeros() / 4).max(1);
        for place in (0..digits).rev() {
            let digit = (number >> (place * 4)) & 0xF;
            self.byte(
                b"0123456789abcdef"
                    .get(digit as usize)
                    .copied()
                    .unwrap_or(b'?'),
            );
        }
        self
    }

    /// Appends a character that was typed, or a point when it cannot be shown.
    pub fn typed(&mut self, byte: u8) -> &mut Self {
        self.byte(if byte.is_ascii_graphic() || byte == b' ' {
            byte
        } else {
            b'.'
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(write: impl FnOnce(&mut Line)) -> String {
        let mut line = Line::new();
        write(&mut line);
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn zero_has_one_digit() {
        assert_eq!(shown(|line| _ = line.number(0).byte(b' ').hex(0)), "0 0x0");
    }

    #[test]
    fn the_largest_number_fits() {
        let text = shown(|line| _ = line.number(u64::MAX).byte(b' ').hex(u64::MAX));
        assert_eq!(text, "18446744073709551615 0xffffffffffffffff");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        let text = shown(|line| {
            for _ in 0..100 {
                line.text("abcdef");
            }
        });
        assert_eq!(text.len(), LONGEST);
    }

    #[test]
    fn control_characters_are_not_echoed() {
        assert_eq!(
            shown(|line| _ = line.typed(0x1B).typed(b'x').typed(0xFF)),
            ".x."
        );
    }

    proptest! {
        #[test]
        fn numbers_read_as_the_standard_library_writes_them(number: u64) {
            let text = shown(|line| _ = line.number(number).byte(b' ').hex(number));
            prop_assert_eq!(text, format!("{number} {number:#x}"));
        }
    }
}
