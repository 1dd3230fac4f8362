//! Training of looped language models.
//!
//! A recipe is plain data: a [`TrainConfig`], read from TOML with overrides from the command line. It names the model, the
//! data, how deep each sequence goes, the loss, the optimizer and its schedule. What a recipe computes without tensors is
//! here too: [`DepthConfig::draw`], [`ScheduleConfig::factor`], [`OptimizerConfig::plan`], [`LossGuard`]. All of it depends
//! on the recipe, the seed and the step alone, so that a resumed run does what the uninterrupted one would have done.
//!
//! ```
//! use depthscale_train::{DepthKey, TrainConfig};
//!
//! let text = r#"
//!     seed = 7
//!     [output]
//!     directory = "runs/addition"
//!     [model]
//!     config = "config.json"
//!     [data]
//!     tasks = [{ task = "addition", min = 1, max = 4 }]
//!     sequence = 64
//!     [batch]
//!     sequences = 32
//!     [depth]
//!     distribution = "log-normal-poisson"
//!     mean = 8
//!     backprop = 4
//!     [optimizer]
//!     learning_rate = 1e-3
//!     [schedule]
//!     steps = 2000
//!     warmup = 100
//!     kind = "cosine"
//! "#;
//! let config = TrainConfig::parse(text, "addition.toml", &["schedule.kind.cosine.floor=0.1".into()])?;
//! assert_eq!(config.schedule.factor(50), 0.5);
//! assert_eq!(config.schedule.factor(2000), 0.1);
//!
//! let key = DepthKey { seed: config.seed, step: 1, micro_batch: 0 };
//! let draws = config.depth.draw(key, config.batch.sequences, 1.0);
//! assert!(draws.iter().all(|draw| draw.tracked <= 4));
//!
//! let error = TrainConfig::parse(text, "addition.toml", &["schedule.step=9".into()]).unwrap_err();
//! assert!(error.to_string().contains("did you mean `steps`?"));
//! # Ok::<(), depthscale_train::RecipeError>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`recipe`] | [`TrainConfig`], its sections and the functions on them |
//! | [`data`] | tasks, text and lines as batches of token sequences |
//! | [`learn`] | the losses over depth, gradients, optimizers: one training step, [`Trainer::step`] |
//! | [`run`] | a run in its directory, [`TrainingRun`]: checkpoints, log, report |
//! | [`eval`] | accuracy by depth and under exits, and the exit that keeps it |

pub mod data;
pub mod eval;
pub mod learn;
pub mod recipe;
pub mod run;

mod error;

pub use data::{Batch, Examples};
pub use error::{Result, TrainError};
pub use eval::{
    Calibration, CalibrationOptions, CorpusKind, DepthEvaluation, EXIT_FILE, EvaluatedModel, EvaluationProgress,
    EvaluationReport, ExitEvaluation, ProblemDraw, ProblemSet, applicable_criteria, calibrate, evaluate_depths,
    evaluate_exit, ladder_policies, sweep,
};
pub use learn::{Learner, Objective, Optimizers, Rehearsal, StepRecord, Trainer, TrainerState, WeightAverage};
pub use run::{Evaluator, RunDirectory, RunEnd, RunObserver, Start, TrainingRun};

pub use recipe::{
    AveragingConfig, BatchConfig, CosineConfig, DataConfig, DataSource, DepthConfig, DepthCurriculum,
    DepthDistribution, DepthDraw, DepthKey, DepthPer, EvaluationConfig, EveryStepConfig, ExpectedExitConfig,
    ExponentialConfig, FilesConfig, GateOnlyConfig, GroupConfig, GuardConfig, LogNormalConfig, LossConfig, LossGuard,
    LossKind, Method, ModelConfig, ModelSource, MuonConfig, NamePattern, OptimizerConfig, OutputConfig, ParameterPlan,
    Ramp, RampShape, RecipeError, ScheduleConfig, ScheduleKind, SkipReason, SpikeConfig, StepWeights, TaskConfig,
    TrainConfig, Verdict, WarmupStableDecayConfig,
};
