//! All cases, the longest first, so that none runs alone at the end.

mod boot;
mod budget;
mod lateness;

use crate::case::Case;

/// All cases.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(lateness::cases());
    cases.extend(boot::cases());
    cases.extend(budget::cases());
    cases
}
