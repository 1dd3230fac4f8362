//! Weights in fewer bits.

use burn::tensor::backend::Backend;
use depthscale_decoder::build::RandomParameters;
use depthscale_decoder::{
    DecoderError, ExitRule, Feed, LogitRows, ModelDirectory, ParameterSource, Phase, RecurrentDecoder, RunOptions,
    SequenceOptions,
};
use depthscale_kernels::{PackedWeight, keeps_packed};
use depthscale_types::{DecoderConfig, ParameterSpec, WeightFormat};

use crate::{Site, fixture};

/// Where the backend keeps packed weights, a decoder computes with them what it computes with the same numbers as f32: for
/// one row, a few and many, and for the looked-up embedding. Elsewhere they are refused with an error.
///
/// # Panics
/// With what differed.
pub fn packed_equal_the_same_numbers<B: Backend>(site: &Site<B>) {
    for name in ["ouro-gqa", "huginn-111", "yoco-swa", "yoco-gret"] {
        let config = ModelDirectory::open(&fixture(name)).expect("the fixture opens").config().clone();
        for weights in [WeightFormat::F16, WeightFormat::Bf16, WeightFormat::Q8, WeightFormat::Q4] {
            let random = RandomParameters::new(&config, 5);
            let mut packed = random.clone().with_weights(weights);
            let built = RecurrentDecoder::<B>::build(config.clone(), &mut packed, &site.device);
            if !keeps_packed::<B>() {
                let error = built.map(drop).expect_err("the backend does not keep them");
                assert!(matches!(error, DecoderError::UnsupportedWeights { .. }), "{error}");
                continue;
            }
            let built = built.expect("builds");
            assert_eq!(built.weights(), weights);
            let mut same = Rounded { random, weights };
            let plain = RecurrentDecoder::<B>::build(config.clone(), &mut same, &site.device).expect("builds");
            let tokens: Vec<u32> = (0..40).map(|at| (at * 7 % config.vocab_size) as u32).collect();
            for pieces in [vec![40], vec![33, 6, 1], vec![20, 1, 19]] {
                let (found, expected) = (logits(&built, &tokens, &pieces), logits(&plain, &tokens, &pieces));
                let largest = expected.iter().fold(0.0f64, |largest, logit| largest.max(f64::from(logit.abs())));
                for (found, expected) in found.iter().zip(&expected) {
                    let difference = f64::from((found - expected).abs()) / (1.0 + largest);
                    assert!(difference <= site.tolerance.repeated(), "{name} {weights} {pieces:?}: {found} {expected}");
                }
            }
        }
    }
}

/// Random parameters after they were packed and unpacked.
struct Rounded {
    random: RandomParameters,
    weights: WeightFormat,
}

impl ParameterSource for Rounded {
    fn values(&mut self, parameter: &ParameterSpec) -> depthscale_decoder::Result<Vec<f32>> {
        let values = self.random.values(parameter)?;
        Ok(match parameter.kept_in(self.weights) {
            WeightFormat::F32 => values,
            format => {
                let shape = [parameter.shape[0], parameter.shape[1]];
                PackedWeight::pack(format, shape, &values).expect("small values").unpack()
            }
        })
    }
}

/// The logits of all tokens after the config's depth, fed in pieces.
fn logits<B: Backend>(decoder: &RecurrentDecoder<B>, tokens: &[u32], pieces: &[usize]) -> Vec<f32> {
    let config: &DecoderConfig = decoder.config();
    let rule = ExitRule::fixed(config.depth);
    let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
    let (mut logits, mut rest) = (Vec::new(), tokens);
    for &piece in pieces {
        let (tokens, after) = rest.split_at(piece);
        rest = after;
        let phase = if piece == 1 { Phase::Generation } else { Phase::Prompt };
        let mut feeds = [Feed { cache: &mut cache, tokens, phase, logits: LogitRows::All, initial_state: None }];
        let output = decoder.run(&mut feeds, &mut RunOptions::new(&rule)).expect("runs");
        let of_piece = output.feeds.into_iter().find_map(|feed| feed.logits).expect("asked for");
        logits.extend(of_piece.into_data().iter::<f32>());
    }
    logits
}
