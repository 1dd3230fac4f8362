//! The files that a corpus is made from.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::CorpusError;
use crate::hash::Hasher;

/// A file that is there and has bytes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its length in bytes when it was looked up.
    pub(crate) length: u64,
}

impl Source {
    /// Looks up every file before any is read, so that a wrong name is an error at once. `expected` says what an empty
    /// file should hold.
    pub(crate) fn look_up(files: &[PathBuf], expected: &'static str) -> Result<Vec<Self>, CorpusError> {
        if files.is_empty() {
            return Err(CorpusError::NoFiles);
        }
        files.iter().map(|path| Self::look_up_one(path, expected)).collect()
    }

    fn look_up_one(path: &Path, expected: &'static str) -> Result<Self, CorpusError> {
        // Asked before opening: opening a named pipe would wait for a writer.
        let metadata = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => CorpusError::MissingFile { path: path.into() },
            _ => CorpusError::io(path, "look up the file")(source),
        })?;
        if !metadata.is_file() {
            return Err(CorpusError::NotAFile { path: path.into() });
        }
        match metadata.len() {
            0 => Err(CorpusError::EmptyFile { path: path.into(), expected }),
            length => Ok(Self { path: path.into(), length }),
        }
    }

    pub(crate) fn open(&self) -> Result<File, CorpusError> {
        File::open(&self.path).map_err(CorpusError::io(&self.path, "open the file"))
    }

    /// Reads the whole file, a buffer at a time.
    pub(crate) fn contents(&self) -> Result<Contents, CorpusError> {
        let mut file = self.open()?;
        let mut buffer = vec![0; 1 << 18];
        let mut contents = ContentsHasher::default();
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(contents.finish()),
                Ok(n) => contents.write(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CorpusError::io(&self.path, "read the file")(error)),
            }
        }
    }
}

/// The sum of the lengths of some files, in bytes.
pub(crate) fn total_length(sources: &[Source]) -> u64 {
    sources.iter().map(|source| source.length).sum()
}

/// What tells the contents of a file from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) length: u64,
    pub(crate) hash: u64,
}

/// Takes in a file to give its [`Contents`].
#[derive(Debug)]
pub(crate) struct ContentsHasher {
    length: u64,
    hasher: Hasher,
}

impl Default for ContentsHasher {
    fn default() -> Self {
        Self { length: 0, hasher: Hasher::new() }
    }
}

impl ContentsHasher {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hasher.write(bytes);
    }

    pub(crate) fn finish(&self) -> Contents {
        Contents { length: self.length, hash: self.hasher.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;
    use crate::testing::file;

    #[test]
    fn each_file_must_be_there_and_hold_something() {
        let dir = tempfile::tempdir().unwrap();
        let full = file(dir.path(), "full", "text");
        let empty = file(dir.path(), "empty", "");
        let missing = dir.path().join("missing");
        let look_up = |files: &[&PathBuf]| {
            let files: Vec<PathBuf> = files.iter().map(|&path| path.clone()).collect();
            Source::look_up(&files, "text")
        };
        assert_eq!(look_up(&[&full]).unwrap(), [Source { path: full.clone(), length: 4 }]);
        assert!(matches!(look_up(&[]), Err(CorpusError::NoFiles)));
        assert!(matches!(look_up(&[&full, &empty]), Err(CorpusError::EmptyFile { path, .. }) if path == empty));
        assert!(matches!(look_up(&[&full, &missing]), Err(CorpusError::MissingFile { path }) if path == missing));
        let directory = dir.path().to_owned();
        assert!(matches!(look_up(&[&directory]), Err(CorpusError::NotAFile { path }) if path == directory));
    }

    #[test]
    fn contents_are_length_and_hash() {
        let dir = tempfile::tempdir().unwrap();
        let text = "x".repeat(300_000);
        let path = file(dir.path(), "a", &text);
        let source = Source { path, length: 300_000 };
        assert_eq!(source.contents().unwrap(), Contents { length: 300_000, hash: hash(text.as_bytes()) });
    }
}
