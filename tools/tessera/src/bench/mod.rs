//! The laboratory: what Tessera costs, counted from outside, beside the bare machine and others.
//!
//! A [`lab::Lab`] runs machines with the plugin `tools/meter` ([`meter`]) and reads what that and the
//! guests say ([`record`], [`rows`], [`summary`]). A measurement is a job ([`job`]) that gives a part of
//! the [`report::Report`]: [`bench_guest`], [`latency`], [`linux`], [`peers`], [`size`]. [`budgets`] holds the
//! report against `bench/budgets.toml`; [`compare`] puts systems side by side, [`markdown`] and [`html`] show it.

pub mod bench_guest;
pub mod budgets;
pub mod compare;
pub mod compiled;
pub mod counts;
pub mod describe;
pub mod events;
pub mod html;
pub mod job;
pub mod lab;
pub mod latency;
pub mod line_table;
pub mod linux;
pub mod markdown;
pub mod meter;
pub mod native;
pub mod origin;
pub mod peers;
pub mod pieces;
pub mod products;
pub mod record;
pub mod report;
pub mod rows;
pub mod run;
pub mod same;
pub mod size;
pub mod source;
pub mod spy;
pub mod summary;
pub mod timeline;
pub mod way;
