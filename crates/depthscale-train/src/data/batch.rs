//! Token sequences learnt from together.

use depthscale_corpus::Sequence;

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
    /// The batch of some sequences.
    ///
    /// # Panics
    /// If a sequence has nothing to predict: its `learn_from` is to be at least 1 and less than its number of tokens.
    pub fn new(sequences: impl IntoIterator<Item = Sequence>) -> Self {
        let mut batch = Self::default();
        for Sequence { mut tokens, learn_from } in sequences {
            let n = tokens.len();
            assert!((1..n).contains(&learn_from), "learning begins at token {learn_from} of {n}");
            batch.rows.push((learn_from - 1..tokens.len() - 1).collect());
            batch.targets.push(tokens[learn_from..].to_vec());
            tokens.pop();
            batch.inputs.push(tokens);
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
}
