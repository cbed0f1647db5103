//! A part of the page: its heading, what it shows and how it is to be read; or why it is empty.

use super::markup::{Element, classed, element};

/// The parts of the page: identifier and heading, in their order.
pub const PARTS: [(&str, &str); 9] = [
    ("events", "Events at EL2"),
    ("views", "As the guest sees it"),
    ("latency", "How late the real-time guest is woken"),
    ("work", "Linux's work"),
    ("lines", "Cache lines"),
    ("sizes", "What the kernel weighs"),
    ("time", "Who ran when"),
    ("loses", "Where Tessera loses"),
    ("missing", "Missing"),
];

/// The beginning of a part, with how it is to be read.
///
#[must_use]
pub fn section(id: &'static str, lead: &str) -> Element {
    let heading = PARTS.iter().find(|(known, _)| *known == id);
    let heading = heading.map_or(id, |(_, heading)| heading);
    element("section")
        .with("id", id)
        .child(element("h2").text(heading))
        .child(classed("p", "lead").text(lead))
}

/// The sentence that stands where nothing was measured.
#[must_use]
pub fn nothing(what: &str) -> Element {
    classed("p", "nothing").text(format!(
        "{what} in this run. If it was asked for, the reason is under “Missing”."
    ))
}

/// A picture with its title and what is below the title.
#[must_use]
pub fn figure(title: &str, below: &str, picture: Element) -> Element {
    let mut caption = element("figcaption").child(element("h3").text(title));
    if !below.is_empty() {
        caption = caption.child(classed("p", "below").text(below));
    }
    element("figure").child(caption).child(picture)
}

/// Words and a sign that a picture uses, beside each other.
#[must_use]
pub fn sign(class: &str, sign: &str, meaning: &str) -> Element {
    element("li")
        .child(classed("span", class).text(sign))
        .text(meaning)
}
