//! The model that comes with this crate, so that there is one to run with no download.

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

/// The model that comes with this crate, in a temporary directory, which is removed when this is dropped.
///
/// It has 441,089 parameters and solves addition (`47+38=`), chains modulo 7 (`m7:3+5*4=`), boolean expressions (`(T&!F)=`) and
/// p-hop (`b=a;a=3;?b=`), in the format of the crate depthscale-tasks, whose characters are all it knows. It was trained
/// by the recipes in this crate's directory `model`, whose README has the commands and what it answers by depth.
#[derive(Debug)]
pub struct BuiltinModel(TempDir);

impl BuiltinModel {
    /// Writes the files to a new temporary directory.
    ///
    /// # Errors
    /// [`Error::Unpack`] if temporary files cannot be written.
    pub fn unpack() -> Result<Self> {
        let unpack_error = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Unpack { path, source }
        };
        let directory = TempDir::with_prefix("depthscale-").map_err(unpack_error(&std::env::temp_dir()))?;
        for (name, bytes) in FILES {
            let path = directory.path().join(name);
            fs::write(&path, bytes).map_err(unpack_error(&path))?;
        }
        Ok(Self(directory))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl<B: Backend> LanguageModel<B> {
    /// The model that comes with this crate, see [`BuiltinModel`].
    ///
    /// # Errors
    /// If temporary files cannot be written, or as [`Self::open`].
    pub fn builtin(device: &B::Device) -> Result<Self> {
        let unpacked = BuiltinModel::unpack()?;
        let model = Self::open(unpacked.path(), device)?;
        Ok(model.keeping(unpacked))
    }
}
