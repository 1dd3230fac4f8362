//! Plain text as one long row of tokens.

mod build;
mod header;
mod store;
#[cfg(test)]
mod tests;
mod windows;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use build::{PIECE_BYTES, Plan};
use header::VERSION;
use store::Store;
pub use windows::Windows;

use crate::hash::Hasher;
use crate::source::{Contents, Source};
use crate::{CorpusError, CorpusTokenizer, Progress};

/// The tokens of text files, one file after the other, in a file of their own that is mapped into memory.
///
/// A file of text is a document. Its text is encoded without the special tokens that stand around a prompt, and after
/// each document, the last one too, comes the end token if there is one. The text of a special token inside a document
/// is read as that token.
///
/// Text may be larger than memory: it is tokenized in pieces of at most 64 KiB, each on its own. A piece ends after the
/// last line end that fits into it. A line that does not fit is cut before the last space that fits, and a line without
/// a space there after the last whole character. So the tokens at a cut can differ from those of the text tokenized
/// at once, and a tokenizer that puts a space in front of every text does so for every piece.
///
/// Clones share one map.
#[derive(Debug, Clone)]
pub struct PackedText {
    store: Arc<Store>,
    tokenizer_size: usize,
}

impl PackedText {
    /// Opens the tokens of `files` that an earlier call left in `cache_directory`, or else tokenizes the files and
    /// leaves the tokens there.
    ///
    /// The token file is named `packed-FINGERPRINT.tokens` after all that the tokens follow from: the contents of the
    /// files in their order, the `tokenizer.json` and the end token. Other inputs have another name, and names of the
    /// text files make no difference. Every call reads the text once to take its fingerprint, and the token file once to
    /// check it. Only a call that tokenizes calls `progress`, after about a MiB for each core and at the end. One that is
    /// cut off leaves a file `.tokens-*.partial`, which may be deleted.
    ///
    /// # Errors
    ///
    /// If there are no files, one is missing, empty, not UTF-8 or changes meanwhile, the tokenizer lacks the end token or
    /// cannot express the text, or the token file cannot be written. A token file that is there and is not what was
    /// written is a [`CorpusError::DamagedCache`]; it is left where it is.
    pub fn open_or_build(
        files: &[PathBuf],
        tokenizer: &CorpusTokenizer,
        end_token: Option<u32>,
        cache_directory: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, CorpusError> {
        Self::in_pieces_of(PIECE_BYTES, files, tokenizer, end_token, cache_directory, progress)
    }

    fn in_pieces_of(
        piece_bytes: usize,
        files: &[PathBuf],
        tokenizer: &CorpusTokenizer,
        end_token: Option<u32>,
        cache_directory: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, CorpusError> {
        tokenizer.check_end_token(end_token)?;
        let sources = Source::look_up(files, "text")?;
        let contents: Vec<Contents> = sources.iter().map(Source::contents).collect::<Result<_, _>>()?;
        let fingerprint = fingerprint(&contents, tokenizer, end_token);
        let path = cache_directory.join(format!("packed-{fingerprint:016x}.tokens"));
        let tokenizer_size = tokenizer.text().id_bound();
        if let Some(store) = Store::open(&path, fingerprint)? {
            return Ok(Self { store: Arc::new(store), tokenizer_size });
        }
        let (sources, contents) = (&sources[..], &contents[..]);
        Plan { sources, contents, tokenizer, end_token, fingerprint, piece_bytes }.build(&path, progress)?;
        match Store::open(&path, fingerprint)? {
            Some(store) => Ok(Self { store: Arc::new(store), tokenizer_size }),
            None => Err(CorpusError::MissingFile { path }),
        }
    }

    /// The number of tokens, end tokens included.
    pub fn n_tokens(&self) -> u64 {
        self.store.header.n_tokens
    }

    /// The token file.
    pub fn path(&self) -> &Path {
        &self.store.path
    }

    /// The tokens of a range, as far as they are there.
    pub fn tokens(&self, range: Range<u64>) -> Vec<u32> {
        self.store.tokens(range)
    }
}

/// A hash of everything that the tokens follow from.
fn fingerprint(contents: &[Contents], tokenizer: &CorpusTokenizer, end_token: Option<u32>) -> u64 {
    let mut hasher = Hasher::new();
    hasher.write_u64(VERSION.into());
    hasher.write_u64(tokenizer.fingerprint());
    // No id is as large as the number that stands for none.
    hasher.write_u64(end_token.map_or(u64::MAX, u64::from));
    for &Contents { length, hash } in contents {
        hasher.write_u64(length);
        hasher.write_u64(hash);
    }
    hasher.finish()
}
