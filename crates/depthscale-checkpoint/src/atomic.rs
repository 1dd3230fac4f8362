//! Files that appear under their name only when complete.
//!
//! A file is written under a name of its own in the same directory, brought to disk, and then given its real name in one
//! step. A reader sees the old file or the new one, never a part; a map of the old one stays whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::CheckpointError;

/// What to do when a file to be written is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Replace it.
    Yes,
    /// Leave it and return [`CheckpointError::AlreadyExists`].
    No,
}

/// Writes a small file, such as `config.json`, all or nothing.
///
/// # Errors
///
/// If the file exists and `overwrite` is [`Overwrite::No`], or it cannot be written; its directory must exist. After an
/// error what was there before is untouched.
pub fn write_atomically(path: &Path, bytes: &[u8], overwrite: Overwrite) -> Result<(), CheckpointError> {
    refuse_existing(path, overwrite)?;
    let file = PartialFile::write(path, |out| out.write_all(bytes))?;
    file.publish(overwrite)?;
    sync_directory(path)
}

/// Returns [`CheckpointError::AlreadyExists`] if something is at `path` and must stay.
pub(crate) fn refuse_existing(path: &Path, overwrite: Overwrite) -> Result<(), CheckpointError> {
    match overwrite {
        Overwrite::No if path.symlink_metadata().is_ok() => Err(CheckpointError::AlreadyExists { path: path.into() }),
        _ => Ok(()),
    }
}

/// A complete file that does not have its name yet. Dropped before [`publish`](Self::publish), it is removed.
#[derive(Debug)]
pub(crate) struct PartialFile {
    /// The name it will have.
    path: PathBuf,
    /// The name it has: `.NAME.PROCESS-NUMBER.partial`.
    partial: PathBuf,
}

impl PartialFile {
    /// Writes a file that is to be published as `path`, through `fill`, and brings it to disk.
    pub(crate) fn write(
        path: &Path,
        fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<Self, CheckpointError> {
        let (file, partial) = create_beside(path).map_err(failed(path, "create a file beside"))?;
        // From here on the drop of this value removes the file.
        let this = Self { path: path.into(), partial };
        let mut out = BufWriter::with_capacity(1 << 20, file);
        fill(&mut out)
            .and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all())
            .map_err(failed(path, "write"))?;
        Ok(this)
    }

    /// Gives the file its name in one step.
    pub(crate) fn publish(self, overwrite: Overwrite) -> Result<(), CheckpointError> {
        let named = match overwrite {
            Overwrite::Yes => fs::rename(&self.partial, &self.path),
            // A link, unlike a rename, never replaces a file that another writer made meanwhile. The drop then
            // removes the old name.
            Overwrite::No => match fs::hard_link(&self.partial, &self.path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    // Not every file system has links.
                    refuse_existing(&self.path, overwrite)?;
                    fs::rename(&self.partial, &self.path)
                }
                linked => linked,
            },
        };
        named.map_err(|source| match (overwrite, source.kind()) {
            (Overwrite::No, io::ErrorKind::AlreadyExists) => CheckpointError::AlreadyExists { path: self.path.clone() },
            _ => failed(&self.path, "give the written file its name")(source),
        })
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove, and in no case anything else to be done about it.
        let _ = fs::remove_file(&self.partial);
    }
}

/// Creates a new file beside `path`, under a name that no other writer uses.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?
        .to_string_lossy();
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let partial = path.with_file_name(format!(".{name}.{}-{number}.partial", std::process::id()));
        match File::create_new(&partial) {
            // Left behind by a process that had this number and was cut off.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            created => return created.map(|file| (file, partial)),
        }
    }
}

/// Brings the name of the file at `path` to disk, where the platform lets a directory be opened for that.
pub(crate) fn sync_directory(path: &Path) -> Result<(), CheckpointError> {
    if cfg!(unix) {
        let dir = match path.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        };
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir, "bring to disk the directory"))?;
    }
    Ok(())
}

/// Turns what the operating system said into an error about `path`.
pub(crate) fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> CheckpointError {
    move |source| CheckpointError::Io { path: path.into(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn writes_and_replaces_only_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        write_atomically(&path, b"one", Overwrite::No).unwrap();
        assert!(matches!(
            write_atomically(&path, b"two", Overwrite::No),
            Err(CheckpointError::AlreadyExists { path: at }) if at == path
        ));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_atomically(&path, b"two", Overwrite::Yes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(listing(dir.path()), ["config.json"]);
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "old").unwrap();
        let result = PartialFile::write(&path, |out| {
            out.write_all(b"half of it")?;
            Err(io::Error::other("disk full"))
        });
        assert!(matches!(&result, Err(CheckpointError::Io { source, .. }) if source.to_string() == "disk full"));
        assert_eq!(listing(dir.path()), ["x"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_file_made_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let ours = PartialFile::write(&path, |out| out.write_all(b"ours")).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(ours.publish(Overwrite::No), Err(CheckpointError::AlreadyExists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(listing(dir.path()), ["x"]);
    }

    #[test]
    fn writers_of_the_same_name_do_not_meet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let first = PartialFile::write(&path, |out| out.write_all(b"first")).unwrap();
        let second = PartialFile::write(&path, |out| out.write_all(b"second")).unwrap();
        first.publish(Overwrite::Yes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        second.publish(Overwrite::Yes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
    }

    #[test]
    fn impossible_paths_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        for path in [PathBuf::from("/"), dir.path().join(".."), dir.path().join("missing/x")] {
            let result = write_atomically(&path, b"", Overwrite::Yes);
            assert!(matches!(result, Err(CheckpointError::Io { .. })), "{result:?}");
        }
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write_atomically(&taken, b"", Overwrite::Yes).is_err());
        assert_eq!(listing(dir.path()), ["taken"]);
    }
}
