//! What can go wrong with training text, one variant a cause.

use std::io;
use std::path::{Path, PathBuf};

use depthscale_text::TextError;

use crate::Side;

/// A failure in this crate: what was wrong, where, and what was expected instead.
///
/// Lines and columns count from 1, bytes from 0. Keys come from files, so messages show them quoted and escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// The list of files is empty.
    #[error("no files given; expected at least one file of training text")]
    NoFiles,

    /// The file does not exist.
    #[error("{path}: no such file, or a link that leads nowhere")]
    MissingFile {
        /// The file asked for.
        path: PathBuf,
    },

    /// A regular file was expected and something else is there.
    #[error("{path}: expected a regular file, found a directory or a special file")]
    NotAFile {
        /// The path asked for.
        path: PathBuf,
    },

    /// A file has nothing to learn from.
    #[error("{path}: the file is empty, expected {expected}")]
    EmptyFile {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },

    /// The operating system refused.
    #[error("{path}: cannot {doing}: {source}")]
    Io {
        /// The file or directory concerned.
        path: PathBuf,
        /// What was being done, as a verb with its object.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },

    /// A file is not UTF-8.
    #[error("{path}: not UTF-8 from byte {offset} on; expected text in UTF-8")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where the first character that is not UTF-8 begins, in bytes from the start of the file.
        offset: u64,
    },

    /// A file was written to between the two times that it was read.
    #[error("{path}: the file changed while it was read; expected it to stay as it is until it is tokenized")]
    ChangedMeanwhile {
        /// The file.
        path: PathBuf,
    },

    /// The tokenizer could not be loaded.
    #[error(transparent)]
    Tokenizer(#[from] TextError),

    /// A piece of plain text cannot be tokenized.
    #[error("{path}: the text from byte {offset} on: {source}")]
    EncodeText {
        /// The file.
        path: PathBuf,
        /// Where the piece begins, in bytes from the start of the file.
        offset: u64,
        /// What the tokenizer said.
        source: TextError,
    },

    /// A prompt or an answer cannot be tokenized.
    #[error("{path}: line {line}: {source}")]
    EncodeLine {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What the tokenizer said.
        source: TextError,
    },

    /// The token that is to end documents and answers is not one of the tokenizer's.
    #[error("the tokenizer has no end token {id}; expected an id below {tokenizer_size} that is in its vocabulary")]
    UnknownEndToken {
        /// The id given.
        id: u32,
        /// The tokenizer's highest id plus one.
        tokenizer_size: usize,
    },

    /// The corpus has a token that the model does not have.
    #[error(
        "token id {id} is outside the model's vocabulary of {vocab_size} ids; the tokenizer has {tokenizer_size}, so \
         that it belongs to another model"
    )]
    OutsideVocabulary {
        /// The highest id in the corpus.
        id: u32,
        /// The tokenizer's highest id plus one.
        tokenizer_size: usize,
        /// The number of ids that the model has.
        vocab_size: usize,
    },

    /// A file of stored tokens is not what was written.
    #[error("{path}: damaged token file: {reason}; it may be deleted, and is then made again from the text")]
    DamagedCache {
        /// The token file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The share to hold out is none.
    #[error("a share of {share} cannot be held out; expected at least 0 and less than 1")]
    BadShare {
        /// The share given.
        share: f64,
    },

    /// A window has no token to predict.
    #[error("windows of {length} tokens have nothing to predict; expected at least 2")]
    WindowTooShort {
        /// The length given.
        length: usize,
    },

    /// The text is too short to be divided into windows.
    #[error(
        "the text has {n_tokens} tokens, expected at least {needed}: {n_windows} of {length} tokens, to train on \
         and, if a share is held out, to measure on"
    )]
    TooFewTokens {
        /// The tokens there are.
        n_tokens: u64,
        /// The tokens there must be.
        needed: u64,
        /// The windows that these make: 1, or 2 if a share is held out.
        n_windows: u64,
        /// The length of a window in tokens.
        length: usize,
    },

    /// A line is not a JSON object with a prompt and an answer.
    #[error(
        "{path}: line {line}, column {column}: {message}; expected {{\"prompt\": \"...\", \"answer\": \"...\"}} \
         on one line"
    )]
    MalformedLine {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The column, in bytes.
        column: usize,
        /// What the parser said.
        message: String,
    },

    /// A line has a key that means nothing here.
    #[error("{path}: line {line}: unknown key {key:?}; expected \"prompt\" and \"answer\" only")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The key.
        key: String,
    },

    /// A prompt has no tokens, so that nothing predicts the first token of the answer.
    #[error("{path}: line {line}: the prompt has no tokens; expected at least one")]
    EmptyPrompt {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },

    /// An answer has no tokens and no end token follows it, so that nothing can be learnt.
    #[error("{path}: line {line}: the answer has no tokens and there is no end token; expected at least one token")]
    EmptyAnswer {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },

    /// A prompt and its answer are longer than allowed.
    #[error(
        "{path}: line {line}: prompt and answer have {n_tokens} tokens with the end token, expected at most \
         {most_tokens}"
    )]
    PairTooLong {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The tokens of the pair, the end token included.
        n_tokens: usize,
        /// The most tokens allowed.
        most_tokens: usize,
    },

    /// A sequence was asked for and the side has none.
    #[error("{}; expected at least one sequence there", empty_side(.side))]
    EmptySide {
        /// The side.
        side: Side,
    },
}

impl CorpusError {
    /// Turns what the operating system said into an error about `path`.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), doing, source }
    }
}

fn empty_side(side: &Side) -> &'static str {
    match side {
        Side::Training => "all sequences are held out and none is left to train on",
        Side::HeldOut => "no sequence is held out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_was_expected() {
        let error = CorpusError::TooFewTokens { n_tokens: 9, needed: 16, n_windows: 2, length: 8 };
        assert!(error.to_string().starts_with("the text has 9 tokens, expected at least 16: 2 of 8 tokens"));
        let path = PathBuf::from("a.jsonl");
        let error = CorpusError::MalformedLine { path, line: 3, column: 7, message: "no".into() };
        assert_eq!(
            error.to_string(),
            r#"a.jsonl: line 3, column 7: no; expected {"prompt": "...", "answer": "..."} on one line"#
        );
    }

    #[test]
    fn keys_from_files_are_escaped() {
        let error = CorpusError::UnknownKey { path: "a".into(), line: 1, key: "\u{1b}[31m".into() };
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
