//! Numbers as a reader sees them.

/// A whole number with a comma after each thousand.
#[must_use]
pub fn whole(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i != 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A measured number: its decimals, one at most, only where it has some and they matter.
#[must_use]
pub fn measured(value: f64) -> String {
    if !value.is_finite() {
        return "-".into();
    }
    let tenths = (value.abs() * 10.0).round() as u64;
    let sign = if value < 0.0 && tenths != 0 { "-" } else { "" };
    match tenths % 10 {
        0 => format!("{sign}{}", whole(tenths / 10)),
        _ if tenths >= 100_000 => format!("{sign}{}", whole((value.abs().round()) as u64)),
        tenth => format!("{sign}{}.{tenth}", whole(tenths / 10)),
    }
}

/// A number in few characters, for the marks of an axis: `1.5 M`.
#[must_use]
pub fn short(value: f64) -> String {
    let units = [(1e9, " G"), (1e6, " M"), (1e4, " k")];
    match units.iter().find(|(least, _)| value.abs() >= *least) {
        Some((1e4, unit)) => measured(value / 1e3) + unit,
        Some((factor, unit)) => measured(value / factor) + unit,
        None if value.abs() >= 1e3 => measured(value),
        None => trimmed(value, 3),
    }
}

/// A ratio: four decimals show a part of a thousand with one digit to spare.
#[must_use]
pub fn ratio(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.4}")
    } else {
        "-".into()
    }
}

/// Virtual nanoseconds, in a unit that keeps them short.
#[must_use]
pub fn time(ns: f64) -> String {
    match ns {
        ns if ns >= 1e9 => trimmed(ns / 1e9, 2) + " s",
        ns if ns >= 1e6 => trimmed(ns / 1e6, 2) + " ms",
        ns if ns >= 1e4 => trimmed(ns / 1e3, 1) + " µs",
        ns => measured(ns) + " ns",
    }
}

/// A number with so many decimals at most, and no zeros at its end.
#[must_use]
pub fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let shown: Vec<String> = [0, 999, 1000, 29_600_000].map(whole).into();
        assert_eq!(shown, ["0", "999", "1,000", "29,600,000"]);
    }

    #[test]
    fn decimals_are_shown_where_they_matter() {
        let shown: Vec<String> = [41.0, 149.5, 12_345.4, -0.01, f64::NAN]
            .map(measured)
            .into();
        assert_eq!(shown, ["41", "149.5", "12,345", "0", "-"]);
        assert_eq!(ratio(1.00312), "1.0031");
        assert_eq!(trimmed(2.50, 2), "2.5");
        assert_eq!(trimmed(100.0, 0), "100");
    }

    #[test]
    fn an_axis_has_short_marks() {
        let shown: Vec<String> = [0.0, 0.005, 2500.0, 10_000.0, 2.5e6, 1e9].map(short).into();
        assert_eq!(shown, ["0", "0.005", "2,500", "10 k", "2.5 M", "1 G"]);
        let shown: Vec<String> = [160.0, 12_500.0, 3e6, 2e9].map(time).into();
        assert_eq!(shown, ["160 ns", "12.5 µs", "3 ms", "2 s"]);
    }
}
