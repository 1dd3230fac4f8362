//! What a training step computes.

use depthscale_types::{CacheDtype, DecoderConfig, WeightFormat, WorkQuery};

use crate::data::Batch;
use crate::recipe::{DepthDraw, LossKind};

/// Floating-point operations of the matrix products and attention of a step over a batch: the forward pass once for every
/// step, and twice as much again for the gradients of the steps that are recorded. The head counts at the predictions that
/// are read out; a coda or cross-decoder counts once, however many steps are read out. Norms, activations and the optimizer are
/// not counted.
pub fn training_flops(config: &DecoderConfig, batch: &Batch, draws: &[DepthDraw], loss: &LossKind) -> u64 {
    let head = 2 * (config.vocab_size * config.d_model) as u64;
    let of = |((input, targets), draw): ((&Vec<u32>, &Vec<u32>), &DepthDraw)| {
        let forward = |depth| {
            let (tokens, chunk) = (input.len(), input.len());
            let query = WorkQuery {
                context: 0,
                tokens,
                batch: 1,
                depth,
                chunk,
                weights: WeightFormat::F32,
                caches: CacheDtype::F32,
            };
            config.work(&query).flops
        };
        let one = forward(1);
        let step = forward(2) - one;
        // One row of the head is among what is counted outside the steps.
        let outside = one - step - head;
        let heads = targets.len() as u64 * head;
        let (free, tracked) = (draw.free as u64, draw.tracked as u64);
        match loss {
            LossKind::LastStep => free * step + 3 * (tracked * step + outside + heads),
            LossKind::EveryStep(_) | LossKind::ExpectedExit(_) => {
                free * step + 3 * (tracked * (step + heads) + outside)
            }
            // Nothing but the gate is recorded.
            LossKind::GateOnly(_) => (free + tracked) * (step + heads) + outside,
        }
    };
    batch.inputs.iter().zip(&batch.targets).zip(draws).map(of).sum()
}

#[cfg(test)]
mod tests {
    use depthscale_decoder::Published;

    use super::*;

    #[test]
    fn a_step_by_hand() {
        // One layer of width 4: query, key, value, output of 16 elements each, three matrices of 4 x 8 for the feed-forward
        // part: 160 elements, 320 operations a row and step. Attention over two rows: 1 + 2 keys, 2 products of width 4, each
        // two operations: 48 a step. Head: 5 x 4, 40 operations a prediction.
        let text = r#"{"model_type": "ouro", "vocab_size": 5, "hidden_size": 4, "num_hidden_layers": 1,
            "num_attention_heads": 1, "intermediate_size": 8, "max_position_embeddings": 8}"#;
        let config = Published::parse(text, "config.json").expect("a config").config;
        let batch = Batch { inputs: vec![vec![1, 2]], rows: vec![vec![1]], targets: vec![vec![3]] };
        let draws = [DepthDraw { free: 3, tracked: 2 }];
        let step = 2 * 320 + 48;
        let last = training_flops(&config, &batch, &draws, &LossKind::LastStep);
        assert_eq!(last, 3 * step + 3 * (2 * step + 40));
        let every = training_flops(&config, &batch, &draws, &LossKind::EveryStep(Default::default()));
        assert_eq!(every, 3 * step + 3 * (2 * step + 2 * 40));
        let gate = training_flops(&config, &batch, &draws, &LossKind::GateOnly(Default::default()));
        assert_eq!(gate, 5 * (step + 40));
    }
}
