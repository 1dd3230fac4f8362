//! A token file, mapped into memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::header::{HEADER, Header, Width};
use crate::CorpusError;

/// A mapped token file whose every byte was checked.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    map: Mmap,
}

impl Store {
    /// Opens the token file at `path`, if there is one, and checks it.
    pub(crate) fn open(path: &Path, fingerprint: u64) -> Result<Option<Self>, CorpusError> {
        let damaged = |reason: String| CorpusError::DamagedCache { path: path.into(), reason };
        // Asked before opening: opening a named pipe would wait for a writer.
        match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CorpusError::io(path, "look up the token file")(error)),
            Ok(metadata) if !metadata.is_file() => return Err(CorpusError::NotAFile { path: path.into() }),
            // Some systems refuse to map nothing.
            Ok(metadata) if metadata.len() == 0 => return Err(damaged("the file is empty".into())),
            Ok(_) => {}
        }
        let file = File::open(path).map_err(CorpusError::io(path, "open the token file"))?;
        let map = map(&file).map_err(CorpusError::io(path, "map the token file into memory"))?;
        let header = Header::parse(&map).map_err(damaged)?;
        if header.fingerprint != fingerprint {
            return Err(damaged("it holds the tokens of another text, which have another file name".into()));
        }
        Ok(Some(Self { path: path.into(), header, map }))
    }

    /// The tokens of a range, as far as they are there.
    pub(crate) fn tokens(&self, range: Range<u64>) -> Vec<u32> {
        let width = self.header.width.bytes();
        let end = range.end.min(self.header.n_tokens);
        let start = range.start.min(end);
        // The file is as long as the header says, so that these are places in a map, and fit.
        let bytes = &self.map[HEADER + start as usize * width..HEADER + end as usize * width];
        match self.header.width {
            Width::U16 => bytes.as_chunks().0.iter().map(|&id| u32::from(u16::from_le_bytes(id))).collect(),
            Width::U32 => bytes.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id)).collect(),
        }
    }
}

/// Maps `file` read-only.
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this module, which hands out copies of its numbers and never a
    // reference that outlives the map. What remains is the caveat of every file map: another process that writes
    // into or truncates the file in place while it is open changes the bytes underneath. Nothing but token ids is
    // taken from them after the header was copied out and checked, so that changes ids, or on truncation ends the
    // process with a bus error. Writers that replace files, as this crate's own does, never do that.
    #[allow(unsafe_code)]
    unsafe {
        Mmap::map(file)
    }
}
