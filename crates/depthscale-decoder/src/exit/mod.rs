//! When a token stops: exit criteria.
//!
//! [`ExitCriterion`] is the trait, a few lines to implement for a rule of one's own; [`BuiltinCriterion`] holds the
//! published ones. Criteria keep nothing themselves: what they compare is handed to them in a [`StepView`], which follows
//! the rows as tokens exit. An [`ExitRule`] adds when to check and how often in a row a check must be satisfied.

mod builtin;
mod rule;

pub use builtin::BuiltinCriterion;
pub use rule::ExitRule;
pub(crate) use rule::RowProgress;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_types::Evidence;

/// What a criterion sees after a step, for the rows still active.
#[derive(Debug)]
pub struct StepView<'a, B: Backend> {
    /// The step, counted from 1.
    pub step: usize,
    /// The last step there will be.
    pub max_steps: usize,
    /// `[rows, d_model]`: the state after this step.
    pub state: &'a Tensor<B, 2>,
    /// The state after the step before; the initial state at step 1.
    pub previous: &'a Tensor<B, 2>,
    /// The state two steps before; `None` at step 1.
    pub before_previous: Option<&'a Tensor<B, 2>>,
    /// `[rows]`: the exit gate on the state before its sigmoid, for criteria that look at [`Evidence::Gate`].
    pub gate: Option<&'a Tensor<B, 1>>,
    /// `[rows, vocab_size]`, for criteria that look at [`Evidence::Logits`].
    pub logits: Option<&'a Tensor<B, 2>>,
    /// The logits at the check before; `None` at the first.
    pub previous_logits: Option<&'a Tensor<B, 2>>,
    /// `[rows]`: the value this criterion gave when it was last evaluated; `None` the first time.
    pub previous_value: Option<&'a Tensor<B, 1>>,
}

/// A rule that tells from a token's states, gate or logits whether it has converged.
///
/// ```
/// use burn::tensor::{Tensor, backend::Backend};
/// use depthscale_decoder::{ExitCriterion, StepView};
/// use depthscale_types::Evidence;
///
/// /// Stops once no element of the state moved by more than the threshold.
/// struct LargestMove(f32);
///
/// impl<B: Backend> ExitCriterion<B> for LargestMove {
///     fn name(&self) -> String {
///         "largest-move".into()
///     }
///     fn evidence(&self) -> Evidence {
///         Evidence::State
///     }
///     fn values(&self, view: &StepView<'_, B>) -> Option<Tensor<B, 1>> {
///         Some((view.state.clone() - view.previous.clone()).abs().max_dim(1).squeeze_dim(1))
///     }
///     fn is_satisfied(&self, value: f32) -> bool {
///         value < self.0
///     }
/// }
/// ```
pub trait ExitCriterion<B: Backend>: Send + Sync {
    /// Its name in traces and errors.
    fn name(&self) -> String;

    /// What it looks at.
    fn evidence(&self) -> Evidence;

    /// The exit value of every row, `[rows]`; `None` where it is not defined yet.
    fn values(&self, view: &StepView<'_, B>) -> Option<Tensor<B, 1>>;

    /// Whether a value lets its token exit. Called with finite values only.
    fn is_satisfied(&self, value: f32) -> bool;
}
