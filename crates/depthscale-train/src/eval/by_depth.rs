//! Every depth in one pass.

use burn::tensor::backend::Backend;
use depthscale_decoder::{RecurrentDecoder, UnrollOptions};

use super::scores::{Graded, grade};
use crate::data::Batch;
use crate::error::Result;

/// How a sequence was predicted at each depth, from 1 on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SequenceScores {
    /// Whether every prediction that counts was right: greedy decoding at this depth then gives exactly the answer.
    pub correct: Vec<bool>,
    /// The mean cross entropy of these predictions, in nats.
    pub loss: Vec<f64>,
}

/// Scores every sequence of a batch at every depth from 1 to `max_depth`, in one pass over the recurrences. All tokens are
/// fed at once, each after the right ones before it.
///
/// # Errors
/// If a sequence does not fit the model, or the device fails.
pub fn score_by_depth<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    batch: &Batch,
    max_depth: usize,
) -> Result<Vec<SequenceScores>> {
    let graded = grade_by_depth(decoder, batch, max_depth, UnrollOptions::default())?;
    let mut scores = vec![SequenceScores::default(); batch.len()];
    for at_depth in &graded {
        for (score, graded) in scores.iter_mut().zip(at_depth) {
            score.correct.push(graded.is_exact());
            score.loss.push(graded.loss / graded.tokens as f64);
        }
    }
    Ok(scores)
}

/// The same by depth, then sequence, with random initial states of one's choice.
pub(super) fn grade_by_depth<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    batch: &Batch,
    max_depth: usize,
    options: UnrollOptions,
) -> Result<Vec<Vec<Graded>>> {
    let inputs: Vec<&[u32]> = batch.inputs.iter().map(Vec::as_slice).collect();
    let mut unrolled = decoder.unroll(&inputs, options)?;
    let rows = unrolled.sequences().flat_map(|(at, range)| batch.rows[at].iter().map(move |row| range.start + row));
    let rows: Vec<usize> = rows.collect();
    let step = |_| {
        decoder.unroll_step(&mut unrolled);
        grade(decoder.unroll_logits(&mut unrolled, &rows), &batch.targets)
    };
    (0..max_depth).map(step).collect()
}
