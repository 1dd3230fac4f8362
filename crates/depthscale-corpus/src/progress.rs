//! How far a pass over files has come.

/// How much of the text has been tokenized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The bytes of the files that are done.
    pub bytes_done: u64,
    /// The bytes of all files.
    pub bytes: u64,
}
