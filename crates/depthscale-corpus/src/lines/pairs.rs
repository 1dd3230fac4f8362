//! Prompts and answers on two sides.

use std::sync::Arc;

use super::{Lines, Store};
use crate::order::shuffled;
use crate::sequence::check_highest;
use crate::{Corpus, CorpusError, Sequence, Side, Split};

/// Prompts with their answers, each pair one [`Sequence`] whose `learn_from` is the number of prompt tokens.
///
/// A hash of the prompt decides the side: FNV-1a over its bytes, finished by SplitMix64, as a fraction of 2^64, is
/// below the share or not. So a prompt is on the same side in every file and whatever stands around it, and all answers
/// to it are on that side. The share is met on average only: of few prompts, none or all may be held out.
#[derive(Debug, Clone)]
pub struct Pairs {
    store: Arc<Store>,
    /// Places in the store.
    training: Vec<usize>,
    held_out: Vec<usize>,
    seed: u64,
}

impl Lines {
    /// The pairs, divided into sides.
    ///
    /// # Errors
    ///
    /// [`CorpusError::BadShare`].
    pub fn pairs(&self, split: Split) -> Result<Pairs, CorpusError> {
        let Split { held_out, seed } = split.check()?;
        // 2^64, of which a hash is a fraction.
        let below = held_out * 2.0_f64.powi(64);
        let is_held_out = |&place: &usize| (self.store.pairs[place].prompt_hash as f64) < below;
        let (held_out, training) = (0..self.store.pairs.len()).partition(is_held_out);
        Ok(Pairs { store: Arc::clone(&self.store), training, held_out, seed })
    }
}

impl Pairs {
    fn side(&self, side: Side) -> &[usize] {
        match side {
            Side::Training => &self.training,
            Side::HeldOut => &self.held_out,
        }
    }
}

impl Corpus for Pairs {
    fn len(&self, side: Side) -> u64 {
        self.side(side).len() as u64
    }

    fn sequence(&self, side: Side, index: u64) -> Result<Sequence, CorpusError> {
        let n = self.len(side);
        if n == 0 {
            return Err(CorpusError::EmptySide { side });
        }
        let at = match side {
            Side::Training => shuffled(index, n, self.seed),
            Side::HeldOut => index % n,
        };
        Ok(self.store.sequence(self.side(side)[at as usize]))
    }

    fn longest(&self) -> usize {
        self.store.pairs.iter().map(|pair| pair.tokens.len()).max().unwrap_or(0)
    }

    fn check_vocabulary(&self, vocab_size: usize) -> Result<(), CorpusError> {
        check_highest(self.store.highest, self.store.tokenizer_size, vocab_size)
    }
}
