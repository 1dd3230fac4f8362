//! A set cut into batches of bounded size.

use depthscale_decoder::UnrollOptions;

use super::problem_set::ProblemSet;
use crate::data::Batch;

/// Problems that are computed together.
pub(super) struct Portion {
    /// Their indices in the set.
    pub(super) problems: Vec<usize>,
    /// Their tokens.
    pub(super) batch: Batch,
    /// The id of the first; the others count on. With [`SEED`] it decides random initial states, whatever the batches are.
    pub(super) first_id: u64,
}

/// Seed of random initial states.
pub(super) const SEED: u64 = 0;

/// Most token rows of a portion, where logits allow it.
const MOST_ROWS: usize = 2048;

/// Most logits of a portion: 128 MiB of f32.
const MOST_LOGITS: usize = 1 << 25;

impl Portion {
    /// The portions of a set, for a model of so many token ids. Problems of like length share one.
    pub(super) fn of(set: &ProblemSet, vocab_size: usize) -> Vec<Self> {
        let lengths: Vec<usize> = set.problems.iter().map(|problem| problem.sequence.tokens.len() - 1).collect();
        let mut first_id = 0;
        let portion = |problems: Vec<usize>| {
            let batch = Batch::new(problems.iter().map(|&at| set.problems[at].sequence.clone()));
            let portion = Self { batch, first_id, problems };
            first_id += portion.problems.len() as u64;
            portion
        };
        cut(&lengths, (MOST_LOGITS / vocab_size.max(1)).clamp(1, MOST_ROWS)).into_iter().map(portion).collect()
    }

    /// How its sequences are unrolled.
    pub(super) fn unroll_options(&self) -> UnrollOptions {
        UnrollOptions { seed: SEED, first_id: self.first_id, ..UnrollOptions::default() }
    }

    /// Rows that hold all of it even if every sequence were as long as the longest.
    pub(super) fn rows(&self) -> usize {
        self.batch.len() * self.batch.inputs.iter().map(Vec::len).max().unwrap_or(1)
    }
}

/// Indices by length, cut so that sequences times the longest are at most `rows`; one that is longer stands alone.
fn cut(lengths: &[usize], rows: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| lengths[at]);
    let mut portions: Vec<Vec<usize>> = Vec::new();
    for at in order {
        match portions.last_mut() {
            Some(portion) if (portion.len() + 1) * lengths[at] <= rows => portion.push(at),
            _ => portions.push(vec![at]),
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_by_hand() {
        // By length: 2 at 1, 3 at 0, 3 at 3, 5 at 2, 20 at 4. Two of 3 are 6 rows, a third of 3 would be 9, 5 alone is 5.
        assert_eq!(cut(&[3, 2, 5, 3, 20], 8), [vec![1, 0], vec![3], vec![2], vec![4]]);
        assert_eq!(cut(&[3, 2, 5, 3, 20], 9), [vec![1, 0, 3], vec![2], vec![4]]);
        assert!(cut(&[], 8).is_empty());
    }
}
