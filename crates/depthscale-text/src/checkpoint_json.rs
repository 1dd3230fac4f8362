//! One JSON file of a checkpoint directory, with errors that name the file and the key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::TextError;

/// The longest part of a wrong value that an error repeats, in characters.
const MAX_FOUND_CHARS: usize = 60;

/// A JSON file whose root is an object.
pub(crate) struct CheckpointJson {
    /// Where it was read from.
    pub(crate) path: PathBuf,
    root: Map<String, Value>,
}

impl CheckpointJson {
    /// Reads `DIR/name`, or `None` where there is no such file.
    pub(crate) fn open_optional(dir: &Path, name: &str) -> Result<Option<Self>, TextError> {
        let path = dir.join(name);
        let Some(bytes) = read_optional(&path)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(root) => Ok(Some(Self { path, root })),
            Err(error) => Err(TextError::Malformed { path, expected: "a JSON object", message: error.to_string() }),
        }
    }

    /// The value of a key; an absent key and `null` both mean that nothing was said.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.root.get(key).filter(|value| !value.is_null())
    }

    /// The error for a key that holds something else than `expected`.
    pub(crate) fn wrong_type(&self, key: &str, expected: &'static str, found: &Value) -> TextError {
        let found = found.to_string();
        let found = match found.char_indices().nth(MAX_FOUND_CHARS) {
            Some((end, _)) => format!("{}...", &found[..end]),
            None => found,
        };
        TextError::WrongType { path: self.path.clone(), key: key.to_owned(), expected, found }
    }
}

/// Reads a file, or `None` where there is none.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, TextError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TextError::Unreadable { path: path.to_owned(), source }),
    }
}
