//! What the kernel writes down while it runs says who had the core.

use crate::case::{Case, Failure, case, ensure};
use crate::context::Context;
use serde_json::Value;
use std::time::Duration;
use tessera::board::Board;
use tessera::program::Profile;
use tessera::trace::chrome::{Names, chrome};
use tessera::trace::recorder::{self, Limits};

/// The real-time guest's period in microseconds, the unit of the file.
const PERIOD: f64 = 1000.0;

/// The cases.
pub fn cases() -> Vec<Case> {
    [Board::VirtGicv3, Board::VirtGicv2]
        .map(|board| {
            case(
                format!(
                    "a trace of phone shows both guests on core 0, on {}",
                    board.name()
                ),
                move |context| both_guests(context, board),
            )
        })
        .into()
}

fn both_guests(context: &Context<'_>, board: Board) -> Result<(), Failure> {
    let edit = ("name = \"phone\"", "name = \"phone\"\ntrace = \"256KiB\"");
    let product = context.variant("phone", "phone-trace", &[edit], Profile::Release)?;
    let config = context.machine(&product, board)?;
    let limits = Limits {
        virtual_time: Duration::from_secs(1),
        patience: Duration::from_secs(150),
    };
    let recording = recorder::record(&config, product.system.cores.len(), limits)
        .map_err(|e| Failure::new(e.to_string()))?;
    context.record(recording.transcript.as_bytes());
    ensure(recording.whole, || {
        "the machine did not come to its first second".into()
    })?;
    let text = chrome(&recording.rings, &Names::of(&product.system));
    std::fs::write(context.file("trace.json"), &text)?;
    let file: Value = serde_json::from_str(&text).map_err(|e| Failure::new(e.to_string()))?;
    let events = file.get("traceEvents").and_then(Value::as_array);
    let events = events.ok_or_else(|| Failure::new("the file has no events"))?;
    let slices = |category: &'static str, name: &'static str| {
        let shown = events
            .iter()
            .filter(move |e| e["ph"] == "X" && e["cat"] == category && e["name"] == name);
        shown
            .filter_map(|e| Some((e["ts"].as_f64()?, e["dur"].as_f64()?)))
            .collect::<Vec<_>>()
    };
    let (rt, linux) = (slices("core", "rt"), slices("core", "linux"));
    context.note(format!(
        "{} events; rt ran {} times, linux {} times",
        events.len(),
        rt.len(),
        linux.len()
    ));
    ensure(rt.len() >= 5, || {
        format!("rt had core 0 only {} times", rt.len())
    })?;
    ensure(linux.len() >= 5, || {
        format!("linux had core 0 only {} times", linux.len())
    })?;
    one_at_a_time(&rt, &linux)?;
    periodic(events)
}

/// While one guest has the core the other has not.
fn one_at_a_time(rt: &[(f64, f64)], linux: &[(f64, f64)]) -> Result<(), Failure> {
    let mut all: Vec<(f64, f64)> = rt.iter().chain(linux).copied().collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let overlap = all.windows(2).find(|w| w[0].0 + w[0].1 > w[1].0 + 0.0005);
    ensure(overlap.is_none(), || {
        format!("two guests had core 0 at once: {overlap:?}")
    })
}

/// The real-time guest is woken in each of its periods.
fn periodic(events: &[Value]) -> Result<(), Failure> {
    let name = |e: &&Value| e["ph"] == "i" && e["cat"] == "core" && e["name"] == "rt: woken";
    let woken: Vec<f64> = events
        .iter()
        .filter(name)
        .filter_map(|e| e["ts"].as_f64())
        .collect();
    ensure(woken.len() >= 5, || {
        format!("rt was woken only {} times", woken.len())
    })?;
    let bad = woken.windows(2).find(|w| w[1] - w[0] > PERIOD * 1.05);
    ensure(bad.is_none(), || {
        format!("rt was woken at {bad:?} us, its period is {PERIOD} us")
    })
}
