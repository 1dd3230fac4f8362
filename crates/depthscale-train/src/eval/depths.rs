//! Accuracy and loss by depth.

use burn::tensor::backend::Backend;
use depthscale_decoder::RecurrentDecoder;
use depthscale_types::exit::MOST_STEPS;
use serde::{Deserialize, Serialize};

use super::by_depth::grade_by_depth;
use super::portions::Portion;
use super::problem_set::{ProblemGroup, ProblemSet};
use super::progress::{EvaluationProgress, Reporting};
use super::scores::{Scores, Tally};
use super::set_summary::Counted;
use crate::error::{Result, TrainError};

/// How right a model is at every depth from 1 on, every token at the same depth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthEvaluation {
    /// What accuracy counts.
    pub counted: Counted,
    /// The deepest depth.
    pub max_depth: usize,
    /// Over all problems.
    pub overall: Vec<DepthScores>,
    /// By task, over all its problems.
    pub tasks: Vec<TaskDepths>,
    /// By task and difficulty.
    pub groups: Vec<GroupDepths>,
}

/// Scores at one depth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthScores {
    /// The depth, counted from 1.
    pub depth: usize,
    /// The scores there.
    pub scores: Scores,
}

/// Scores of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDepths {
    /// Its name.
    pub task: String,
    /// Its scores by depth.
    pub by_depth: Vec<DepthScores>,
}

/// Scores of one task at one difficulty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupDepths {
    /// The task's name.
    pub task: String,
    /// The difficulty.
    pub difficulty: u32,
    /// The scores by depth.
    pub by_depth: Vec<DepthScores>,
}

/// Scores a set at every depth from 1 to `max_depth`, which may be beyond the depth trained at.
///
/// Answers are fed, not generated: that all their tokens are the most likely ones is that greedy decoding gives them.
/// Random initial states follow from a problem's place among those of the set, the shorter ones first.
///
/// # Errors
/// If the set is empty, the depth is 0 or absurd, a problem does not fit the model, or the device fails.
pub fn evaluate_depths<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    set: &ProblemSet,
    max_depth: usize,
    progress: &mut dyn FnMut(EvaluationProgress),
) -> Result<DepthEvaluation> {
    require_problems(set)?;
    require_depth("max_depth", max_depth)?;
    let mut reporting = Reporting::new(set.len(), progress);
    let mut tallies = vec![vec![Tally::default(); max_depth]; set.groups.len()];
    for portion in Portion::of(set, decoder.config().vocab_size) {
        let graded = grade_by_depth(decoder, &portion.batch, max_depth, portion.unroll_options())?;
        for (at, graded) in graded.iter().enumerate() {
            for (&problem, graded) in portion.problems.iter().zip(graded) {
                tallies[set.problems[problem].group][at].add(graded);
            }
        }
        reporting.add(portion.problems.len());
    }
    let sum = |of: &dyn Fn(&ProblemGroup) -> bool| {
        let mut total = vec![Tally::default(); max_depth];
        for (_, own) in set.groups.iter().zip(&tallies).filter(|(group, _)| of(group)) {
            total.iter_mut().zip(own).for_each(|(total, own)| *total += *own);
        }
        by_depth(&total, set.counted)
    };
    let task = |task: String| TaskDepths { by_depth: sum(&|group| group.task == task), task };
    let group = |(group, own): (&ProblemGroup, &Vec<Tally>)| GroupDepths {
        task: group.task.clone(),
        difficulty: group.difficulty,
        by_depth: by_depth(own, set.counted),
    };
    Ok(DepthEvaluation {
        counted: set.counted,
        max_depth,
        overall: sum(&|_| true),
        tasks: task_names(&set.groups).into_iter().map(task).collect(),
        groups: set.groups.iter().zip(&tallies).map(group).collect(),
    })
}

fn by_depth(tallies: &[Tally], counted: Counted) -> Vec<DepthScores> {
    let at = |(at, tally): (usize, &Tally)| DepthScores { depth: at + 1, scores: tally.scores(counted) };
    tallies.iter().enumerate().map(at).collect()
}

/// The tasks of some groups, each once, in their order.
pub(super) fn task_names(groups: &[ProblemGroup]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for group in groups {
        if !names.contains(&group.task) {
            names.push(group.task.clone());
        }
    }
    names
}

/// That there is something to measure on.
pub(super) fn require_problems(set: &ProblemSet) -> Result<()> {
    if set.is_empty() { Err(TrainError::NothingToEvaluate) } else { Ok(()) }
}

/// That a depth is one a model may be given.
pub(super) fn require_depth(field: &str, depth: usize) -> Result<()> {
    if (1..=MOST_STEPS).contains(&depth) {
        return Ok(());
    }
    let allowed = format!("must be from 1 to {MOST_STEPS}");
    Err(TrainError::Evaluation(depthscale_types::Error::invalid(field, depth, allowed)))
}
