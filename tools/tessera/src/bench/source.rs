//! Lines of Rust source that are neither blank, comment nor test; and `unsafe` blocks in them.

/// What a file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Lines with code.
    pub lines: u64,
    /// Blocks `unsafe { ... }`.
    pub unsafe_blocks: u64,
}

impl Count {
    /// Of a file's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let code = without_tests(&skeleton(text));
        let lines = code.lines().filter(|l| !l.trim().is_empty()).count();
        let words: Vec<&str> = code.split_whitespace().collect();
        let block = |pair: &[&str]| pair[0].ends_with("unsafe") && pair[1].starts_with('{');
        let unsafe_blocks = words.windows(2).filter(|pair| block(pair)).count();
        Self {
            lines: lines as u64,
            unsafe_blocks: unsafe_blocks as u64,
        }
    }

    /// Adds another file's.
    pub fn add(&mut self, more: Self) {
        self.lines += more.lines;
        self.unsafe_blocks += more.unsafe_blocks;
    }
}

/// The text without comments, and with every character of text and character literals as `"`, so that
/// brackets are those of the code. Lines stay.
fn skeleton(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = token(rest);
        let (token, after) = rest.split_at(len);
        let comment = token.starts_with("//") || token.starts_with("/*");
        let literal = len > 1 && !comment;
        match (comment, literal) {
            (true, _) => out.extend(token.chars().filter(|c| *c == '\n')),
            (_, true) => out.extend(token.chars().map(|c| if c == '\n' { c } else { '"' })),
            _ => out.push(first),
        }
        rest = after;
    }
    out
}

/// Length of the comment or literal at the start of a text; else of one character.
fn token(text: &str) -> usize {
    let one = text.chars().next().map_or(0, char::len_utf8);
    let to = |end: Option<usize>| end.unwrap_or(text.len());
    if text.starts_with("//") {
        return to(text.find('\n'));
    }
    if text.starts_with("/*") {
        return nested(text);
    }
    if let Some(raw) = text.strip_prefix('r').map(|t| t.trim_start_matches('#'))
        && raw.starts_with('"')
    {
        let hashes = text.len() - raw.len() - 1;
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = hashes + 2;
        return text
            .get(inside..)
            .and_then(|t| t.find(&end))
            .map_or(text.len(), |at| inside + at + end.len());
    }
    if text.starts_with('"') {
        return closed(text, '"');
    }
    if let Some(inside) = text.strip_prefix('\'') {
        // A lifetime has no second quote right after its first character.
        let mut chars = inside.chars();
        let first = chars.next();
        if first == Some('\\') || (first.is_some() && chars.next() == Some('\'')) {
            return closed(text, '\'');
        }
    }
    one
}

/// Length of a literal up to its closing quote.
fn closed(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

/// Length of a block comment; they nest.
fn nested(text: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Takes out each item that stands behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        rest = &rest[at + MARK.len()..];
        rest = &rest[item(rest)..];
    }
    out.push_str(rest);
    out
}

/// Length of an item: to its `;`, or to the end of its braces.
fn item(code: &str) -> usize {
    let mut depth = 0_u32;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_tests_are_no_lines() {
        let text = "//! What.\n\nuse a::b;\n/* one\n two /* three */\n*/\nfn f() {\n    g(); // why\n}\n\
                    #[cfg(test)]\nmod tests {\n    fn t() { \"}\" }\n}\nconst X: u8 = 1;\n";
        assert_eq!(Count::of(text).lines, 5);
    }

    #[test]
    fn unsafe_blocks_are_counted_and_unsafe_functions_are_not() {
        let text = "unsafe fn f() {\n    unsafe { g() }\n    let x = unsafe {\n        h()\n    };\n}\n\
                    // unsafe { no }\nconst S: &str = \"unsafe { no }\";\n";
        assert_eq!(Count::of(text).unsafe_blocks, 2);
    }

    #[test]
    fn literals_hide_their_brackets_and_lifetimes_do_not() {
        let text = "#[cfg(test)]\nfn t<'a>(x: &'a str) { let c = '{'; let s = r#\"\"{\"#; let q = '\\''; }\nfn f() {}\n";
        assert_eq!(Count::of(text).lines, 1);
    }

    #[test]
    fn an_item_without_braces_ends_at_its_semicolon() {
        assert_eq!(Count::of("#[cfg(test)]\nmod fake;\nmod real;\n").lines, 1);
    }
}
