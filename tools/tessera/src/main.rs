//! The command line of Tessera.
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand, ValueEnum};
use miette::{GraphicalReportHandler, GraphicalTheme};
use regex::Regex;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tessera::board::Board;
use tessera::commands;
use tessera::failure::{EXIT_CODES, Failure};
use tessera::product::Options;
use tessera::program::Profile;
use tessera::project::Project;
use tessera::setup::Permission;

/// A real-time OS and a complete Linux on one Arm chip, each in its own partition.
#[derive(Debug, Parser)]
#[command(name = "cargo tessera", bin_name = "cargo tessera", version, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build a system, boot it in QEMU and show its consoles.
    Run {
        /// A description: a path, or a name in systems/.
        #[arg(default_value = "systems/phone.toml")]
        system: PathBuf,
        #[command(flatten)]
        build: BuildFlags,
        /// One instruction takes one nanosecond of virtual time; every run is the same.
        #[arg(long)]
        icount: bool,
        /// End with success as soon as a console line matches.
        #[arg(long, value_name = "REGEX")]
        until: Option<Regex>,
        /// End after this many seconds.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
    /// Build the kernel image and the bundle of a system.
    Build {
        /// A description: a path, or a name in systems/.
        system: PathBuf,
        /// The folder that they are written to.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
        #[command(flatten)]
        build: BuildFlags,
    },
    /// Check a description, its images and its timing.
    Check {
        /// A description: a path, or a name in systems/.
        system: PathBuf,
        #[command(flatten)]
        build: BuildFlags,
    },
    /// Show what the tool needs, what is missing, and how to get it.
    Doctor,
    /// Write a commented description to start from: NAME.toml.
    New {
        /// The system's name.
        name: String,
    },
    /// Run everything that CI runs.
    Test {
        /// Only tests with this in their name.
        filter: Option<String>,
        /// The long forms, which take hours.
        #[arg(long)]
        long: bool,
        /// Install nothing: say what is missing instead.
        #[arg(long)]
        no_install: bool,
    },
    /// Run a system for a while and write what its kernel did, for ui.perfetto.dev.
    Trace {
        /// A description: a path, or a name in systems/.
        system: PathBuf,
        /// How long, in seconds of the machine's own time.
        #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: u64,
        /// The file that is written. Default: NAME.trace.json.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        build: BuildFlags,
    },
    /// Measure what Tessera costs, in instructions, beside the bare machine and others.
    Bench {
        /// Short measurements: minutes instead of an hour.
        #[arg(long)]
        quick: bool,
        /// Measure another hypervisor too: xen. May be given several times.
        #[arg(long, value_name = "NAME")]
        peer: Vec<String>,
        /// Write the report as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Write the report as a page, one file.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Write bench/results and the table in the README.
        #[arg(long)]
        save: bool,
        /// Measure only what has this in its name, as "events, pinned" or "linux".
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Measure nothing: name each number that differs in two reports that --json has written.
        #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"], exclusive = true)]
        compare: Option<Vec<PathBuf>>,
        /// Install nothing: say what is missing instead.
        #[arg(long)]
        no_install: bool,
    },
    /// Print the JSON schema of descriptions, or of the laboratory's report.
    Schema {
        /// Of what.
        #[arg(value_enum, default_value_t)]
        of: Of,
    },
}

/// What has a schema.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Of {
    /// A description.
    #[default]
    System,
    /// What `bench --json` writes.
    Bench,
}

#[derive(Debug, Args)]
struct BuildFlags {
    /// The board.
    #[arg(long, value_enum, default_value_t)]
    board: Board,
    /// How kernel and guests are built.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Install nothing: say what is missing instead.
    #[arg(long)]
    no_install: bool,
}

impl BuildFlags {
    fn options(&self) -> Options {
        Options {
            board: self.board,
            profile: self.profile,
            permission: permission(self.no_install),
        }
    }
}

fn permission(no_install: bool) -> Permission {
    if no_install {
        Permission::Look
    } else {
        Permission::Install
    }
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    match dispatch(line.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    let project = Project::find()?;
    match command {
        Command::Run {
            system,
            build,
            icount,
            until,
            timeout,
        } => {
            let run = commands::run::Run {
                options: build.options(),
                icount,
                until,
                timeout: timeout.map(Duration::from_secs),
            };
            commands::run::run(&project, &system, &run)
        }
        Command::Build {
            system,
            output,
            build,
        } => commands::build::build(&project, &system, build.options(), &output).map(drop),
        Command::Check { system, build } => {
            commands::check::check(&project, &system, build.options())
        }
        Command::Doctor => commands::doctor::doctor(&project),
        Command::New { name } => commands::new::new(&PathBuf::from("."), &name),
        Command::Test {
            filter,
            long,
            no_install,
        } => commands::test::test(&project, long, filter.as_deref(), permission(no_install)),
        Command::Trace {
            system,
            seconds,
            output,
            build,
        } => {
            let trace = commands::trace::Trace {
                options: build.options(),
                seconds,
                output,
            };
            commands::trace::trace(&project, &system, &trace)
        }
        Command::Bench {
            quick,
            peer,
            json,
            html,
            save,
            only,
            compare,
            no_install,
        } => {
            if let Some([first, second]) = compare.as_deref() {
                return commands::bench::compare(first, second);
            }
            let request = commands::bench::Request {
                quick,
                peers: peer,
                json,
                html,
                save,
                only,
                permission: permission(no_install),
            };
            commands::bench::bench(&project, &request)
        }
        Command::Schema { of } => {
            match of {
                Of::System => print!("{}", commands::schema::text()),
                Of::Bench => print!("{}", commands::schema::bench()),
            }
            Ok(())
        }
    }
}

/// Shows a failure; a refused description with its text.
fn report(failure: &Failure) {
    let refusals = match failure {
        Failure::Refused(refusals) => refusals,
        // The closing line has said it, and stays the last.
        Failure::Tests => return,
        other => return eprintln!("tessera: {other}"),
    };
    let theme = if std::io::stderr().is_terminal() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme);
    for refusal in refusals {
        let mut text = String::new();
        if handler.render_report(&mut text, refusal).is_ok() {
            eprint!("{text}");
        }
    }
}
