//! `cargo tessera schema`: the JSON schema of descriptions, for editors.

use crate::description::Description;

/// The schema as text. A copy is kept in `docs/schema/system.json`.
#[must_use]
pub fn text() -> String {
    let schema = schemars::schema_for!(Description);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_in_docs_is_this_one() {
        let kept = include_str!("../../../../docs/schema/system.json");
        assert!(
            kept == super::text(),
            "docs/schema/system.json is old: cargo tessera schema > docs/schema/system.json"
        );
    }
}
