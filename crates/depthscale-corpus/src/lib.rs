//! Training text for a looped language model, as token sequences.
//!
//! The crate runs on the host and knows no tensors. It turns files into a [`Corpus`], which gives a [`Sequence`] for
//! every index, and there are two kinds of files:
//!
//! | files | opened as | kept | one sequence is |
//! |---|---|---|---|
//! | plain text in UTF-8 | [`PackedText`], then [`Windows`] | in a token file, mapped into memory | so many tokens of the text |
//! | JSON lines of prompts and answers | [`Lines`], then [`Pairs`] | in memory | a prompt and its answer |
//!
//! A corpus has two sides. What is held out is never seen in training: the last windows of a text, or the pairs that
//! a hash of the prompt chooses.
//!
//! Training asks for index 0, 1, 2 and so on without an end. Every epoch has an order of its own that follows from the
//! seed and is computed one index at a time, by a small Feistel network over the indices, so that it takes no memory and
//! training resumes at any index with nothing else to restore.
//!
//! ```
//! use depthscale_corpus::{Corpus, CorpusTokenizer, Lines, PackedText, Side, Split};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let model = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-arith"));
//! # let scratch = tempfile::tempdir()?;
//! # let dir = scratch.path();
//! let tokenizer = CorpusTokenizer::open(model)?;
//! // The vocabulary is "\n" 1, digits from 2, "+" 12, "=" 14.
//! let newline = Some(1);
//!
//! std::fs::write(dir.join("sums.txt"), "1+1=2\n2+2=4\n3+3=6")?;
//! let text = PackedText::open_or_build(&[dir.join("sums.txt")], &tokenizer, newline, dir, &mut |_| {})?;
//! let windows = text.windows(6, Split { held_out: 0.1, seed: 7 })?;
//! assert_eq!((windows.len(Side::Training), windows.len(Side::HeldOut)), (2, 1));
//! assert_eq!(windows.sequence(Side::HeldOut, 0)?.tokens, [5, 12, 5, 14, 8, 1]);
//!
//! std::fs::write(dir.join("sums.jsonl"), r#"{"prompt": "47+38=", "answer": "85"}"#)?;
//! let lines = Lines::open(&[dir.join("sums.jsonl")], &tokenizer, newline, 16, &mut |_| {})?;
//! let pairs = lines.pairs(Split::default())?;
//! let sequence = pairs.sequence(Side::Training, 0)?;
//! // This tokenizer puts a newline in front of a prompt, and the answer is learnt with its end.
//! assert_eq!(sequence.tokens, [1, 6, 9, 12, 5, 10, 14, 10, 7, 1]);
//! assert_eq!(sequence.learn_from, 7);
//!
//! // A corpus made for another model is noticed before training.
//! let error = pairs.check_vocabulary(10).unwrap_err();
//! assert!(error.to_string().contains("token id 14 is outside the model's vocabulary of 10 ids"));
//! # Ok(())
//! # }
//! ```
//!
//! Every failure is a [`CorpusError`] that names the file, the place in it and what was expected.

#![warn(missing_docs)]

mod error;
mod hash;
mod lines;
mod order;
mod packed;
mod pieces;
mod progress;
mod sequence;
mod source;
#[cfg(test)]
mod testing;
mod tokenizer;

pub use error::CorpusError;
pub use lines::{Lines, Pairs};
pub use packed::{PackedText, Windows};
pub use progress::Progress;
pub use sequence::{Corpus, Sequence, Side, Split};
pub use tokenizer::CorpusTokenizer;
