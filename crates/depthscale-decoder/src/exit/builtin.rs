//! The criteria that come with the crate.

use burn::tensor::activation::{log_softmax, sigmoid};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, FloatDType, Tensor};
use depthscale_types::{Criterion, Evidence, ExitPolicy, Metric};

use super::{ExitCriterion, StepView};

/// A criterion named by an [`ExitPolicy`], with its threshold. The formulas stand at [`Criterion`]; states, logits and
/// gates are taken to f32 first.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltinCriterion {
    policy: ExitPolicy,
}

/// The entropy before the first check, which no distribution reaches.
const ENTROPY_BEFORE_FIRST: f64 = 100.0;

/// Share of the largest probability below which min-p KL masks.
const MIN_P: f64 = 0.1;

impl BuiltinCriterion {
    /// The criterion of a policy.
    pub fn new(policy: &ExitPolicy) -> Self {
        Self { policy: policy.clone() }
    }

    /// The metric a policy watches: cosine distance where its criterion does, else the relative change.
    pub(crate) fn metric_of(policy: &ExitPolicy) -> Self {
        let metric = match policy.criterion {
            Criterion::Cosine | Criterion::MetricDiff(Metric::Cosine) => Criterion::Cosine,
            _ => Criterion::LatentDiff,
        };
        Self { policy: ExitPolicy::new(metric) }
    }
}

impl<B: Backend> ExitCriterion<B> for BuiltinCriterion {
    fn name(&self) -> String {
        self.policy.criterion.to_string()
    }

    fn evidence(&self) -> Evidence {
        self.policy.criterion.evidence()
    }

    fn values(&self, view: &StepView<'_, B>) -> Option<Tensor<B, 1>> {
        match self.policy.criterion {
            Criterion::Fixed => None,
            Criterion::LatentDiff => Some(latent_diff(view.state, view.previous)),
            Criterion::Cosine => Some(cosine_distance(view.state, view.previous)),
            Criterion::Acceleration => {
                view.before_previous.map(|before| acceleration(view.state, view.previous, before))
            }
            Criterion::MetricDiff(metric) => {
                view.before_previous.map(|before| metric_diff(metric, view.state, view.previous, before))
            }
            Criterion::QExit => view.gate.map(|gate| cumulative_exit(gate, view)),
            Criterion::EntropyDiff => view.logits.map(|now| entropy_diff(now, view.previous_logits)),
            Criterion::Kl => view.logits.map(|now| kl(now, view.previous_logits, log_probabilities)),
            Criterion::MinpKl => view.logits.map(|now| kl(now, view.previous_logits, masked_log_probabilities)),
            Criterion::ArgmaxStability => view.logits.map(|now| argmax_run(now, view)),
        }
    }

    fn is_satisfied(&self, value: f32) -> bool {
        self.policy.satisfied_by(f64::from(value))
    }
}

fn f32_of<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> Tensor<B, D> {
    tensor.clone().cast(FloatDType::F32)
}

/// Euclidean norm of every row, `[rows]`.
fn norm<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 1> {
    (x.clone() * x).sum_dim(1).sqrt().squeeze_dim(1)
}

fn latent_diff<B: Backend>(state: &Tensor<B, 2>, previous: &Tensor<B, 2>) -> Tensor<B, 1> {
    let (state, previous) = (f32_of(state), f32_of(previous));
    relative(norm(state.clone() - previous), state)
}

/// A length relative to that of the state, which is bounded from below: a state of zeros that stays has not changed.
fn relative<B: Backend>(length: Tensor<B, 1>, state: Tensor<B, 2>) -> Tensor<B, 1> {
    length / norm(state).clamp_min(1e-12)
}

fn cosine_distance<B: Backend>(state: &Tensor<B, 2>, previous: &Tensor<B, 2>) -> Tensor<B, 1> {
    let (state, previous) = (f32_of(state), f32_of(previous));
    let product = (state.clone() * previous.clone()).sum_dim(1).squeeze_dim(1);
    // Norms are bounded from below as the published code's library bounds them: a zero state is at distance 1.
    let norms = norm(state).clamp_min(1e-8) * norm(previous).clamp_min(1e-8);
    (product / norms).neg() + 1.0
}

fn acceleration<B: Backend>(state: &Tensor<B, 2>, previous: &Tensor<B, 2>, before: &Tensor<B, 2>) -> Tensor<B, 1> {
    let (state, previous, before) = (f32_of(state), f32_of(previous), f32_of(before));
    let change = (state.clone() - previous.clone()) - (previous - before);
    relative(norm(change), state)
}

fn metric_diff<B: Backend>(
    metric: Metric,
    state: &Tensor<B, 2>,
    previous: &Tensor<B, 2>,
    before: &Tensor<B, 2>,
) -> Tensor<B, 1> {
    let metric = match metric {
        Metric::LatentDiff => latent_diff,
        Metric::Cosine => cosine_distance,
    };
    (metric(state, previous) - metric(previous, before)).abs()
}

/// `c_t = c_{t-1} + sigmoid(gate) (1 - c_{t-1})`. The last step takes what is left, whatever its gate says.
fn cumulative_exit<B: Backend>(gate: &Tensor<B, 1>, view: &StepView<'_, B>) -> Tensor<B, 1> {
    let hazard = sigmoid(f32_of(gate));
    match view.previous_value {
        None => hazard,
        Some(previous) => previous.clone() + hazard * (previous.clone().neg() + 1.0),
    }
}

fn log_probabilities<B: Backend>(logits: &Tensor<B, 2>) -> Tensor<B, 2> {
    log_softmax(f32_of(logits), 1)
}

/// Log probabilities after those below a share of the largest became `1 / vocab_size` and the whole was renormalised.
fn masked_log_probabilities<B: Backend>(logits: &Tensor<B, 2>) -> Tensor<B, 2> {
    let probabilities = log_probabilities(logits).exp();
    let vocab_size = probabilities.dims()[1];
    let floor = probabilities.clone().max_dim(1) * MIN_P;
    let masked = probabilities.clone().lower(floor.expand(probabilities.dims()));
    let probabilities = probabilities.mask_fill(masked, 1.0 / vocab_size as f64);
    (probabilities.clone() / probabilities.sum_dim(1)).log()
}

fn entropy<B: Backend>(logits: &Tensor<B, 2>) -> Tensor<B, 1> {
    let log_p = log_probabilities(logits);
    (log_p.clone().exp() * log_p).sum_dim(1).neg().squeeze_dim(1)
}

fn entropy_diff<B: Backend>(logits: &Tensor<B, 2>, previous: Option<&Tensor<B, 2>>) -> Tensor<B, 1> {
    match previous {
        Some(previous) => (entropy(logits) - entropy(previous)).abs(),
        None => (entropy(logits) - ENTROPY_BEFORE_FIRST).abs(),
    }
}

/// `KL(previous || now)`; a uniform distribution stands before the first.
fn kl<B: Backend>(
    logits: &Tensor<B, 2>,
    previous: Option<&Tensor<B, 2>>,
    log_p: impl Fn(&Tensor<B, 2>) -> Tensor<B, 2>,
) -> Tensor<B, 1> {
    let now = log_p(logits);
    let previous = match previous {
        Some(previous) => log_p(previous),
        None => now.full_like(-(now.dims()[1] as f64).ln()),
    };
    (previous.clone().exp() * (previous - now)).sum_dim(1).squeeze_dim(1)
}

/// How many checks in a row have had the most likely token of the check before; 0 at the first.
fn argmax_run<B: Backend>(logits: &Tensor<B, 2>, view: &StepView<'_, B>) -> Tensor<B, 1> {
    let top = |logits: &Tensor<B, 2>| logits.clone().argmax(1).squeeze_dim::<1>(1);
    match (view.previous_logits, view.previous_value) {
        (Some(previous), Some(run)) => {
            let same = top(logits).equal(top(previous)).float().cast(FloatDType::F32);
            same * (run.clone() + 1.0)
        }
        _ => Tensor::zeros([logits.dims()[0]], (&logits.device(), DType::F32)),
    }
}
