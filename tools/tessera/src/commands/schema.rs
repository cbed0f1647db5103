//! `cargo tessera schema`: the JSON schema of descriptions, for editors, and of the laboratory's report.

use crate::bench::report::Report;
use crate::description::Description;
use schemars::{JsonSchema, schema_for};

/// The schema as text. A copy is kept in `docs/schema/system.json`.
#[must_use]
pub fn text() -> String {
    pretty::<Description>()
}

/// The schema of `bench --json`. A copy is kept in `docs/schema/bench.json`.
#[must_use]
pub fn bench() -> String {
    pretty::<Report>()
}

fn pretty<T: JsonSchema>() -> String {
    let schema = schema_for!(T);
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

    #[test]
    fn the_schema_of_the_report_in_docs_is_this_one() {
        let kept = include_str!("../../../../docs/schema/bench.json");
        assert!(
            kept == super::bench(),
            "docs/schema/bench.json is old: cargo tessera schema bench > docs/schema/bench.json"
        );
    }
}
