//! What every measurement has at hand: built systems, a QEMU that counts, a folder for files.

use crate::bench::meter::{self, Files, Meter, Report, Wanted};
use crate::bench::native;
use crate::bench::products::Products;
use crate::bench::report::Setting;
use crate::bench::run::{self, End};
use crate::board::Board;
use crate::failure::Failure;
use crate::machine::Config;
use crate::product::{Options, Product};
use crate::program::Profile;
use crate::project::Project;
use crate::setup::{self, Permission};
use std::path::PathBuf;
use std::time::Duration;

/// The laboratory.
#[derive(Debug)]
pub struct Lab {
    /// The project.
    pub project: Project,
    /// Built systems.
    pub products: Products,
    /// The program `qemu-system-aarch64`.
    pub qemu: PathBuf,
    /// Where files go.
    pub folder: PathBuf,
    /// What may be installed.
    pub permission: Permission,
    /// Short measurements.
    pub quick: bool,
}

impl Lab {
    /// Finds what is needed, and builds kernel and plugin.
    ///
    /// # Errors
    ///
    /// Something is missing, does not build, or the QEMU here cannot count.
    pub fn new(
        project: Project,
        folder: PathBuf,
        permission: Permission,
        quick: bool,
    ) -> Result<Self, Failure> {
        let qemu = setup::qemu(permission)?;
        let plugin = meter::plugin(&project)?;
        meter::probe(&qemu, &plugin).map_err(Failure::Usage)?;
        std::fs::create_dir_all(&folder).map_err(|e| Failure::io(&folder, &e))?;
        let products = Products::new(project.clone(), folder.clone(), permission);
        Ok(Self {
            project,
            products,
            qemu,
            folder,
            permission,
            quick,
        })
    }

    /// The short or the long form of a number.
    pub fn quick_or_full<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// How long a machine may take, in our time: several times what a slow one needs.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.quick_or_full(300, 1800))
    }

    /// A run's files.
    #[must_use]
    pub fn files(&self, name: &str) -> Files {
        Files {
            stem: self.folder.join(name),
        }
    }

    /// The machine for a system, under `-icount`.
    ///
    /// # Errors
    ///
    /// See [`Product::machine`].
    pub fn machine(&self, product: &Product, board: Board) -> Result<Config, Failure> {
        let options = Options {
            board,
            profile: Profile::Release,
            permission: self.permission,
        };
        product.machine(&self.project, options, true).map(quiet)
    }

    /// Runs a machine with Tessera and the meter.
    ///
    /// # Errors
    ///
    /// See [`run::run`]; or the meter has no report.
    pub fn tessera(
        &self,
        name: &str,
        product: &Product,
        config: Config,
        wanted: &Wanted,
        end: End<'_>,
    ) -> Result<(Vec<String>, Report), Failure> {
        let (project, files) = (&self.project, self.files(name));
        self.counted(config, end, |config| {
            Meter::for_system(project, files.clone(), config, product, wanted)
        })
    }

    /// Runs a machine with a meter. QEMU 7.2 sometimes hears nothing while a guest idles, and is then
    /// killed before the meter has written: such a run is done once more, and gives the same.
    ///
    /// # Errors
    ///
    /// See [`run::run`]; or the meter has no report.
    pub fn counted(
        &self,
        config: Config,
        end: End<'_>,
        meter: impl Fn(&mut Config) -> Result<Meter, Failure>,
    ) -> Result<(Vec<String>, Report), Failure> {
        let once = || {
            let mut config = config.clone();
            let meter = meter(&mut config)?;
            let lines = run::run(&config, end, self.patience())?;
            Ok::<_, Failure>((lines, meter))
        };
        let (lines, meter) = once()?;
        if meter.has_written() {
            return Ok((lines, meter.report()?));
        }
        let (lines, meter) = once()?;
        Ok((lines, meter.report()?))
    }

    /// The machine that runs a guest of a system natively.
    ///
    /// # Errors
    ///
    /// See [`native::config`].
    pub fn native(
        &self,
        name: &str,
        product: &Product,
        guest: &str,
        board: Board,
        with_tree: bool,
    ) -> Result<Config, Failure> {
        let config = self.machine(product, board)?;
        native::config(config, product, guest, with_tree, &self.files(name))
    }
}

/// Without what the board has and nobody here uses, so that nothing comes from outside.
#[must_use]
pub fn quiet(mut config: Config) -> Config {
    config.extra.extend(["-nic", "none"].map(Into::into));
    config
}

/// Under which conditions something ran.
#[must_use]
pub fn setting(system: &str, board: Board, policy: &str, cores: u8) -> Setting {
    Setting {
        system: system.into(),
        gic: if board.gic() == manifest::Gic::V2 {
            2
        } else {
            3
        },
        policy: policy.into(),
        cores,
    }
}
