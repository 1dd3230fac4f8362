//! Prompts and answers, one pair a line.

mod pairs;
mod parse;
#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::PathBuf;
use std::str;
use std::sync::Arc;

pub use pairs::Pairs;
use parse::{Pair, parse};

use crate::hash::hash;
use crate::source::{Source, total_length};
use crate::{CorpusError, CorpusTokenizer, Progress, Sequence};

const EXPECTED: &str = "lines of the form {\"prompt\": \"...\", \"answer\": \"...\"}";

/// `progress` is called after this many bytes.
const PROGRESS_BYTES: u64 = 1 << 20;

/// The tokens of prompts and answers from [JSON lines](https://jsonlines.org), held in memory.
///
/// Each line is `{"prompt": "...", "answer": "..."}`; lines of white space count as lines and are passed over. The
/// tokens are those of the prompt, with the special tokens that the tokenizer puts around a prompt, then those of the
/// answer without any, then the end token if there is one.
///
/// Clones share the tokens.
#[derive(Debug, Clone)]
pub struct Lines {
    store: Arc<Store>,
}

/// All tokens in one row, and where each pair lies.
#[derive(Debug)]
struct Store {
    tokens: Vec<u32>,
    pairs: Vec<StoredPair>,
    highest: u32,
    tokenizer_size: usize,
}

#[derive(Debug)]
struct StoredPair {
    /// Its place among all tokens.
    tokens: Range<usize>,
    n_prompt: usize,
    prompt_hash: u64,
}

impl Store {
    fn sequence(&self, place: usize) -> Sequence {
        let pair = &self.pairs[place];
        Sequence { tokens: self.tokens[pair.tokens.clone()].to_vec(), learn_from: pair.n_prompt }
    }
}

impl Lines {
    /// Reads and tokenizes every line of `files`. `progress` is called about every MiB and at the end.
    ///
    /// # Errors
    ///
    /// If there are no files, one is missing, has no pairs or is not UTF-8, a line is not a pair, a prompt has no tokens
    /// or nothing follows it, a pair has more than `most_tokens` with its end token, or the tokenizer lacks the end token
    /// or cannot express the text. Errors name the file and the line. No pair is left out silently.
    pub fn open(
        files: &[PathBuf],
        tokenizer: &CorpusTokenizer,
        end_token: Option<u32>,
        most_tokens: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, CorpusError> {
        tokenizer.check_end_token(end_token)?;
        let sources = Source::look_up(files, EXPECTED)?;
        let store = Store { tokens: vec![], pairs: vec![], highest: 0, tokenizer_size: tokenizer.text().id_bound() };
        let at = Progress { bytes_done: 0, bytes: total_length(&sources) };
        let mut reading = Reading { tokenizer, end_token, most_tokens, store, at, progress };
        sources.iter().try_for_each(|source| reading.file(source))?;
        (reading.progress)(reading.at);
        Ok(Self { store: Arc::new(reading.store) })
    }
}

/// The state of [`Lines::open`].
struct Reading<'a> {
    tokenizer: &'a CorpusTokenizer,
    end_token: Option<u32>,
    most_tokens: usize,
    store: Store,
    at: Progress,
    progress: &'a mut dyn FnMut(Progress),
}

impl Reading<'_> {
    fn file(&mut self, source: &Source) -> Result<(), CorpusError> {
        let path = &source.path;
        let n_before = self.store.pairs.len();
        let mut file = BufReader::with_capacity(1 << 18, source.open()?);
        let (mut buffer, mut offset) = (Vec::new(), 0);
        for line in 1.. {
            buffer.clear();
            let n = file.read_until(b'\n', &mut buffer).map_err(CorpusError::io(path, "read the file"))? as u64;
            if n == 0 {
                break;
            }
            let text = str::from_utf8(&buffer).map_err(|error| CorpusError::NotUtf8 {
                path: path.clone(),
                offset: offset + error.valid_up_to() as u64,
            })?;
            if !text.trim_ascii().is_empty() {
                self.pair(&parse(text.trim_ascii_end(), path, line)?, source, line)?;
            }
            offset += n;
            self.advance(n);
        }
        match self.store.pairs.len() {
            n if n == n_before => Err(CorpusError::EmptyFile { path: path.clone(), expected: EXPECTED }),
            _ => Ok(()),
        }
    }

    fn pair(&mut self, pair: &Pair, source: &Source, line: u64) -> Result<(), CorpusError> {
        let path = &source.path;
        let text = self.tokenizer.text();
        let prompt = text.encode(&pair.prompt);
        let encoded = prompt.and_then(|prompt| Ok((prompt, text.encode_plain(&pair.answer)?)));
        let (prompt, answer) =
            encoded.map_err(|source| CorpusError::EncodeLine { path: path.clone(), line, source })?;
        let n_prompt = prompt.len();
        let n_tokens = n_prompt + answer.len() + usize::from(self.end_token.is_some());
        if n_prompt == 0 {
            return Err(CorpusError::EmptyPrompt { path: path.clone(), line });
        }
        if n_tokens == n_prompt {
            return Err(CorpusError::EmptyAnswer { path: path.clone(), line });
        }
        if n_tokens > self.most_tokens {
            return Err(CorpusError::PairTooLong { path: path.clone(), line, n_tokens, most_tokens: self.most_tokens });
        }
        let tokens = prompt.into_iter().chain(answer).chain(self.end_token);
        let store = &mut self.store;
        let start = store.tokens.len();
        store.tokens.extend(tokens);
        store.highest = store.tokens[start..].iter().fold(store.highest, |highest, &id| highest.max(id));
        let prompt_hash = hash(pair.prompt.as_bytes());
        store.pairs.push(StoredPair { tokens: start..store.tokens.len(), n_prompt, prompt_hash });
        Ok(())
    }

    /// Counts bytes that are done. The file may have grown since it was looked up.
    fn advance(&mut self, n_bytes: u64) {
        let before = self.at.bytes_done;
        self.at.bytes_done = (before + n_bytes).min(self.at.bytes);
        if before / PROGRESS_BYTES != self.at.bytes_done / PROGRESS_BYTES {
            (self.progress)(self.at);
        }
    }
}
