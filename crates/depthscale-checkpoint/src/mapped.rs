//! One safetensors file, mapped into memory with its header checked.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use memmap2::Mmap;

use crate::CheckpointError;
use crate::header::{self, Header};

/// Bytes that are read at once, whole values of every format.
const PIECE: usize = 1 << 20;

/// A mapped file. Its pages are read from disk when they are first looked at.
#[derive(Debug)]
pub(crate) struct MappedFile {
    pub(crate) path: PathBuf,
    file: File,
    map: Bytes,
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
        let map = Bytes::from_owner(map(&file).map_err(io("map the file into memory"))?);
        let header = header::parse(path, &map)?;
        let path = path.into();
        Ok((Self { path, file, map }, header))
    }

    /// Gives the bytes of a range piece by piece, each but the last of [`PIECE`] bytes.
    ///
    /// They are read, not mapped: memory that is mapped counts as the program's until the system wants it back.
    pub(crate) fn read(&self, range: Range<usize>, mut each: impl FnMut(&[u8])) -> Result<(), CheckpointError> {
        let mut buffer = vec![0; PIECE.min(range.len())];
        for start in range.clone().step_by(PIECE) {
            let piece = &mut buffer[..PIECE.min(range.end - start)];
            self.fill(piece, start).map_err(|source| CheckpointError::Io {
                path: self.path.clone(),
                doing: "read the file",
                source,
            })?;
            each(piece);
        }
        Ok(())
    }

    #[cfg(unix)]
    fn fill(&self, piece: &mut [u8], start: usize) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, piece, start as u64)
    }

    /// Elsewhere a file has one position for all its readers.
    #[cfg(not(unix))]
    fn fill(&self, piece: &mut [u8], start: usize) -> io::Result<()> {
        piece.copy_from_slice(&self.map[start..start + piece.len()]);
        Ok(())
    }

    /// The whole contents, header included. Views of them keep the map.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.map
    }
}

/// Maps `file` read-only.
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only, and what this crate hands out are copies of its bytes or views that keep the map. What
    // remains is the caveat of every file map: another process that writes into or truncates the file in place while it is
    // open changes the bytes underneath. Nothing but numbers is taken from them after the header was copied out and checked,
    // so that changes values, or on truncation ends the process with a bus error. Writers that replace files, as this
    // crate's own does, never do that.
    #[allow(unsafe_code)]
    unsafe {
        Mmap::map(file)
    }
}
