//! Plain data of DepthScale, the engine for looped language models.
//!
//! Everything here is serde data and arithmetic on it: no tensor library, so that tools, servers and tests can speak
//! about a model without one. The crates above turn a [`DecoderConfig`] into a decoder, follow an [`ExitPolicy`], and
//! answer with [`TokenTrace`]s and [`MemoryReport`]s.
//!
//! ```
//! use depthscale_types::{Criterion, ExitPolicy, KvRetention};
//!
//! let policy: ExitPolicy = "latent-diff:0.03".parse()?;
//! assert_eq!(policy.criterion, Criterion::LatentDiff);
//! assert_eq!(policy.threshold, 0.03);
//!
//! let retention: KvRetention = "first-then-shared".parse()?;
//! assert_eq!(retention, KvRetention::FirstThenShared);
//! # Ok::<(), depthscale_types::Error>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | [`DecoderConfig`] and its parts, one enum per choice that published looped models make |
//! | [`parameters`] | the list of parameters a config implies, hence parameter counts without allocating |
//! | [`dtype`] | [`ComputeDtype`] and [`CacheDtype`]: the number formats of products, and of keys and values |
//! | [`exit`] | [`ExitPolicy`] and the criteria it can name |
//! | [`retention`] | [`KvRetention`]: which keys and values are kept |
//! | [`sampling`] | [`SamplingParams`] |
//! | [`trace`] | [`TokenTrace`], [`DepthTrace`], [`StepReport`] |
//! | [`reasoning`] | [`ReasoningState`] |
//! | [`memory`] | [`MemoryReport`], [`MeasuredMemory`] and cache arithmetic |
//! | [`weights`] | [`WeightFormat`]: what matrices are kept in |
//! | [`work`] | [`Work`]: operations and bytes of a forward call |

pub mod config;
pub mod dtype;
pub mod error;
pub mod exit;
pub mod memory;
pub mod parameters;
pub mod reasoning;
pub mod retention;
pub mod sampling;
pub mod trace;
pub mod weights;
pub mod work;

pub use config::{
    AfterStep, AttentionConfig, BlockNorms, DecoderConfig, ExitGate, Family, InitialState, Injection, MixerKind,
    OutputHead, Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};
pub use dtype::{CacheDtype, ComputeDtype};
pub use error::{Error, Result};
pub use exit::{Criterion, Evidence, ExitPolicy, Metric};
pub use memory::{CacheBytes, MeasuredMemory, MemoryQuery, MemoryReport};
pub use parameters::{ParameterRole, ParameterSpec};
pub use reasoning::{ReasoningState, Thought};
pub use retention::KvRetention;
pub use sampling::SamplingParams;
pub use trace::{BlockEvaluations, DepthTrace, ExitReason, StepReport, TokenTrace};
pub use weights::WeightFormat;
pub use work::{Work, WorkQuery};
