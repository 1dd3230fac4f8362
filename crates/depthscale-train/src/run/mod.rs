//! A training run: its directory, its checkpoints, its log.

mod checkpoint;
mod directory;
mod evaluator;
mod metrics;
mod report;
mod session;

pub use checkpoint::RunCheckpoint;
pub use directory::{RECIPE_FILE, RunDirectory};
pub use evaluator::Evaluator;
pub use metrics::{EvaluationMetrics, MetricsRecord, StepMetrics, TaskMetrics, read_metrics};
pub use report::report;
pub use session::{RunEnd, RunObserver, Start, TrainingRun};
