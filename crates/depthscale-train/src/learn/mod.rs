//! One training step: the loss over depth, its gradients, and what the optimizer does with them.

mod average;
mod expected;
mod gate;
mod gradients;
mod objective;
mod optimizer;
mod reach;
mod rehearsal;
mod rows;
mod trainer;
mod work;

pub use average::WeightAverage;
pub use objective::{Learner, LossByDepth, Objective};
pub use optimizer::Optimizers;
pub use rehearsal::Rehearsal;
pub use trainer::{StepRecord, Trainer, TrainerState};
pub use work::training_flops;
