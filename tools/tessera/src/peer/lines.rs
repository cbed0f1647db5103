//! Takes a guest's lines out of Xen's console.
//!
//! The UART that Xen emulates gathers what its guest writes and prints it at the end of a line, as
//! `(XEN) DOM1: text`. Its buffer has 128 bytes with the final zero, so a longer line comes in
//! pieces, each as a line. Seen with Xen 4.17; `xen/arch/arm/vpl011.c` is where it does that.

/// What stands before each line of the first guest.
const MARK: &str = "(XEN) DOM1: ";
/// The text of a piece that its line goes on after.
const PIECE: usize = 126;

/// Puts a guest's lines together again.
#[derive(Debug, Default)]
pub struct Lines {
    begun: String,
}

impl Lines {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at a line of the console; returns the guest's line that ends with it, if one does.
    pub fn take(&mut self, line: &str) -> Option<String> {
        let text = line.strip_prefix(MARK)?;
        let goes_on = text.len() == PIECE;
        self.begun.push_str(text.trim_end_matches('\r'));
        (!goes_on).then(|| std::mem::take(&mut self.begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_line_loses_the_mark_and_its_ends() {
        let mut lines = Lines::new();
        // The console's reader has taken one carriage return already.
        let line = lines.take("(XEN) DOM1: tessera-shell-ready\r");
        assert_eq!(line.as_deref(), Some("tessera-shell-ready"));
    }

    #[test]
    fn lines_of_xen_itself_are_left_out() {
        let mut lines = Lines::new();
        assert_eq!(lines.take("(XEN) Brought up 1 CPUs"), None);
        assert_eq!(lines.take("qemu-system-aarch64: warning"), None);
    }

    #[test]
    fn a_long_line_is_put_together_from_its_pieces() {
        let whole: String = (b'a'..=b'z').cycle().take(300).map(char::from).collect();
        let mut lines = Lines::new();
        let pieces = [&whole[..PIECE], &whole[PIECE..2 * PIECE]];
        for piece in pieces {
            assert_eq!(lines.take(&format!("(XEN) DOM1: {piece}")), None);
            assert_eq!(lines.take("(XEN) something between"), None);
        }
        let last = format!("(XEN) DOM1: {}\r", &whole[2 * PIECE..]);
        assert_eq!(lines.take(&last), Some(whole));
    }

    #[test]
    fn a_line_whose_end_does_not_fit_is_one_line() {
        let whole = "x".repeat(PIECE - 1);
        let mut lines = Lines::new();
        assert_eq!(lines.take(&format!("(XEN) DOM1: {whole}\r")), None);
        assert_eq!(lines.take("(XEN) DOM1: "), Some(whole));
    }

    #[test]
    fn an_empty_line_is_a_line() {
        assert_eq!(Lines::new().take("(XEN) DOM1: \r").as_deref(), Some(""));
    }
}
