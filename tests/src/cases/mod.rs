//! All cases. Long ones come first, so that none runs alone at the end.

mod bench_guest;
mod boot;
mod budget;
mod bundle;
mod counts;
mod fault;
mod guests;
mod host;
mod laboratory;
mod lateness;
mod loads;
mod menu;
mod multi;
mod native;
mod peer;
mod refuse;
mod repeat;
mod requests;
mod restart;
mod trace;

use crate::case::Case;

/// All cases.
pub fn all() -> Vec<Case> {
    [
        restart::cases(),
        lateness::cases(),
        multi::cases(),
        guests::cases(),
        laboratory::cases(),
        requests::cases(),
        native::cases(),
        peer::cases(),
        counts::cases(),
        bench_guest::cases(),
        boot::cases(),
        menu::cases(),
        fault::cases(),
        loads::cases(),
        budget::cases(),
        repeat::cases(),
        host::cases(),
        refuse::cases(),
        bundle::cases(),
        trace::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
