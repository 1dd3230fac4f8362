//! One safetensors file, mapped into memory with its header checked.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::CheckpointError;
use crate::header::{self, Header};

/// A mapped file. Its pages are read from disk when they are first looked at.
#[derive(Debug)]
pub(crate) struct MappedFile {
    pub(crate) path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    /// Maps the file at `path` and checks its header against its length.
    pub(crate) fn open(path: &Path) -> Result<(Self, Header), CheckpointError> {
        let io =
            |doing: &'static str| move |source: io::Error| CheckpointError::Io { path: path.into(), doing, source };
        // Asked before opening: opening a named pipe would wait for a writer.
        let metadata = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => CheckpointError::FileMissing { path: path.into() },
            _ => io("look up the file")(source),
        })?;
        if !metadata.is_file() {
            return Err(CheckpointError::NotAFile { path: path.into() });
        }
        if metadata.len() == 0 {
            // Some systems refuse to map nothing.
            return Err(CheckpointError::EmptyFile { path: path.into() });
        }
        let file = File::open(path).map_err(io("open the file"))?;
        let map = map(&file).map_err(io("map the file into memory"))?;
        let header = header::parse(path, &map)?;
        let path = path.into();
        Ok((Self { path, map }, header))
    }

    /// The whole contents, header included.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }
}

/// Maps `file` read-only.
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this crate, which hands out copies of its bytes and never a
    // reference that outlives the map. What remains is the caveat of every file map: another process that writes
    // into or truncates the file in place while it is open changes the bytes underneath. Nothing but numbers is
    // taken from them after the header was copied out and checked, so that changes values, or on truncation ends
    // the process with a bus error. Writers that replace files, as this crate's own does, never do that.
    #[allow(unsafe_code)]
    unsafe {
        Mmap::map(file)
    }
}
