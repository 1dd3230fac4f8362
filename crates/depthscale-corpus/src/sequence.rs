//! What every corpus gives: token sequences, by side and index.

use crate::CorpusError;

/// A token sequence to learn from.
///
/// The model reads `tokens[..n - 1]` and predicts `tokens[1..]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The token ids, at least two.
    pub tokens: Vec<u32>,
    /// Predictions of `tokens[learn_from..]` count in the loss; at least 1, since nothing predicts the first token, and
    /// less than the number of tokens.
    pub learn_from: usize,
}

/// The two parts of a corpus, which share no sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// What is learnt from, in a new order every epoch.
    Training,
    /// What is only measured on, always in the order of the files.
    HeldOut,
}

/// How a corpus is divided into sides, and in which order it is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Split {
    /// The share that is held out, at least 0 and less than 1.
    pub held_out: f64,
    /// Chooses the order of training. It has no influence on which sequence is on which side.
    pub seed: u64,
}

impl Split {
    /// # Errors
    ///
    /// [`CorpusError::BadShare`] unless `0 <= held_out < 1`.
    pub(crate) fn check(self) -> Result<Self, CorpusError> {
        match self.held_out {
            share if (0.0..1.0).contains(&share) => Ok(self),
            share => Err(CorpusError::BadShare { share }),
        }
    }
}

/// Text as token sequences, ready to train on.
///
/// A sequence follows from its side and its index alone, so that training resumes at any index.
pub trait Corpus {
    /// The number of sequences on a side: for [`Side::Training`] the length of an epoch.
    fn len(&self, side: Side) -> u64;

    /// The sequence at `index`, which has no upper end. Counting from 0, every [`len`](Self::len) indices are one epoch
    /// and hold each sequence of the side once.
    ///
    /// # Errors
    ///
    /// [`CorpusError::EmptySide`] if the side has no sequences.
    fn sequence(&self, side: Side, index: u64) -> Result<Sequence, CorpusError>;

    /// The number of tokens in the longest sequence of either side.
    fn longest(&self) -> usize;

    /// Checks that a model with `vocab_size` token ids has every id of this corpus.
    ///
    /// # Errors
    ///
    /// [`CorpusError::OutsideVocabulary`] with the highest id of the corpus.
    fn check_vocabulary(&self, vocab_size: usize) -> Result<(), CorpusError>;
}

/// Checks the highest id of a corpus against the vocabulary of a model.
pub(crate) fn check_highest(highest: u32, tokenizer_size: usize, vocab_size: usize) -> Result<(), CorpusError> {
    if (highest as usize) < vocab_size {
        return Ok(());
    }
    Err(CorpusError::OutsideVocabulary { id: highest, tokenizer_size, vocab_size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_at_least_0_and_less_than_1() {
        let check = |held_out| Split { held_out, seed: 0 }.check();
        assert!([0.0, 0.5, 0.999].into_iter().all(|share| check(share).is_ok()));
        for share in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(check(share), Err(CorpusError::BadShare { .. })), "{share}");
        }
    }

    #[test]
    fn a_corpus_can_be_read_from_any_thread() {
        // That this compiles is the test.
        fn shared<C: Corpus + Send + Sync>() {}
        shared::<crate::Windows>();
        shared::<crate::Pairs>();
        let _: Option<&dyn Corpus> = None;
    }

    #[test]
    fn the_highest_id_must_be_below_the_vocabulary_size() {
        assert!(check_highest(14, 15, 15).is_ok());
        let error = check_highest(14, 15, 14).unwrap_err();
        assert_eq!(
            error.to_string(),
            "token id 14 is outside the model's vocabulary of 14 ids; the tokenizer has 15, so that it belongs to \
             another model"
        );
    }
}
