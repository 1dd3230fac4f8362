//! Ouro's loss over a learned distribution of exits (arXiv 2510.25741, stage I).

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::backend::Backend;

use super::rows::CountedRows;
use crate::recipe::DepthDraw;

/// `sum_t p_t L_t - beta H(p)` for each prediction, one step after the other:
/// `p_t = sigmoid(g_t) prod_{i<t} (1 - sigmoid(g_i))`, and the last step takes what is left.
pub(super) struct ExpectedExit<B: Backend> {
    /// The log of the probability of not having exited, for each row still recurring.
    survival: Option<Tensor<B, 1>>,
}

impl<B: Backend> ExpectedExit<B> {
    pub(super) fn new() -> Self {
        Self { survival: None }
    }

    /// What a step adds: the sum over its rows of `p L + beta p ln p`. Steps that were not recorded have no part in `p`.
    pub(super) fn add(
        &mut self,
        losses: Tensor<B, 1>,
        gate: Tensor<B, 1>,
        counted: &CountedRows,
        draws: &[DepthDraw],
        step: usize,
        beta: f64,
    ) -> Tensor<B, 1> {
        let device = losses.device();
        let going_on = counted.values(&device, |sequence| if draws[sequence].tracked > step { 1.0 } else { 0.0 });
        let survival = self.survival.take().unwrap_or_else(|| losses.zeros_like());
        let log_p = survival.clone() + log_sigmoid(gate.clone()) * going_on;
        let p = log_p.clone().exp();
        if draws.iter().any(|draw| draw.tracked > step) {
            let survival = survival + log_sigmoid(gate.neg());
            self.survival = Some(survival.select(0, counted.staying(draws, step, &device)));
        }
        (p * (losses + log_p * beta)).sum()
    }
}
