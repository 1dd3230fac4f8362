//! How each family draws initial parameters.

use depthscale_types::{DecoderConfig, MixerKind, ParameterRole, ParameterSpec};

use super::InitialDraw;
use crate::error::{DecoderError, Result};
use crate::families::split_path;

/// How a family draws the parameters of a model that is trained from scratch. Weights of norms are 1 and biases are 0 in
/// all of them.
///
/// | family | here | source |
/// |---|---|---|
/// | Ouro | [`Normal`](Self::Normal) of config.json's `initializer_range`, 0.02 where it names none | the published modelling code, which leaves it to the Hugging Face convention; the exit gate is a linear map like the others there |
/// | Huginn | [`TruncatedNormal`](Self::TruncatedNormal) of config.json's `init_values`, otherwise [`scaled_by_depth`](Self::scaled_by_depth) | arXiv 2502.05171, strategy "takase" after arXiv 2312.16903, and its training code |
/// | YOCO | [`UniformByFan`](Self::UniformByFan) | the release beside arXiv 2405.05254 |
/// | YOCO-U | the same | not published; YOCO's is taken. Its layout has no factor on the embedding, which YOCO multiplies by `sqrt(d_model)` |
/// | native | [`scaled_by_depth`](Self::scaled_by_depth) at the config's depth | Huginn's, a choice of this project |
#[derive(Debug, Clone, PartialEq)]
pub enum Initialisation {
    /// Normal of one deviation for embedding, linear maps and head. (Hugging Face also zeroes the embedding of a padding
    /// token, which no position of a model without padding looks at; here it is drawn like the others.)
    Normal {
        /// The deviation.
        std: f64,
    },
    /// Normal cut at three deviations, smaller for the matrices whose product is added to the hidden stream.
    TruncatedNormal {
        /// The deviation for linear maps and a head of its own.
        std: f64,
        /// The deviation for the embedding.
        embedding: f64,
        /// The deviation for outputs of mixers and feed-forward parts.
        branch_output: f64,
    },
    /// Normal of deviation `1 / sqrt(d_model)` for the embedding, uniform otherwise: over `±1 / sqrt(in)` (Kaiming's rule
    /// as PyTorch's linear layer has it), and inside gated retention over `±gain sqrt(6 / (in + out))` (Xavier's rule) with
    /// gain `2^-1` for its output and `2^-2.5` for its other projections. Depth plays no part.
    UniformByFan,
    /// A way that a config.json asks for and that is not implemented; such a model runs, but cannot be begun from scratch.
    NotImplemented {
        /// The key that asks for it.
        key: String,
        /// Its value.
        value: String,
    },
}

impl Initialisation {
    /// Truncated normal of deviation `s = sqrt(2 / (5 d_model))`, and `s / sqrt(2 blocks)` for what is added to the stream,
    /// where `blocks` is how many blocks a token passes (arXiv 2312.16903).
    pub fn scaled_by_depth(d_model: usize, blocks: usize) -> Self {
        let std = (2.0 / (5.0 * d_model as f64)).sqrt();
        Self::TruncatedNormal { std, embedding: std, branch_output: std / (2.0 * blocks as f64).sqrt() }
    }

    /// The distribution of a parameter that the config implies.
    ///
    /// # Errors
    /// If the way is not implemented.
    pub fn draw(&self, config: &DecoderConfig, parameter: &ParameterSpec) -> Result<InitialDraw> {
        let role = parameter.role;
        match (self, role) {
            (Self::NotImplemented { key, value }, _) => {
                Err(DecoderError::InitialisationNotImplemented { key: key.clone(), value: value.clone() })
            }
            (_, ParameterRole::NormWeight) => Ok(InitialDraw::Constant(1.0)),
            (_, ParameterRole::Bias) => Ok(InitialDraw::Constant(0.0)),
            (&Self::Normal { std }, _) => Ok(InitialDraw::Normal { std }),
            (&Self::TruncatedNormal { std, embedding, branch_output }, _) => Ok(InitialDraw::TruncatedNormal {
                std: match role {
                    ParameterRole::Embedding => embedding,
                    ParameterRole::BranchOutput => branch_output,
                    _ => std,
                },
            }),
            (Self::UniformByFan, ParameterRole::Embedding) => {
                Ok(InitialDraw::Normal { std: (config.d_model as f64).sqrt().recip() })
            }
            (Self::UniformByFan, _) => Ok(InitialDraw::Uniform { bound: uniform_bound(config, parameter) }),
        }
    }
}

/// The bound of [`Initialisation::UniformByFan`] for a matrix, `[out, in]`.
fn uniform_bound(config: &DecoderConfig, parameter: &ParameterSpec) -> f64 {
    let fan_out = *parameter.shape.first().unwrap_or(&1) as f64;
    let fan_in = *parameter.shape.last().unwrap_or(&1) as f64;
    let (stack, _, part) = split_path(&parameter.path);
    let stack = match stack {
        "prelude" => config.prelude.as_ref(),
        "core" => Some(&config.core),
        "coda" | "cross" => config.readout_stack(),
        _ => None,
    };
    let retention = stack.is_some_and(|stack| matches!(stack.mixer, MixerKind::GatedRetention { .. }));
    if !(retention && part.starts_with("mixer.")) {
        return fan_in.sqrt().recip();
    }
    let gain = if parameter.role == ParameterRole::BranchOutput { 0.5 } else { 2.0_f64.powf(-2.5) };
    gain * (6.0 / (fan_in + fan_out)).sqrt()
}
