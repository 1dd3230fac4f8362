//! `depthscale calibrate`

use std::io::{self, Write};

use clap::Args;
use depthscale::backends::{Backend, BackendTask};
use depthscale::decoder::ModelDirectory;
use depthscale_train::eval::{
    Calibration, CalibrationOptions, CalibrationOutcome, EXIT_FILE, ProblemSet, applicable_criteria, calibrate,
};

use super::eval::criteria;
use crate::arguments::{ModelArguments, Part, ProblemArguments, run_on};
use crate::display::{Align, Cell, Paint, Table, significant};
use crate::failure::{Usage, warn};
use crate::progress::{Verbosity, spinner};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    problems: ProblemArguments,

    /// The criteria to choose from, such as q-exit,latent-diff, or all
    #[arg(long, value_name = "CRITERIA", value_delimiter = ',', default_value = "all")]
    criterion: Vec<String>,

    /// Points of accuracy, of 100, that may be lost against full depth, overall and on every task
    #[arg(long, value_name = "POINTS", default_value_t = 1.0, allow_negative_numbers = true)]
    tolerated_loss: f64,

    /// The full depth; without it, the model's own
    #[arg(long, value_name = "STEPS")]
    max_steps: Option<usize>,

    /// The first step after which a token may stop
    #[arg(long, value_name = "STEPS", default_value_t = 1)]
    min_steps: usize,

    /// Show what was found and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let directory = arguments.model.open()?;
    if directory.is_builtin() && !arguments.dry_run {
        return Err(Usage::new("an exit is written beside the model: name one by --model, or add --dry-run").into());
    }
    let config = directory.config();
    let criteria = match arguments.criterion.as_slice() {
        [] => applicable_criteria(config),
        names => criteria(names, config)?,
    };
    let options = CalibrationOptions {
        criteria,
        max_steps: arguments.max_steps.unwrap_or(config.depth),
        min_steps: arguments.min_steps,
        tolerated_loss: arguments.tolerated_loss,
    };
    options.validate()?;
    let backend = &arguments.model.backend;
    let (set, _) = arguments.problems.held_out(Part::ChosenOn, &directory, backend.verbosity())?;
    let device = backend.device(&directory)?;
    let task = Calibrate { directory: &directory, set, options, verbosity: backend.verbosity() };
    let found = run_on(&device, task)?;
    // What took long is written before anything that can fail.
    if !arguments.dry_run {
        found.write(directory.path())?;
    }
    print(&found)?;
    warn_of_few(&found, backend.verbosity());
    if !arguments.dry_run {
        let path = directory.path().join(EXIT_FILE);
        writeln!(io::stdout().lock(), "Written to {}: the model's exit from now on.", path.display())?;
    }
    Ok(())
}

struct Calibrate<'a> {
    directory: &'a ModelDirectory,
    set: ProblemSet,
    options: CalibrationOptions,
    verbosity: Verbosity,
}

impl BackendTask for Calibrate<'_> {
    type Output = anyhow::Result<Calibration>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let decoder = self.directory.load::<B>(&device, &mut |_| {})?;
        let shown = spinner("calibrating", self.verbosity);
        Ok(calibrate(&decoder, &self.set, &self.options, &mut |at| {
            shown.message(format!("calibrating, {}%", 100 * at.done / at.total.max(1)));
        })?)
    }
}

/// Tells on how few problems a task was judged, where they are too few for the loss that is tolerated.
fn warn_of_few(found: &Calibration, verbosity: Verbosity) {
    if found.tolerated_loss == 0.0 {
        return;
    }
    let needed = (100.0 / found.tolerated_loss).ceil();
    let problems = |task: &str| -> usize {
        found.set.groups.iter().filter(|group| group.task == task).map(|group| group.problems).sum()
    };
    for task in found.tasks.iter().filter(|task| (problems(&task.task) as f64) < needed) {
        let few = problems(&task.task);
        warn(
            &format!("{} has {few} problems: one wrong answer more is a loss beyond what is tolerated", task.task),
            verbosity,
        );
    }
}

fn print(found: &Calibration) -> io::Result<()> {
    let mut table = Table::new([Align::Left, Align::Right, Align::Right, Align::Right]);
    table.headings(&["task", "at full depth", "with the exit", "mean depth"]);
    let percent = |share: f64| Cell::new(format!("{:.1}%", 100.0 * share));
    let row = |name: &str, full, with, depth| {
        [Cell::new(name), percent(full), percent(with), Cell::new(format!("{depth:.2} of {}", found.full_depth))]
    };
    for task in &found.tasks {
        table.row(row(&task.task, task.full_accuracy, task.accuracy, task.mean_depth));
    }
    table.row(row("all", found.full_accuracy, found.accuracy, found.mean_depth));
    let mut stdout = io::stdout().lock();
    for line in table.lines(Paint::stdout()) {
        writeln!(stdout, "{line}")?;
    }
    let (tried, problems) = (found.tried.len(), found.problems);
    match found.outcome {
        CalibrationOutcome::ExitsEarly => writeln!(
            stdout,
            "{}:{} is the cheapest of {tried} thresholds within {} points, on {problems} problems.",
            found.policy.criterion,
            significant(found.policy.threshold),
            found.tolerated_loss
        ),
        CalibrationOutcome::FullDepth => {
            writeln!(
                stdout,
                "None of {tried} thresholds saves steps within {} points: full depth.",
                found.tolerated_loss
            )
        }
    }
}
