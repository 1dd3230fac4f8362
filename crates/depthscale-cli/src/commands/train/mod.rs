//! `depthscale train`

mod dry_run;
mod progress;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use depthscale::backends::{Backend, BackendKind, BackendTask, with_backend};
use depthscale::burn::backend::Autodiff;
use depthscale_train::run::{read_metrics, report};
use depthscale_train::{RunDirectory, RunEnd, Start, TrainConfig, TrainingRun};

use crate::failure::{Interrupted, warn};
use crate::progress::{Verbosity, spinner};
use crate::stop;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The recipe, a TOML file
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,

    /// Values in place of those in the recipe, such as optimizer.learning_rate=1e-3 or data.tasks.0.max=6
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,

    /// Go on from the newest checkpoint in the output directory
    #[arg(long, conflicts_with = "dry_run")]
    resume: bool,

    /// Write nothing: show parameters, memory, tokens and steps, and an estimate of the time
    #[arg(long)]
    dry_run: bool,

    /// What computes: flex, ndarray, wgpu, wgpu:1, cuda:0, or auto
    #[arg(long, value_name = "BACKEND", env = "DEPTHSCALE_BACKEND", default_value_t)]
    backend: BackendKind,

    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = TrainConfig::read(&arguments.recipe, &arguments.overrides)?;
    let device = arguments.backend.probe()?;
    if arguments.dry_run {
        return with_backend(device.kind, dry_run::DryRun { config, device: &device })?;
    }
    let verbosity = if arguments.quiet { Verbosity::Quiet } else { Verbosity::Normal };
    let start = if arguments.resume { Start::Resume } else { Start::Fresh };
    let directory = RunDirectory::new(&config.output.directory);
    // The step under way is finished and saved; a second request ends at once.
    stop::listen()?;
    if arguments.resume && !directory.holds_a_run() {
        warn(&format!("{} holds no run to resume: one begins", directory.path.display()), verbosity);
    }
    let ended = with_backend(device.kind, Train { config, start, verbosity })?;
    // Of a run that failed the page is wanted most.
    if directory.metrics().exists() {
        write_report(&directory)?;
    }
    let mut stdout = io::stdout().lock();
    match ended? {
        RunEnd::Done => {
            writeln!(stdout, "The model is in {}.", directory.model().display())?;
            Ok(())
        }
        RunEnd::Interrupted { step } => {
            // Whether anybody reads that or not, the run was interrupted.
            let _ = writeln!(stdout, "Stopped after step {step}; --resume goes on from there.");
            Err(Interrupted.into())
        }
    }
}

/// The page of a run, from its log.
fn write_report(directory: &RunDirectory) -> anyhow::Result<()> {
    let records = read_metrics(&directory.metrics())?;
    let path = directory.path.join("report.html");
    let page = report(&directory.path.display().to_string(), &records).to_html()?;
    std::fs::write(&path, page).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Trains on a backend.
struct Train {
    config: TrainConfig,
    start: Start,
    verbosity: Verbosity,
}

impl BackendTask for Train {
    type Output = anyhow::Result<RunEnd>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let reading = spinner("reading text", self.verbosity);
        let mut run = TrainingRun::<Autodiff<B>>::open(self.config, self.start, &device, &mut |progress| {
            reading.message(format!("reading text, {}%", 100 * progress.bytes_done / progress.bytes.max(1)));
        })?;
        drop(reading);
        let mut observer = progress::Progress::new(&run.trainer, self.verbosity)?;
        Ok(run.train(&mut observer)?)
    }
}
