//! `cargo tessera trace`: what each core did and each guest got, as a picture in time.

use crate::failure::Failure;
use crate::product::{self, Options};
use crate::progress::{Step, say};
use crate::project::{self, Project};
use crate::setup;
use crate::trace::chrome::{self, Names};
use crate::trace::recorder::{self, Limits, Recording};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is traced, and how.
#[derive(Debug)]
pub struct Trace {
    /// How it is built.
    pub options: Options,
    /// How many seconds of the machine's own time.
    pub seconds: u64,
    /// The file that is written; by default `NAME.trace.json`.
    pub output: Option<PathBuf>,
}

/// Size of a ring's records if the description does not say.
pub const DEFAULT_RING: u32 = 256 << 10;

/// How long booting may take, by the clock on the wall, and then each second of the machine's.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(60));

/// Builds a system with tracing on, runs it for a while, and writes what its kernel wrote down.
///
/// # Errors
///
/// See [`Failure`].
pub fn trace(project: &Project, system: &Path, trace: &Trace) -> Result<(), Failure> {
    let mut described = product::describe(&project.system(system))?;
    if described.system.trace == 0 {
        described.system.trace = DEFAULT_RING;
    }
    setup::everything(project, trace.options.permission)?;
    let folder = project.target().join("trace").join(&described.system.name);
    let product = product::build(project, described, trace.options, &folder)?;
    let config = product.machine(project, trace.options, true)?;
    let names = Names::of(&product.system);
    let step = Step::new(format!(
        "running {} for {} s of its own time",
        product.system.name, trace.seconds
    ));
    let seconds = u32::try_from(trace.seconds).unwrap_or(u32::MAX);
    let limits = Limits {
        virtual_time: Duration::from_secs(trace.seconds),
        patience: PATIENCE
            .0
            .saturating_add(PATIENCE.1.saturating_mul(seconds)),
    };
    let recording = recorder::record(&config, product.system.cores.len(), limits)?;
    drop(step);
    let default = || PathBuf::from(format!("{}.trace.json", product.system.name));
    let path = trace.output.clone().unwrap_or_else(default);
    project::write(&path, chrome::chrome(&recording.rings, &names).as_bytes())?;
    for line in summary(&recording) {
        println!("{line}");
    }
    if !recording.whole {
        say("the machine's clock did not come so far: this is what there is");
    }
    println!("{}", path.display());
    println!("open it in https://ui.perfetto.dev, or in chrome://tracing");
    Ok(())
}

/// What each ring holds, in words.
fn summary(recording: &Recording) -> Vec<String> {
    let line = |ring: &crate::trace::ring::Ring| {
        let Some((first, last)) = ring.times() else {
            return format!("core {}: nothing", ring.core);
        };
        let seconds = |ns: u64| ns as f64 / 1e9;
        let lost = match ring.lost {
            0 => String::new(),
            n => format!("; {n} older ones were overwritten (a larger `trace` keeps more)"),
        };
        format!(
            "core {}: {} records from {:.6} s to {:.6} s{lost}",
            ring.core,
            ring.records.len(),
            seconds(first),
            seconds(last)
        )
    };
    recording.rings.iter().map(line).collect()
}

impl From<recorder::Error> for Failure {
    fn from(error: recorder::Error) -> Self {
        use recorder::Error;
        let text = error.to_string();
        match error {
            Error::Start(..) | Error::Memory(_) | Error::Ring(..) => Self::Internal(text),
            Error::NoRings { .. } => Self::Timeout(text),
            Error::Ended(..) => Self::Ended(text),
        }
    }
}
