//! A criterion and when it is asked.

use burn::tensor::backend::Backend;
use depthscale_types::{Criterion, Evidence, ExitPolicy, ExitReason, TokenTrace};

use super::{BuiltinCriterion, ExitCriterion};
use crate::error::{DecoderError, Result};

/// A criterion, when it is checked, and how many checks in a row must be satisfied.
pub struct ExitRule<B: Backend> {
    criterion: Box<dyn ExitCriterion<B>>,
    policy: ExitPolicy,
    evaluated: Evaluated,
}

/// After which steps a criterion is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evaluated {
    /// After every step.
    Always,
    /// After those that are checked, and those before the first check that lie on the same grid.
    AtChecks,
    /// Never.
    Never,
}

impl<B: Backend> ExitRule<B> {
    /// The rule of a policy.
    ///
    /// # Errors
    /// If the policy holds a value that is not allowed.
    pub fn new(policy: &ExitPolicy) -> Result<Self> {
        Self::with_criterion(BuiltinCriterion::new(policy), policy)
    }

    /// A criterion of one's own under the steps, checks and patience of a policy, whose own criterion is not used.
    ///
    /// # Errors
    /// If the policy holds a value that is not allowed.
    pub fn with_criterion(criterion: impl ExitCriterion<B> + 'static, policy: &ExitPolicy) -> Result<Self> {
        policy.validate()?;
        // States and gates are cheap: evaluating them always makes the trace whole. Logits cost a readout.
        let evaluated = match criterion.evidence() {
            Evidence::Nothing => Evaluated::Never,
            Evidence::State | Evidence::Gate => Evaluated::Always,
            Evidence::Logits => Evaluated::AtChecks,
        };
        Ok(Self { criterion: Box::new(criterion), policy: policy.clone(), evaluated })
    }

    /// The same rule, but its criterion is evaluated after every step.
    pub(crate) fn evaluated_always(self) -> Self {
        Self { evaluated: Evaluated::Always, ..self }
    }

    /// Exactly `depth` steps.
    pub fn fixed(depth: usize) -> Self {
        let policy = ExitPolicy { max_steps: Some(depth.max(1)), ..ExitPolicy::new(Criterion::Fixed) };
        Self { criterion: Box::new(BuiltinCriterion::new(&policy)), policy, evaluated: Evaluated::Never }
    }

    /// The criterion.
    pub fn criterion(&self) -> &dyn ExitCriterion<B> {
        &*self.criterion
    }

    /// The last step, where the model's own depth is `depth`.
    ///
    /// # Errors
    /// If that is before the first step after which a token may exit.
    pub fn max_steps(&self, depth: usize) -> Result<usize> {
        let max_steps = self.policy.max_steps.unwrap_or(depth);
        if self.evidence() != Evidence::Nothing && self.policy.min_steps > max_steps {
            let allowed = format!("must be at most the depth, which is {max_steps}");
            return Err(DecoderError::Invalid(depthscale_types::Error::invalid(
                "min_steps",
                self.policy.min_steps,
                allowed,
            )));
        }
        Ok(max_steps)
    }

    pub(crate) fn evidence(&self) -> Evidence {
        self.criterion.evidence()
    }

    /// Whether the criterion is evaluated after a step.
    pub(crate) fn evaluates(&self, step: usize) -> bool {
        match self.evaluated {
            Evaluated::Never => false,
            Evaluated::Always => true,
            Evaluated::AtChecks => step % self.policy.check_every == self.policy.min_steps % self.policy.check_every,
        }
    }

    /// What a value after a step means for a token: whether it exits now.
    pub(crate) fn exits(&self, step: usize, value: f32, progress: &mut RowProgress) -> bool {
        if !self.policy.checks(step) {
            return false;
        }
        let satisfied = value.is_finite() && self.criterion.is_satisfied(value);
        progress.satisfied = if satisfied { progress.satisfied + 1 } else { 0 };
        progress.satisfied >= self.policy.patience
    }
}

/// How far a token has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowProgress {
    pub(crate) values: Vec<Option<f32>>,
    satisfied: usize,
    pub(crate) finished: Option<ExitReason>,
}

impl RowProgress {
    /// The record of a token that has finished.
    pub(crate) fn trace(&self, position: usize) -> TokenTrace {
        let reason = self.finished.unwrap_or(ExitReason::DepthReached);
        TokenTrace { position, steps: self.values.len(), values: self.values.clone(), reason }
    }
}
