//! Text files to one token file.
//!
//! The text is read in pieces, a batch of pieces is tokenized on all cores, and the tokens are written in the order of
//! the text. Memory is needed for one batch, whatever the length of the files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use rayon::prelude::*;

use super::header::{HEADER, Header, Width};
use crate::hash::Hasher;
use crate::pieces::{Piece, Pieces};
use crate::source::{Contents, Source};
use crate::{CorpusError, CorpusTokenizer, Progress};

/// The most bytes of a piece. Another number would be another [`VERSION`](super::header::VERSION).
pub(crate) const PIECE_BYTES: usize = 1 << 16;

/// A batch is tokenized when it has the text of this many pieces for each core.
const PIECES_PER_CORE: usize = 16;

/// What is to be tokenized, and how.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) sources: &'a [Source],
    /// What each source held when the fingerprint was taken.
    pub(crate) contents: &'a [Contents],
    pub(crate) tokenizer: &'a CorpusTokenizer,
    pub(crate) end_token: Option<u32>,
    pub(crate) fingerprint: u64,
    pub(crate) piece_bytes: usize,
}

/// A part of the token file.
#[derive(Debug)]
enum Part<'a> {
    Text(&'a Source, Piece),
    EndOfDocument,
}

impl Plan<'_> {
    /// Writes the token file at `path`, which appears when it is complete. Its directory is made if need be.
    pub(crate) fn build(&self, path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), CorpusError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(CorpusError::io(directory, "create the directory"))?;
        let partial = tempfile::Builder::new()
            .prefix(".tokens-")
            .suffix(".partial")
            .make_in(directory, |partial| File::create_new(partial))
            .map_err(CorpusError::io(directory, "create a file in"))?;
        let width = Width::for_ids_below(self.tokenizer.text().id_bound());
        let mut writer = TokenWriter::new(partial.as_file(), width).map_err(CorpusError::io(path, "write"))?;
        self.write_all(&mut writer, path, progress)?;
        writer
            .finish(self.fingerprint)
            .and_then(|()| partial.as_file().sync_all())
            .map_err(CorpusError::io(path, "write"))?;
        // Replaces what another process, with the same files, may have written meanwhile: the same tokens. The name is
        // not brought to disk, since a token file that is lost is made again.
        match partial.persist(path) {
            Ok(_) => Ok(()),
            Err(error) => Err(CorpusError::io(path, "give the written file its name")(error.error)),
        }
    }

    fn write_all(
        &self,
        writer: &mut TokenWriter<'_>,
        path: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), CorpusError> {
        let bytes = self.contents.iter().map(|contents| contents.length).sum();
        let most_bytes = self.piece_bytes * PIECES_PER_CORE * rayon::current_num_threads();
        let (mut batch, mut batch_bytes, mut bytes_done) = (Vec::new(), 0, 0);
        let mut write = |batch: &mut Vec<Part<'_>>, batch_bytes: &mut usize| {
            let encoded: Vec<Vec<u32>> = batch.par_iter().map(|part| self.encode(part)).collect::<Result<_, _>>()?;
            encoded.iter().try_for_each(|ids| writer.write(ids)).map_err(CorpusError::io(path, "write"))?;
            bytes_done += *batch_bytes as u64;
            progress(Progress { bytes_done, bytes });
            batch.clear();
            *batch_bytes = 0;
            Ok::<(), CorpusError>(())
        };
        for (source, &contents) in self.sources.iter().zip(self.contents) {
            let mut pieces = Pieces::new(&source.path, source.open()?, self.piece_bytes);
            while let Some(piece) = pieces.next()? {
                batch_bytes += piece.text.len();
                batch.push(Part::Text(source, piece));
                if batch_bytes >= most_bytes {
                    write(&mut batch, &mut batch_bytes)?;
                }
            }
            if pieces.contents() != contents {
                return Err(CorpusError::ChangedMeanwhile { path: source.path.clone() });
            }
            batch.push(Part::EndOfDocument);
        }
        write(&mut batch, &mut batch_bytes)
    }

    fn encode(&self, part: &Part<'_>) -> Result<Vec<u32>, CorpusError> {
        match part {
            Part::EndOfDocument => Ok(self.end_token.into_iter().collect()),
            Part::Text(source, piece) => self.tokenizer.text().encode_plain(&piece.text).map_err(|error| {
                CorpusError::EncodeText { path: source.path.clone(), offset: piece.offset, source: error }
            }),
        }
    }
}

/// Writes token ids behind a place for the header, and the header last.
#[derive(Debug)]
struct TokenWriter<'a> {
    out: BufWriter<&'a File>,
    width: Width,
    hasher: Hasher,
    n_tokens: u64,
    highest: u32,
}

impl<'a> TokenWriter<'a> {
    fn new(file: &'a File, width: Width) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&[0; HEADER])?;
        Ok(Self { out, width, hasher: Hasher::new(), n_tokens: 0, highest: 0 })
    }

    fn write(&mut self, ids: &[u32]) -> io::Result<()> {
        let width = self.width.bytes();
        // Ids are below the tokenizer's bound, from which the width follows: the bytes left out are zeros.
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes().into_iter().take(width)).collect();
        self.hasher.write(&bytes);
        self.n_tokens += ids.len() as u64;
        self.highest = ids.iter().fold(self.highest, |highest, &id| highest.max(id));
        self.out.write_all(&bytes)
    }

    fn finish(mut self, fingerprint: u64) -> io::Result<()> {
        let Self { width, n_tokens, highest, .. } = self;
        let header = Header { width, n_tokens, fingerprint, highest };
        self.out.rewind()?;
        self.out.write_all(&header.to_bytes(self.hasher))?;
        self.out.flush()
    }
}
