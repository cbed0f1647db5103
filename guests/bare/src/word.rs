//! Values in the words of `/chosen/bootargs`: `key=value`, values without spaces.

use crate::time::Nanos;

/// A decimal number: digits only.
pub fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// A number with a unit of time: `ns`, `us`, `ms` or `s`.
pub fn duration(text: &str) -> Option<Nanos> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(unit)?;
    let factor = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    number(digits)?.checked_mul(factor).map(Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_only() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+3", "-1", "1k", "18446744073709551616", "0x10"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("7ns"), Some(Nanos(7)));
        assert_eq!(duration("250us"), Some(Nanos(250_000)));
        assert_eq!(duration("1ms"), Some(Nanos(1_000_000)));
        assert_eq!(duration("2s"), Some(Nanos(2_000_000_000)));
        for text in ["", "1", "ms", "1 ms", "1h", "99999999999999999999s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
