//! The loss of a predicted distribution.

use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{FloatDType, Int, Tensor, TensorData};

/// `-ln softmax(logits)[target]` of every row, in nats.
///
/// # Shapes
/// - logits: `[rows, vocab_size]`, cast to f32
/// - targets: one token id for each row
/// - output: `[rows]`, f32
///
/// # Panics
/// If there is not one target for each row, or one is not below `vocab_size`.
pub fn cross_entropy<B: Backend>(logits: Tensor<B, 2>, targets: &[u32]) -> Tensor<B, 1> {
    let logits = logits.cast(FloatDType::F32);
    let [rows, vocab_size] = logits.dims();
    assert!(targets.len() == rows, "{} targets for {rows} rows", targets.len());
    assert!(targets.iter().all(|&target| (target as usize) < vocab_size), "targets are below {vocab_size}");
    #[cfg(feature = "flex")]
    let logits = match crate::fused::apply(fast::CrossEntropy { targets: targets.into() }, [logits]) {
        Ok(losses) => return losses.squeeze_dim(1),
        Err([logits]) => logits,
    };
    let device = logits.device();
    let targets: Vec<i64> = targets.iter().map(|&target| i64::from(target)).collect();
    let targets = Tensor::<B, 2, Int>::from_data(TensorData::new(targets, [rows, 1]), &device);
    log_softmax(logits, 1).gather(1, targets).neg().squeeze_dim(1)
}

#[cfg(feature = "flex")]
mod fast {
    use std::sync::Arc;

    use crate::fused::{Fused, Matrix};
    use crate::vector::{exp, fill_both, fill_rows, task_rows};

    #[derive(Debug, Clone)]
    pub(super) struct CrossEntropy {
        pub(super) targets: Arc<[u32]>,
    }

    impl Fused<1> for CrossEntropy {
        /// Keeps the log of each row's sum of exponentials.
        fn forward(&self, [logits]: [Matrix<'_>; 1]) -> (Vec<f32>, [usize; 2], Vec<f32>) {
            let rows = logits.rows();
            let (mut losses, mut sums) = (vec![0.0; rows], vec![0.0; rows]);
            let piece = task_rows(logits.columns);
            fill_both(
                (&mut losses, piece),
                (&mut sums, piece),
                #[inline(always)]
                |at, losses, sums| {
                    for (row, (loss, log_sum)) in losses.iter_mut().zip(sums).enumerate() {
                        let row = at * piece + row;
                        let logits = logits.row(row);
                        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                        let mut sum = 0.0;
                        for logit in logits {
                            sum += exp(logit - largest);
                        }
                        *log_sum = largest + sum.ln();
                        *loss = *log_sum - logits[self.targets[row] as usize];
                    }
                },
            );
            (losses, [rows, 1], sums)
        }

        /// `softmax(logits) - 1[target]`, times the gradient of the loss.
        fn backward(&self, [logits]: [Matrix<'_>; 1], sums: &[f32], upstream: &[f32]) -> [Option<Vec<f32>>; 1] {
            let mut gradient = vec![0.0; logits.values.len()];
            fill_rows(
                &mut gradient,
                logits.columns,
                #[inline(always)]
                |row, gradient| {
                    for (gradient, logit) in gradient.iter_mut().zip(logits.row(row)) {
                        *gradient = upstream[row] * exp(logit - sums[row]);
                    }
                    gradient[self.targets[row] as usize] -= upstream[row];
                },
            );
            [Some(gradient)]
        }
    }
}
