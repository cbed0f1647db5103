//! Elements of HTML and SVG. Text and attributes are escaped as they are put in, so no string can become markup;
//! the output is well-formed XML too (HTML Living Standard, section 14, "The XML syntax").

use std::fmt::{self, Display, Write as _};

/// An element with its attributes and what is in it.
#[derive(Clone, Debug)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Element(Element),
    Text(String),
    /// Code of this program's own, which must not be escaped: a style sheet or a script.
    Code(&'static str),
}

/// Elements that have no end tag, and never anything in them.
const VOID: [&str; 3] = ["meta", "br", "hr"];

/// An element with nothing in it.
#[must_use]
pub fn element(name: &'static str) -> Element {
    Element {
        name,
        attributes: Vec::new(),
        children: Vec::new(),
    }
}

/// An element with a class.
#[must_use]
pub fn classed(name: &'static str, class: impl Display) -> Element {
    element(name).with("class", class)
}

impl Element {
    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// Adds an attribute that is a length or a place in a picture: to a tenth of a pixel.
    #[must_use]
    pub fn at(self, name: &'static str, value: f64) -> Self {
        let value = (value * 10.0).round() / 10.0;
        // (No minus before a zero.)
        self.with(name, if value == 0.0 { 0.0 } else { value })
    }

    /// Adds text.
    #[must_use]
    pub fn text(mut self, text: impl Display) -> Self {
        self.children.push(Node::Text(text.to_string()));
        self
    }

    /// Adds an element.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// Adds elements.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children
            .extend(children.into_iter().map(Node::Element));
        self
    }

    /// Adds a style sheet or a script.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.children.push(Node::Code(code));
        self
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.name)?;
        for (name, value) in &self.attributes {
            write!(f, " {name}=\"")?;
            escape(value, f)?;
            f.write_char('"')?;
        }
        if VOID.contains(&self.name) {
            return f.write_str(" />");
        }
        f.write_char('>')?;
        for child in &self.children {
            match child {
                Node::Element(element) => Display::fmt(element, f)?,
                Node::Text(text) => escape(text, f)?,
                Node::Code(code) => f.write_str(code)?,
            }
        }
        write!(f, "</{}>", self.name)
    }
}

/// Writes text so that it stays text. Characters that XML cannot hold become the replacement character.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\t' | '\n' => f.write_char(c)?,
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let hostile = "</p><script>alert(\"1\" & '2')</script>\0";
        let p = element("p").with("title", hostile).text(hostile);
        let escaped =
            "&lt;/p&gt;&lt;script&gt;alert(&quot;1&quot; &amp; '2')&lt;/script&gt;\u{fffd}";
        assert_eq!(
            p.to_string(),
            format!("<p title=\"{escaped}\">{escaped}</p>")
        );
    }

    #[test]
    fn a_void_element_closes_itself_and_no_other_does() {
        assert_eq!(element("br").to_string(), "<br />");
        assert_eq!(element("td").to_string(), "<td></td>");
    }

    #[test]
    fn places_have_one_decimal() {
        let rect = element("rect").at("x", 3.149).at("y", 2.0).at("z", -0.01);
        assert_eq!(rect.to_string(), "<rect x=\"3.1\" y=\"2\" z=\"0\"></rect>");
    }
}
