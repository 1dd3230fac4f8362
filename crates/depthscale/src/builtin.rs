//! The model that comes with this crate, so that there is one to run with no download.
//!
//! It solves addition, modular chains, p-hop and boolean expressions, in the format of the crate depthscale-tasks. It was
//! trained by the recipes beside it, in this crate's directory `model`, whose README has the commands and what they gave.

use std::fs;
use std::path::Path;

use burn::tensor::backend::Backend;
use tempfile::TempDir;

use crate::{Error, LanguageModel, Result};

/// Files of the model by their names, as they lie in a model directory.
const FILES: [(&str, &[u8]); 6] = [
    ("config.json", include_bytes!("../model/config.json")),
    ("model.safetensors", include_bytes!("../model/model.safetensors")),
    ("tokenizer.json", include_bytes!("../model/tokenizer.json")),
    ("generation_config.json", include_bytes!("../model/generation_config.json")),
    ("exit.json", include_bytes!("../model/exit.json")),
    ("recipe.toml", include_bytes!("../model/recipe.toml")),
];

/// The model in a temporary directory, which is removed when this is dropped.
#[derive(Debug)]
pub struct BuiltinModel(TempDir);

impl BuiltinModel {
    /// Writes the files to a new temporary directory.
    ///
    /// # Errors
    /// [`Error::Unpack`] if there is no room for temporary files.
    pub fn unpack() -> Result<Self> {
        let directory = TempDir::with_prefix("depthscale-").map_err(unpack_error)?;
        for (name, bytes) in FILES {
            fs::write(directory.path().join(name), bytes).map_err(unpack_error)?;
        }
        Ok(Self(directory))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl<B: Backend> LanguageModel<B> {
    /// The model that comes with this crate.
    ///
    /// # Errors
    /// If there is no room for temporary files, or as [`Self::open`].
    pub fn builtin(device: &B::Device) -> Result<Self> {
        Self::open(BuiltinModel::unpack()?.path(), device)
    }
}

fn unpack_error(source: std::io::Error) -> Error {
    Error::Unpack { path: std::env::temp_dir(), source }
}
