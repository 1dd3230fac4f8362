//! How tokens are drawn.

use clap::Args;
use depthscale::prelude::SamplingParams;

#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArguments {
    /// Divisor of the logits; 0 always takes the most likely token
    #[arg(long, value_name = "T", allow_negative_numbers = true, default_value_t = SamplingParams::default().temperature)]
    temperature: f32,

    /// Only the K most likely tokens
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,

    /// Only the most likely tokens that together reach probability P
    #[arg(long, value_name = "P", allow_negative_numbers = true, default_value_t = SamplingParams::default().top_p)]
    top_p: f32,

    /// Only tokens with at least this share of the largest probability
    #[arg(long, value_name = "P", allow_negative_numbers = true, default_value_t = SamplingParams::default().min_p)]
    min_p: f32,

    /// Divides the logits of tokens already there where positive, and multiplies them where negative
    #[arg(
        long,
        value_name = "R",
        allow_negative_numbers = true,
        default_value_t = SamplingParams::default().repetition_penalty
    )]
    repetition_penalty: f32,

    /// Seed of the draws and of random initial states
    #[arg(long, value_name = "N", default_value_t = SamplingParams::default().seed)]
    seed: u64,
}

impl SamplingArguments {
    /// The parameters asked for, checked.
    pub(crate) fn params(&self) -> anyhow::Result<SamplingParams> {
        let params = SamplingParams {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        };
        params.validate()?;
        Ok(params)
    }
}
