//! Whole sequences without caches, as training and evaluation run them.

use burn::tensor::backend::Backend;
use depthscale_decoder::{
    ExitRule, Feed, LogitRows, Phase, RecurrentDecoder, RunOptions, SequenceOptions, UnrollOptions,
};

use crate::{Site, models, relative_difference};

const SEED: u64 = 9;

fn sequences() -> Vec<Vec<u32>> {
    let sequence = |n: usize| (0..n).map(|i| ((i * 13 + n * 5) % models::VOCAB) as u32).collect();
    [6, 1, 9].into_iter().map(sequence).collect()
}

/// Unrolled steps give the logits that a run with caches gives at that depth, for sequences of different lengths together,
/// and losses are those of these logits.
///
/// # Panics
/// With what differed.
pub fn steps_equal_runs<B: Backend>(site: &Site<B>) {
    let sequences = sequences();
    let inputs: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    for (name, config) in models::every_kind() {
        let decoder = RecurrentDecoder::<B>::random(config, 3, &site.device).expect("builds");
        let options = UnrollOptions { seed: SEED, ..UnrollOptions::default() };
        let mut unrolled = decoder.unroll(&inputs, options).expect("unrolls");
        let rows: Vec<usize> = (0..sequences.concat().len()).collect();
        for depth in 1..=2 {
            decoder.unroll_step(&mut unrolled);
            let logits = decoder.unroll_logits(&mut unrolled, &rows);
            let targets: Vec<u32> = rows.iter().map(|row| (row * 7 % models::VOCAB) as u32).collect();
            let losses = depthscale_kernels::cross_entropy(logits.clone(), &targets);
            let losses: Vec<f32> = losses.into_data().iter::<f32>().collect();
            let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
            let difference = relative_difference(&logits, &run(&decoder, &sequences, depth));
            assert!(difference < site.tolerance.repeated(), "{name} at depth {depth}: {difference}");
            let expected: Vec<f32> =
                logits.chunks(models::VOCAB).zip(&targets).map(|(row, &target)| loss(row, target)).collect();
            let difference = relative_difference(&losses, &expected);
            assert!(difference < site.tolerance.repeated(), "{name} at depth {depth}, losses: {difference}");
        }
    }
}

/// `-ln softmax(logits)[target]`, in f64.
fn loss(logits: &[f32], target: u32) -> f32 {
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
    (sum.ln() - f64::from(logits[target as usize])) as f32
}

/// Logits of every token after `depth` steps, sequence after sequence, from runs with caches.
fn run<B: Backend>(decoder: &RecurrentDecoder<B>, sequences: &[Vec<u32>], depth: usize) -> Vec<f32> {
    let rule = ExitRule::fixed(depth);
    let logits = |(id, tokens): (usize, &Vec<u32>)| {
        let options = SequenceOptions { id: id as u64, seed: SEED, ..SequenceOptions::default() };
        let mut cache = decoder.new_sequence(options).expect("a cache");
        let mut feeds =
            [Feed { cache: &mut cache, tokens, phase: Phase::Prompt, logits: LogitRows::All, initial_state: None }];
        let output = decoder.run(&mut feeds, &mut RunOptions::new(&rule)).expect("runs");
        let logits = output.feeds[0].logits.clone().expect("asked for");
        logits.into_data().iter::<f32>().collect::<Vec<_>>()
    };
    sequences.iter().enumerate().flat_map(logits).collect()
}
