//! Packed text as windows of one length.

use super::PackedText;
use crate::order::shuffled;
use crate::sequence::check_highest;
use crate::{Corpus, CorpusError, Sequence, Side, Split};

/// Packed text, cut into windows of equally many tokens.
///
/// Windows lie end to end and share no token. What remains after the last whole one is left out. A window is one
/// [`Sequence`] of `length` tokens with `learn_from` 1: its first token is only read, so that it gives `length - 1`
/// predictions. Windows ignore where documents end.
///
/// The last windows are held out. Their number is the share of all windows, rounded, but at least one and never all; a
/// share of 0 holds out none.
#[derive(Debug, Clone)]
pub struct Windows {
    text: PackedText,
    length: usize,
    n_training: u64,
    n_held_out: u64,
    seed: u64,
}

impl PackedText {
    /// The text in windows of `length` tokens.
    ///
    /// # Errors
    ///
    /// [`CorpusError::WindowTooShort`] for less than 2 tokens, [`CorpusError::BadShare`], and
    /// [`CorpusError::TooFewTokens`] if the text does not give a window to train on and, if a share is held out, another
    /// one to measure on.
    pub fn windows(&self, length: usize, split: Split) -> Result<Windows, CorpusError> {
        let Split { held_out, seed } = split.check()?;
        if length < 2 {
            return Err(CorpusError::WindowTooShort { length });
        }
        let n_tokens = self.n_tokens();
        let n_needed = if held_out > 0.0 { 2 } else { 1 };
        let n = n_tokens / length as u64;
        if n < n_needed {
            let needed = (length as u64).saturating_mul(n_needed);
            return Err(CorpusError::TooFewTokens { n_tokens, needed, n_windows: n_needed, length });
        }
        let n_held_out = if held_out > 0.0 { ((n as f64 * held_out).round() as u64).clamp(1, n - 1) } else { 0 };
        Ok(Windows { text: self.clone(), length, n_training: n - n_held_out, n_held_out, seed })
    }
}

impl Corpus for Windows {
    fn len(&self, side: Side) -> u64 {
        match side {
            Side::Training => self.n_training,
            Side::HeldOut => self.n_held_out,
        }
    }

    fn sequence(&self, side: Side, index: u64) -> Result<Sequence, CorpusError> {
        let n = self.len(side);
        if n == 0 {
            return Err(CorpusError::EmptySide { side });
        }
        let window = match side {
            Side::Training => shuffled(index, n, self.seed),
            Side::HeldOut => self.n_training + index % n,
        };
        let length = self.length as u64;
        Ok(Sequence { tokens: self.text.tokens(window * length..(window + 1) * length), learn_from: 1 })
    }

    fn longest(&self) -> usize {
        self.length
    }

    fn check_vocabulary(&self, vocab_size: usize) -> Result<(), CorpusError> {
        check_highest(self.text.store.header.highest, self.text.tokenizer_size, vocab_size)
    }
}
