//! Writing checkpoints.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::atomic::{PartialFile, failed, refuse_existing, sync_directory};
use crate::convert::{first_overflow, write_f32};
use crate::header::{MAX_HEADER, PREFIX};
use crate::index::Index;
use crate::sharding::{divide, shard_name};
use crate::{CheckpointError, INDEX_FILE, Overwrite, SINGLE_FILE, StoredDtype, WrittenDtype};

/// One tensor of a checkpoint to be written.
#[derive(Debug, Clone)]
pub struct TensorToWrite<'a> {
    /// Its name, unique in the checkpoint.
    pub name: String,
    /// Its shape, outermost dimension first; empty for a single number.
    pub shape: Vec<usize>,
    /// Its values in row-major order, as many as the shape holds.
    pub data: Cow<'a, [f32]>,
    /// The format it is written in.
    pub dtype: WrittenDtype,
}

impl<'a> TensorToWrite<'a> {
    /// A tensor of owned or borrowed data, to be written as `f32`.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, data: impl Into<Cow<'a, [f32]>>) -> Self {
        Self { name: name.into(), shape: shape.into(), data: data.into(), dtype: WrittenDtype::F32 }
    }

    /// The same tensor, to be written in another format.
    pub fn with_dtype(self, dtype: WrittenDtype) -> Self {
        Self { dtype, ..self }
    }
}

/// One tensor of a checkpoint to be written as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name, unique in the checkpoint.
    pub name: String,
    /// Its shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// The format of its bytes.
    pub dtype: StoredDtype,
    /// Little-endian values in row-major order.
    pub bytes: Bytes,
}

/// A tensor that a [`CheckpointWriter`] takes: [`TensorToWrite`] or [`StoredTensor`].
pub trait WritableTensor: sealed::Tensor {}

impl WritableTensor for TensorToWrite<'_> {}
impl WritableTensor for StoredTensor {}

mod sealed {
    use std::io::{self, Write};

    use safetensors::Dtype;

    use crate::CheckpointError;

    /// What the writer needs of a tensor.
    pub trait Tensor {
        fn name(&self) -> &str;
        fn shape(&self) -> &[usize];
        fn dtype(&self) -> Dtype;
        fn n_bytes(&self) -> usize;
        /// That its data fills its shape and fits its format.
        fn check(&self) -> Result<(), CheckpointError>;
        fn write(&self, out: &mut dyn Write) -> io::Result<()>;
    }
}

impl sealed::Tensor for TensorToWrite<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> Dtype {
        self.dtype.into()
    }

    fn n_bytes(&self) -> usize {
        self.data.len() * self.dtype.n_bytes()
    }

    fn check(&self) -> Result<(), CheckpointError> {
        let n_values = self.shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
        if n_values != Some(self.data.len()) {
            return Err(CheckpointError::DataLength {
                name: self.name.clone(),
                shape: self.shape.clone(),
                n_values: self.data.len(),
            });
        }
        match first_overflow(&self.data, self.dtype) {
            Some(index) => Err(CheckpointError::Overflow {
                name: self.name.clone(),
                index,
                value: self.data[index],
                dtype: self.dtype.into(),
            }),
            None => Ok(()),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write_f32(out, &self.data, self.dtype)
    }
}

impl sealed::Tensor for StoredTensor {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> Dtype {
        match self.dtype {
            StoredDtype::F32 => Dtype::F32,
            StoredDtype::F16 => Dtype::F16,
            StoredDtype::Bf16 => Dtype::BF16,
            StoredDtype::I64 => Dtype::I64,
            StoredDtype::I32 => Dtype::I32,
            StoredDtype::I8 => Dtype::I8,
            // Others are refused before they are written.
            StoredDtype::U8 | StoredDtype::Other(_) => Dtype::U8,
        }
    }

    fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn check(&self) -> Result<(), CheckpointError> {
        if let StoredDtype::Other(_) = self.dtype {
            return Err(CheckpointError::DtypeNotWritten { name: self.name.clone(), dtype: self.dtype });
        }
        let n_values = self.shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim)).unwrap_or(usize::MAX);
        let needed = n_values.saturating_mul(sealed::Tensor::dtype(self).bitsize() / 8);
        if needed == self.bytes.len() {
            return Ok(());
        }
        Err(CheckpointError::ByteLength {
            name: self.name.clone(),
            shape: self.shape.clone(),
            dtype: self.dtype,
            found: self.bytes.len(),
            needed,
        })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.bytes)
    }
}

/// Writes checkpoints into a model directory: `f32` tensors bit for bit, others rounded to their format, [`StoredTensor`]s byte
/// for byte.
///
/// Everything is written under temporary names in the same directory and brought to disk before anything gets its
/// real name, so an error such as a full disk leaves what was there before. Files of the same tensors are the same
/// bytes. Missing directories are made.
#[derive(Debug, Clone)]
pub struct CheckpointWriter {
    dir: PathBuf,
    overwrite: Overwrite,
}

impl CheckpointWriter {
    /// A writer into `dir`. `overwrite` decides about a checkpoint that is there already, in either layout.
    pub fn new(dir: impl Into<PathBuf>, overwrite: Overwrite) -> Self {
        Self { dir: dir.into(), overwrite }
    }

    /// Writes all tensors into `model.safetensors` and returns its path.
    ///
    /// With [`Overwrite::Yes`] the index of a sharded checkpoint in the directory is removed afterwards; its
    /// shards stay.
    ///
    /// # Errors
    ///
    /// If there are no tensors, a name is repeated or reserved, data does not fill its shape or is too large for its
    /// format, a checkpoint is there and must stay, or the operating system refuses.
    pub fn write_single<T: WritableTensor>(&self, tensors: &[T]) -> Result<PathBuf, CheckpointError> {
        let (single, index) = (self.dir.join(SINGLE_FILE), self.dir.join(INDEX_FILE));
        self.check(tensors)?;
        refuse_existing(&single, self.overwrite)?;
        refuse_existing(&index, self.overwrite)?;
        self.make_directory()?;

        write_file(&single, tensors)?.publish(self.overwrite)?;
        sync_directory(&single)?;
        // Readers prefer the single file, so the index has had no say since it was published.
        self.remove_old(&index)?;
        Ok(single)
    }

    /// Writes the tensors, in the order given, into shards of at most `max_shard_bytes` of data each (a larger tensor
    /// has a shard of its own), and the index that names them. Returns the path of the index.
    ///
    /// With [`Overwrite::Yes`] the old index is removed before the first shard is replaced, and the new one comes last:
    /// after a crash at any moment there is the old checkpoint, the new one, or one that does not open, never a
    /// mixture. A `model.safetensors` in the directory is removed at the end, since readers would prefer it; old
    /// shards of other names stay. Several files cannot be replaced in one step, so a checkpoint should not be opened
    /// while a sharded one is written over it; one opened before is not affected.
    ///
    /// # Errors
    ///
    /// As [`write_single`](Self::write_single).
    pub fn write_sharded<T: WritableTensor>(
        &self,
        tensors: &[T],
        max_shard_bytes: u64,
    ) -> Result<PathBuf, CheckpointError> {
        let (single, index) = (self.dir.join(SINGLE_FILE), self.dir.join(INDEX_FILE));
        self.check(tensors)?;
        let sizes: Vec<u64> = tensors.iter().map(|tensor| tensor.n_bytes() as u64).collect();
        let runs = divide(&sizes, max_shard_bytes);
        let names: Vec<String> = (1..=runs.len()).map(|number| shard_name(number, runs.len())).collect();

        refuse_existing(&single, self.overwrite)?;
        refuse_existing(&index, self.overwrite)?;
        for name in &names {
            refuse_existing(&self.dir.join(name), self.overwrite)?;
        }
        self.make_directory()?;

        let mut files = Vec::new();
        let mut weight_map = BTreeMap::new();
        for (run, name) in runs.into_iter().zip(&names) {
            let tensors = &tensors[run];
            weight_map.extend(tensors.iter().map(|t| (t.name().to_owned(), name.clone())));
            files.push(write_file(&self.dir.join(name), tensors)?);
        }
        let contents = Index::new(weight_map, sizes.iter().sum());
        let index_file = PartialFile::write(&index, |out| {
            serde_json::to_writer_pretty(&mut *out, &contents)?;
            out.write_all(b"\n")
        })?;

        // An index that named both old and new shards would be the mixture promised not to exist.
        self.remove_old(&index)?;
        let mut published = Published::default();
        for (file, name) in files.into_iter().zip(&names) {
            file.publish(self.overwrite)?;
            if self.overwrite == Overwrite::No {
                published.0.push(self.dir.join(name));
            }
        }
        sync_directory(&index)?;
        index_file.publish(self.overwrite)?;
        published.0.clear();
        sync_directory(&index)?;
        self.remove_old(&single)?;
        Ok(index)
    }

    fn check<T: WritableTensor>(&self, tensors: &[T]) -> Result<(), CheckpointError> {
        if tensors.is_empty() {
            return Err(CheckpointError::NothingToWrite { path: self.dir.clone() });
        }
        let mut names = BTreeSet::new();
        for tensor in tensors {
            let name = tensor.name();
            if name == "__metadata__" {
                return Err(CheckpointError::ReservedName { name: name.into() });
            }
            if !names.insert(name) {
                return Err(CheckpointError::RepeatedName { name: name.into() });
            }
            tensor.check()?;
        }
        Ok(())
    }

    fn make_directory(&self) -> Result<(), CheckpointError> {
        fs::create_dir_all(&self.dir).map_err(failed(&self.dir, "make the directory"))
    }

    /// Removes a file of the checkpoint that is being replaced, if there is one.
    fn remove_old(&self, path: &Path) -> Result<(), CheckpointError> {
        if self.overwrite == Overwrite::No {
            return Ok(());
        }
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(path, "remove the replaced file")(e)),
            Ok(()) => sync_directory(path),
            Err(_) => Ok(()),
        }
    }
}

/// New files that are of no use without the rest; dropped with names in it, it removes them.
#[derive(Default)]
struct Published(Vec<PathBuf>);

impl Drop for Published {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes checked tensors as one safetensors file that is to be published as `path`.
fn write_file<T: WritableTensor>(path: &Path, tensors: &[T]) -> Result<PartialFile, CheckpointError> {
    let mut sorted: Vec<&T> = tensors.iter().collect();
    // Wider formats first, so that every value lies at a multiple of its size, which some readers insist on.
    sorted.sort_unstable_by_key(|tensor| (Reverse(tensor.dtype().bitsize()), tensor.name()));
    let header = header(path, &sorted)?;
    PartialFile::write(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        sorted.iter().try_for_each(|tensor| tensor.write(out))
    })
}

/// Bytes that processors read at once.
const CACHE_LINE: usize = 64;

/// The JSON header for the data of `tensors` end to end, padded so that the data begins with a cache line.
fn header<T: WritableTensor>(path: &Path, tensors: &[&T]) -> Result<Vec<u8>, CheckpointError> {
    let bad = |reason: String| CheckpointError::BadHeader { path: path.into(), reason };
    let mut offset = 0;
    let entries = tensors
        .iter()
        .map(|tensor| {
            let start = offset;
            offset += tensor.n_bytes();
            let info =
                TensorInfo { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), data_offsets: (start, offset) };
            (tensor.name().to_owned(), info)
        })
        .collect();
    // Libraries that load published models ask for this entry.
    let about = HashMap::from([("format".to_string(), "pt".to_string())]);
    let metadata = Metadata::new(Some(about), entries).map_err(|e| bad(e.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|e| bad(e.to_string()))?;
    json.resize((PREFIX + json.len()).next_multiple_of(CACHE_LINE) - PREFIX, b' ');
    if json.len() as u64 > MAX_HEADER {
        return Err(bad(format!("{} bytes of names and shapes, the limit is {MAX_HEADER}", json.len())));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header;

    #[test]
    fn the_header_is_padded_and_sorted() {
        let b = TensorToWrite::new("b", [1, 2], vec![1.0, 2.0]);
        let a = TensorToWrite::new("a", [], vec![3.0]);
        let json = super::header(Path::new("x"), &[&a, &b]).unwrap();
        assert_eq!((PREFIX + json.len()) % CACHE_LINE, 0);
        assert_eq!(
            String::from_utf8(json).unwrap().trim_end(),
            r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]}}"#
        );
    }

    #[test]
    fn written_files_pass_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        let tensors = [TensorToWrite::new("empty", [0, 3], vec![])];
        let path = CheckpointWriter::new(dir.path(), Overwrite::No).write_single(&tensors).unwrap();
        let parsed = header::parse(&path, &fs::read(&path).unwrap()).unwrap();
        assert_eq!(parsed.tensors[0].1.shape, [0, 3]);
    }
}
