//! Runs of the guest `bench`: events at EL2, and operations as the guest sees them.
//!
//! The same image runs pinned, shared, beside a guest that takes all the time it gets, with two cores,
//! and natively. Each run ends by itself as soon as the guest is done.

use crate::bench::describe::{self, Guest};
use crate::bench::events;
use crate::bench::job::Job;
use crate::bench::lab::{Lab, setting};
use crate::bench::meter::{Wanted, Which};
use crate::bench::record::Log;
use crate::bench::report::{Missing, Report, Setting, View};
use crate::bench::rows::{self, Outcome, Row};
use crate::bench::run::{self, End};
use crate::bench::timeline;
use crate::board::Board;
use crate::failure::Failure;
use crate::machine::Config;
use crate::product::Product;
use crate::program::Profile;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the guests' RAM is in the board's, so that the plugin can tell whose code runs: behind
/// kernel and bundle.
pub const PLACES: [u64; 2] = [0x5000_0000, 0x5100_0000];
/// The RAM of each.
pub const MEMORY: u64 = 8 << 20;
/// The machine's memory, in MiB.
const MACHINE_MIB: u64 = 512;

/// The boards that it runs on.
pub const BOARDS: [Board; 2] = [Board::VirtGicv3, Board::VirtGicv2];

/// What runs beside or how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// On a core of its own.
    Pinned,
    /// On a shared core, alone.
    Shared,
    /// On a shared core, beside a less urgent guest that never waits.
    Beside,
    /// On two cores of its own.
    TwoCores,
}

impl Form {
    /// All.
    pub const ALL: [Self; 4] = [Self::Pinned, Self::Shared, Self::Beside, Self::TwoCores];

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Shared => "shared",
            Self::Beside => "beside another guest",
            Self::TwoCores => "two cores",
        }
    }

    fn policy(self) -> &'static str {
        match self {
            Self::Pinned | Self::TwoCores => "pinned",
            Self::Shared | Self::Beside => "shared",
        }
    }

    fn cores(self) -> u8 {
        if self == Self::TwoCores { 2 } else { 1 }
    }

    /// The rows that this form is for.
    #[must_use]
    pub fn rows(self) -> &'static str {
        match self {
            Self::Pinned | Self::Shared => {
                "empty,hypercall,psci_version,gicd_read,gicd_write,gicd_disable,uart_read,\
                 uart_write,sysreg,sgi_self,spi_self,eoi,timer,timer_wfi,storm"
            }
            Self::Beside => "timer_wfi",
            Self::TwoCores => "sgi_other,sgi_other_wfi,sgi_write",
        }
    }

    /// The description of the system, with the guest's arguments.
    #[must_use]
    pub fn description(self, arguments: &str) -> String {
        let two = self == Self::TwoCores;
        let bench = Guest {
            name: "bench",
            image: "guest:bench",
            cores: if two { "0, 1" } else { "0" },
            priority: 200,
            // Beside another guest it has a budget, as a real-time guest should: that costs, too.
            budget: (self == Self::Beside).then_some(("900us", "1ms")),
            bootargs: arguments,
            place: PLACES[0]..PLACES[0] + MEMORY,
            ..Guest::default()
        };
        let spin = Guest {
            name: "spin",
            cores: "0",
            priority: 100,
            budget: None,
            bootargs: "mode=spin",
            place: PLACES[1]..PLACES[1] + MEMORY,
            ..bench.clone()
        };
        let policies = [self.policy(), self.policy()];
        let guests = [bench, spin];
        describe::system(
            "bench",
            policies.get(..self.cores().into()).unwrap_or(&policies),
            if self == Self::Beside {
                &guests
            } else {
                &guests[..1]
            },
        )
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Rounds of a loop.
    pub rounds: u32,
    /// Samples.
    pub samples: u32,
}

impl Amount {
    /// The guest's arguments for some rows.
    #[must_use]
    pub fn arguments(self, rows: &str) -> String {
        let Self { rounds, samples } = self;
        format!("rows={rows} n={rounds} samples={samples} end=off")
    }
}

/// What `bench` measures.
#[must_use]
pub fn amount(lab: &Lab) -> Amount {
    lab.quick_or_full(
        Amount {
            rounds: 1000,
            samples: 30,
        },
        Amount {
            rounds: 10_000,
            samples: 500,
        },
    )
}

/// The jobs: every form on every board, and natively.
#[must_use]
pub fn jobs(lab: &Lab) -> Vec<Job<'_>> {
    let mut jobs = Vec::new();
    for board in BOARDS {
        // The other forms on the other controller take their time.
        let forms = Form::ALL.into_iter();
        let forms = forms.filter(|f| board == BOARDS[0] || *f == Form::Pinned || !lab.quick);
        for form in forms {
            let name = format!("events, {}, {}", form.name(), board.name());
            jobs.push(Job::new(name, move || {
                tessera(lab, form, board, amount(lab))
            }));
        }
        let forms = [Form::Pinned, Form::TwoCores].into_iter();
        let forms = forms.filter(|f| board == BOARDS[0] || *f == Form::Pinned || !lab.quick);
        for form in forms {
            let name = format!("events, native, {} core(s), {}", form.cores(), board.name());
            jobs.push(Job::new(name, move || native(lab, form, board)));
        }
    }
    jobs
}

/// The system of a form.
///
/// # Errors
///
/// See [`crate::bench::products::Products::described`].
pub fn product(lab: &Lab, form: Form, amount: Amount) -> Result<Arc<Product>, Failure> {
    let name = format!("bench-{}-{}", form.name().replace(' ', "-"), amount.rounds);
    let description = form.description(&amount.arguments(form.rows()));
    lab.products
        .described(&name, &description, Profile::Release)
}

/// With Tessera.
///
/// # Errors
///
/// The run failed.
pub fn tessera(lab: &Lab, form: Form, board: Board, amount: Amount) -> Result<Report, Failure> {
    let product = product(lab, form, amount)?;
    let mut config = lab.machine(&product, board)?;
    config.memory_mib = MACHINE_MIB;
    let name = format!("events-{}-{}", form.name().replace(' ', "-"), board.name());
    let wanted = wanted(form == Form::Beside);
    // What comes behind its last row is in no phase.
    let done = [r"^\[bench\] bench: done"];
    let (lines, meter) = lab.tessera(&name, &product, config, &wanted, End::Lines(&done))?;
    let setting = setting("tessera", board, form.policy(), form.cores());
    let log = meter.log.unwrap_or_default();
    Ok(part(&lines, &log, &setting, form))
}

/// What the meter is to record.
#[must_use]
pub fn wanted(two_guests: bool) -> Wanted {
    let places = PLACES.iter().zip(["bench", "spin"]);
    let contexts = places.take(if two_guests { 2 } else { 1 });
    Wanted {
        // Not only of phases: the first instruction of the guest is before them.
        events: Some(Which::All),
        lines: true,
        causes: true,
        contexts: contexts
            .map(|(at, name)| (name.to_string(), *at..*at + MEMORY))
            .collect(),
        timeline: true,
    }
}

/// The part of the report that a run gives.
#[must_use]
pub fn part(lines: &[String], log: &Log, setting: &Setting, form: Form) -> Report {
    let rows = rows::read(lines);
    let mut report = Report::default();
    for event in events::of_bench(log, &rows, setting) {
        match event {
            Ok(event) => report.events.push(event),
            Err(why) => report
                .missing
                .push(Missing::new(&label("events", setting), why)),
        }
    }
    // Beside another guest a sample's time is mostly what the events say.
    report.views = views(&rows, setting);
    if matches!(form, Form::Pinned) {
        report.views.extend(boot(log, setting));
    }
    if form == Form::Beside {
        report.timelines.extend(timeline::of_bench(log, setting));
    }
    report.missing.extend(not_measured(&rows, setting, form));
    report
}

fn label(what: &str, setting: &Setting) -> String {
    format!("{what} ({setting})")
}

fn native(lab: &Lab, form: Form, board: Board) -> Result<Report, Failure> {
    let product = product(lab, form, amount(lab))?;
    let name = format!("native-{}-{}", form.cores(), board.name());
    let config: Config = lab.native(&name, &product, "bench", board, false)?;
    let lines = run::run(&config, End::Off, lab.patience())?;
    let setting = setting("native", board, "", form.cores());
    let rows = rows::read(&lines);
    // Nobody is there to call.
    let callable = |m: &Missing| !m.what.starts_with("hypercall");
    let missing = not_measured(&rows, &setting, form)
        .into_iter()
        .filter(callable);
    Ok(Report {
        missing: missing.collect(),
        views: views(&rows, &setting),
        ..Report::default()
    })
}

/// Operations as the guest sees them.
fn views(rows: &BTreeMap<u16, Row>, setting: &Setting) -> Vec<View> {
    rows.values().filter_map(|row| view(row, setting)).collect()
}

fn view(row: &Row, setting: &Setting) -> Option<View> {
    let (instructions, max) = match &row.outcome {
        Outcome::Loop { rounds, total } if *rounds > 0 => (*total as f64 / *rounds as f64, None),
        Outcome::Samples { p50, max, .. } => (*p50 as f64, Some(*max as f64)),
        Outcome::Kept(_) => (0.0, None),
        Outcome::Broken(_) => (1.0, None),
        _ => return None,
    };
    Some(View {
        name: row.name.clone(),
        title: title(&row.name).into(),
        setting: setting.clone(),
        instructions,
        max,
        budget: None,
    })
}

fn title(name: &str) -> &'static str {
    match name {
        "empty" => "the loop alone, with its markers",
        "hypercall" => "call that nobody implements",
        "psci_version" => "PSCI_VERSION",
        "gicd_read" => "read of a distributor register",
        "gicd_write" => "write that enables an interrupt",
        "gicd_disable" => "write that disables an interrupt",
        "uart_read" => "read of a UART register",
        "uart_write" => "write to a UART register",
        "sysreg" => "read of an ID register",
        "sgi_self" => "SGI to oneself, to the handler and back",
        "spi_self" => "SPI made pending by oneself, to the handler and back",
        "eoi" => "acknowledge and end of an interrupt, with two markers",
        "timer" => "lateness of the virtual timer, running",
        "timer_wfi" => "lateness of the virtual timer, in WFI",
        "sgi_other" => "SGI to another core that runs, to its vector",
        "sgi_other_wfi" => "SGI to another core in WFI, to its vector",
        "sgi_write" => "the write of an SGI to another core",
        "storm" => "storms of 16 interrupts that did not come in order",
        _ => "",
    }
}

/// From reset to the guest's first instruction.
fn boot(log: &Log, setting: &Setting) -> Option<View> {
    let first = log.switches.iter().find(|s| s.now == events::BENCH)?;
    // A hypervisor that boots from where the guest's memory will be cannot be told apart from it.
    if first.at == 0 {
        return None;
    }
    Some(View {
        name: "boot".into(),
        title: "reset to the first instruction of a small guest".into(),
        setting: setting.clone(),
        instructions: first.at as f64,
        max: None,
        budget: None,
    })
}

/// Rows that a form is for and that the guest did not measure.
fn not_measured(rows: &BTreeMap<u16, Row>, setting: &Setting, form: Form) -> Vec<Missing> {
    let wanted = form.rows().split(',');
    let missing = wanted.filter_map(|name| {
        let why = match rows.values().find(|r| r.name == name).map(|r| &r.outcome) {
            None => "the guest said nothing about it".to_string(),
            Some(Outcome::Not(why)) => why.clone(),
            Some(_) => return None,
        };
        Some(Missing::new(&label(name, setting), why))
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Description;
    use std::path::Path;

    #[test]
    fn every_form_is_a_description_without_a_fault() {
        for form in Form::ALL {
            let text = form.description("rows=timer");
            let (description, source) = Description::parse(Path::new("x.toml"), &text).unwrap();
            assert!(crate::check::check(&description, &source).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_storm_out_of_order_is_seen_in_the_report() {
        let line = |text: &str| vec![format!("bench: row 30 storm {text}")];
        let setting = Setting::default();
        let of = |lines: &[String]| views(&rows::read(lines), &setting)[0].instructions;
        assert!(of(&line("20 kept")) < 0.5);
        assert!(of(&line("broken at 2, order 1 0")) > 0.5);
    }
}
