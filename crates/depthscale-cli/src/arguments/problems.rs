//! Which held-out problems.

use std::path::PathBuf;

use clap::Args;
use depthscale::decoder::ModelDirectory;
use depthscale_tasks::{Difficulties, HeldOut, TaskMix};
use depthscale_train::data::Examples;
use depthscale_train::eval::{CorpusKind, ProblemDraw, ProblemSet};
use depthscale_train::run::RECIPE_FILE;
use depthscale_train::{DataSource, TrainConfig};

use crate::failure::{Usage, warn};
use crate::progress::{Verbosity, spinner};

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

/// Two parts of the held-out problems, which share none as long as there are enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What a model is measured on.
    Evaluated,
    /// What an exit is chosen on.
    ChosenOn,
}

impl ProblemArguments {
    /// The problems asked for, those of the tasks that are named, else what the recipe has held out; and the mean depth of
    /// training, where it is known.
    pub(crate) fn held_out(
        &self,
        part: Part,
        directory: &ModelDirectory,
        verbosity: Verbosity,
    ) -> anyhow::Result<(ProblemSet, Option<f64>)> {
        let beside = directory.path().join(RECIPE_FILE);
        let path = self.recipe.clone().or_else(|| beside.exists().then_some(beside));
        let recipe = path.map(|path| TrainConfig::read(path, &[])).transpose()?;
        let set = match &recipe {
            Some(recipe) if !matches!(recipe.data.source, DataSource::Tasks(_)) && self.tasks.is_empty() => {
                self.of_corpus(part, recipe, directory, verbosity)?
            }
            _ => {
                let draw = self.draw(recipe.as_ref(), verbosity)?;
                let set = match part {
                    Part::Evaluated => ProblemSet::draw(&draw)?,
                    // Another seed than that of an evaluation draws others.
                    Part::ChosenOn => calibration_set(&ProblemDraw { seed: !draw.seed, ..draw })?,
                };
                set.check_tokenizer(directory.path())?;
                set
            }
        };
        Ok((set, recipe.map(|recipe| recipe.depth.expected_depth())))
    }

    /// Which problems of tasks are drawn.
    fn draw(&self, recipe: Option<&TrainConfig>, verbosity: Verbosity) -> anyhow::Result<ProblemDraw> {
        let problems = self.problems as usize;
        let mut draw = match recipe {
            Some(recipe) if matches!(recipe.data.source, DataSource::Tasks(_)) => {
                ProblemDraw::of(&recipe.data, problems, self.seed)?
            }
            _ if self.tasks.is_empty() => {
                return Err(Usage::new("name tasks with --tasks, or a recipe with --recipe").into());
            }
            // Nothing is known of training: all problems are as good as any.
            _ => {
                warn(UNKNOWN_TRAINING, verbosity);
                ProblemDraw { mixture: Vec::new(), held_out: ALL, problems, seed: self.seed }
            }
        };
        if !self.tasks.is_empty() {
            draw.mixture.clone_from(&self.tasks);
        }
        Ok(draw)
    }

    /// What a recipe has held out of its text or lines. Tokenised text is kept among temporary files.
    fn of_corpus(
        &self,
        part: Part,
        recipe: &TrainConfig,
        directory: &ModelDirectory,
        verbosity: Verbosity,
    ) -> anyhow::Result<ProblemSet> {
        let kind = if matches!(recipe.data.source, DataSource::Text(_)) { CorpusKind::Text } else { CorpusKind::Lines };
        let mut recipe = recipe.clone();
        // The model's own, wherever that of its training was.
        recipe.model.tokenizer = Some(directory.path().to_path_buf());
        let shown = spinner("reading the recipe's files", verbosity);
        let examples = Examples::open(&recipe, Some(directory.path()), &std::env::temp_dir(), &mut |_| {})?;
        drop(shown);
        let Examples::Corpus(corpus) = examples else { unreachable!("text and lines are a corpus") };
        let problems = self.problems as usize;
        let of_seed = |seed| ProblemSet::of_corpus(corpus.as_ref(), kind, problems, seed);
        let (evaluated, chosen_on) = of_seed(self.seed)?.apart(of_seed(!self.seed)?);
        Ok(if part == Part::Evaluated { evaluated } else { chosen_on })
    }
}

/// Which problems the training of a model has never seen, and its tasks; where nothing is known of it, all problems are as
/// good as any.
pub(crate) fn held_out_of(directory: &ModelDirectory, verbosity: Verbosity) -> anyhow::Result<(HeldOut, Vec<TaskMix>)> {
    let beside = directory.path().join(RECIPE_FILE);
    if beside.exists() {
        let recipe = TrainConfig::read(beside, &[])?;
        if matches!(recipe.data.source, DataSource::Tasks(_)) {
            let draw = ProblemDraw::of(&recipe.data, 1, 0)?;
            return Ok((draw.held_out, draw.mixture));
        }
    }
    warn(UNKNOWN_TRAINING, verbosity);
    Ok((ALL, Vec::new()))
}

/// The tasks a model was trained on last, where a recipe beside it says so.
pub(crate) fn tasks_of(directory: &ModelDirectory) -> Vec<TaskMix> {
    let recipe = TrainConfig::read(directory.path().join(RECIPE_FILE), &[]).ok();
    let draw = recipe.and_then(|recipe| ProblemDraw::of(&recipe.data, 1, 0).ok());
    draw.map(|draw| draw.mixture).unwrap_or_default()
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
