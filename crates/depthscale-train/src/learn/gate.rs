//! Training the exit gate alone (Ouro, arXiv 2510.25741, stage II).

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::backend::AutodiffBackend;
use depthscale_decoder::UnrollOptions;
use depthscale_kernels::cross_entropy;

use super::objective::{Learner, Objective, Seen};
use super::rows::CountedRows;
use crate::data::Batch;
use crate::error::Result;
use crate::recipe::{DepthDraw, GateOnlyConfig};

/// The gate's probability of going on after step `t - 1` is held by binary cross entropy to
/// `w_t = sigmoid(slope (max(0, L_{t-1} - L_t) - threshold))`, a mean over the steps from 2 on. Nothing but the gate is
/// recorded.
pub(super) fn gate_objective<B: AutodiffBackend>(
    learner: &Learner<'_, B>,
    batch: &Batch,
    draws: &[DepthDraw],
    settings: &GateOnlyConfig,
    options: UnrollOptions,
    share: f64,
) -> Result<Objective<B>> {
    let (decoder, valid) = (learner.decoder, learner.valid);
    let device = decoder.device();
    let inputs: Vec<&[u32]> = batch.inputs.iter().map(Vec::as_slice).collect();
    let mut unrolled = valid.unroll(&inputs, options)?;
    let mut total = Tensor::<B, 1>::zeros([1], &device);
    let mut seen = Seen::new();
    // Losses and gates after the step before, for the rows still there.
    let mut before: Option<(Tensor<B::InnerBackend, 1>, Tensor<B, 1>)> = None;
    let deepest = draws.iter().map(DepthDraw::depth).max().unwrap_or(0);
    // All steps count alike here, recorded or not.
    let draws: Vec<_> = draws.iter().map(|draw| DepthDraw { free: 0, tracked: draw.depth() }).collect();
    for step in 1..=deepest {
        unrolled.retain(|sequence| draws[sequence].tracked >= step);
        valid.unroll_step(&mut unrolled);
        let counted = CountedRows::of(batch, &unrolled, |_| true);
        let losses = cross_entropy(valid.unroll_logits(&mut unrolled, &counted.rows), &counted.targets);
        seen.note(losses.clone(), vec![step; counted.rows.len()]);
        if let Some((earlier, gate)) = before.take() {
            let gain = (earlier - losses.clone()).clamp_min(0.0);
            let go_on = Tensor::from_inner(sigmoid((gain - settings.gain_threshold) * settings.gain_slope));
            let weight = counted.values(&device, |sequence| 1.0 / (draws[sequence].tracked - 1) as f64);
            let exit = go_on.clone().neg() + 1.0;
            let likelihood = go_on * log_sigmoid(gate.clone().neg()) + exit * log_sigmoid(gate);
            total = total - (likelihood * weight).sum();
        }
        if step < deepest {
            let staying = counted.staying(&draws, step, &device);
            let states = unrolled.state().clone().select(0, counted.index(&device)).select(0, staying.clone());
            let gate = decoder.exit_gate_logits(Tensor::from_inner(states));
            let gate = gate.unwrap_or_else(|| panic!("training the exit gate needs one"));
            before = Some((losses.select(0, staying), gate));
        }
    }
    Ok(Objective { loss: total * share, seen })
}
