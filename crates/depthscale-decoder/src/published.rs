//! A model as its config.json describes it, before and after it has weights.

use std::path::Path;

use burn::tensor::backend::Backend;
use depthscale_checkpoint::TensorToWrite;
use depthscale_types::{DecoderConfig, ExitPolicy, Family};
use serde_json::Value;

use crate::decoder::RecurrentDecoder;
use crate::error::{DecoderError, Result};
use crate::families::{self, PublishedConfig, Translated};
use crate::initial::Initialisation;
use crate::save::{Layout, SaveOptions, cast, tensors_of, write_model};

/// What a config.json says of a model, and how its family stores it.
///
/// A decoder for it is built from a [`ParameterSource`](crate::ParameterSource):
/// [`InitialParameters`](crate::InitialParameters) begins from scratch. [`ModelDirectory`](crate::ModelDirectory) offers
/// the same for a model whose weights there are, so that both are saved alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// The decoder it describes.
    pub config: DecoderConfig,
    /// The exit it asks for where the user names none.
    pub exit: ExitPolicy,
    /// How its parameters are drawn where it is trained from scratch.
    pub initialisation: Initialisation,
    /// The config.json itself, which is saved beside the weights as it was read. Changes to the other fields do not reach it.
    pub config_json: Value,
    pub(crate) layout: Layout,
}

impl Published {
    /// Reads a config.json of any known family without its checkpoint.
    ///
    /// Where a family leaves a part to be told from the tensors (the norm of YOCO-U's shared keys), it is taken as absent.
    ///
    /// # Errors
    /// If the file cannot be read, or its family or a feature is not known.
    pub fn read(path: &Path) -> Result<Self> {
        Self::fresh(PublishedConfig::open(path)?)
    }

    /// The same for the text of a config.json; `name` stands for its path in errors.
    ///
    /// # Errors
    /// If it is not a JSON object, or its family or a feature is not known.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        Self::fresh(PublishedConfig::parse(text.as_bytes(), Path::new(name))?)
    }

    /// A decoder of no published family, whichever the config names. Its exit is the fixed depth, its layout the project's
    /// own: tensors under the decoder's names, and a config.json that holds the config.
    pub fn native(config: DecoderConfig) -> Self {
        let config = DecoderConfig { family: Family::Native, ..config };
        let config_json = families::native::config_json(&config);
        let layout = families::fresh_layout(&config);
        Self::of(families::native::translated(config), config_json, layout)
    }

    fn fresh(mut json: PublishedConfig) -> Result<Self> {
        let translated = families::translate(&mut json, &|_| false)?;
        let layout = families::fresh_layout(&translated.config);
        Ok(Self::of(translated, json.json(), layout))
    }

    pub(crate) fn of(translated: Translated, config_json: Value, layout: Layout) -> Self {
        let Translated { config, exit, initialisation } = translated;
        Self { config, exit, initialisation, config_json, layout }
    }

    /// Saves a decoder of this config under the names of its family's files, beside the same config.json.
    ///
    /// A model that was opened has the tensors its files had: a copy of a tied head and a rotary table (computed anew) if
    /// they were there, one file or shards. A fresh model has what its published implementation needs: Huginn's files a copy
    /// of a tied head and the rotary table, YOCO's a copy of a tied head, and the others neither; Ouro's loader ties the head
    /// by itself.
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
        if *decoder.config() != self.config {
            return Err(DecoderError::ForeignDecoder { family: self.config.family });
        }
        self.write(decoder, to, options.into(), |name| Ok(families::buffer(&self.config, name)))
    }

    /// Writes a decoder whose config is this one, its family aside, with buffers from elsewhere.
    pub(crate) fn write<B: Backend>(
        &self,
        decoder: &RecurrentDecoder<B>,
        to: &Path,
        options: SaveOptions,
        buffer: impl Fn(&'static str) -> Result<TensorToWrite<'static>>,
    ) -> Result<()> {
        let mut tensors = tensors_of(decoder, &self.config)?;
        if let Some(copy) = self.layout.tied_copy {
            let Some(original) = tensors.get(&families::embedding(&self.config).tensor) else {
                unreachable!("the embedding is a parameter of every config")
            };
            let again = TensorToWrite { name: copy.into(), ..original.clone() };
            tensors.insert(copy.into(), again);
        }
        let mut tensors = cast(tensors, options.dtype);
        for &name in &self.layout.buffers {
            tensors.insert(name.into(), buffer(name)?);
        }
        write_model(tensors, self.layout.files, &self.config_json, to, options.overwrite)
    }
}
