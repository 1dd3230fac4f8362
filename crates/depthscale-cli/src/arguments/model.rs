//! Which model, on what.

use std::io::{self, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use clap::Args;
use depthscale::BuiltinModel;
use depthscale::backends::{BackendKind, BackendTask, Device, with_backend};
use depthscale::decoder::ModelDirectory;
use depthscale::types::{ComputeDtype, DecoderConfig, MemoryReport, WeightFormat};

use crate::failure::Usage;
use crate::progress::Verbosity;
use crate::stop;

#[derive(Debug, Args)]
pub(crate) struct ModelArguments {
    /// The model: a directory with config.json, safetensors and tokenizer.json; without it, the small one that is built in
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) backend: BackendArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BackendArguments {
    /// What computes: flex, ndarray, wgpu, wgpu:1, cuda:0, or auto, the best of those compiled in that answers; see
    /// `depthscale backends`
    #[arg(long, value_name = "BACKEND", env = "DEPTHSCALE_BACKEND", default_value_t)]
    backend: BackendKind,

    /// What is computed in, and what caches are kept in where nothing else is said: f32, f16 or bf16
    #[arg(long, value_name = "DTYPE", default_value_t)]
    dtype: ComputeDtype,

    /// What matrices are kept in: f32, f16, bf16, q8 or q4, blocks of 8 and 4 bits; without it, what the model was converted
    /// to, else the format of the dtype
    #[arg(long, value_name = "FORMAT")]
    weights: Option<WeightFormat>,

    /// Show no progress and no summary
    #[arg(long, short)]
    quiet: bool,
}

impl ModelArguments {
    /// Opens the directory; weights are not loaded yet.
    pub(crate) fn open(&self) -> anyhow::Result<OpenedModel> {
        let Some(path) = &self.model else {
            let unpacked = BuiltinModel::unpack()?;
            stop::remove_when_asked(unpacked.path().to_owned());
            return Ok(OpenedModel { directory: self.backend.open(unpacked.path())?, unpacked: Some(unpacked) });
        };
        Ok(OpenedModel { directory: self.backend.open(path)?, unpacked: None })
    }
}

/// A model directory that was opened: one that was named, or the built-in one for as long as this is kept.
pub(crate) struct OpenedModel {
    directory: ModelDirectory,
    unpacked: Option<BuiltinModel>,
}

impl Deref for OpenedModel {
    type Target = ModelDirectory;

    fn deref(&self) -> &ModelDirectory {
        &self.directory
    }
}

impl OpenedModel {
    /// Refuses what the built-in model's tokenizer would read as padding.
    pub(crate) fn check_text(&self, text: &str) -> anyhow::Result<()> {
        if self.is_builtin()
            && let Err(error) = depthscale_tasks::encode(text)
        {
            let advice = "the built-in model knows no other; name a model by --model";
            return Err(Usage::new(format!("{error}: {advice}")).into());
        }
        Ok(())
    }

    /// Whether nobody has named it.
    pub(crate) fn is_builtin(&self) -> bool {
        self.unpacked.is_some()
    }

    /// What to call it.
    pub(crate) fn name(&self) -> String {
        if self.is_builtin() { "the built-in model".into() } else { self.path().display().to_string() }
    }
}

impl BackendArguments {
    pub(crate) fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }

    /// Opens a model directory, to be computed in the dtype asked for; weights are not loaded yet.
    pub(crate) fn open(&self, path: &Path) -> anyhow::Result<ModelDirectory> {
        let directory = ModelDirectory::open(path)?.with_dtype(self.dtype);
        Ok(match self.weights {
            Some(weights) => directory.with_weights(weights),
            None => directory,
        })
    }

    /// The device asked for, which computes in the dtype asked for and has room for the model's weights. Says on stderr which of
    /// them are not kept in the format asked for.
    pub(crate) fn device(&self, directory: &ModelDirectory) -> anyhow::Result<Device> {
        let device = self.backend.probe()?;
        let weights = directory.weights_where(device.kind.keeps_packed());
        device.check_weights(self.dtype, weights)?;
        let config = directory.config();
        let loaded = MemoryReport { weights: config.parameter_bytes(weights), ..MemoryReport::default() };
        device.check_memory(config, weights, &loaded)?;
        if self.verbosity() == Verbosity::Normal {
            tell_what_is_left(config, weights);
        }
        Ok(device)
    }
}

/// Says on stderr which matrices are not kept in the format asked for.
fn tell_what_is_left(config: &DecoderConfig, weights: WeightFormat) {
    let left = config.left_in_f32(weights);
    let Some(first) = left.first() else { return };
    let (path, width) = (&first.path, first.shape.last().copied().unwrap_or(0));
    let others = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
    let block = WeightFormat::BLOCK;
    let stay = if left.len() > 1 { "stay" } else { "stays" };
    let why = format!("rows of {width} are not whole blocks of {block}, which {weights} needs");
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{path}{others} {stay} f32: {why}");
}

/// Runs a task on a device.
pub(crate) fn run_on<T, E: Into<anyhow::Error>>(
    device: &Device,
    task: impl BackendTask<Output = Result<T, E>>,
) -> anyhow::Result<T> {
    with_backend(device.kind, task)?.map_err(Into::into)
}
