//! Evaluating while training.

use burn::tensor::backend::Backend;
use depthscale_decoder::RecurrentDecoder;
use depthscale_types::DecoderConfig;

use super::metrics::{EvaluationMetrics, TaskMetrics};
use crate::error::Result;
use crate::eval::{ProblemDraw, ProblemSet, TaskDepths, evaluate_depths};
use crate::recipe::{DataSource, TrainConfig};

/// Evaluates weights on held-out problems of the recipe's tasks, at every depth.
#[derive(Debug, Clone)]
pub struct Evaluator {
    set: ProblemSet,
    max_depth: usize,
}

/// Seed of the problems on which training is watched; those of an evaluation afterwards are others.
const SEED: u64 = 0x77a7_c4ed;

impl Evaluator {
    /// The evaluator of a recipe; `None` where it asks for no evaluation or names no tasks.
    ///
    /// # Errors
    /// If a task is not known, or none of its problems is held out.
    pub fn new(config: &TrainConfig, decoder: &DecoderConfig) -> Result<Option<Self>> {
        if config.evaluation.every == 0 || !matches!(config.data.source, DataSource::Tasks(_)) {
            return Ok(None);
        }
        let set = ProblemSet::draw(&ProblemDraw::of(&config.data, config.evaluation.problems, SEED)?)?;
        Ok(Some(Self { set, max_depth: config.evaluation.max_depth.unwrap_or(decoder.depth) }))
    }

    /// Evaluates weights after a step.
    ///
    /// # Errors
    /// If a problem does not fit the model, or a state stops being finite.
    pub fn evaluate<B: Backend>(&self, step: usize, weights: &RecurrentDecoder<B>) -> Result<EvaluationMetrics> {
        let evaluation = evaluate_depths(weights, &self.set, self.max_depth, &mut |_| {})?;
        Ok(EvaluationMetrics { step, tasks: evaluation.tasks.iter().map(metrics).collect() })
    }
}

fn metrics(task: &TaskDepths) -> TaskMetrics {
    TaskMetrics {
        task: task.task.clone(),
        problems: task.by_depth.first().map_or(0, |first| first.scores.accuracy.of),
        accuracy: task.by_depth.iter().map(|at| at.scores.accuracy.share).collect(),
        loss: task.by_depth.iter().map(|at| at.scores.loss).collect(),
    }
}
