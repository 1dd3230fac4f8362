//! The reasoning loop: one block applied again and again to a state until it has converged.
//!
//! [`ReasoningLoop`] loops any [`RecurrentBlock`], a user's own transformer among them, over a state of the user's making:
//! [`step`](ReasoningLoop::step) is one recurrence, [`refine`](ReasoningLoop::refine) goes on until the exit policy is
//! satisfied. A [`Block`](crate::Block) of the crate can be looped too, its rotary positions left out: a bare state has
//! none. Weights and state stay the same size however many steps are taken. The decision is one for the whole state:
//! metric and exit value are means over its rows. Language models decide for each token instead, see
//! [`RecurrentDecoder::run`](crate::RecurrentDecoder::run) and
//! [`RecurrentDecoder::reason`](crate::RecurrentDecoder::reason).

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_types::{Evidence, ExitPolicy, KvRetention, ReasoningState, StepReport};

use crate::block::RecurrentBlock;
use crate::cache::{CacheLayout, Phase, Place, SequenceCache, SequenceOptions};
use crate::error::{DecoderError, Result};
use crate::exit::{BuiltinCriterion, ExitCriterion, ExitRule, RowProgress, StepView};
use crate::read::read;
use crate::run::{BlockContext, History, Keys, RowSet};

/// Loops a block until its state has converged.
pub struct ReasoningLoop<B: Backend, K: RecurrentBlock<B>> {
    block: K,
    rule: ExitRule<B>,
    metric: BuiltinCriterion,
    max_steps: usize,
}

/// A state being refined: the data of the loop and the tensors beside it.
pub struct Reasoning<B: Backend> {
    /// The record of every step.
    pub state: ReasoningState,
    history: History<B>,
    progress: RowProgress,
    cache: SequenceCache<B>,
}

impl<B: Backend> Reasoning<B> {
    /// `[rows, d_model]`: the present state.
    pub fn tensor(&self) -> &Tensor<B, 2> {
        &self.history.state
    }
}

impl<B: Backend, K: RecurrentBlock<B>> ReasoningLoop<B, K> {
    /// A loop around a block under an exit policy, whose `max_steps` must be given. The metric that is recorded is the
    /// relative change of the state ([`depthscale_types::Criterion::LatentDiff`]) unless the policy watches another.
    ///
    /// # Errors
    /// If the policy is not valid, has no `max_steps`, or looks at a gate or logits, which a bare block does not have.
    pub fn new(block: K, policy: &ExitPolicy) -> Result<Self> {
        Self::with_rule(block, ExitRule::new(policy)?, policy)
    }

    /// The same with a criterion of one's own, under the steps, checks and patience of the policy.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_criterion(block: K, criterion: impl ExitCriterion<B> + 'static, policy: &ExitPolicy) -> Result<Self> {
        Self::with_rule(block, ExitRule::with_criterion(criterion, policy)?, policy)
    }

    fn with_rule(block: K, rule: ExitRule<B>, policy: &ExitPolicy) -> Result<Self> {
        let Some(max_steps) = policy.max_steps else {
            let error = depthscale_types::Error::invalid("max_steps", "absent", "a reasoning loop needs a last step");
            return Err(DecoderError::Invalid(error));
        };
        let needs = match rule.evidence() {
            Evidence::Nothing | Evidence::State => None,
            Evidence::Gate => Some("an exit gate"),
            Evidence::Logits => Some("a readout"),
        };
        if let Some(needs) = needs {
            return Err(DecoderError::CriterionNotApplicable { criterion: rule.criterion().name(), needs });
        }
        Ok(Self { block, rule, metric: BuiltinCriterion::metric_of(policy), max_steps })
    }

    /// A state before its first step.
    ///
    /// # Shapes
    /// - initial: `[rows, d_model]`
    pub fn begin(&self, input: impl Into<String>, initial: Tensor<B, 2>) -> Reasoning<B> {
        let layout =
            CacheLayout { prelude: Vec::new(), core: vec![self.block.slot()], readout: Vec::new(), heads: Vec::new() };
        let rows = initial.dims()[0];
        // Every step overwrites the keys of the one before, so that the memory stays constant.
        let options = SequenceOptions { reserve: rows, retention: KvRetention::Shared, ..SequenceOptions::default() };
        Reasoning {
            state: ReasoningState::new(input),
            history: History::new(initial, self.block.memory()),
            progress: RowProgress::default(),
            cache: SequenceCache::new(options, rows, layout),
        }
    }

    /// One recurrence: the next state, `[rows, d_model]`, and its report with the refinement metric.
    ///
    /// # Errors
    /// If the state is not finite after it, or the device fails.
    pub fn step(&self, reasoning: &mut Reasoning<B>) -> Result<(Tensor<B, 2>, StepReport)> {
        let step = reasoning.state.steps() + 1;
        let next = self.apply(step, reasoning)?;
        let history = &mut reasoning.history;
        let view = StepView {
            step,
            max_steps: self.max_steps,
            state: &next,
            previous: &history.state,
            before_previous: history.previous.as_ref(),
            gate: None,
            logits: None,
            previous_logits: None,
            previous_value: history.value.as_ref(),
        };
        let metric = self.metric.values(&view).map(mean).transpose()?.unwrap_or(f32::NAN);
        let values = self.rule.criterion().values(&view);
        let exit_value = values.clone().map(mean).transpose()?.filter(|value| value.is_finite());
        history.value = values;
        if !read(next.clone().sum())?.iter().all(|sum| sum.is_finite()) {
            return Err(DecoderError::NonFiniteState { step });
        }
        let converged = exit_value.is_some_and(|value| self.rule.exits(step, value, &mut reasoning.progress));
        history.advance(next.clone());
        let report = StepReport { step, metric, exit_value, converged };
        reasoning.state.record(report.clone(), None);
        Ok((next, report))
    }

    /// Steps until the policy is satisfied or the last step is taken.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn refine(&self, reasoning: &mut Reasoning<B>) -> Result<()> {
        while !reasoning.state.converged && reasoning.state.steps() < self.max_steps {
            self.step(reasoning)?;
        }
        Ok(())
    }

    fn apply(&self, step: usize, reasoning: &mut Reasoning<B>) -> Result<Tensor<B, 2>> {
        let state = reasoning.history.state.clone();
        let rows = RowSet::whole(&[(0, state.dims()[0])], &state.device());
        reasoning.cache.begin(state.dims()[0], Phase::Prompt)?;
        let mut context = BlockContext {
            place: Place::Core { step },
            layer: 0,
            rows: &rows,
            keys: Keys::Cached(&mut [&mut reasoning.cache]),
            slot: self.block.slot(),
            angles: None,
            memory: &reasoning.history.bank,
            written: false,
        };
        let next = self.block.forward(state, &mut context);
        // The rows stay where they are: the next step writes the same positions again.
        reasoning.cache.abandon();
        Ok(next)
    }
}

fn mean<B: Backend>(values: Tensor<B, 1>) -> Result<f32> {
    Ok(read(values.mean())?.first().copied().unwrap_or(f32::NAN))
}
