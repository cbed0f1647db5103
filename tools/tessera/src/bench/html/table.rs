//! Tables: the numbers behind each picture, for those who cannot see it and those who want to count.

use super::markup::{Element, classed, element};
use super::number;

/// What stands in a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number: its value, for sorting, and how it is shown.
    Number(f64, String),
    /// A number that warns.
    Bad(f64, String),
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A whole number.
    #[must_use]
    pub fn whole(value: u64) -> Self {
        Self::Number(value as f64, number::whole(value))
    }

    /// A measured number.
    #[must_use]
    pub fn measured(value: f64) -> Self {
        Self::Number(value, number::measured(value))
    }

    /// A ratio.
    #[must_use]
    pub fn ratio(value: f64) -> Self {
        Self::Number(value, number::ratio(value))
    }

    /// What there may be; a dash if there is none.
    pub fn maybe<T>(value: Option<T>, cell: impl Fn(T) -> Self) -> Self {
        value.map_or_else(|| Self::text("–"), cell)
    }

    fn element(&self, name: &'static str) -> Element {
        let cell = element(name);
        let cell = match name {
            "th" => cell.with("scope", "row"),
            _ => cell,
        };
        match self {
            Self::Text(text) => cell.text(text),
            Self::Bad(value, text) => {
                let cell = cell.with("class", "n bad");
                cell.with("data-value", value).text(text)
            }
            Self::Number(value, text) => {
                let cell = cell.with("class", "n");
                cell.with("data-value", value).text(text)
            }
        }
    }
}

/// A table. The first cell of each row is the row's heading.
#[must_use]
pub fn table(caption: &str, heads: &[&str], rows: &[Vec<Cell>]) -> Element {
    let numeric = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column));
        cells.any(|cell| matches!(cell, Cell::Number(..)))
    };
    let head = |(column, text): (usize, &&str)| {
        let head = element("th").with("scope", "col");
        match numeric(column) {
            true => head.with("class", "n").text(text),
            false => head.text(text),
        }
    };
    let row = |cells: &Vec<Cell>| {
        let cells = cells.iter().enumerate();
        let cells = cells.map(|(i, cell)| cell.element(if i == 0 { "th" } else { "td" }));
        element("tr").children(cells)
    };
    let heads = element("tr").children(heads.iter().enumerate().map(head));
    let table = element("table")
        .child(classed("caption", "unseen").text(caption))
        .child(element("thead").child(heads))
        .child(element("tbody").children(rows.iter().map(row)));
    classed("div", "scroll")
        .with("tabindex", 0)
        .with("role", "region")
        .with("aria-label", caption)
        .child(table)
}

/// A table that is shown when it is asked for, or printed.
#[must_use]
pub fn folded(caption: &str, heads: &[&str], rows: &[Vec<Cell>]) -> Element {
    let all = match rows.len() {
        1 => format!("{caption}: the row as a table"),
        n => format!("{caption}: all {n} rows as a table"),
    };
    element("details")
        .child(element("summary").text(all))
        .child(table(caption, heads, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_heading_and_numbers_their_values() {
        let rows = [vec![Cell::text("a<b"), Cell::whole(1418)]];
        let text = table("counts", &["what", "how many"], &rows).to_string();
        assert!(text.contains("<th scope=\"row\">a&lt;b</th>"), "{text}");
        let number = "<td class=\"n\" data-value=\"1418\">1,418</td>";
        assert!(text.contains(number), "{text}");
        assert!(
            text.contains("<th scope=\"col\" class=\"n\">how many</th>"),
            "{text}"
        );
    }
}
