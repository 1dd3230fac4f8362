//! The whole decoder.

use serde::{Deserialize, Serialize};

use super::{MixerKind, QueryKey, StackConfig};
use crate::error::{Error, Result, require};
use crate::exit::MOST_STEPS;

/// A looped decoder described as data: what the generic decoder is built from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// The published architecture this is, or [`Family::Native`].
    pub family: Family,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the hidden stream.
    pub d_model: usize,
    /// Added to the mean square inside every RMS norm.
    pub norm_eps: f64,
    /// Factor on the token embedding.
    pub embedding_scale: f64,
    /// Positions a sequence may have.
    pub max_positions: usize,
    /// Recurrences taken where nothing else is asked for.
    pub depth: usize,
    /// The state before the first step.
    pub initial_state: InitialState,
    /// How the embedded input enters each step.
    pub injection: Injection,
    /// Blocks before the recurrence.
    pub prelude: Option<StackConfig>,
    /// Blocks inside the recurrence, applied once per step.
    pub core: StackConfig,
    /// What happens to the state after the core blocks of a step.
    pub after_step: AfterStep,
    /// From the state to the logits.
    pub readout: Readout,
    /// Where the output matrix comes from.
    pub head: OutputHead,
    /// A learned exit gate on the state.
    pub exit_gate: ExitGate,
}

/// A published architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Ouro (arXiv 2510.25741).
    Ouro,
    /// Huginn, `huginn_raven` (arXiv 2502.05171).
    Huginn,
    /// YOCO of 2024 (arXiv 2405.05254), its self-decoder looped.
    Yoco,
    /// YOCO-U of 2026 (arXiv 2604.01220) in its authors' layout.
    YocoU,
    /// None of them: a decoder composed freely from a [`DecoderConfig`].
    Native,
}

impl Family {
    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ouro => "ouro",
            Self::Huginn => "huginn",
            Self::Yoco => "yoco",
            Self::YocoU => "yoco_u",
            Self::Native => "native",
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The state before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum InitialState {
    /// The prelude's output (the embedding, where there is no prelude).
    Embedding,
    /// Zeros.
    Zeros,
    /// Draws from a normal distribution of mean 0 and deviation `std`, cut at three deviations, times `scale`.
    TruncatedNormal {
        /// Deviation before the factor.
        std: f64,
        /// Factor on every draw.
        scale: f64,
    },
}

/// How the embedded input enters each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Injection {
    /// It does not; the state carries everything.
    None,
    /// `state <- w [state; embedding]`, without bias.
    Linear,
}

/// What happens to the state after the core blocks of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterStep {
    /// Nothing.
    Keep,
    /// The final norm is applied and its value is fed back (Ouro).
    FinalNorm,
}

/// From the state to the logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Readout {
    /// The head alone: the state is normalised already (Ouro).
    Head,
    /// Final norm, head.
    NormHead,
    /// Final norm, coda blocks, the same final norm again, head (Huginn).
    Coda(StackConfig),
    /// Keys and values projected once from the normalised state, blocks that only query them, final norm, head (YOCO).
    CrossDecoder {
        /// The blocks; their mixer is [`MixerKind::SharedKv`], and heads and positions hold for the shared keys too.
        layers: StackConfig,
        /// Treatment of the shared keys before positions ([`QueryKey::Plain`] or [`QueryKey::Norm`]).
        shared_key: QueryKey,
    },
}

/// Where the output matrix comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputHead {
    /// The embedding matrix.
    Tied,
    /// A matrix of its own.
    Separate,
}

/// A learned exit gate on the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitGate {
    /// None.
    None,
    /// One linear unit with bias; its sigmoid is the hazard of exiting at this step (Ouro).
    Linear,
}

impl DecoderConfig {
    /// The stack of the readout, if it has one.
    pub fn readout_stack(&self) -> Option<&StackConfig> {
        match &self.readout {
            Readout::Head | Readout::NormHead => None,
            Readout::Coda(stack) | Readout::CrossDecoder { layers: stack, .. } => Some(stack),
        }
    }

    /// Blocks that a token passes in `depth` steps: the prelude's and the readout's once, the core's once a step.
    pub fn blocks_passed(&self, depth: usize) -> usize {
        let outside = self.prelude.iter().chain(self.readout_stack()).map(|stack| stack.n_layers).sum::<usize>();
        self.core.n_layers.saturating_mul(depth).saturating_add(outside)
    }

    /// Whether reading logits out at a step looks at other tokens, so that exits judged by logits go token by token.
    pub fn readout_mixes_tokens(&self) -> bool {
        self.readout_stack().is_some()
    }

    /// Checks every field and their combination; the error names the field, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size, 1 << 30),
            ("d_model", self.d_model, 1 << 24),
            ("max_positions", self.max_positions, 1 << 30),
            ("depth", self.depth, MOST_STEPS),
        ];
        for (name, size, most) in sizes {
            require(size > 0, name, size, "must be at least 1")?;
            require(size <= most, name, size, format!("must be at most {most}"))?;
        }
        require(
            self.norm_eps.is_finite() && self.norm_eps >= 0.0,
            "norm_eps",
            self.norm_eps,
            "must be finite and not negative",
        )?;
        require(self.embedding_scale.is_finite(), "embedding_scale", self.embedding_scale, "must be finite")?;
        if let InitialState::TruncatedNormal { std, scale } = self.initial_state {
            require(std.is_finite() && std >= 0.0, "initial_state.std", std, "must be finite and not negative")?;
            require(scale.is_finite(), "initial_state.scale", scale, "must be finite")?;
        }
        if self.injection == Injection::None && self.initial_state != InitialState::Embedding {
            return Err(Error::Conflict {
                first: "injection none".into(),
                second: "an initial state other than the embedding".into(),
                why: "the input would never reach the core".into(),
            });
        }
        if let Some(prelude) = &self.prelude {
            prelude.validate("prelude")?;
            plain_stack(prelude, "prelude")?;
        }
        self.core.validate("core")?;
        if self.core.mixer == MixerKind::SharedKv {
            return Err(shared_kv_outside("core"));
        }
        match &self.readout {
            Readout::Head | Readout::NormHead => Ok(()),
            Readout::Coda(stack) => {
                stack.validate("readout.coda")?;
                plain_stack(stack, "readout.coda")
            }
            Readout::CrossDecoder { layers, shared_key } => {
                layers.validate("readout.cross-decoder")?;
                require(
                    layers.mixer == MixerKind::SharedKv,
                    "readout.cross-decoder.mixer",
                    format!("{:?}", layers.mixer),
                    "must be shared-kv",
                )?;
                require(
                    *shared_key != QueryKey::Bias,
                    "readout.cross-decoder.shared_key",
                    "bias",
                    "must be plain or norm",
                )
            }
        }
    }
}

/// Stacks outside the recurrence hold no mixer that needs steps or shared keys.
fn plain_stack(stack: &StackConfig, path: &str) -> Result<()> {
    match stack.mixer {
        MixerKind::SharedKv => Err(shared_kv_outside(path)),
        MixerKind::MemoryGated(_) => Err(Error::Conflict {
            first: format!("{path}.mixer memory-gated"),
            second: "a stack outside the recurrence".into(),
            why: "its memory is of earlier steps, which only the core has".into(),
        }),
        _ => Ok(()),
    }
}

fn shared_kv_outside(path: &str) -> Error {
    Error::Conflict {
        first: format!("{path}.mixer shared-kv"),
        second: "a stack outside the cross-decoder".into(),
        why: "only the cross-decoder has shared keys and values".into(),
    }
}
