//! The training recipe as plain data, and the pure functions on it.
//!
//! [`TrainConfig`] has one section for each part of training, one file here for each section.
//!
//! Overrides have the form `key.path=value`. The value is read as TOML, and as a string if it is none, so that
//! `data.sequence=128`, `data.tasks=[{ task = "addition", min = 1, max = 4 }]` and `model.config=small.json` all work. A
//! number in a path counts the entries of a list from 0: `data.tasks.0.max=6`. An empty value takes the key away.
//!
//! A choice is its name, or a table of that name with the settings of the choice: `kind = "cosine"` is
//! `kind = { cosine = {} }`, and `kind = { cosine = { floor = 0.1 } }` sets one of them.

mod averaging;
mod batch;
mod choice;
mod config;
mod data;
mod depth;
mod draw;
mod error;
mod evaluation;
mod fingerprint;
mod guard;
mod loss;
mod loss_guard;
mod model;
mod optimizer;
mod output;
mod overrides;
mod pattern;
mod plan;
mod ramp;
mod reading;
mod schedule;

pub use averaging::{AveragingConfig, ExponentialConfig};
pub use batch::BatchConfig;
pub use config::TrainConfig;
pub use data::{DataConfig, DataSource, FilesConfig, TaskConfig};
pub use depth::{DepthConfig, DepthCurriculum, DepthDistribution, DepthPer, LogNormalConfig};
pub use draw::{DepthDraw, DepthKey};
pub use error::{RecipeError, Result};
pub use evaluation::EvaluationConfig;
pub use guard::{GuardConfig, SpikeConfig};
pub use loss::{EveryStepConfig, ExpectedExitConfig, GateOnlyConfig, LossConfig, LossKind, StepWeights};
pub use loss_guard::{LossGuard, SkipReason, Verdict};
pub use model::{ModelConfig, ModelSource};
pub use optimizer::{GroupConfig, MuonConfig, OptimizerConfig};
pub use output::OutputConfig;
pub use pattern::NamePattern;
pub use plan::{Method, ParameterPlan};
pub use ramp::{Ramp, RampShape};
pub use schedule::{CosineConfig, ScheduleConfig, ScheduleKind, WarmupStableDecayConfig};
