//! Everything that can be wrong with a checkpoint.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use crate::StoredDtype;

/// Why a checkpoint could not be opened, read or written.
///
/// Tensor names and shard names come from files, so messages show them quoted and escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The model directory does not exist.
    #[error("{path}: no such directory")]
    DirectoryMissing {
        /// The directory asked for.
        path: PathBuf,
    },

    /// A directory was expected and something else is there.
    #[error("{path}: expected a model directory, found a file")]
    NotADirectory {
        /// The path asked for.
        path: PathBuf,
    },

    /// The file does not exist.
    #[error("{path}: no such file, or a link that leads nowhere")]
    FileMissing {
        /// The file asked for.
        path: PathBuf,
    },

    /// A regular file was expected and something else is there.
    #[error("{path}: expected a regular file, found a directory or a special file")]
    NotAFile {
        /// The path asked for.
        path: PathBuf,
    },

    /// The directory holds no safetensors checkpoint.
    #[error(
        "{path}: no checkpoint found; looked for model.safetensors, model.safetensors.index.json and a single \
         other *.safetensors file{}",
        pytorch_hint(.pytorch)
    )]
    NoCheckpoint {
        /// The directory looked into.
        path: PathBuf,
        /// A PyTorch checkpoint that is there instead, and would have to be converted.
        pytorch: Option<String>,
    },

    /// The directory holds several safetensors files and nothing that says which is the checkpoint.
    #[error(
        "{path}: several *.safetensors files ({found:?}) and neither model.safetensors nor \
         model.safetensors.index.json to say how they belong together"
    )]
    SeveralFiles {
        /// The directory looked into.
        path: PathBuf,
        /// The files found, sorted.
        found: Vec<String>,
    },

    /// The only safetensors file of the directory is named as one shard of several, and there is no index.
    #[error("{path}: {shard:?} is one shard of several, and model.safetensors.index.json is missing")]
    IndexMissing {
        /// The directory looked into.
        path: PathBuf,
        /// The shard that is there.
        shard: String,
    },

    /// The operating system refused.
    #[error("{path}: cannot {doing}: {source}")]
    Io {
        /// The file or directory concerned.
        path: PathBuf,
        /// What was being done, as a verb with its object.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },

    /// The file has no bytes.
    #[error("{path}: the file is empty, expected a safetensors file")]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },

    /// The file is shorter than it says it is.
    #[error("{path}: truncated, expected {expected} bytes, found {found}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The length that the part read so far calls for, in bytes.
        expected: u64,
        /// The length of the file in bytes.
        found: u64,
    },

    /// The file goes on after its last tensor.
    #[error("{path}: data after the last tensor, expected {expected} bytes, found {found}")]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// The length that the header calls for, in bytes.
        expected: u64,
        /// The length of the file in bytes.
        found: u64,
    },

    /// The file is recognised as some other format.
    #[error("{path}: expected a safetensors file, found {found}")]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: &'static str,
    },

    /// The header is not one that the format allows: its JSON, or the offsets and shapes in it.
    #[error("{path}: bad safetensors header: {reason}")]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// What is wrong with the header.
        reason: String,
    },

    /// The index is not JSON of the expected form.
    #[error("{path}: bad index: {reason}")]
    BadIndex {
        /// The index file.
        path: PathBuf,
        /// What is wrong with the index.
        reason: String,
    },

    /// A shard name in the index is not a plain path inside the directory of the index.
    #[error("{path}: shard {shard:?} is not a plain relative path inside the checkpoint's directory")]
    ShardOutside {
        /// The index file.
        path: PathBuf,
        /// The shard as the index names it.
        shard: String,
    },

    /// A shard named in the index does not exist.
    #[error("{path}: shard {shard:?} is named in the index but missing from the directory")]
    ShardMissing {
        /// The index file.
        path: PathBuf,
        /// The shard as the index names it.
        shard: String,
    },

    /// The index places a tensor in a shard that does not hold it.
    #[error("{path}: the index places tensor {name:?} in shard {shard:?}, which does not hold it")]
    NotInShard {
        /// The index file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shard as the index names it.
        shard: String,
    },

    /// A shard holds a tensor that the index does not name.
    #[error("{path}: shard {shard:?} holds tensor {name:?}, which the index does not name")]
    NotInIndex {
        /// The index file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shard as the index names it.
        shard: String,
    },

    /// Two shards hold a tensor of the same name.
    #[error("{path}: tensor {name:?} is in two shards, {first:?} and {second:?}")]
    InTwoShards {
        /// The index file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// One shard, as the index names it.
        first: String,
        /// The other shard.
        second: String,
    },

    /// The checkpoint has no tensor of this name.
    #[error("{path}: no tensor {name:?}{}", suggestion_hint(.suggestions))]
    MissingTensor {
        /// The checkpoint: the directory or file it was opened from.
        path: PathBuf,
        /// The tensor asked for.
        name: String,
        /// The most similar names that are there, at most three, nearest first.
        suggestions: Vec<String>,
    },

    /// A tensor is stored in a number format that the reader cannot take.
    #[error("{path}: tensor {name:?}: expected dtype {expected}, found {found}")]
    DtypeMismatch {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The formats the reader takes.
        expected: Cow<'static, str>,
        /// The stored format.
        found: StoredDtype,
    },

    /// Bytes to be written are not as many as a tensor's shape and format need.
    #[error("tensor {name:?}: {found} bytes, where {shape:?} in {dtype} needs {needed}")]
    ByteLength {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its format.
        dtype: StoredDtype,
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        needed: usize,
    },

    /// Bytes to be written are in a format that is not written.
    #[error("tensor {name:?} is in {dtype}, which is not written")]
    DtypeNotWritten {
        /// The tensor.
        name: String,
        /// Its format.
        dtype: StoredDtype,
    },

    /// A tensor has another shape than the reader expects.
    #[error("{path}: tensor {name:?}: expected shape {expected:?}, found {found:?}")]
    ShapeMismatch {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape the reader expects.
        expected: Vec<usize>,
        /// The stored shape.
        found: Vec<usize>,
    },

    /// The rows asked for are not rows of the tensor.
    #[error("{path}: tensor {name:?}: rows {rows:?} asked for, found {n_rows} rows")]
    RowsOutOfRange {
        /// The file that holds the tensor.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The rows asked for.
        rows: Range<usize>,
        /// The length of the first dimension; 0 for a tensor without dimensions.
        n_rows: usize,
    },

    /// A file to be written is there already and overwriting was not asked for.
    #[error("{path}: exists already, and overwriting was not asked for")]
    AlreadyExists {
        /// The file in the way.
        path: PathBuf,
    },

    /// A checkpoint without a tensor was to be written.
    #[error("{path}: no tensors to write")]
    NothingToWrite {
        /// The directory to be written to.
        path: PathBuf,
    },

    /// Two tensors to be written have the same name.
    #[error("tensor {name:?} is given twice")]
    RepeatedName {
        /// The name.
        name: String,
    },

    /// A tensor to be written has a name that the format keeps for itself.
    #[error("{name:?} is reserved by the safetensors format and cannot name a tensor")]
    ReservedName {
        /// The name.
        name: String,
    },

    /// The data of a tensor to be written does not fill its shape.
    #[error("tensor {name:?}: shape {shape:?} does not hold the {n_values} values given")]
    DataLength {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// How many values were given.
        n_values: usize,
    },

    /// A value of a tensor to be written is too large for the format it is to be written in.
    #[error("tensor {name:?}: element {index} is {value}, which is too large for {dtype}")]
    Overflow {
        /// The tensor.
        name: String,
        /// Index of the first such element in row-major order.
        index: usize,
        /// The value.
        value: f32,
        /// The format.
        dtype: StoredDtype,
    },
}

fn pytorch_hint(pytorch: &Option<String>) -> String {
    match pytorch {
        Some(file) => format!("; found {file:?}: convert to safetensors"),
        None => String::new(),
    }
}

fn suggestion_hint(suggestions: &[String]) -> String {
    if suggestions.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = suggestions.iter().map(|name| format!("{name:?}")).collect();
    format!("; did you mean {}?", quoted.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_path_and_what_was_found() {
        let error =
            CheckpointError::NoCheckpoint { path: "models/x".into(), pytorch: Some("pytorch_model.bin".into()) };
        assert_eq!(
            error.to_string(),
            "models/x: no checkpoint found; looked for model.safetensors, model.safetensors.index.json and a single \
             other *.safetensors file; found \"pytorch_model.bin\": convert to safetensors"
        );

        let error = CheckpointError::MissingTensor {
            path: "m".into(),
            name: "a.b".into(),
            suggestions: vec!["a.c".into(), "a.d".into()],
        };
        assert_eq!(error.to_string(), r#"m: no tensor "a.b"; did you mean "a.c" or "a.d"?"#);
    }

    #[test]
    fn names_from_files_are_escaped() {
        let error = CheckpointError::NotInIndex { path: "m".into(), name: "a\u{1b}[31m".into(), shard: "s".into() };
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
