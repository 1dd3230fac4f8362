//! A stack of equal transformer blocks.

use serde::{Deserialize, Serialize};

use crate::dtype::CacheDtype;
use crate::error::{Error, Result, require};

/// A stack of `n_layers` blocks of one shape. Each block is a mixer (attention or its relative) and a SwiGLU
/// feed-forward part `w_down(silu(w_gate x) * w_up x)`, both without biases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackConfig {
    /// Number of blocks.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; divides `n_heads` (grouped-query attention, contiguous groups).
    pub n_kv_heads: usize,
    /// Width of one head; `n_heads * head_dim` need not equal `d_model`.
    pub head_dim: usize,
    /// Inner width of the feed-forward part.
    pub d_ffn: usize,
    /// How tokens are mixed.
    pub mixer: MixerKind,
    /// How positions enter queries and keys.
    pub positions: Positions,
    /// Where the block normalises.
    pub norms: BlockNorms,
    /// What happens to queries and keys before positions are applied.
    pub query_key: QueryKey,
}

/// No window is wider.
const MOST_WINDOW: usize = 1 << 30;

/// How a block mixes tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MixerKind {
    /// Causal softmax attention over everything before.
    FullAttention,
    /// Causal softmax attention over the last `window` keys, the query's own included.
    SlidingWindow {
        /// Keys a query sees, itself included.
        window: usize,
    },
    /// Gated retention (YOCO, arXiv 2405.05254): a matrix state per head that decays by a data-dependent gate
    /// `log_gamma = logsigmoid(x w_gamma) / temperature`.
    GatedRetention {
        /// Divisor of the log decay (16 in the published model).
        temperature: f64,
    },
    /// A gate between attention over the context and attention over a bank of earlier steps' states.
    MemoryGated(AttentionConfig),
    /// Queries only; keys and values are the shared ones of a cross-decoder.
    SharedKv,
}

impl MixerKind {
    /// Keys a query sees, itself included, where that is limited.
    pub fn window(&self) -> Option<usize> {
        match self {
            Self::SlidingWindow { window } => Some(*window),
            Self::MemoryGated(attention) => Some(attention.context_window_size),
            Self::FullAttention | Self::GatedRetention { .. } | Self::SharedKv => None,
        }
    }
}

/// The attention settings of the project's first documents, under their names there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionConfig {
    /// Weight of a state in the memory bank relative to the one a step later, in (0, 1].
    pub memory_decay_rate: f64,
    /// Keys of context a query sees, itself included; also the most states the bank keeps.
    pub context_window_size: usize,
}

impl Default for AttentionConfig {
    fn default() -> Self {
        Self { memory_decay_rate: 0.95, context_window_size: 512 }
    }
}

impl AttentionConfig {
    /// Checks the ranges named at the fields.
    pub fn validate(&self, path: &str) -> Result<()> {
        let decay = self.memory_decay_rate;
        require(decay > 0.0 && decay <= 1.0, format!("{path}.memory_decay_rate"), decay, "must be in (0, 1]")?;
        require(
            (1..=MOST_WINDOW).contains(&self.context_window_size),
            format!("{path}.context_window_size"),
            self.context_window_size,
            format!("must be from 1 to {MOST_WINDOW}"),
        )
    }
}

/// How positions enter queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Positions {
    /// Not at all.
    None,
    /// Rotary embedding (arXiv 2104.09864) over the whole head.
    Rotary {
        /// Base of the frequencies.
        theta: f64,
        /// Which two elements form a pair.
        layout: RotaryLayout,
        /// How the exponents are spaced.
        frequencies: RotaryFrequencies,
    },
}

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotaryLayout {
    /// Elements `2i` and `2i + 1`.
    Interleaved,
    /// Elements `i` and `i + head_dim / 2`.
    SplitHalf,
}

/// Spacing of the rotary exponents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotaryFrequencies {
    /// `theta^(-2i / head_dim)`.
    Standard,
    /// `theta^(-i / (head_dim / 2 - 1))`, the last exponent being exactly -1 (the YOCO release of 2024).
    EndpointInclusive,
}

/// Where a block normalises (RMS norm, arXiv 1910.07467).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockNorms {
    /// `x + f(norm(x))`.
    Pre,
    /// `x + norm_after(f(norm_before(x)))` (Ouro).
    SandwichBranch,
    /// `norm_after(x + f(norm_before(x)))` (Huginn).
    SandwichSum,
}

/// What is done to queries and keys before positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryKey {
    /// Nothing.
    Plain,
    /// A learned bias per head on queries and keys, none on values (Huginn).
    Bias,
    /// RMS norm over each head with a learned weight per element.
    Norm,
}

impl StackConfig {
    /// Width of all query heads together.
    pub fn d_query(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Width of all key heads together; values have the same.
    pub fn d_kv(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }

    /// Bytes of the keys and values of one token in one layer.
    pub fn kv_row_bytes(&self, caches: CacheDtype) -> usize {
        2 * self.n_kv_heads * caches.head_bytes(self.head_dim)
    }

    /// Checks every field; `path` is the stack's place in the config and begins the field names in errors.
    pub fn validate(&self, path: &str) -> Result<()> {
        const MOST: usize = 1 << 24;
        let sizes = [
            ("n_layers", self.n_layers, 1 << 12),
            ("n_heads", self.n_heads, MOST),
            ("n_kv_heads", self.n_kv_heads, MOST),
            ("head_dim", self.head_dim, MOST),
            ("d_ffn", self.d_ffn, MOST),
        ];
        for (name, size, most) in sizes {
            require(size > 0, format!("{path}.{name}"), size, "must be at least 1")?;
            require(size <= most, format!("{path}.{name}"), size, format!("must be at most {most}"))?;
        }
        require(
            self.d_query() <= MOST,
            format!("{path}.n_heads * head_dim"),
            self.d_query(),
            format!("must be at most {MOST}"),
        )?;
        require(
            self.n_heads.is_multiple_of(self.n_kv_heads),
            format!("{path}.n_kv_heads"),
            self.n_kv_heads,
            format!("must divide n_heads, which is {}", self.n_heads),
        )?;
        if let Positions::Rotary { theta, .. } = self.positions {
            require(
                self.head_dim.is_multiple_of(2),
                format!("{path}.head_dim"),
                self.head_dim,
                "must be even for rotary positions",
            )?;
            require(
                theta.is_finite() && theta > 0.0,
                format!("{path}.positions.theta"),
                theta,
                "must be finite and positive",
            )?;
        }
        match &self.mixer {
            MixerKind::FullAttention | MixerKind::SharedKv => Ok(()),
            MixerKind::SlidingWindow { window } => {
                require(*window > 0, format!("{path}.mixer.window"), window, "must be at least 1")?;
                require(
                    *window <= MOST_WINDOW,
                    format!("{path}.mixer.window"),
                    window,
                    format!("must be at most {MOST_WINDOW}"),
                )
            }
            MixerKind::GatedRetention { temperature } => {
                require(
                    temperature.is_finite() && *temperature > 0.0,
                    format!("{path}.mixer.temperature"),
                    temperature,
                    "must be finite and positive",
                )?;
                if self.query_key != QueryKey::Plain {
                    return Err(Error::Conflict {
                        first: format!("{path}.query_key {:?}", self.query_key),
                        second: "gated retention".into(),
                        why: "its queries and keys are taken as they are; use plain".into(),
                    });
                }
                if self.n_kv_heads != self.n_heads {
                    return Err(Error::Conflict {
                        first: format!("{path}.n_kv_heads {}", self.n_kv_heads),
                        second: "gated retention".into(),
                        why: format!(
                            "its state is per query head, so it must equal n_heads, which is {}",
                            self.n_heads
                        ),
                    });
                }
                Ok(())
            }
            MixerKind::MemoryGated(attention) => attention.validate(&format!("{path}.mixer")),
        }
    }
}
