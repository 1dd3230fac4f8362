//! An opened checkpoint, and reading from it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::header::Header;
use crate::index::Index;
use crate::locate::{Layout, locate};
use crate::mapped::MappedFile;
use crate::{CheckpointError, StoredDtype, TensorInfo, convert, similar};

/// A checkpoint opened for reading.
///
/// Its files are mapped into memory and stay so until it and every view of [`stored_rows`](Self::stored_rows) are dropped;
/// tensor data is read from disk when a tensor is asked for. The files must not be written into or truncated in place meanwhile. Replacing them, as
/// [`CheckpointWriter`](crate::CheckpointWriter) does, is fine (Windows refuses it while they are open).
///
/// It is `Send` and `Sync`: several threads may read from one checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Stored>,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Stored {
    /// Index into the checkpoint's files.
    file: usize,
    /// Bytes of the data, counted from the beginning of the file; inside it, which opening has checked.
    bytes: Range<usize>,
    info: TensorInfo,
    used: AtomicBool,
}

impl Checkpoint {
    /// Opens the checkpoint in a model directory: `model.safetensors`; or `model.safetensors.index.json` and the
    /// shards it names; or, with neither there, the only `*.safetensors` file besides `expected.safetensors`.
    ///
    /// # Errors
    ///
    /// If there is no such checkpoint, a file is unreadable or not a valid safetensors file, or the index and
    /// its shards disagree about which tensors there are and where. Each case is its own [`CheckpointError`].
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let mut checkpoint = match locate(dir)? {
            Layout::Single(file) => Self::open_file(&file)?,
            Layout::Sharded(index) => Self::open_sharded(dir, &index)?,
        };
        checkpoint.path = dir.into();
        Ok(checkpoint)
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    ///
    /// If the file is missing, unreadable or not a valid safetensors file.
    pub fn open_file(path: &Path) -> Result<Self, CheckpointError> {
        let (file, header) = MappedFile::open(path)?;
        Ok(Self { path: path.into(), files: vec![file], tensors: stored(0, header).collect() })
    }

    fn open_sharded(dir: &Path, index_path: &Path) -> Result<Self, CheckpointError> {
        let index = Index::read(index_path)?;
        let mut files = Vec::new();
        let mut tensors = BTreeMap::<String, Stored>::new();

        let shards: Vec<&str> = index.shards().into_iter().collect();
        for (number, &shard) in shards.iter().enumerate() {
            let (file, header) = MappedFile::open(&dir.join(shard)).map_err(|e| match e {
                CheckpointError::FileMissing { .. } => {
                    CheckpointError::ShardMissing { path: index_path.into(), shard: shard.into() }
                }
                other => other,
            })?;
            files.push(file);
            for (name, tensor) in stored(number, header) {
                if let Some(first) = tensors.get(&name) {
                    return Err(CheckpointError::InTwoShards {
                        path: index_path.into(),
                        name,
                        first: shards[first.file].into(),
                        second: shard.into(),
                    });
                }
                if !index.weight_map.contains_key(&name) {
                    return Err(CheckpointError::NotInIndex { path: index_path.into(), name, shard: shard.into() });
                }
                tensors.insert(name, tensor);
            }
        }

        for (name, shard) in &index.weight_map {
            if tensors.get(name).is_none_or(|tensor| shards[tensor.file] != shard) {
                return Err(CheckpointError::NotInShard {
                    path: index_path.into(),
                    name: name.clone(),
                    shard: shard.clone(),
                });
            }
        }
        Ok(Self { path: dir.into(), files, tensors })
    }

    /// The directory or file the checkpoint was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Stored format and shape of a tensor, if there is one of this name.
    pub fn info(&self, name: &str) -> Option<TensorInfo> {
        self.tensors.get(name).map(|tensor| tensor.info.clone())
    }

    /// Stored size of all tensors together, in bytes, without headers.
    pub fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.bytes.len() as u64).sum()
    }

    /// Reads a whole tensor as `f32` in row-major order, and marks it used.
    ///
    /// Stored f32, f16 and bf16 are taken; every value of them is an `f32`, so the conversion is exact. Values are
    /// not looked at: see [`first_non_finite`](crate::first_non_finite).
    ///
    /// # Errors
    ///
    /// If there is no tensor of this name, its shape is not `expected_shape`, or it is stored in another format.
    pub fn read_f32(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let tensor = self.tensor_of_shape(name, expected_shape)?;
        self.to_f32(name, tensor, tensor.bytes.clone())
    }

    /// Reads the rows `rows` of a tensor, indices along its first dimension, as [`read_f32`](Self::read_f32) would,
    /// and marks the tensor used. `expected_shape` is the shape of the whole tensor.
    ///
    /// # Errors
    ///
    /// As [`read_f32`](Self::read_f32), and if `rows` goes past the first dimension or ends before it begins.
    pub fn read_rows_f32(
        &self,
        name: &str,
        expected_shape: &[usize],
        rows: Range<usize>,
    ) -> Result<Vec<f32>, CheckpointError> {
        let tensor = self.tensor_of_shape(name, expected_shape)?;
        let bytes = self.rows_of(name, tensor, rows)?;
        self.to_f32(name, tensor, bytes)
    }

    /// Where rows lie in their file.
    fn rows_of(&self, name: &str, tensor: &Stored, rows: Range<usize>) -> Result<Range<usize>, CheckpointError> {
        let n_rows = tensor.info.shape.first().copied().unwrap_or(0);
        if rows.start > rows.end || rows.end > n_rows {
            return Err(CheckpointError::RowsOutOfRange {
                path: self.files[tensor.file].path.clone(),
                name: name.into(),
                rows,
                n_rows,
            });
        }
        let row_bytes = tensor.bytes.len().checked_div(n_rows).unwrap_or(0);
        let start = tensor.bytes.start;
        Ok(start + rows.start * row_bytes..start + rows.end * row_bytes)
    }

    /// A view of the rows `rows` of a tensor as they are stored, in the format `dtype`, which is not copied and keeps the file
    /// mapped; and marks the tensor used. `expected_shape` is the shape of the whole tensor.
    ///
    /// # Errors
    ///
    /// As [`read_rows_f32`](Self::read_rows_f32), and if it is stored in any other format.
    pub fn stored_rows(
        &self,
        name: &str,
        dtype: StoredDtype,
        expected_shape: &[usize],
        rows: Range<usize>,
    ) -> Result<Bytes, CheckpointError> {
        let tensor = self.tensor_of_shape(name, expected_shape)?;
        if tensor.info.dtype != dtype {
            return Err(self.wrong_dtype(name, tensor, dtype.to_string()));
        }
        let bytes = self.rows_of(name, tensor, rows)?;
        tensor.used.store(true, Ordering::Relaxed);
        Ok(self.files[tensor.file].bytes().slice(bytes))
    }

    /// Reads a whole tensor of integers in row-major order, and marks it used. Stored i64 and i32 are taken; its shape
    /// is in [`info`](Self::info).
    ///
    /// # Errors
    ///
    /// If there is no tensor of this name, or it is stored in another format.
    pub fn read_i64(&self, name: &str) -> Result<Vec<i64>, CheckpointError> {
        let tensor = self.tensor(name)?;
        let bytes = &self.files[tensor.file].bytes()[tensor.bytes.clone()];
        let values = match tensor.info.dtype {
            StoredDtype::I64 => convert::i64_from_i64(bytes),
            StoredDtype::I32 => convert::i64_from_i32(bytes),
            _ => return Err(self.wrong_dtype(name, tensor, "I64 or I32")),
        };
        tensor.used.store(true, Ordering::Relaxed);
        Ok(values)
    }

    /// Marks a tensor used that is knowingly left unread, such as a stored table that is computed instead. Returns
    /// whether there is one of this name.
    pub fn mark_used(&self, name: &str) -> bool {
        match self.tensors.get(name) {
            Some(tensor) => {
                tensor.used.store(true, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    /// The names of the tensors that were neither read, in whole or in part, nor marked used; sorted.
    pub fn unused(&self) -> Vec<String> {
        self.tensors
            .iter()
            .filter(|(_, tensor)| !tensor.used.load(Ordering::Relaxed))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<&Stored, CheckpointError> {
        self.tensors.get(name).ok_or_else(|| CheckpointError::MissingTensor {
            path: self.path.clone(),
            name: name.into(),
            suggestions: similar::nearest(name, self.names()).into_iter().map(String::from).collect(),
        })
    }

    fn tensor_of_shape(&self, name: &str, expected_shape: &[usize]) -> Result<&Stored, CheckpointError> {
        let tensor = self.tensor(name)?;
        if tensor.info.shape != expected_shape {
            return Err(CheckpointError::ShapeMismatch {
                path: self.files[tensor.file].path.clone(),
                name: name.into(),
                expected: expected_shape.into(),
                found: tensor.info.shape.clone(),
            });
        }
        Ok(tensor)
    }

    fn to_f32(&self, name: &str, tensor: &Stored, bytes: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let (convert, size): (convert::ToF32, _) = match tensor.info.dtype {
            StoredDtype::F32 => (convert::f32_from_f32, 4),
            StoredDtype::F16 => (convert::f32_from_f16, 2),
            StoredDtype::Bf16 => (convert::f32_from_bf16, 2),
            _ => return Err(self.wrong_dtype(name, tensor, "F32, F16 or BF16")),
        };
        let mut values = Vec::with_capacity(bytes.len() / size);
        self.files[tensor.file].read(bytes, |piece| convert(piece, &mut values))?;
        tensor.used.store(true, Ordering::Relaxed);
        Ok(values)
    }

    fn wrong_dtype(&self, name: &str, tensor: &Stored, expected: impl Into<Cow<'static, str>>) -> CheckpointError {
        CheckpointError::DtypeMismatch {
            path: self.files[tensor.file].path.clone(),
            name: name.into(),
            expected: expected.into(),
            found: tensor.info.dtype,
        }
    }
}

/// The tensors of a checked header, as entries of file number `file`.
fn stored(file: usize, header: Header) -> impl Iterator<Item = (String, Stored)> {
    header.tensors.into_iter().map(move |(name, tensor)| {
        let (start, end) = tensor.data_offsets;
        let stored = Stored {
            file,
            bytes: header.data_start + start..header.data_start + end,
            info: TensorInfo { dtype: tensor.dtype.into(), shape: tensor.shape },
            used: AtomicBool::new(false),
        };
        (name, stored)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_may_be_shared_between_threads() {
        fn shareable<T: Send + Sync>() {}
        shareable::<Checkpoint>();
    }
}
