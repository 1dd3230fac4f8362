//! The model that is measured.

use std::path::PathBuf;

use burn::tensor::backend::Backend;
use depthscale_decoder::{ModelDirectory, ParameterSource, RandomParameters, RecurrentDecoder};
use depthscale_types::{ComputeDtype, DecoderConfig, ParameterSpec, WeightFormat};

use crate::error::Result;
use crate::preset::Preset;
use crate::record::Model;

/// The model that is measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// Random weights of a known shape.
    Preset(Preset),
    /// Random weights of a shape of one's own.
    Shape {
        /// What records call it.
        name: String,
        /// The decoder.
        config: Box<DecoderConfig>,
    },
    /// A checkpoint.
    Directory(PathBuf),
}

impl Subject {
    /// Its decoder's config.
    ///
    /// # Errors
    /// If a directory is not one of a model.
    pub fn config(&self) -> Result<DecoderConfig> {
        match self {
            Self::Preset(preset) => Ok(preset.config()),
            Self::Shape { config, .. } => Ok((**config).clone()),
            Self::Directory(path) => Ok(ModelDirectory::open(path)?.config().clone()),
        }
    }

    /// What records say of it.
    pub(crate) fn describe(&self, config: &DecoderConfig) -> Model {
        let name = match self {
            Self::Preset(preset) => preset.name().to_owned(),
            Self::Shape { name, .. } => name.clone(),
            // A path such as `.` has a name once it is followed.
            Self::Directory(path) => {
                let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
                whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
            }
        };
        Model {
            name,
            family: config.family.to_string(),
            parameters: config.parameter_count(),
            random: !matches!(self, Self::Directory(_)),
            config: config.clone(),
        }
    }

    /// The decoder on a device. `progress` is told the number of parameters that are there so far.
    pub(crate) fn load<B: Backend>(
        &self,
        dtype: ComputeDtype,
        weights: WeightFormat,
        device: &B::Device,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<RecurrentDecoder<B>> {
        match self {
            Self::Preset(_) | Self::Shape { .. } => {
                let config = self.config()?;
                let random = RandomParameters::new(&config, SEED).with_dtype(dtype).with_weights(weights);
                let mut source = Told { random, drawn: 0, progress };
                Ok(RecurrentDecoder::build(config, &mut source, device)?)
            }
            Self::Directory(path) => {
                Ok(ModelDirectory::open(path)?.with_dtype(dtype).with_weights(weights).load(device, progress)?)
            }
        }
    }
}

const SEED: u64 = 0;

/// Random parameters that tell how far they have come.
struct Told<'p> {
    random: RandomParameters,
    drawn: u64,
    progress: &'p mut (dyn FnMut(u64) + Send),
}

impl ParameterSource for Told<'_> {
    fn values(&mut self, parameter: &ParameterSpec) -> depthscale_decoder::Result<Vec<f32>> {
        let values = self.random.values(parameter)?;
        self.drawn += parameter.count();
        (self.progress)(self.drawn);
        Ok(values)
    }

    fn dtype(&self) -> ComputeDtype {
        self.random.dtype()
    }

    fn weights(&self) -> WeightFormat {
        self.random.weights()
    }
}
