//! What a language model would answer after each step.

use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_types::{Evidence, ExitPolicy, KvRetention, TokenTrace};

use crate::block::RecurrentBlock;
use crate::cache::{Phase, SequenceOptions};
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::exit::{BuiltinCriterion, ExitCriterion, ExitRule, StepView};
use crate::read::{read, read_indices};
use crate::run::{Feed, LogitRows, RunOptions};

/// The next token a model would choose after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hypothesis {
    /// The step, counted from 1.
    pub step: usize,
    /// The most likely token read out after it.
    pub token: u32,
    /// Its probability.
    pub probability: f32,
    /// The refinement metric: the relative change of the state, or the one the policy watches.
    pub metric: f32,
}

/// How the last token of a prompt was thought over.
#[derive(Debug, Clone, PartialEq)]
pub struct Reasoned {
    /// One hypothesis a step.
    pub hypotheses: Vec<Hypothesis>,
    /// The record of its recurrences.
    pub trace: TokenTrace,
}

impl<B: Backend, K: Module<B> + RecurrentBlock<B>> RecurrentDecoder<B, K> {
    /// Reads a prompt and reads out a hypothesis for the next token after every step of its last token, until the policy
    /// is satisfied; under a criterion of logits, after every check. The earlier tokens exit under the same policy.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn reason(&self, prompt: &[u32], policy: &ExitPolicy, retention: KvRetention) -> Result<Reasoned> {
        let Some((&last, before)) = prompt.split_last() else { return Err(DecoderError::EmptyPrompt) };
        let reserve = prompt.len().min(self.config().max_positions);
        let mut cache = self.new_sequence(SequenceOptions { reserve, retention, ..SequenceOptions::default() })?;
        let rule = ExitRule::new(policy)?;
        self.check_applicable(&rule)?;
        if !before.is_empty() {
            let mut feeds = [Feed {
                cache: &mut cache,
                tokens: before,
                phase: Phase::Prompt,
                logits: LogitRows::None,
                initial_state: None,
            }];
            self.run(&mut feeds, &mut RunOptions::new(&rule))?;
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let probe = Probe {
            inner: BuiltinCriterion::new(policy),
            metric: BuiltinCriterion::metric_of(policy),
            seen: seen.clone(),
        };
        let watches_logits = rule.evidence() == Evidence::Logits;
        let probed = ExitRule::with_criterion(probe, policy)?;
        // A criterion of logits compares one check with the next; any other leaves every step to be read out.
        let rule = if watches_logits { probed } else { probed.evaluated_always() };
        let mut feeds = [Feed {
            cache: &mut cache,
            tokens: &[last],
            phase: Phase::Prompt,
            logits: LogitRows::Last,
            initial_state: None,
        }];
        let output = self.run(&mut feeds, &mut RunOptions::new(&rule))?;
        let trace = output.feeds.into_iter().flat_map(|feed| feed.traces).next();
        let trace = trace.unwrap_or_else(|| unreachable!("one token was fed"));
        let hypotheses = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
        Ok(Reasoned { hypotheses, trace })
    }
}

/// Looks at the logits of every step beside what a criterion looks at.
struct Probe {
    inner: BuiltinCriterion,
    metric: BuiltinCriterion,
    seen: Arc<Mutex<Vec<Hypothesis>>>,
}

impl<B: Backend> ExitCriterion<B> for Probe {
    fn name(&self) -> String {
        ExitCriterion::<B>::name(&self.inner)
    }

    fn evidence(&self) -> Evidence {
        Evidence::Logits
    }

    fn values(&self, view: &StepView<'_, B>) -> Option<Tensor<B, 1>> {
        if let (Some(logits), Ok(mut seen)) = (view.logits, self.seen.lock()) {
            let p = burn::tensor::activation::softmax(logits.clone(), 1);
            let (probability, token) = p.max_dim_with_indices(1);
            // A device that fails here fails the run as well, which then says so.
            let first = |values: Result<Vec<f32>>| values.ok().and_then(|values| values.first().copied());
            let token = read_indices(token).ok().and_then(|tokens| tokens.first().copied());
            seen.push(Hypothesis {
                step: view.step,
                token: token.unwrap_or_default() as u32,
                probability: first(read(probability)).unwrap_or(f32::NAN),
                metric: self.metric.values(view).and_then(|metric| first(read(metric))).unwrap_or(f32::NAN),
            });
        }
        self.inner.values(view)
    }

    fn is_satisfied(&self, value: f32) -> bool {
        ExitCriterion::<B>::is_satisfied(&self.inner, value)
    }
}
