//! How a model reads and remembers.

use std::num::NonZeroUsize;

use clap::Args;
use depthscale::backends::Device;
use depthscale::prelude::{CompletionOptions, KvRetention, Prefill};
use depthscale::types::CacheDtype;

#[derive(Debug, Args)]
#[command(next_help_heading = "Reading and remembering")]
pub(crate) struct CacheArguments {
    /// Which keys and values are kept: per-step, shared, first-then-shared or last-step-after-prefill
    #[arg(long, value_name = "POLICY", default_value_t)]
    pub(crate) kv: KvRetention,

    /// What keys and values are kept in: f32, f16, bf16 or q8; without it, in --dtype. Matrix states stay f32
    #[arg(long, value_name = "DTYPE")]
    pub(crate) cache_dtype: Option<CacheDtype>,

    /// Read prompts in parallel where --kv shares slots: faster, and not what decoding them would give
    #[arg(long)]
    pub(crate) approximate_prefill: bool,

    /// Begin every token from zeros where the model draws random states
    #[arg(long)]
    pub(crate) zero_init: bool,

    /// Most token rows computed together
    #[arg(long, value_name = "ROWS")]
    pub(crate) chunk: Option<NonZeroUsize>,
}

impl CacheArguments {
    /// Refuses what the device does not compute with.
    pub(crate) fn check(&self, device: &Device) -> anyhow::Result<()> {
        match self.cache_dtype {
            Some(dtype) => Ok(device.check_caches(dtype)?),
            None => Ok(()),
        }
    }

    /// The options these arguments ask for, the rest as usual.
    pub(crate) fn options(&self) -> CompletionOptions {
        let usual = CompletionOptions::default();
        CompletionOptions {
            retention: self.kv,
            cache_dtype: self.cache_dtype,
            prefill: if self.approximate_prefill { Prefill::ApproximateParallel } else { Prefill::Exact },
            zero_initial_state: self.zero_init,
            chunk: self.chunk.map_or(usual.chunk, NonZeroUsize::get),
            ..usual
        }
    }
}
