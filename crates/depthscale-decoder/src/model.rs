//! Model directories: opening, loading, saving.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use depthscale_checkpoint::{Checkpoint, CheckpointWriter, Overwrite, TensorToWrite, write_atomically};
use depthscale_types::{DecoderConfig, ExitPolicy, Family, ParameterSpec};
use serde_json::Value;

use crate::build::{ParameterSource, param_id};
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::families::{self, PublishedConfig};

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
        };
        directory.check_tensors()?;
        Ok(directory)
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
    /// If a tensor cannot be read or holds a value that is not finite.
    pub fn load<B: Backend>(
        &self,
        device: &B::Device,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<RecurrentDecoder<B>> {
        let mut source = CheckpointSource { directory: self, loaded: 0, progress };
        RecurrentDecoder::build(self.config.clone(), &mut source, device)
    }

    /// Saves a decoder in this directory's family and layout beside the same config.json.
    ///
    /// # Errors
    /// If the decoder was built from another config, or a file cannot be written; nothing partly written is left.
    pub fn save<B: Backend>(&self, decoder: &RecurrentDecoder<B>, to: &Path, overwrite: Overwrite) -> Result<()> {
        if *decoder.config() != self.config {
            return Err(DecoderError::ForeignConfig { path: self.path.clone() });
        }
        write_model(decoder, &self.config, &self.config_json, to, overwrite)
    }

    /// Checks names, shapes and dtypes without touching the data.
    fn check_tensors(&self) -> Result<()> {
        for spec in self.config.parameters() {
            let location = families::locate(&self.config, &spec);
            self.checkpoint.read_rows_f32(&location.tensor, &location.shape, 0..0)?;
        }
        if let Some(copy) = families::tied_head(&self.config).filter(|name| self.checkpoint.contains(name)) {
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

    /// Saves a decoder that was not loaded from a published directory: safetensors under the decoder's own names, and a
    /// config.json of family [`Family::Native`].
    ///
    /// # Errors
    /// If a file cannot be written; nothing partly written is left.
    pub fn save(&self, to: &Path, overwrite: Overwrite) -> Result<()> {
        let config = DecoderConfig { family: Family::Native, ..self.config().clone() };
        write_model(self, &config, &families::native_config_json(&config), to, overwrite)
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
        let values = self.directory.checkpoint.read_rows_f32(&location.tensor, &location.shape, location.rows)?;
        self.loaded += values.len() as u64;
        (self.progress)(self.loaded);
        Ok(values)
    }
}

fn write_model<B: Backend>(
    decoder: &RecurrentDecoder<B>,
    config: &DecoderConfig,
    config_json: &Value,
    to: &Path,
    overwrite: Overwrite,
) -> Result<()> {
    let mut values = CollectValues(BTreeMap::new());
    decoder.visit(&mut values);
    let mut tensors: BTreeMap<String, TensorToWrite<'_>> = BTreeMap::new();
    for spec in config.parameters() {
        let Some(own) = values.0.remove(&param_id(&spec.path)) else {
            unreachable!("the decoder was built from the parameters of its config, {} among them", spec.path)
        };
        let location = families::locate(config, &spec);
        let row = location.shape.iter().skip(1).product::<usize>();
        let whole = location.shape[0] * row;
        let tensor = tensors
            .entry(location.tensor.clone())
            .or_insert_with(|| TensorToWrite::new(location.tensor, location.shape, vec![0.0; whole]));
        tensor.data.to_mut()[location.rows.start * row..location.rows.end * row].copy_from_slice(&own);
    }
    if let Some(copy) = families::tied_head(config).filter(|_| families::stores_tied_head(config.family)) {
        let embedding = config.parameters().into_iter().find(|spec| spec.path == "embedding");
        let embedding = embedding.and_then(|spec| tensors.get(&families::locate(config, &spec).tensor));
        if let Some(embedding) = embedding {
            let again = TensorToWrite::new(copy, embedding.shape.clone(), embedding.data.to_vec());
            tensors.insert(copy.into(), again);
        }
    }
    let tensors: Vec<_> = tensors.into_values().collect();
    CheckpointWriter::new(to, overwrite).write_single(&tensors)?;
    let text = serde_json::to_vec_pretty(config_json).unwrap_or_else(|error| unreachable!("plain JSON: {error}"));
    write_atomically(&to.join(CONFIG_FILE), &text, overwrite)?;
    Ok(())
}

/// Collects the values of every parameter by its id.
struct CollectValues(BTreeMap<ParamId, Vec<f32>>);

impl<B: Backend> ModuleVisitor<B> for CollectValues {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.insert(param.id, param.val().into_data().iter::<f32>().collect());
    }
}
