//! Initial states.

use crate::cache::SequenceOptions;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Standard deviations at which the draws are cut.
const CUT: f64 = 3.0;

/// Truncated normal draws of deviation `std`, cut at three deviations, times `scale`: `[positions, d_model]`.
///
/// A row depends on the seed, the sequence's id and its position alone, and is drawn on the host, so that a token begins
/// in the same state whatever it is batched with and whichever backend runs it.
pub(crate) fn truncated_normal<B: Backend>(
    std: f64,
    scale: f64,
    key: StateKey,
    positions: std::ops::Range<usize>,
    d_model: usize,
    device: &B::Device,
) -> Tensor<B, 2> {
    let rows = positions.len();
    let factor = std * scale;
    let row = |position| {
        let mut rng = key.rng(position);
        (0..d_model).map(move |_| (factor * cut_normal(&mut rng)) as f32)
    };
    let values: Vec<f32> = positions.flat_map(row).collect();
    Tensor::from_data(TensorData::new(values, [rows, d_model]), (device, DType::F32))
}

/// What random initial states depend on beside the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateKey {
    pub(crate) seed: u64,
    pub(crate) sequence: u64,
}

impl StateKey {
    pub(crate) fn of(sequence: SequenceOptions) -> Self {
        Self { seed: sequence.seed, sequence: sequence.id }
    }

    fn rng(self, position: usize) -> ChaCha8Rng {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        seed[16..24].copy_from_slice(&(position as u64).to_le_bytes());
        ChaCha8Rng::from_seed(seed)
    }
}

/// A standard normal draw within the cut, by rejection.
pub(crate) fn cut_normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let draw: f64 = rng.sample(StandardNormal);
        if draw.abs() <= CUT {
            return draw;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_depends_on_its_own_key_alone() {
        type B = burn_flex::Flex;
        let device = Default::default();
        let draw = |seed, sequence, positions| {
            let state = truncated_normal::<B>(1.0, 1.0, StateKey { seed, sequence }, positions, 512, &device);
            state.into_data().to_vec::<f32>().expect("f32")
        };
        let whole = draw(1, 7, 0..4);
        assert_eq!(draw(1, 7, 2..3), whole[1024..1536]);
        assert_ne!(draw(2, 7, 0..4), whole);
        assert_ne!(draw(1, 8, 0..4), whole);
        assert!(whole.iter().all(|x| x.abs() <= 3.0));
        // The deviation of a normal cut at 3 is 0.9866; 2048 draws hold it within a few percent.
        let mean_square = whole.iter().map(|x| f64::from(x * x)).sum::<f64>() / whole.len() as f64;
        assert!((mean_square.sqrt() - 0.9866).abs() < 0.05, "{mean_square}");
    }
}
