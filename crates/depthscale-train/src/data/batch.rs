//! Token sequences learnt from together.

use depthscale_corpus::Sequence;

/// A token sequence to learn from, and what is to be predicted where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The tokens that are read.
    pub tokens: Vec<u32>,
    /// The row of a prediction and the token that is right there, ascending by rows.
    pub targets: Vec<(usize, u32)>,
}

impl From<Sequence> for Example {
    /// # Panics
    /// If it has nothing to predict: its `learn_from` is to be at least 1 and less than its number of tokens.
    fn from(Sequence { mut tokens, learn_from }: Sequence) -> Self {
        let n = tokens.len();
        assert!((1..n).contains(&learn_from), "learning begins at token {learn_from} of {n}");
        let targets = (learn_from..n).map(|next| (next - 1, tokens[next])).collect();
        tokens.pop();
        Self { tokens, targets }
    }
}

/// Token sequences learnt from together: what the model reads, and what it is to predict where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// What the model reads of each sequence: all but its last token.
    pub inputs: Vec<Vec<u32>>,
    /// Rows whose predictions count, ascending, for each sequence: offsets in its input.
    pub rows: Vec<Vec<usize>>,
    /// The token to be predicted at each of these rows.
    pub targets: Vec<Vec<u32>>,
}

impl Batch {
    /// The batch of some examples.
    ///
    /// # Panics
    /// If the targets of one are not ascending, or are none.
    pub fn new(examples: impl IntoIterator<Item = impl Into<Example>>) -> Self {
        let mut batch = Self::default();
        for Example { tokens, targets } in examples.into_iter().map(Into::into) {
            let (rows, targets): (Vec<usize>, Vec<u32>) = targets.into_iter().unzip();
            assert!(!rows.is_empty(), "nothing to predict");
            assert!(rows.is_sorted_by(|a, b| a < b), "rows {rows:?} are not ascending");
            batch.inputs.push(tokens);
            batch.rows.push(rows);
            batch.targets.push(targets);
        }
        batch
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether it holds no sequence.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Tokens the model reads.
    pub fn tokens(&self) -> usize {
        self.inputs.iter().map(Vec::len).sum()
    }

    /// Predictions that count.
    pub fn predictions(&self) -> usize {
        self.targets.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_by_hand() {
        // 1 4 7 9 8: the prompt is 1 4 7, the answer 9 8. Rows 2 and 3 predict it.
        let batch = Batch::new([Sequence { tokens: vec![1, 4, 7, 9, 8], learn_from: 3 }]);
        assert_eq!(batch.inputs, [[1, 4, 7, 9]]);
        assert_eq!(batch.rows, [[2, 3]]);
        assert_eq!(batch.targets, [[9, 8]]);
        assert_eq!((batch.tokens(), batch.predictions()), (4, 2));
    }

    #[test]
    #[should_panic = "rows [2, 2] are not ascending"]
    fn a_row_predicts_one_token() {
        Batch::new([Example { tokens: vec![1, 4, 7], targets: vec![(2, 6), (2, 7)] }]);
    }
}
