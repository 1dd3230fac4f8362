//! Model directories: opening, loading, saving.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_checkpoint::{
    Checkpoint, CheckpointError, CheckpointWriter, INDEX_FILE, Overwrite, TensorToWrite, first_non_finite,
    write_atomically,
};
use depthscale_types::{ComputeDtype, DecoderConfig, ExitPolicy, Family, ParameterSpec};
use serde_json::Value;

use crate::build::{ParameterSource, param_id};
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::families::{self, PublishedConfig};
use crate::read::read;

/// The name of the config in a model directory.
const CONFIG_FILE: &str = "config.json";

/// A model directory whose config and tensor names were read and found to fit; weights are not loaded yet.
#[derive(Debug)]
pub struct ModelDirectory {
    path: PathBuf,
    config: DecoderConfig,
    exit: ExitPolicy,
    config_json: Value,
    checkpoint: Checkpoint,
    dtype: ComputeDtype,
}

impl ModelDirectory {
    /// Opens a directory with a config.json and safetensors of any known family, and checks that every parameter is
    /// there in its shape and nothing is left over.
    ///
    /// # Errors
    /// If the directory or a file in it is missing or malformed, the family or a feature is not known, or a tensor is
    /// missing, of another shape or dtype, or not known.
    pub fn open(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let mut published = PublishedConfig::open(&path.join(CONFIG_FILE))?;
        let translated = families::translate(&mut published, &|name| checkpoint.contains(name))?;
        let directory = Self {
            path: path.to_path_buf(),
            config: translated.config,
            exit: translated.exit,
            config_json: published.json(),
            checkpoint,
            dtype: ComputeDtype::default(),
        };
        directory.check_tensors()?;
        Ok(directory)
    }

    /// The same directory, whose decoder is to keep and multiply its matrices in another dtype than f32.
    pub fn with_dtype(self, dtype: ComputeDtype) -> Self {
        Self { dtype, ..self }
    }

    /// The dtype its decoder will compute in.
    pub fn dtype(&self) -> ComputeDtype {
        self.dtype
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The decoder it describes.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The exit its config asks for where the user names none.
    pub fn exit(&self) -> &ExitPolicy {
        &self.exit
    }

    /// Its files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Elements stored in its files, copies of tied weights and buffers among them.
    pub fn stored_parameters(&self) -> u64 {
        let infos = self.checkpoint.names().filter_map(|name| self.checkpoint.info(name));
        infos.map(|info| info.shape.iter().map(|&size| size as u64).product::<u64>()).sum()
    }

    /// Loads the weights as f32. `progress` is told the number of parameters loaded so far.
    ///
    /// # Errors
    /// If the device does not compute in the dtype, a tensor cannot be read or holds a value that is not finite, or a second copy of a tied head is another.
    pub fn load<B: Backend>(
        &self,
        device: &B::Device,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<RecurrentDecoder<B>> {
        self.check_tied_copy()?;
        let mut source = CheckpointSource { directory: self, loaded: 0, progress };
        RecurrentDecoder::build(self.config.clone(), &mut source, device)
    }

    /// Saves a decoder under the names of this directory's files, copies of tied weights and buffers among them, beside the
    /// same config.json: one file or shards as it was opened, in f32. Files that were f32 come back bit for bit.
    ///
    /// # Errors
    /// If the decoder was built from another config, or a file cannot be written, or is there already and is not to be
    /// overwritten; no file is left partly written.
    pub fn save<B: Backend>(&self, decoder: &RecurrentDecoder<B>, to: &Path, overwrite: Overwrite) -> Result<()> {
        if *decoder.config() != self.config {
            return Err(DecoderError::ForeignConfig { path: self.path.clone() });
        }
        let mut tensors = tensors_of(decoder, &self.config)?;
        if let Some(copy) = self.tied_copy() {
            let original = self.embedding().tensor;
            let again = tensors.get(&original).map(|tensor| (tensor.shape.clone(), tensor.data.to_vec()));
            let Some((shape, values)) = again else { unreachable!("the embedding is a parameter of every config") };
            tensors.insert(copy.into(), TensorToWrite::new(copy, shape, values));
        }
        for &buffer in families::buffers(self.config.family) {
            if let Some(info) = self.checkpoint.info(buffer) {
                let values = self.checkpoint.read_f32(buffer, &info.shape)?;
                tensors.insert(buffer.into(), TensorToWrite::new(buffer, info.shape, values));
            }
        }
        let files = if self.path.join(INDEX_FILE).exists() { Files::Shards } else { Files::One };
        write_model(tensors, files, &self.config_json, to, overwrite)
    }

    /// The name under which the files hold a tied head once more, if they do.
    fn tied_copy(&self) -> Option<&'static str> {
        families::tied_head(&self.config).filter(|name| self.checkpoint.contains(name))
    }

    fn embedding(&self) -> families::Location {
        let Some(spec) = self.config.parameters().into_iter().find(|spec| spec.path == "embedding") else {
            unreachable!("the embedding is a parameter of every config")
        };
        families::locate(&self.config, &spec)
    }

    /// That a second copy of a tied head is one.
    fn check_tied_copy(&self) -> Result<()> {
        const ROWS: usize = 1000;
        let Some(copy) = self.tied_copy() else { return Ok(()) };
        let original = self.embedding();
        for row in (0..original.shape[0]).step_by(ROWS) {
            let rows = row..original.shape[0].min(row + ROWS);
            let read = |name| self.checkpoint.read_rows_f32(name, &original.shape, rows.clone());
            let same = read(copy)?.iter().zip(&read(&original.tensor)?).all(|(a, b)| a.to_bits() == b.to_bits());
            if !same {
                return Err(DecoderError::TiedWeightsDiffer { copy: copy.into(), original: original.tensor, row });
            }
        }
        Ok(())
    }

    /// Checks names, shapes and dtypes without touching the data.
    fn check_tensors(&self) -> Result<()> {
        for spec in self.config.parameters() {
            let location = families::locate(&self.config, &spec);
            self.checkpoint.read_rows_f32(&location.tensor, &location.shape, 0..0)?;
        }
        if let Some(copy) = self.tied_copy() {
            self.checkpoint.read_rows_f32(copy, &[self.config.vocab_size, self.config.d_model], 0..0)?;
        }
        for buffer in families::buffers(self.config.family) {
            self.checkpoint.mark_used(buffer);
        }
        match self.checkpoint.unused() {
            unused if unused.is_empty() => Ok(()),
            unused => Err(DecoderError::UnusedTensors { path: self.path.clone(), names: unused.join(", ") }),
        }
    }
}

impl<B: Backend> RecurrentDecoder<B> {
    /// Opens a model directory and loads it; [`ModelDirectory`] does the same in two steps.
    ///
    /// # Errors
    /// As [`ModelDirectory::open`] and [`ModelDirectory::load`].
    pub fn open(path: &Path, device: &B::Device) -> Result<Self> {
        ModelDirectory::open(path)?.load(device, &mut |_| {})
    }

    /// Saves a decoder in the project's own layout, whichever family it is of: safetensors under the decoder's own names,
    /// and a config.json of family [`Family::Native`]. [`ModelDirectory::save`] writes a published layout.
    ///
    /// # Errors
    /// If a file cannot be written, or is there already and is not to be overwritten; no file is left partly written.
    pub fn save_native(&self, to: &Path, overwrite: Overwrite) -> Result<()> {
        let config = DecoderConfig { family: Family::Native, ..self.config().clone() };
        let tensors = tensors_of(self, &config)?;
        write_model(tensors, Files::One, &families::native_config_json(&config), to, overwrite)
    }
}

/// Reads parameters from a checkpoint.
struct CheckpointSource<'a> {
    directory: &'a ModelDirectory,
    loaded: u64,
    progress: &'a mut (dyn FnMut(u64) + Send),
}

impl ParameterSource for CheckpointSource<'_> {
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>> {
        let location = families::locate(&self.directory.config, parameter);
        let first_row = location.rows.start;
        let values = self.directory.checkpoint.read_rows_f32(&location.tensor, &location.shape, location.rows)?;
        if let Some(at) = first_non_finite(&values) {
            let row = location.shape.iter().skip(1).product::<usize>();
            let index = first_row * row + at;
            return Err(DecoderError::NonFiniteWeight { tensor: location.tensor, index, value: values[at] });
        }
        self.loaded += values.len() as u64;
        (self.progress)(self.loaded);
        Ok(values)
    }

    fn dtype(&self) -> ComputeDtype {
        self.directory.dtype
    }
}

/// Tensors by their names in the files of a family.
type Tensors = BTreeMap<String, TensorToWrite<'static>>;

fn tensors_of<B: Backend>(decoder: &RecurrentDecoder<B>, config: &DecoderConfig) -> Result<Tensors> {
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

/// How tensors are spread over files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    One,
    Shards,
}

/// The size at which a shard is full, that of published checkpoints.
const SHARD_BYTES: u64 = 5_000_000_000;

fn write_model(tensors: Tensors, files: Files, config_json: &Value, to: &Path, overwrite: Overwrite) -> Result<()> {
    let config_path = to.join(CONFIG_FILE);
    // Told before the weights are written, so that they do not come to lie beside another config.
    if overwrite == Overwrite::No && config_path.exists() {
        return Err(DecoderError::Checkpoint(CheckpointError::AlreadyExists { path: config_path }));
    }
    let tensors: Vec<_> = tensors.into_values().collect();
    let writer = CheckpointWriter::new(to, overwrite);
    match files {
        Files::One => writer.write_single(&tensors)?,
        Files::Shards => writer.write_sharded(&tensors, SHARD_BYTES)?,
    };
    let text = serde_json::to_vec_pretty(config_json).unwrap_or_else(|error| unreachable!("plain JSON: {error}"));
    write_atomically(&config_path, &text, overwrite)?;
    Ok(())
}

/// Collects the values of every parameter by its id.
struct CollectValues(BTreeMap<ParamId, Result<Vec<f32>>>);

impl<B: Backend> ModuleVisitor<B> for CollectValues {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.insert(param.id, read(param.val()));
    }
}
