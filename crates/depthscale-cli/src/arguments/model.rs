//! Which model, on what.

use std::path::{Path, PathBuf};

use clap::Args;
use depthscale::backends::{BackendKind, BackendTask, with_backend};
use depthscale::decoder::ModelDirectory;

use crate::progress::Verbosity;

#[derive(Debug, Args)]
pub(crate) struct ModelArguments {
    /// The model: a directory with config.json, safetensors and tokenizer.json
    #[arg(long, value_name = "DIR")]
    model: PathBuf,

    #[command(flatten)]
    pub(crate) backend: BackendArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BackendArguments {
    /// What computes: flex or ndarray
    #[arg(long, value_name = "BACKEND", default_value_t)]
    backend: BackendKind,

    /// Show no progress and no summary
    #[arg(long, short)]
    quiet: bool,
}

impl ModelArguments {
    /// Opens the directory; weights are not loaded yet.
    pub(crate) fn open(&self) -> anyhow::Result<ModelDirectory> {
        open(&self.model)
    }
}

impl BackendArguments {
    pub(crate) fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }

    /// Runs a task on the backend asked for.
    pub(crate) fn run<T, E: Into<anyhow::Error>>(
        &self,
        task: impl BackendTask<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        with_backend(self.backend, task)?.map_err(Into::into)
    }
}

/// Opens a model directory; weights are not loaded yet.
pub(crate) fn open(path: &Path) -> anyhow::Result<ModelDirectory> {
    Ok(ModelDirectory::open(path)?)
}
