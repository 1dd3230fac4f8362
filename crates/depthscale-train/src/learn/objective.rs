//! The loss of a batch over the depths its sequences were given.

use std::collections::BTreeMap;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor};
use depthscale_decoder::{Block, RecurrentDecoder, UnrollOptions};
use depthscale_kernels::cross_entropy;

use super::expected::ExpectedExit;
use super::gate::gate_objective;
use super::rows::CountedRows;
use crate::data::Batch;
use crate::error::Result;
use crate::recipe::{DepthDraw, LossConfig, LossKind};

/// A decoder with gradients, and the same without.
pub struct Learner<'d, B: AutodiffBackend> {
    /// With gradients.
    pub decoder: &'d RecurrentDecoder<B>,
    /// Without.
    pub valid: &'d RecurrentDecoder<B::InnerBackend>,
}

/// What is to be minimised, and what was seen on the way.
pub struct Objective<B: AutodiffBackend> {
    /// The objective: a sum over the predictions that count, each times its share.
    pub loss: Tensor<B, 1>,
    pub(super) seen: Seen<B::InnerBackend>,
}

/// The cross entropy of each prediction, and the depth it was read out at.
pub(super) struct Seen<B: Backend>(Vec<(Tensor<B, 1>, Vec<usize>)>);

/// Cross entropies by depth: their sum in nats, and their number.
pub type LossByDepth = BTreeMap<usize, (f64, usize)>;

impl<B: Backend> Seen<B> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn note(&mut self, losses: Tensor<B, 1>, depths: Vec<usize>) {
        self.0.push((losses, depths));
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// The objective's value, and the cross entropies by depth; waits for the device.
    pub fn read(self) -> (f64, LossByDepth) {
        let mut by_depth = LossByDepth::new();
        for (losses, depths) in self.seen.0 {
            for (loss, depth) in losses.into_data().iter::<f32>().zip(depths) {
                let (sum, n) = by_depth.entry(depth).or_default();
                *sum += f64::from(loss);
                *n += 1;
            }
        }
        (self.loss.into_scalar().elem(), by_depth)
    }
}

impl<B: AutodiffBackend> Learner<'_, B> {
    /// The loss of a batch whose sequences take the steps drawn for them: `draw.free` that are not recorded, so that memory
    /// does not grow with their number, then `draw.tracked` through which gradients flow. `share` is the weight of a
    /// prediction: one over their number in the whole training step.
    ///
    /// # Errors
    /// If a sequence does not fit the model.
    ///
    /// # Panics
    /// If there is not one draw for each sequence, or the loss needs an exit gate and the model has none.
    pub fn objective(
        &self,
        batch: &Batch,
        draws: &[DepthDraw],
        loss: &LossConfig,
        options: UnrollOptions,
        share: f64,
    ) -> Result<Objective<B>> {
        assert_eq!(draws.len(), batch.len(), "one draw for each sequence");
        if let LossKind::GateOnly(settings) = &loss.kind {
            return gate_objective(self, batch, draws, settings, options, share);
        }
        let (decoder, device) = (self.decoder, self.decoder.device());
        let inputs: Vec<&[u32]> = batch.inputs.iter().map(Vec::as_slice).collect();
        let mut unrolled = decoder.unroll(&inputs, options)?;
        let free: Vec<usize> = draws.iter().map(|draw| draw.free).collect();
        unrolled.run_free::<Block<B>>(self.valid, &free);
        let tracked = draws.iter().map(|draw| draw.tracked).max().unwrap_or(0);
        let mut total = Tensor::<B, 1>::zeros([1], &device);
        let mut seen = Seen::new();
        let mut expected = ExpectedExit::new();
        for step in 1..=tracked {
            unrolled.retain(|sequence| draws[sequence].tracked >= step);
            decoder.unroll_step(&mut unrolled);
            let ends = |sequence: usize| draws[sequence].tracked == step;
            let last_only = loss.kind == LossKind::LastStep;
            let counted = CountedRows::of(batch, &unrolled, |sequence| !last_only || ends(sequence));
            if counted.rows.is_empty() {
                continue;
            }
            let logits = decoder.unroll_logits(&mut unrolled, &counted.rows);
            let losses = cross_entropy(logits.clone(), &counted.targets);
            let depths = counted.sequences.iter().map(|&sequence| draws[sequence].free + step).collect();
            seen.note(losses.clone().inner(), depths);
            let losses = match loss.z_loss {
                0.0 => losses,
                factor => losses + log_partition(logits).square() * factor,
            };
            total = total
                + match &loss.kind {
                    LossKind::LastStep => losses.sum(),
                    LossKind::EveryStep(settings) => {
                        let weight = |sequence: usize| {
                            let DepthDraw { free, tracked } = draws[sequence];
                            settings.weights.weights(free, tracked)[step - 1]
                        };
                        (losses * counted.values(&device, weight)).sum()
                    }
                    LossKind::ExpectedExit(settings) => {
                        let states = unrolled.state().clone().select(0, counted.index(&device));
                        let gate = decoder.exit_gate_logits(states);
                        let gate = gate.unwrap_or_else(|| panic!("an expected exit needs an exit gate"));
                        expected.add(losses, gate, &counted, draws, step, settings.entropy)
                    }
                    LossKind::GateOnly(_) => unreachable!("has a path of its own"),
                };
        }
        Ok(Objective { loss: total * share, seen })
    }
}

/// `ln sum_i e^logit_i` of every row.
fn log_partition<B: Backend>(logits: Tensor<B, 2>) -> Tensor<B, 1> {
    let largest = logits.clone().max_dim(1).detach();
    let sums = (logits - largest.clone()).exp().sum_dim(1);
    (sums.log() + largest).squeeze_dim(1)
}
