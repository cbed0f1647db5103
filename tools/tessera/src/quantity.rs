//! Sizes, durations and addresses as a description writes them.
//!
//! A size is a number of bytes or text with a binary unit (`"4MiB"`); a duration is always text
//! with a unit (`"400us"`), because a bare number would leave the unit to be guessed; an address
//! is a TOML integer, which may be hexadecimal and grouped (`0x4000_0000`).

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A number of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub u64);

/// A physical address, a guest's or the board's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub u64);

const SIZES: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("B", 1),
];
const DURATIONS: [(&str, u64); 4] = [
    ("ns", 1),
    ("us", 1000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
];

impl Size {
    /// Reads text such as `4MiB`, `64 KiB` or `4096`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let factor = match unit {
            "" => Some(1),
            unit => SIZES
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, f)| *f),
        };
        let factor = factor.ok_or_else(|| {
            format!("`{text}` is not a size: write bytes or KiB, MiB, GiB, as in \"4MiB\"")
        })?;
        whole(number, factor).map(Self).ok_or_else(|| {
            format!("`{text}` is not a size: write a whole number and a unit, as in \"4MiB\"")
        })
    }
}

impl Duration {
    /// Reads text such as `400us` or `1 ms`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        DURATIONS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, factor)| whole(number, *factor))
            .map(Self)
            .ok_or_else(|| {
                format!("`{text}` is not a duration: write a whole number and ns, us, ms or s, as in \"400us\"")
            })
    }
}

/// Splits a number from its unit.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn whole(number: &str, factor: u64) -> Option<u64> {
    number
        .replace('_', "")
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
}

/// A number of things, as people write it.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = |shift: u32| self.0 != 0 && self.0.trailing_zeros() >= shift;
        match self.0 {
            n if unit(30) => write!(f, "{} GiB", n >> 30),
            n if unit(20) => write!(f, "{} MiB", n >> 20),
            n if unit(10) => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} bytes"),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            n if n.is_multiple_of(1_000_000_000) => write!(f, "{} s", n / 1_000_000_000),
            n if n.is_multiple_of(1_000_000) => write!(f, "{} ms", n / 1_000_000),
            n if n.is_multiple_of(1000) => write!(f, "{} us", n / 1000),
            n if n > 1000 => write!(f, "{}.{:03} us", n / 1000, n % 1000),
            n => write!(f, "{n} ns"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"4MiB\" or a number of bytes")
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Size, E> {
        u64::try_from(v)
            .map(Size)
            .map_err(|_| E::custom("a size cannot be negative"))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Size, E> {
        Ok(Size(v))
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Size, E> {
        Size::parse(v).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(SizeVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"400us\"")
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Duration, E> {
        Duration::parse(v).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(DurationVisitor)
    }
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = Address;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as 0x4000_0000")
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Address, E> {
        u64::try_from(v)
            .map(Address)
            .map_err(|_| E::custom("an address cannot be negative"))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Address, E> {
        Ok(Address(v))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(AddressVisitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, or a whole number with B, KiB, MiB or GiB.",
            "oneOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9_]+ ?(B|KiB|MiB|GiB)?$" }
            ]
        })
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number with ns, us, ms or s.",
            "type": "string",
            "pattern": "^[0-9_]+ ?(ns|us|ms|s)$"
        })
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A physical address; hexadecimal and groups are fine, as in 0x4000_0000.",
            "type": "integer",
            "minimum": 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_or_none() {
        assert_eq!(Size::parse("4MiB"), Ok(Size(4 << 20)));
        assert_eq!(Size::parse("1_024 KiB"), Ok(Size(1 << 20)));
        assert_eq!(Size::parse("4096"), Ok(Size(4096)));
        for bad in ["", "MiB", "4MB", "4.5MiB", "-1", "99999999999GiB"] {
            assert!(Size::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(Duration::parse("400us"), Ok(Duration(400_000)));
        assert_eq!(Duration::parse("1 s"), Ok(Duration(1_000_000_000)));
        for bad in ["", "400", "1h", "1.5ms", "18446744073709551615s"] {
            assert!(Duration::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_quantity_is_shown_in_its_largest_whole_unit() {
        assert_eq!(Size(512 << 20).to_string(), "512 MiB");
        assert_eq!(Size(4097).to_string(), "4097 bytes");
        assert_eq!(Duration(250_000).to_string(), "250 us");
        assert_eq!(Duration(1_234).to_string(), "1.234 us");
    }
}
