//! Whether a backend computes a loaded decoder the same with a cache as without.

use burn::module::Module;
use burn::tensor::backend::Backend;
use depthscale_types::ComputeDtype;

use crate::block::RecurrentBlock;
use crate::cache::{Phase, SequenceOptions};
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::exit::ExitRule;
use crate::read::read;
use crate::run::{Feed, LogitRows, RunOptions};
use crate::verify::{GPU_F32_TOLERANCE, rounding_tolerance};

/// Tokens of the text that is computed twice: short texts have come out right where long ones did not.
const TOKENS: usize = 300;
/// How many of them are fed one by one in the second run.
const ONE_BY_ONE: usize = 10;
/// Steps at most: what is looked for shows at few, and rounding grows with many.
const STEPS: usize = 2;

impl<B: Backend, K: Module<B> + RecurrentBlock<B>> RecurrentDecoder<B, K> {
    /// Computes a text of 300 tokens, or as many as the model has positions, at once and again in pieces, some of a single
    /// token, and compares the logits of the last.
    ///
    /// On a backend that works they agree. It is meant for backends of which wrong results are reported, such as those that
    /// fuse operations.
    ///
    /// # Errors
    /// If the logits differ by more than rounding explains, or the device fails.
    pub fn check_cached_decoding(&self) -> Result<()> {
        let length = TOKENS.min(self.config.max_positions);
        let tokens: Vec<u32> = (0..length).map(|at| ((at * 13 + at / 7) % self.config.vocab_size) as u32).collect();
        let whole = self.last_logits(&[&tokens])?;
        let (first, rest) = tokens.split_at(length / 3);
        let (second, rest) = rest.split_at(length / 2);
        let (single, last) = rest.split_at(rest.len().min(ONE_BY_ONE));
        let pieces: Vec<&[u32]> = [first, second].into_iter().chain(single.chunks(1)).chain([last]).collect();
        compare(&self.last_logits(&pieces)?, &whole, self.tolerance())
    }

    fn last_logits(&self, pieces: &[&[u32]]) -> Result<Vec<f32>> {
        let rule = ExitRule::fixed(self.steps());
        let mut cache = self.new_sequence(SequenceOptions::default())?;
        let mut last = Vec::new();
        for tokens in pieces.iter().filter(|tokens| !tokens.is_empty()) {
            let phase = if tokens.len() == 1 { Phase::Generation } else { Phase::Prompt };
            let mut feeds = [Feed { cache: &mut cache, tokens, phase, logits: LogitRows::Last, initial_state: None }];
            let output = self.run(&mut feeds, &mut RunOptions::new(&rule))?;
            let logits = output.feeds.into_iter().find_map(|feed| feed.logits);
            last = logits.map(read).transpose()?.unwrap_or_default();
        }
        Ok(last)
    }

    fn steps(&self) -> usize {
        self.config.depth.min(STEPS)
    }

    /// Above what another order of summation does, below what wrong results were seen to do.
    fn tolerance(&self) -> f64 {
        match self.dtype() {
            ComputeDtype::F32 => GPU_F32_TOLERANCE,
            dtype => rounding_tolerance(dtype, self.steps()),
        }
    }
}

fn compare(cached: &[f32], whole: &[f32], tolerance: f64) -> Result<()> {
    let largest = whole.iter().fold(0.0f64, |largest, logit| largest.max(f64::from(logit.abs())));
    let differences = cached.iter().zip(whole).map(|(a, b)| f64::from((a - b).abs()));
    // What is not a number is as far off as can be.
    let differences = differences.map(|difference| if difference.is_nan() { f64::INFINITY } else { difference });
    let difference = differences.fold(0.0, f64::max) / (1.0 + largest);
    if difference <= tolerance && cached.len() == whole.len() {
        return Ok(());
    }
    Err(DecoderError::CachedDecodingDiffers { difference, tolerance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_passes_and_other_logits_do_not() {
        // 1 + 3 is the scale: 0.04 of it is 0.16.
        assert!(compare(&[1.0, 3.01], &[1.0, 3.0], 1e-2).is_ok());
        let error = compare(&[1.16, 3.0], &[1.0, 3.0], 1e-2).expect_err("0.16 of 4").to_string();
        assert!(error.contains("4.0e-2"), "{error}");
        assert!(compare(&[f32::NAN, 3.0], &[1.0, 3.0], 1e-2).is_err());
        assert!(compare(&[], &[1.0], 1e-2).is_err());
    }

    #[test]
    fn a_backend_that_works_passes() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        for name in ["ouro-arith", "huginn-242", "yoco-swa", "yoco-gret", "yoco-u-gqa"] {
            let decoder = RecurrentDecoder::<burn_flex::Flex>::open(&fixtures.join(name), &Default::default());
            decoder.expect("opens").check_cached_decoding().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
