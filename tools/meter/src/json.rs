//! Writes JSON (RFC 8259). Small, because the plugin is loaded into another program and should
//! bring little with it.

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// null.
    Null,
    /// A number. Counts stay below 2^53, so that every reader sees them exactly.
    Number(u64),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, its members in this order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// An address: a string, in hexadecimal.
    pub fn address(address: u64) -> Self {
        Self::Text(format!("{address:#x}"))
    }

    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An object.
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Self {
        let members = members.into_iter();
        Self::Object(
            members
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// The text, with two levels of members on lines of their own.
    pub fn write(&self) -> String {
        let mut text = String::new();
        self.write_to(&mut text, 0);
        text.push('\n');
        text
    }

    fn write_to(&self, text: &mut String, depth: usize) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Number(number) => text.push_str(&number.to_string()),
            Self::Text(content) => quote(content, text),
            Self::Array(items) => {
                list(text, depth, ['[', ']'], items.iter(), |text, item| {
                    item.write_to(text, depth + 1);
                });
            }
            Self::Object(members) => {
                list(
                    text,
                    depth,
                    ['{', '}'],
                    members.iter(),
                    |text, (key, value)| {
                        quote(key, text);
                        text.push_str(": ");
                        value.write_to(text, depth + 1);
                    },
                );
            }
        }
    }
}

/// The depth from which values stay on one line.
const ONE_LINE: usize = 3;

fn list<T>(
    text: &mut String,
    depth: usize,
    [open, close]: [char; 2],
    items: impl ExactSizeIterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    let broken = depth < ONE_LINE && items.len() > 0;
    text.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if broken {
            text.push('\n');
            text.extend(std::iter::repeat_n("  ", depth + 1));
        } else if index > 0 {
            text.push(' ');
        }
        write(text, item);
    }
    if broken {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    }
    text.push(close);
}

fn quote(content: &str, text: &mut String) {
    text.push('"');
    for letter in content.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            letter if letter < ' ' => text.push_str(&format!("\\u{:04x}", letter as u32)),
            letter => text.push(letter),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_read_back_as_they_were() {
        let value = Json::object([
            ("none", Json::Null),
            ("count", Json::Number(1 << 53)),
            ("at", Json::address(0x7F_C000_0400)),
            (
                "list",
                Json::Array(vec![Json::Number(1), Json::Array(vec![])]),
            ),
            ("empty", Json::object([])),
        ]);
        let read: serde_json::Value = serde_json::from_str(&value.write()).unwrap();
        let expected = serde_json::json!({
            "none": null, "count": 1u64 << 53, "at": "0x7fc0000400", "list": [1, []], "empty": {},
        });
        assert_eq!(read, expected);
    }

    proptest! {
        #[test]
        fn any_text_reads_back(content: String) {
            let written = Json::text(content.clone()).write();
            let read: serde_json::Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read.as_str(), Some(content.as_str()));
        }
    }
}
