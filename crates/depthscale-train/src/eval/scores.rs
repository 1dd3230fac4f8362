//! What is counted of answers, and what follows from the counts.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_decoder::DecoderError;
use depthscale_kernels::cross_entropy;
use serde::{Deserialize, Serialize};

use super::proportion::Proportion;
use super::set_summary::Counted;
use crate::error::Result;

/// How right a model is on some problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Problems answered exactly, or tokens predicted; see [`Counted`].
    pub accuracy: Proportion,
    /// Tokens of answers that are the most likely ones, each after the right ones before it.
    pub token_accuracy: Proportion,
    /// The mean cross entropy over the tokens of all answers, in nats; `None` where logits were not finite.
    pub loss: Option<f64>,
}

/// One answer, graded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Graded {
    pub(super) tokens: usize,
    pub(super) right_tokens: usize,
    /// The sum of cross entropies, in nats.
    pub(super) loss: f64,
}

impl Graded {
    /// Whether every token is right: greedy decoding then gives exactly the answer.
    pub(super) fn is_exact(&self) -> bool {
        self.right_tokens == self.tokens
    }
}

/// Grades answers: `logits` are those of every answer token, `[tokens, vocab_size]`, sequence after sequence. A token
/// whose logits are not finite is wrong.
pub(super) fn grade<B: Backend>(logits: Tensor<B, 2>, targets: &[Vec<u32>]) -> Result<Vec<Graded>> {
    let all = targets.concat();
    let chosen = logits.clone().argmax(1).try_into_data().map_err(device_failed)?;
    let losses = cross_entropy(logits, &all).try_into_data().map_err(device_failed)?;
    let chosen: Vec<i64> = chosen.iter::<i64>().collect();
    let losses: Vec<f32> = losses.iter::<f32>().collect();
    let mut rows = chosen.into_iter().zip(losses);
    let one = |own: &Vec<u32>| {
        let mut graded = Graded { tokens: own.len(), ..Graded::default() };
        for (target, (chosen, loss)) in own.iter().zip(rows.by_ref()) {
            graded.right_tokens += usize::from(loss.is_finite() && chosen == i64::from(*target));
            graded.loss += f64::from(loss);
        }
        graded
    };
    Ok(targets.iter().map(one).collect())
}

fn device_failed(error: impl std::fmt::Display) -> DecoderError {
    DecoderError::Device { message: error.to_string() }
}

/// Counts over problems.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Tally {
    problems: usize,
    exact: usize,
    tokens: usize,
    right_tokens: usize,
    loss: f64,
}

impl Tally {
    pub(super) fn add(&mut self, graded: &Graded) {
        *self += Self {
            problems: 1,
            exact: usize::from(graded.is_exact()),
            tokens: graded.tokens,
            right_tokens: graded.right_tokens,
            loss: graded.loss,
        };
    }

    pub(super) fn scores(&self, counted: Counted) -> Scores {
        let token_accuracy = Proportion::new(self.right_tokens, self.tokens);
        let accuracy = match counted {
            Counted::Problems => Proportion::new(self.exact, self.problems),
            Counted::Tokens => token_accuracy,
        };
        let loss = Some(self.loss / self.tokens as f64).filter(|loss| loss.is_finite());
        Scores { accuracy, token_accuracy, loss }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.problems += other.problems;
        self.exact += other.exact;
        self.tokens += other.tokens;
        self.right_tokens += other.right_tokens;
        self.loss += other.loss;
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use burn_flex::Flex;

    use super::*;

    #[test]
    fn answers_are_graded_by_hand() {
        // Two ids, so that an even row costs ln 2. The second answer's first token is wrong, the third's is not a number.
        let rows = vec![1.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 1.0, f32::NAN, 0.0];
        let logits = Tensor::<Flex, 2>::from_data(TensorData::new(rows, [5, 2]), &Default::default());
        let graded = grade(logits, &[vec![0, 0], vec![0, 1], vec![1]]).expect("graded");
        assert_eq!(graded.iter().map(|one| one.right_tokens).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(graded.iter().map(Graded::is_exact).collect::<Vec<_>>(), [true, false, false]);
        // ln(1 + 1/e) + ln 2 = 0.313262 + 0.693147.
        assert!((graded[0].loss - 1.006_409).abs() < 1e-5, "{}", graded[0].loss);

        let mut tally = Tally::default();
        graded[..2].iter().for_each(|one| tally.add(one));
        let scores = tally.scores(Counted::Problems);
        assert_eq!((scores.accuracy.right, scores.accuracy.of), (1, 2));
        assert_eq!((scores.token_accuracy.right, scores.token_accuracy.of), (3, 4));
        // The second answer costs ln(1 + e^3) + ln(1 + 1/e) = 3.048587 + 0.313262; four tokens in all.
        assert!((scores.loss.expect("finite") - 1.092_065).abs() < 1e-5, "{:?}", scores.loss);
        assert_eq!(tally.scores(Counted::Tokens).accuracy, scores.token_accuracy);

        tally.add(&graded[2]);
        assert_eq!(tally.scores(Counted::Problems).loss, None);
    }
}
