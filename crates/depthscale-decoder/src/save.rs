//! Writing a decoder's parameters under the names of its family's files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_checkpoint::{
    CheckpointError, CheckpointWriter, Overwrite, TensorToWrite, WrittenDtype, write_atomically,
};
use depthscale_types::{ComputeDtype, DecoderConfig};
use serde_json::Value;

use crate::build::param_id;
use crate::convert::WEIGHTS_FILE;
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::families;
use crate::read::read;

/// The name of the config in a model directory.
pub(crate) const CONFIG_FILE: &str = "config.json";

/// How a decoder is saved. An [`Overwrite`] alone stands for the rest as it is by default.
///
/// ```
/// use depthscale_checkpoint::Overwrite;
/// use depthscale_decoder::SaveOptions;
/// use depthscale_types::ComputeDtype;
///
/// let small = SaveOptions { dtype: ComputeDtype::F16, ..SaveOptions::default() };
/// assert_eq!(SaveOptions::from(Overwrite::No), SaveOptions { dtype: ComputeDtype::F32, ..small });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveOptions {
    /// What happens to files that are there already. Default: they stay, and saving is an error.
    pub overwrite: Overwrite,
    /// The format of the parameters in the files, whatever the decoder computes in. Default f32. The half formats round to
    /// the nearest value, and a value too large for them is an error that names its tensor; a rotary table stays f32.
    pub dtype: ComputeDtype,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { overwrite: Overwrite::No, dtype: ComputeDtype::F32 }
    }
}

impl From<Overwrite> for SaveOptions {
    fn from(overwrite: Overwrite) -> Self {
        Self { overwrite, ..Self::default() }
    }
}

/// What the files of a model hold beside its parameters, and how many files there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) files: Files,
    /// The name under which a tied head is repeated, if it is.
    pub(crate) tied_copy: Option<&'static str>,
    /// Buffers by their names.
    pub(crate) buffers: Vec<&'static str>,
}

/// How tensors are spread over files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    One,
    Shards,
}

/// The size at which a shard is full, that of published checkpoints.
const SHARD_BYTES: u64 = 5_000_000_000;

/// Tensors by their names in the files of a family.
pub(crate) type Tensors = BTreeMap<String, TensorToWrite<'static>>;

/// The parameters of a decoder as tensors of its family's files.
pub(crate) fn tensors_of<B: Backend>(decoder: &RecurrentDecoder<B>, config: &DecoderConfig) -> Result<Tensors> {
    if decoder.is_packed() {
        return Err(DecoderError::PackedNotSaved { weights: decoder.weights() });
    }
    let mut values = CollectValues(BTreeMap::new());
    decoder.visit(&mut values);
    let mut tensors = Tensors::new();
    for spec in config.parameters() {
        let Some(own) = values.0.remove(&param_id(&spec.path)) else {
            return Err(DecoderError::ParameterMissing { path: spec.path });
        };
        let own = own?;
        let location = families::locate(config, &spec);
        let row = location.shape.iter().skip(1).product::<usize>();
        let whole = location.shape[0] * row;
        let tensor = tensors
            .entry(location.tensor.clone())
            .or_insert_with(|| TensorToWrite::new(location.tensor, location.shape, vec![0.0; whole]));
        tensor.data.to_mut()[location.rows.start * row..location.rows.end * row].copy_from_slice(&own);
    }
    Ok(tensors)
}

/// Gives every tensor the format that the files are to hold it in.
pub(crate) fn cast(tensors: Tensors, dtype: ComputeDtype) -> Tensors {
    let dtype = match dtype {
        ComputeDtype::F32 => WrittenDtype::F32,
        ComputeDtype::F16 => WrittenDtype::F16,
        ComputeDtype::Bf16 => WrittenDtype::Bf16,
    };
    tensors.into_iter().map(|(name, tensor)| (name, tensor.with_dtype(dtype))).collect()
}

/// Writes tensors and a config.json into a directory.
pub(crate) fn write_model(
    tensors: Tensors,
    files: Files,
    config_json: &Value,
    to: &Path,
    overwrite: Overwrite,
) -> Result<()> {
    let config_path = to.join(CONFIG_FILE);
    let manifest = to.join(WEIGHTS_FILE);
    // Told before the weights are written, so that they do not come to lie beside another config.
    for path in [&config_path, &manifest] {
        if overwrite == Overwrite::No && path.exists() {
            return Err(DecoderError::Checkpoint(CheckpointError::AlreadyExists { path: path.clone() }));
        }
    }
    let tensors: Vec<_> = tensors.into_values().collect();
    let writer = CheckpointWriter::new(to, overwrite);
    match files {
        Files::One => writer.write_single(&tensors)?,
        Files::Shards => writer.write_sharded(&tensors, SHARD_BYTES)?,
    };
    let text = serde_json::to_vec_pretty(config_json).unwrap_or_else(|error| unreachable!("plain JSON: {error}"));
    write_atomically(&config_path, &text, overwrite)?;
    // Of a converted model that was there: it says nothing of these weights.
    match std::fs::remove_file(&manifest) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(DecoderError::Checkpoint(CheckpointError::Io {
                path: manifest,
                doing: "remove the replaced file",
                source,
            }))
        }
        _ => Ok(()),
    }
}

/// Collects the values of every parameter by its id.
struct CollectValues(BTreeMap<ParamId, Result<Vec<f32>>>);

impl<B: Backend> ModuleVisitor<B> for CollectValues {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.insert(param.id, read(param.val()));
    }
}
