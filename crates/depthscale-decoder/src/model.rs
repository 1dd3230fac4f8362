//! Model directories: opening, loading, saving.

use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use depthscale_checkpoint::{Checkpoint, INDEX_FILE, StoredDtype, TensorToWrite, first_non_finite};
use depthscale_kernels::{PackedWeight, keeps_packed};
use depthscale_types::{ComputeDtype, DecoderConfig, ExitPolicy, ParameterSpec, WeightFormat};

use crate::build::ParameterSource;
use crate::calibrated;
use crate::convert::{Manifest, pack_rows, stored};
use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::families::{self, Location, PublishedConfig};
use crate::published::Published;
use crate::save::{CONFIG_FILE, Files, Layout, SaveOptions};

/// A model directory whose config and tensor names were read and found to fit; weights are not loaded yet.
#[derive(Debug)]
pub struct ModelDirectory {
    path: PathBuf,
    published: Published,
    /// What a calibration has found.
    calibrated: Option<ExitPolicy>,
    checkpoint: Checkpoint,
    /// What tensors are kept in, where they were converted.
    manifest: Option<Manifest>,
    dtype: ComputeDtype,
    weights: Option<WeightFormat>,
}

impl ModelDirectory {
    /// Opens a directory with a config.json and safetensors of any known family, and checks that every parameter is
    /// there in its shape and nothing is left over.
    ///
    /// # Errors
    /// If the directory or a file in it is missing or malformed, the family or a feature is not known, a tensor is
    /// missing, of another shape or dtype, or not known, or the exit beside it is malformed.
    pub fn open(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let mut json = PublishedConfig::open(&path.join(CONFIG_FILE))?;
        let translated = families::translate(&mut json, &|name| checkpoint.contains(name))?;
        let held = |name: &&'static str| checkpoint.contains(name);
        let layout = Layout {
            files: if path.join(INDEX_FILE).exists() { Files::Shards } else { Files::One },
            tied_copy: families::tied_head(&translated.config).filter(held),
            buffers: families::buffers(translated.config.family).iter().copied().filter(held).collect(),
        };
        let directory = Self {
            path: path.to_path_buf(),
            published: Published::of(translated, json.json(), layout),
            calibrated: calibrated::read(path)?,
            checkpoint,
            manifest: Manifest::read(path)?,
            dtype: ComputeDtype::default(),
            weights: None,
        };
        if let Some(manifest) = &directory.manifest {
            manifest.check(&directory.checkpoint)?;
        }
        directory.check_tensors()?;
        Ok(directory)
    }

    /// The same directory, whose decoder is to multiply its matrices in another dtype than f32.
    pub fn with_dtype(self, dtype: ComputeDtype) -> Self {
        Self { dtype, ..self }
    }

    /// The same directory, whose decoder is to keep its matrices in a format, whatever they are stored in.
    pub fn with_weights(self, weights: WeightFormat) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// What its decoder will keep matrices in: the format that was asked for; else, where the backend keeps it and the dtype
    /// is f32, the one they were converted to; else that of the dtype.
    pub fn weights_on<B: Backend>(&self) -> WeightFormat {
        self.weights_where(keeps_packed::<B>())
    }

    /// The same, for a backend that keeps packed weights or does not.
    pub fn weights_where(&self, keeps_packed: bool) -> WeightFormat {
        let converted = self.manifest.as_ref().map(|manifest| manifest.weights);
        let usable = keeps_packed && self.dtype == ComputeDtype::F32;
        self.weights.or(converted.filter(|_| usable)).unwrap_or(self.dtype.into())
    }

    /// Whether its files hold less of its weights than f32 would: they were converted to another format.
    pub fn was_rounded(&self) -> bool {
        self.converted_to().is_some_and(|weights| weights != WeightFormat::F32)
    }

    /// What its weights were converted to, if they were.
    pub fn converted_to(&self) -> Option<WeightFormat> {
        self.manifest.as_ref().map(|manifest| manifest.weights)
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
        &self.published.config
    }

    /// The exit where the user names none: the one that a calibration has left beside the model in
    /// [`EXIT_FILE`](crate::EXIT_FILE), else what the config asks for.
    pub fn exit(&self) -> &ExitPolicy {
        self.calibrated.as_ref().unwrap_or(&self.published.exit)
    }

    /// What its config.json says, with the layout of its files.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Its files.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Elements stored in its files, copies of tied weights and buffers among them, scales of blocks not.
    pub fn stored_parameters(&self) -> u64 {
        let elements = |name: &str| {
            let info = self.checkpoint.info(name)?;
            let count = info.shape.iter().map(|&size| size as u64).product::<u64>();
            match (&self.manifest, self.stored_in(name)) {
                (Some(manifest), _) if !manifest.names(name) => None,
                // Two codes in a byte.
                (_, WeightFormat::Q4) => Some(2 * count),
                _ => Some(count),
            }
        };
        self.checkpoint.names().filter_map(elements).sum()
    }

    /// Loads the weights. Where the dtype is f32, those that are stored in the format they are to be kept in (16 bits, or blocks of
    /// a converted model) are not copied: they stay in the mapped file, which must not be written into while the decoder lives.
    /// `progress` is told the number of parameters loaded so far.
    ///
    /// # Errors
    /// If the device does not compute in the dtype or keep the weights in the format, a tensor cannot be read or holds a value
    /// that is not finite or too large for the format, or a second copy of a tied head is another.
    pub fn load<B: Backend>(
        &self,
        device: &B::Device,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<RecurrentDecoder<B>> {
        self.check_tied_copy()?;
        let mut source = CheckpointSource { directory: self, weights: self.weights_on::<B>(), loaded: 0, progress };
        RecurrentDecoder::build(self.config().clone(), &mut source, device)
    }

    /// Saves a decoder under the names of this directory's files, copies of tied weights and buffers among them, beside the
    /// same config.json: one file or shards as it was opened, in f32 unless the options name another format. Files that were
    /// f32 come back bit for bit.
    ///
    /// # Errors
    /// If the decoder was built from another config, a value is too large for the format asked for, or a file cannot be
    /// written, or is there already and is not to be overwritten; no file is left partly written.
    pub fn save<B: Backend>(
        &self,
        decoder: &RecurrentDecoder<B>,
        to: &Path,
        options: impl Into<SaveOptions>,
    ) -> Result<()> {
        if decoder.config() != self.config() {
            return Err(DecoderError::ForeignConfig { path: self.path.clone() });
        }
        self.published.write(decoder, to, options.into(), |name| {
            let shape = self.checkpoint.info(name).map(|info| info.shape).unwrap_or_default();
            let values = self.checkpoint.read_f32(name, &shape)?;
            Ok(TensorToWrite::new(name, shape, values))
        })
    }

    /// The values of the rows of a tensor, whatever they are stored in.
    pub(crate) fn values_at(&self, location: &Location) -> Result<Vec<f32>> {
        let values = match self.stored_in(&location.tensor) {
            format if format.is_blocks() => self.stored_at(format, location)?.unpack(),
            _ => self.checkpoint.read_rows_f32(&location.tensor, &location.shape, location.rows.clone())?,
        };
        match first_non_finite(&values) {
            Some(at) => Err(non_finite(location, at, values[at])),
            None => Ok(values),
        }
    }

    /// The rows of a tensor as they are stored in a format other than f32, all of them finite.
    fn stored_at(&self, format: WeightFormat, location: &Location) -> Result<PackedWeight> {
        let packed = stored(&self.checkpoint, format, location)?;
        match packed.first_non_finite() {
            Some((at, value)) => Err(non_finite(location, at, value)),
            None => Ok(packed),
        }
    }

    /// What a tensor is stored in; f32 for what is none of the formats.
    fn stored_in(&self, tensor: &str) -> WeightFormat {
        match (&self.manifest, self.checkpoint.info(tensor).map(|info| info.dtype)) {
            (_, Some(StoredDtype::F16)) => WeightFormat::F16,
            (_, Some(StoredDtype::Bf16)) => WeightFormat::Bf16,
            (Some(manifest), _) => manifest.kept_in(tensor),
            (None, _) => WeightFormat::F32,
        }
    }

    /// That a second copy of a tied head is one.
    pub(crate) fn check_tied_copy(&self) -> Result<()> {
        const ROWS: usize = 1000;
        let Some(copy) = self.published.layout.tied_copy else { return Ok(()) };
        let original = families::embedding(self.config());
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
        let config = self.config();
        for spec in config.parameters() {
            let location = Location { rows: 0..0, ..families::locate(config, &spec) };
            self.values_at(&location)?;
        }
        if let Some(copy) = self.published.layout.tied_copy {
            self.checkpoint.read_rows_f32(copy, &[config.vocab_size, config.d_model], 0..0)?;
        }
        for buffer in &self.published.layout.buffers {
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
    /// and a config.json of family [`Family::Native`](depthscale_types::Family::Native). [`ModelDirectory::save`] and
    /// [`Published::save`] write a published layout.
    ///
    /// # Errors
    /// If a value is too large for the format asked for, or a file cannot be written, or is there already and is not to be
    /// overwritten; no file is left partly written.
    pub fn save_native(&self, to: &Path, options: impl Into<SaveOptions>) -> Result<()> {
        let native = Published::native(self.config().clone());
        native.write(self, to, options.into(), |name| unreachable!("no buffer {name} in the project's layout"))
    }
}

/// Reads parameters from a checkpoint.
struct CheckpointSource<'a> {
    directory: &'a ModelDirectory,
    weights: WeightFormat,
    loaded: u64,
    progress: &'a mut (dyn FnMut(u64) + Send),
}

impl CheckpointSource<'_> {
    fn tell(&mut self, loaded: u64) {
        self.loaded += loaded;
        (self.progress)(self.loaded);
    }
}

impl ParameterSource for CheckpointSource<'_> {
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>> {
        let location = families::locate(self.directory.config(), parameter);
        let values = self.directory.values_at(&location)?;
        self.tell(values.len() as u64);
        Ok(values)
    }

    fn packed(&mut self, parameter: &ParameterSpec) -> Result<Option<PackedWeight>> {
        let location = families::locate(self.directory.config(), parameter);
        let format = parameter.kept_in(self.weights);
        if format == WeightFormat::F32 {
            return Ok(None);
        }
        if self.directory.stored_in(&location.tensor) != format {
            let packed = pack_rows(self.directory, &location, format)?;
            self.tell(parameter.count());
            return Ok(Some(packed));
        }
        let packed = self.directory.stored_at(format, &location)?;
        self.tell(parameter.count());
        Ok(Some(packed))
    }

    fn dtype(&self) -> ComputeDtype {
        self.directory.dtype
    }

    fn weights(&self) -> WeightFormat {
        self.weights
    }
}

fn non_finite(location: &Location, at: usize, value: f32) -> DecoderError {
    let row = location.shape.iter().skip(1).product::<usize>();
    DecoderError::NonFiniteWeight { tensor: location.tensor.clone(), index: location.rows.start * row + at, value }
}
