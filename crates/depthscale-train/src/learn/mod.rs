//! One training step: the loss over depth, its gradients, and what the optimizer does with them.
//!
//! # Several devices
//!
//! [`Trainer`] keeps to one device. Data parallelism takes nothing beside what burn has: a copy of the decoder on every
//! device works out the gradients of its part of the batch, each prediction with its share of the whole, so that the parts
//! add up; one device applies their sum, and the copies are made anew.
//!
//! ```
//! use burn::backend::Autodiff;
//! use burn::module::{AutodiffModule, Module};
//! use burn::optim::{GradientsAccumulator, GradientsParams};
//! use burn_flex::{Flex, FlexDevice};
//! use depthscale_corpus::Sequence;
//! use depthscale_decoder::{RecurrentDecoder, UnrollOptions};
//! use depthscale_train::{Batch, DepthDraw, Learner, LossConfig, OptimizerConfig, Optimizers};
//!
//! type B = Autodiff<Flex>;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-mha"));
//! // As many as there are; on the CPU there is one.
//! let devices = [FlexDevice, FlexDevice];
//! let mut decoder = RecurrentDecoder::<B>::open(path, &devices[0])?;
//! let mut optimizers = Optimizers::new(&OptimizerConfig::adamw(1e-3), &decoder);
//! let part = |tokens: Vec<u32>| Batch::new([Sequence { tokens, learn_from: 1 }]);
//! let parts = [part(vec![1, 2, 3, 4]), part(vec![5, 6, 7, 8])];
//! let share = 1.0 / parts.iter().map(Batch::predictions).sum::<usize>() as f64;
//!
//! let gradients = std::thread::scope(|scope| -> Vec<GradientsParams> {
//!     let work = |(device, part)| {
//!         let copy = decoder.clone().fork(device);
//!         move || {
//!             let learner = Learner { decoder: &copy, valid: &copy.valid() };
//!             let draws = [DepthDraw { free: 0, tracked: 4 }];
//!             let objective = learner.objective(part, &draws, &LossConfig::default(), UnrollOptions::default(), share);
//!             GradientsParams::from_grads(objective.expect("fits the model").loss.backward(), &copy)
//!         }
//!     };
//!     let threads: Vec<_> = devices.iter().zip(&parts).map(|pair| scope.spawn(work(pair))).collect();
//!     threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
//! });
//! let mut sum = GradientsAccumulator::new();
//! for gradients in gradients {
//!     sum.accumulate(&decoder, gradients.to_device(&devices[0], &decoder));
//! }
//! decoder = optimizers.step(1.0, decoder, sum.grads());
//! # Ok(())
//! # }
//! ```
//!
//! Over several machines `GradientsParams::all_reduce` with `ReduceOperation::Sum` takes the place of the accumulator, under
//! burn's feature `collective`: every machine then applies the same sum to its own copy.

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
