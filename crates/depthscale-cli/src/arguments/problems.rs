//! Which held-out problems.

use std::path::PathBuf;

use clap::Args;
use depthscale::decoder::ModelDirectory;
use depthscale_tasks::{Difficulties, HeldOut, TaskMix};
use depthscale_train::eval::{ProblemDraw, ProblemSet};
use depthscale_train::run::RECIPE_FILE;
use depthscale_train::{DataSource, TrainConfig};

use crate::failure::{Usage, warn};
use crate::progress::Verbosity;

#[derive(Debug, Args)]
pub(crate) struct ProblemArguments {
    /// Tasks with their difficulties, such as addition:1-4,p-hop:2; without it, those of the recipe
    #[arg(long, value_name = "TASKS", value_delimiter = ',', value_parser = task_mix)]
    tasks: Vec<TaskMix>,

    /// The recipe that says which problems training has never seen; without it, the recipe.toml beside the model
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,

    /// Problems of each task and difficulty
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    problems: u32,

    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// `NAME`, `NAME:DIFFICULTY` or `NAME:MIN-MAX`.
fn task_mix(text: &str) -> Result<TaskMix, String> {
    let (name, range) = text.split_once(':').map_or((text, None), |(name, range)| (name, Some(range)));
    let task: depthscale_tasks::TaskKind =
        name.parse().map_err(|error: depthscale_tasks::TaskError| error.to_string())?;
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| format!("{text:?} is no difficulty: expected a number or MIN-MAX"))
    };
    let difficulties = match range {
        None => Difficulties::from(task.task().difficulties()),
        Some(range) => {
            let (min, max) = range.split_once('-').unwrap_or((range, range));
            Difficulties { min: number(min)?, max: number(max)? }
        }
    };
    Ok(TaskMix { task, difficulties, weight: 1.0 })
}

impl ProblemArguments {
    /// Which problems are drawn, and the mean depth of training where it is known.
    pub(crate) fn draw(&self, directory: &ModelDirectory) -> anyhow::Result<(ProblemDraw, Option<f64>)> {
        let problems = self.problems as usize;
        let beside = directory.path().join(RECIPE_FILE);
        let path = self.recipe.clone().or_else(|| beside.exists().then_some(beside));
        let recipe = path.map(|path| TrainConfig::read(path, &[])).transpose()?;
        let depth = recipe.as_ref().map(|recipe| recipe.depth.expected_depth());
        let mut draw = match &recipe {
            Some(recipe) if matches!(recipe.data.source, DataSource::Tasks(_)) => {
                ProblemDraw::of(&recipe.data, problems, self.seed)?
            }
            _ if self.tasks.is_empty() => {
                return Err(Usage::new("name tasks with --tasks, or a recipe of tasks with --recipe").into());
            }
            // Nothing is known of training: all problems are as good as any.
            _ => {
                warn(UNKNOWN_TRAINING, Verbosity::Normal);
                ProblemDraw { mixture: Vec::new(), held_out: ALL, problems, seed: self.seed }
            }
        };
        if !self.tasks.is_empty() {
            draw.mixture.clone_from(&self.tasks);
        }
        Ok((draw, depth))
    }
}

/// Which problems the training of a model has never seen, and its tasks; where nothing is known of it, all problems are as
/// good as any.
pub(crate) fn held_out_of(directory: &ModelDirectory) -> anyhow::Result<(HeldOut, Vec<TaskMix>)> {
    let beside = directory.path().join(RECIPE_FILE);
    if beside.exists() {
        let recipe = TrainConfig::read(beside, &[])?;
        if matches!(recipe.data.source, DataSource::Tasks(_)) {
            let draw = ProblemDraw::of(&recipe.data, 1, 0)?;
            return Ok((draw.held_out, draw.mixture));
        }
    }
    warn(UNKNOWN_TRAINING, Verbosity::Normal);
    Ok((ALL, Vec::new()))
}

const UNKNOWN_TRAINING: &str = "no recipe says what this model was trained on: it may have seen these problems";

/// Every problem is on the side that is asked for.
const ALL: HeldOut = HeldOut { seed: 0, share: 1.0 };

/// The problems an exit is chosen on: none of those that an evaluation of as many would draw. Where few are held out, the two
/// share them.
pub(crate) fn calibration_set(draw: &ProblemDraw) -> depthscale_train::Result<ProblemSet> {
    let evaluated = ProblemDraw { seed: !draw.seed, ..draw.clone() };
    let (_, set) = ProblemSet::draw(&evaluated)?.apart(ProblemSet::draw(draw)?);
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_with_their_difficulties() {
        let found = |text| task_mix(text).map(|mix| (mix.task.name(), mix.difficulties.min, mix.difficulties.max));
        assert_eq!(found("p-hop:2-4"), Ok(("p-hop", 2, 4)));
        assert_eq!(found("addition:3"), Ok(("addition", 3, 3)));
        assert_eq!(found("boolean"), Ok(("boolean", 1, 10)));
        assert!(found("p-hop:x").is_err_and(|error| error.contains("MIN-MAX")));
        assert!(found("adition").is_err_and(|error| error.contains("addition")));
    }
}
