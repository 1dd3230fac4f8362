//! `depthscale eval`

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use depthscale::backends::{Backend, BackendTask};
use depthscale::decoder::ModelDirectory;
use depthscale::prelude::*;
use depthscale::types::DecoderConfig;
use depthscale_train::eval::{
    Calibration, EvaluatedModel, EvaluationProgress, EvaluationReport, ProblemSet, applicable_criteria,
    evaluate_depths, evaluate_exit, ladder_policies, sweep,
};

use crate::arguments::{ModelArguments, Part, ProblemArguments, calibration_set, run_on};
use crate::display::print_tables;
use crate::failure::Usage;
use crate::progress::{Verbosity, spinner};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    problems: ProblemArguments,

    /// The deepest depth evaluated; without it, half more than the model's own
    #[arg(long, value_name = "STEPS")]
    max_depth: Option<usize>,

    /// Exit criteria to run at every threshold of a ladder, such as q-exit,latent-diff, or all; none unless asked for
    #[arg(long, value_name = "CRITERIA", value_delimiter = ',')]
    exits: Vec<String>,

    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,

    /// A page with curves and tables; replaced if it is there
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let directory = arguments.model.open()?;
    let config = directory.config();
    let criteria = criteria(&arguments.exits, config)?;
    let calibration = Calibration::read(directory.path())?;
    let backend = &arguments.model.backend;
    let (mut set, training_depth) = arguments.problems.held_out(Part::Evaluated, &directory, backend.verbosity())?;
    // What the exit was chosen on says too well of it.
    if let Some(chosen_on) = calibration.as_ref().and_then(|calibration| calibration.set.draw.as_ref()) {
        set = set.without(&calibration_set(chosen_on)?);
    }
    let max_depth = arguments.max_depth.unwrap_or(config.depth + config.depth.div_ceil(2));
    let device = backend.device(&directory)?;
    let model = EvaluatedModel::of(config, directory.name(), training_depth);
    let evaluate = Evaluate {
        directory: &directory,
        set,
        model,
        max_depth,
        criteria,
        calibration,
        verbosity: backend.verbosity(),
    };
    let report = run_on(&device, evaluate)?;
    if let Some(path) = &arguments.report {
        std::fs::write(path, report.to_html()?).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    if arguments.json {
        writeln!(io::stdout().lock(), "{}", report.to_json())?;
    } else {
        print_tables(&report.tables())?;
    }
    Ok(())
}

/// The criteria named, or all that a model has.
pub(crate) fn criteria(names: &[String], config: &DecoderConfig) -> anyhow::Result<Vec<Criterion>> {
    match names {
        [all] if all == "all" => Ok(applicable_criteria(config)),
        names if names.iter().any(|name| name == "all") => {
            Err(Usage::new("all stands for every criterion: name none beside it").into())
        }
        names => names.iter().map(|name| Ok(name.parse::<Criterion>()?)).collect(),
    }
}

/// Loads a model and evaluates it.
struct Evaluate<'a> {
    directory: &'a ModelDirectory,
    set: ProblemSet,
    model: EvaluatedModel,
    max_depth: usize,
    criteria: Vec<Criterion>,
    calibration: Option<Calibration>,
    verbosity: Verbosity,
}

impl BackendTask for Evaluate<'_> {
    type Output = anyhow::Result<EvaluationReport>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let decoder = self.directory.load::<B>(&device, &mut |_| {})?;
        let shown = spinner("evaluating", self.verbosity);
        let tell = |what: &str, at: EvaluationProgress| {
            shown.message(format!("{what}, {}%", 100 * at.done / at.total.max(1)));
        };
        let set = &self.set;
        let depths = evaluate_depths(&decoder, set, self.max_depth, &mut |at| tell("by depth", at))?;
        let policies = ladder_policies(&self.criteria, self.model.depth);
        let exits = sweep(&decoder, set, &policies, &mut |at| tell("under exits", at))?;
        let calibrated = match &self.calibration {
            Some(found) => Some(evaluate_exit(&decoder, set, &found.policy, &mut |at| tell("calibrated", at))?),
            None => None,
        };
        let Self { model, calibration, .. } = self;
        Ok(EvaluationReport { model, set: self.set.summary(), depths, exits, calibration, calibrated })
    }
}
