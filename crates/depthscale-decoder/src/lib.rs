//! The generic recurrent decoder.

pub mod build;
pub mod cache;
pub mod exit;
pub mod generate;
pub mod layers;
pub mod mixer;
pub mod run;
pub mod verify;

mod block;
mod decoder;
mod error;
mod families;
mod model;
mod reason;
mod reasoning;
mod state;

pub use block::{Block, RecurrentBlock};
pub use build::{ParameterSource, Parameters, RandomParameters};
pub use cache::{Phase, Place, SequenceCache, SequenceOptions, SlotKind};
pub use decoder::RecurrentDecoder;
pub use error::{DecoderError, Result};
pub use exit::{ExitCriterion, ExitRule, StepView};
pub use families::Published;
pub use generate::{GenerateOptions, GenerateOutput, GeneratedToken, Generation, Request, StopReason, generate};
pub use mixer::{BuiltinMixer, Mixer};
pub use model::ModelDirectory;
pub use reason::{Hypothesis, Reasoned};
pub use reasoning::{Reasoning, ReasoningLoop};
pub use run::{BlockContext, Feed, FeedOutput, HeadShape, LogitRows, Prefill, RunOptions, RunOutput, StepObserver};
