//! Accuracy and depth under an exit policy.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_decoder::{
    ExitRule, Feed, LogitRows, Phase, RecurrentDecoder, RunOptions, SequenceCache, SequenceOptions,
};
use depthscale_types::{ExitPolicy, ExitReason};
use serde::{Deserialize, Serialize};

use super::depths::{require_depth, require_problems, task_names};
use super::exit_tally::{ExitScores, ExitTally};
use super::portions::{Portion, SEED};
use super::problem_set::{ProblemGroup, ProblemSet};
use super::progress::{EvaluationProgress, Reporting};
use super::scores::{Graded, grade};
use super::set_summary::Counted;
use crate::error::Result;

/// How right a model is under an exit policy, and how deep its tokens go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitEvaluation {
    /// The policy.
    pub policy: ExitPolicy,
    /// The last step it allows.
    pub full_depth: usize,
    /// What accuracy counts.
    pub counted: Counted,
    /// Over all problems.
    pub overall: ExitScores,
    /// Share of the steps of a run at full depth that were not taken, in [0, 1]: `1 - mean_depth / full_depth`.
    pub steps_saved: f64,
    /// Tokens by the steps they took, from 1 on.
    pub tokens_by_depth: Vec<usize>,
    /// Tokens by why they stopped.
    pub reasons: ExitReasons,
    /// By task, over all its problems.
    pub tasks: Vec<TaskExits>,
    /// By task and difficulty.
    pub groups: Vec<GroupExits>,
}

/// Tokens by why they stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitReasons {
    /// The criterion was satisfied.
    pub converged: usize,
    /// The last allowed step was reached.
    pub depth_reached: usize,
}

/// Scores of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskExits {
    /// Its name.
    pub task: String,
    /// Its scores and depths.
    pub exits: ExitScores,
}

/// Scores of one task at one difficulty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupExits {
    /// The task's name.
    pub task: String,
    /// The difficulty.
    pub difficulty: u32,
    /// The scores and depths.
    pub exits: ExitScores,
}

/// Runs a set under an exit policy: every token stops when the policy says so and leaves its keys and values behind, in
/// prompts and in answers, with a slot per step. That is what generating the answers greedily would do, as long as they
/// are right.
///
/// # Errors
/// If the set is empty, the policy is not valid or looks at what the model lacks, a problem does not fit the model, or a
/// state stops being finite.
pub fn evaluate_exit<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    set: &ProblemSet,
    policy: &ExitPolicy,
    progress: &mut dyn FnMut(EvaluationProgress),
) -> Result<ExitEvaluation> {
    evaluate(decoder, set, policy, &mut Reporting::new(set.len(), progress))
}

/// Runs a set under several policies, one after the other; see [`evaluate_exit`] and
/// [`ladder_policies`](super::ladder_policies).
///
/// # Errors
/// As [`evaluate_exit`].
pub fn sweep<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    set: &ProblemSet,
    policies: &[ExitPolicy],
    progress: &mut dyn FnMut(EvaluationProgress),
) -> Result<Vec<ExitEvaluation>> {
    let mut reporting = Reporting::new(set.len().saturating_mul(policies.len()), progress);
    policies.iter().map(|policy| evaluate(decoder, set, policy, &mut reporting)).collect()
}

/// [`evaluate_exit`] as a part of something longer.
pub(super) fn evaluate<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    set: &ProblemSet,
    policy: &ExitPolicy,
    reporting: &mut Reporting<'_>,
) -> Result<ExitEvaluation> {
    require_problems(set)?;
    let rule = ExitRule::new(policy)?;
    let full_depth = rule.max_steps(decoder.config().depth)?;
    require_depth("max_steps", full_depth)?;
    let mut tallies = vec![ExitTally::default(); set.groups.len()];
    let mut tokens_by_depth = vec![0; full_depth];
    let mut reasons = ExitReasons::default();
    for portion in Portion::of(set, decoder.config().vocab_size) {
        let ran = run(decoder, &portion, &rule)?;
        for ((&problem, (graded, traces)), rows) in portion.problems.iter().zip(ran).zip(&portion.batch.rows) {
            let tally = &mut tallies[set.problems[problem].group];
            let steps: Vec<usize> = traces.iter().map(|(steps, _)| *steps).collect();
            tally.add(&graded, &steps, rows);
            for (steps, reason) in traces {
                tokens_by_depth[steps - 1] += 1;
                match reason {
                    ExitReason::Converged => reasons.converged += 1,
                    ExitReason::DepthReached => reasons.depth_reached += 1,
                }
            }
        }
        reporting.add(portion.problems.len());
    }
    let sum = |of: &dyn Fn(&ProblemGroup) -> bool| {
        let mut total = ExitTally::default();
        set.groups.iter().zip(&tallies).filter(|(group, _)| of(group)).for_each(|(_, own)| total += *own);
        total.scores(set.counted)
    };
    let task = |task: String| TaskExits { exits: sum(&|group| group.task == task), task };
    let group = |(group, own): (&ProblemGroup, &ExitTally)| GroupExits {
        task: group.task.clone(),
        difficulty: group.difficulty,
        exits: own.scores(set.counted),
    };
    let overall = sum(&|_| true);
    Ok(ExitEvaluation {
        policy: policy.clone(),
        full_depth,
        counted: set.counted,
        steps_saved: 1.0 - overall.mean_depth / full_depth as f64,
        overall,
        tokens_by_depth,
        reasons,
        tasks: task_names(&set.groups).into_iter().map(task).collect(),
        groups: set.groups.iter().zip(&tallies).map(group).collect(),
    })
}

/// How one sequence was answered, and the steps of each of its tokens with why they ended.
type Ran = (Graded, Vec<(usize, ExitReason)>);

fn run<B: Backend>(decoder: &RecurrentDecoder<B>, portion: &Portion, rule: &ExitRule<B>) -> Result<Vec<Ran>> {
    let batch = &portion.batch;
    let open = |(id, input): (u64, &Vec<u32>)| {
        // A sequence that is too long is told of by the run.
        let reserve = input.len().min(decoder.config().max_positions);
        decoder.new_sequence(SequenceOptions { id, seed: SEED, reserve, ..SequenceOptions::default() })
    };
    let opened = (portion.first_id..).zip(&batch.inputs).map(open);
    let mut caches: Vec<SequenceCache<B>> = opened.collect::<Result<_, _>>()?;
    let feed = |((cache, tokens), rows): ((_, _), &Vec<usize>)| Feed {
        cache,
        tokens,
        phase: Phase::Prompt,
        logits: LogitRows::At(rows.clone()),
        initial_state: None,
    };
    let tokens = batch.inputs.iter().map(Vec::as_slice);
    let mut feeds: Vec<Feed<'_, B>> = caches.iter_mut().zip(tokens).zip(&batch.rows).map(feed).collect();
    let mut options = RunOptions { chunk: portion.rows(), ..RunOptions::new(rule) };
    let output = decoder.run(&mut feeds, &mut options)?;
    let mut logits = Vec::with_capacity(batch.len());
    let mut traces = Vec::with_capacity(batch.len());
    for feed in output.feeds {
        logits.extend(feed.logits);
        traces.push(feed.traces.into_iter().map(|trace| (trace.steps, trace.reason)).collect());
    }
    Ok(grade(Tensor::cat(logits, 0), &batch.targets)?.into_iter().zip(traces).collect())
}
