//! Reads and writes [safetensors] checkpoints on the host.
//!
//! A [`Checkpoint`] is a model directory (or one file) opened for reading. Opening memory-maps the files and checks
//! everything that can be checked without touching a weight: headers, offsets, lengths, and for a sharded model that
//! the index and the shards tell the same story. After that a tensor is read by name, with the shape the reader
//! expects, and comes back as `f32` whatever float format it was stored in. The checkpoint remembers what was read,
//! so that a loader can end with "nothing missing, nothing unused".
//!
//! A [`CheckpointWriter`] writes the same layout. Files appear under their name only when complete, and they replace
//! rather than rewrite what was there, so a checkpoint may be written into the directory it is being read from (not on
//! Windows, which refuses to replace a mapped file).
//!
//! No tensor library is involved: data comes and goes as slices of plain numbers.
//!
//! ```
//! use depthscale_checkpoint::{Checkpoint, CheckpointWriter, Overwrite, TensorToWrite};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let dir = scratch.path().join("tiny");
//! let weights = [
//!     TensorToWrite::new("head.weight", [2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
//!     TensorToWrite::new("norm.weight", [3], vec![1.0, 1.0, 1.0]),
//! ];
//! CheckpointWriter::new(&dir, Overwrite::No).write_single(&weights)?;
//!
//! let checkpoint = Checkpoint::open(&dir)?;
//! assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["head.weight", "norm.weight"]);
//! assert_eq!(checkpoint.read_rows_f32("head.weight", &[2, 3], 1..2)?, [3.0, 4.0, 5.0]);
//! assert_eq!(checkpoint.unused(), ["norm.weight"]);
//!
//! // A shape other than the expected one is an error that names both.
//! let error = checkpoint.read_f32("norm.weight", &[4]).unwrap_err();
//! assert!(error.to_string().contains("expected shape [4], found [3]"));
//! # Ok(())
//! # }
//! ```
//!
//! [safetensors]: https://github.com/huggingface/safetensors#format

#![warn(missing_docs)]

mod atomic;
mod checkpoint;
mod convert;
mod dtype;
mod error;
mod header;
mod index;
mod locate;
mod mapped;
mod sharding;
mod similar;
mod writer;

pub use atomic::{Overwrite, write_atomically};
pub use checkpoint::Checkpoint;
pub use convert::first_non_finite;
pub use dtype::{StoredDtype, TensorInfo, WrittenDtype};
pub use error::CheckpointError;
pub use writer::{CheckpointWriter, StoredTensor, TensorToWrite, WritableTensor};

/// The file of a checkpoint that is not sharded.
pub const SINGLE_FILE: &str = "model.safetensors";

/// The index of a sharded checkpoint.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

/// A file of reference outputs that may lie beside a checkpoint and is never taken for one.
pub const EXPECTED_FILE: &str = "expected.safetensors";
