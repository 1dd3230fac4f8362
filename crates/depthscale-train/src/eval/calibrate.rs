//! The search for a threshold.

use burn::tensor::backend::Backend;
use depthscale_decoder::RecurrentDecoder;
use depthscale_types::{Criterion, DecoderConfig, Error, ExitPolicy};

use super::calibration::{Calibration, CalibrationOutcome, TaskCalibration, Trial};
use super::exits::{ExitEvaluation, evaluate};
use super::ladder::{applicable_criteria, between, threshold_ladder};
use super::problem_set::ProblemSet;
use super::progress::{EvaluationProgress, Reporting};
use crate::error::{Result, TrainError};

/// What a calibration looks for.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationOptions {
    /// The criteria to choose from. Of two that save as much the earlier one is taken.
    pub criteria: Vec<Criterion>,
    /// The full depth: the last step.
    pub max_steps: usize,
    /// The first step after which a token may exit.
    pub min_steps: usize,
    /// Points of accuracy, of 100, that may be lost against full depth, overall and on every task.
    pub tolerated_loss: f64,
}

impl CalibrationOptions {
    /// All criteria a model has, at its own depth, within one point.
    pub fn of(config: &DecoderConfig) -> Self {
        Self { criteria: applicable_criteria(config), max_steps: config.depth, min_steps: 1, tolerated_loss: 1.0 }
    }

    /// Checks every field; the error names the field, the value and what is allowed.
    ///
    /// # Errors
    /// If one holds a value that is not allowed.
    pub fn validate(&self) -> Result<()> {
        let require = |holds: bool, field: &str, value: String, allowed: &str| {
            if holds { Ok(()) } else { Err(TrainError::Evaluation(Error::invalid(field, value, allowed))) }
        };
        let criteria = &self.criteria;
        require(!criteria.is_empty(), "criteria", "empty".into(), "must name at least one")?;
        let fixed = criteria.contains(&Criterion::Fixed);
        require(!fixed, "criteria", "fixed".into(), "must have thresholds: fixed has none to calibrate")?;
        super::depths::require_depth("max_steps", self.max_steps)?;
        let reachable = (1..=self.max_steps).contains(&self.min_steps);
        require(reachable, "min_steps", self.min_steps.to_string(), "must be from 1 to max_steps")?;
        let loss = self.tolerated_loss;
        require((0.0..=100.0).contains(&loss), "tolerated_loss", loss.to_string(), "must be from 0 to 100 points")
    }

    fn policy(&self, criterion: Criterion, threshold: f64) -> ExitPolicy {
        let (min_steps, max_steps) = (self.min_steps, Some(self.max_steps));
        ExitPolicy { threshold, min_steps, max_steps, ..ExitPolicy::new(criterion) }
    }
}

/// How often the gap between what is within the tolerance and what is not is halved.
const HALVINGS: usize = 4;

/// Two depths closer than this are worth no search between them.
const SAME_DEPTH: f64 = 1e-3;

/// Looks for the policy of the lowest mean depth whose accuracy is within the tolerated loss of full depth, overall and on
/// every task: the worst task decides.
///
/// Accuracy at full depth is measured first. For each criterion every threshold of its
/// [ladder](super::threshold_ladder) is run; then the gap between the best rung within the tolerance and the next looser
/// one, which is not, is halved four times. A gap whose loose end goes deeper than what is best already is left
/// out. Where no threshold saves steps within the tolerance, the result is full depth and says so.
///
/// The mean depth counts recurrences of all tokens; readouts at checks, which criteria of logits pay for, are not in it.
/// The best of many thresholds looks better than it is on the problems that chose it: measure on others, see
/// [`ProblemSet::apart`]. On a task with fewer than `100 / tolerated_loss` problems one more miss is too many, and what
/// is rarer than one in so many is not seen; several hundred for each task are a start. A difficulty that the set lacks
/// is not looked after.
///
/// # Errors
/// If the options are not valid, a criterion looks at what the model lacks, or as [`evaluate_exit`](super::evaluate_exit).
pub fn calibrate<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    set: &ProblemSet,
    options: &CalibrationOptions,
    progress: &mut dyn FnMut(EvaluationProgress),
) -> Result<Calibration> {
    options.validate()?;
    let rungs = |&criterion: &Criterion| threshold_ladder(criterion, options.max_steps).len() + HALVINGS;
    let runs = 1 + options.criteria.iter().map(rungs).sum::<usize>();
    let mut reporting = Reporting::new(set.len().saturating_mul(runs), progress);
    let full = evaluate(decoder, set, &ExitPolicy::fixed(options.max_steps), &mut reporting)?;
    let mut run = |policy: &ExitPolicy| evaluate(decoder, set, policy, &mut reporting);
    let mut search = Search { options, full: &full, tried: Vec::new(), best: None, run: &mut run };
    for &criterion in &options.criteria {
        search.criterion(criterion)?;
    }
    let Search { tried, best, .. } = search;
    reporting.finish();
    let outcome = if best.is_some() { CalibrationOutcome::ExitsEarly } else { CalibrationOutcome::FullDepth };
    let found = best.as_ref().unwrap_or(&full);
    let task = |(found, full): (&super::TaskExits, &super::TaskExits)| TaskCalibration {
        task: found.task.clone(),
        full_accuracy: full.exits.scores.accuracy.share,
        accuracy: found.exits.scores.accuracy.share,
        mean_depth: found.exits.mean_depth,
    };
    Ok(Calibration {
        policy: found.policy.clone(),
        outcome,
        tolerated_loss: options.tolerated_loss,
        full_depth: options.max_steps,
        full_accuracy: full.overall.scores.accuracy.share,
        accuracy: found.overall.scores.accuracy.share,
        mean_depth: found.overall.mean_depth,
        problems: set.len(),
        tasks: found.tasks.iter().zip(&full.tasks).map(task).collect(),
        tried,
        set: set.summary(),
    })
}

/// The search under way. What runs a policy is behind a function, so that the search knows no tensors.
struct Search<'s> {
    options: &'s CalibrationOptions,
    full: &'s ExitEvaluation,
    tried: Vec<Trial>,
    best: Option<ExitEvaluation>,
    run: &'s mut dyn FnMut(&ExitPolicy) -> Result<ExitEvaluation>,
}

impl Search<'_> {
    fn criterion(&mut self, criterion: Criterion) -> Result<()> {
        let ladder = threshold_ladder(criterion, self.options.max_steps);
        let rungs = ladder.iter().map(|&threshold| self.try_out(criterion, threshold)).collect::<Result<Vec<_>>>()?;
        let within = (0..rungs.len()).filter(|&at| self.is_within(&rungs[at]));
        // Of equally deep ones the loosest, next to which the gap begins.
        let best = within.rev().min_by(|&a, &b| rungs[a].mean_depth.total_cmp(&rungs[b].mean_depth));
        let Some(at) = best else { return Ok(()) };
        let Some(loose) = rungs.get(at + 1) else { return Ok(()) };
        let (mut strict, mut loose) = (rungs[at], *loose);
        for _ in 0..HALVINGS {
            let reached = self.best.as_ref().map_or(f64::INFINITY, |best| best.overall.mean_depth);
            let gap = strict.mean_depth.min(reached) - loose.mean_depth;
            let middle = between(criterion, strict.threshold, loose.threshold);
            let Some(middle) = middle.filter(|_| gap > SAME_DEPTH) else { break };
            let tried = self.try_out(criterion, middle)?;
            if self.is_within(&tried) {
                strict = tried;
            } else {
                loose = tried;
            }
        }
        Ok(())
    }

    fn try_out(&mut self, criterion: Criterion, threshold: f64) -> Result<Trial> {
        let evaluation = (self.run)(&self.options.policy(criterion, threshold))?;
        let trial = Trial {
            criterion,
            threshold,
            accuracy: evaluation.overall.scores.accuracy.share,
            mean_depth: evaluation.overall.mean_depth,
            worst_loss: worst_loss(&evaluation, self.full),
        };
        self.tried.push(trial);
        if self.is_within(&trial) && self.best.as_ref().is_none_or(|best| is_better(&evaluation, best)) {
            self.best = Some(evaluation);
        }
        Ok(trial)
    }

    /// Whether a trial loses no more than is tolerated and saves steps.
    fn is_within(&self, trial: &Trial) -> bool {
        // What is worked out from shares is a rounding away from the points it stands for.
        trial.worst_loss <= self.options.tolerated_loss + 1e-9 && trial.mean_depth < self.full.overall.mean_depth
    }
}

/// Points of accuracy lost by the worst task or overall.
fn worst_loss(found: &ExitEvaluation, full: &ExitEvaluation) -> f64 {
    let of = |found: &super::ExitScores, full: &super::ExitScores| {
        100.0 * (full.scores.accuracy.share - found.scores.accuracy.share)
    };
    let tasks = found.tasks.iter().zip(&full.tasks).map(|(found, full)| of(&found.exits, &full.exits));
    tasks.fold(of(&found.overall, &full.overall), f64::max)
}

/// Whether a policy saves more than the best one so far, or as much at a higher accuracy.
fn is_better(found: &ExitEvaluation, best: &ExitEvaluation) -> bool {
    let key = |evaluation: &ExitEvaluation| (evaluation.overall.mean_depth, -evaluation.overall.scores.accuracy.share);
    key(found) < key(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Counted, ExitReasons, ExitScores, Proportion, Scores, TaskExits};

    /// What two tasks of a thousand problems each give: their right answers, and the mean depth of all.
    fn evaluation(policy: &ExitPolicy, right: [usize; 2], mean_depth: f64) -> ExitEvaluation {
        let exits = |right, of| {
            let accuracy = Proportion::new(right, of);
            let scores = Scores { accuracy, token_accuracy: accuracy, loss: None };
            ExitScores { scores, tokens: of, mean_depth, answer_depth: mean_depth }
        };
        let task = |task: &str, right| TaskExits { task: task.into(), exits: exits(right, 1000) };
        ExitEvaluation {
            policy: policy.clone(),
            full_depth: 4,
            counted: Counted::Problems,
            overall: exits(right[0] + right[1], 2000),
            steps_saved: 1.0 - mean_depth / 4.0,
            tokens_by_depth: Vec::new(),
            reasons: ExitReasons::default(),
            tasks: vec![task("easy", right[0]), task("hard", right[1])],
            groups: Vec::new(),
        }
    }

    /// The thresholds tried and the best of them, where the hard task has so many right answers at a threshold and tokens
    /// go as deep as it says.
    fn search(hard: &dyn Fn(f64) -> usize, depth: &dyn Fn(f64) -> f64) -> (Vec<f64>, Option<f64>) {
        let options =
            CalibrationOptions { criteria: vec![Criterion::QExit], max_steps: 4, min_steps: 1, tolerated_loss: 1.0 };
        let full = evaluation(&ExitPolicy::fixed(4), [1000, 900], 4.0);
        let mut run = |policy: &ExitPolicy| {
            assert_eq!((policy.max_steps, policy.min_steps), (Some(4), 1));
            Ok(evaluation(policy, [1000, hard(policy.threshold)], depth(policy.threshold)))
        };
        let mut search = Search { options: &options, full: &full, tried: Vec::new(), best: None, run: &mut run };
        search.criterion(Criterion::QExit).expect("searches");
        let best = search.best.map(|best| best.policy.threshold);
        (search.tried.iter().map(|trial| trial.threshold).collect(), best)
    }

    #[test]
    fn the_gap_next_to_the_best_rung_is_halved() {
        // From 0.46 on the hard task loses a point, which is tolerated; below it two, which over both tasks are one.
        let (tried, best) =
            search(&|threshold| if threshold >= 0.46 { 890 } else { 880 }, &|threshold| 4.0 * threshold);
        // 0.5 is the best rung. 0.45 is not within, 0.475 is, 0.463 is, 0.457 is not; of three digits each.
        assert_eq!(tried.len(), 11 + HALVINGS);
        assert_eq!(tried[11..13], [0.45, 0.475]);
        assert!(best.is_some_and(|best| (0.46..0.465).contains(&best)), "{best:?}");
    }

    #[test]
    fn the_loosest_rung_has_no_gap() {
        let (tried, best) = search(&|_| 900, &|threshold| 1.0 + threshold);
        assert_eq!((tried.len(), best), (11, Some(0.1)));
    }

    #[test]
    fn without_a_saving_or_within_no_tolerance_nothing_is_found() {
        assert_eq!(search(&|_| 900, &|_| 4.0).1, None);
        assert_eq!(search(&|_| 889, &|threshold| 1.0 + threshold).1, None);
    }
}
