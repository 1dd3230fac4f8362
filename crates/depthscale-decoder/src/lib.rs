//! The generic recurrent decoder of DepthScale, on burn's [`Backend`](burn::tensor::backend::Backend) trait.
//!
//! Every published looped language model is the same machine with different parts:
//!
//! ```text
//! tokens -> embed -> prelude -> [ inject -> core blocks -> norm? ] x depth -> readout -> logits
//!                                \__ state fed back, K/V per step __/
//! ```
//!
//! So there is one [`RecurrentDecoder`]; a published family is data, a [`DecoderConfig`](depthscale_types::DecoderConfig)
//! made from its config.json and a map of tensor names. A call to [`RecurrentDecoder::run`] feeds tokens of any number of
//! sequences, whose lengths may differ. Their tokens are rows of one matrix: no padding, and a token that has converged
//! leaves the matrix, in prompts as in generated text, so that the remaining steps run on fewer rows.
//!
//! ```
//! use burn_flex::Flex;
//! use depthscale_decoder::{ExitRule, Feed, LogitRows, Phase, RecurrentDecoder, RunOptions, SequenceOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-arith"));
//! let decoder = RecurrentDecoder::<Flex>::open(directory, &Default::default())?;
//!
//! // "\n47+38=" in the tokens of this checkpoint; every token stops once its exit gate is half sure.
//! let rule = ExitRule::new(&"q-exit:0.5".parse()?)?;
//! let mut cache = decoder.new_sequence(SequenceOptions::default())?;
//! let mut feeds = [Feed {
//!     cache: &mut cache,
//!     tokens: &[1, 6, 9, 12, 5, 10, 14],
//!     phase: Phase::Prompt,
//!     logits: LogitRows::Last,
//!     initial_state: None,
//! }];
//! let output = decoder.run(&mut feeds, &mut RunOptions::new(&rule))?;
//! let steps: Vec<usize> = output.feeds[0].traces.iter().map(|trace| trace.steps).collect();
//! assert!(steps.iter().all(|&steps| steps <= 4) && steps.iter().any(|&steps| steps < 4));
//!
//! // What was executed is what the traces say: two core layers, as often as each token took a step.
//! assert_eq!(output.evaluations.core, 2 * steps.iter().sum::<usize>() as u64);
//! # Ok(())
//! # }
//! ```
//!
//! | to do | use |
//! |---|---|
//! | open a published checkpoint, save it again | [`ModelDirectory`] |
//! | a decoder of one's own shape | [`RecurrentDecoder::build`], [`RecurrentDecoder::random`] |
//! | generate | [`generate()`] |
//! | see what the model would answer after each step | [`RecurrentDecoder::reason`] |
//! | an exit criterion of one's own | [`ExitCriterion`] |
//! | a mixer of one's own | [`Mixer`], [`RecurrentDecoder::build_with`] |
//! | loop a block of one's own | [`RecurrentBlock`], [`ReasoningLoop`] |
//! | compare with a published implementation | [`verify`] |
//!
//! # Semantics
//!
//! The reference is token by token: a token recurs until it exits, what it leaves in the slots is final, the next one
//! runs. Everything computed together equals that, or is an option whose name says approximate.

pub mod build;
pub mod cache;
pub mod exit;
pub mod generate;
pub mod layers;
pub mod mixer;
pub mod run;
pub mod verify;

mod block;
mod calibrated;
mod convert;
mod decoder;
mod error;
mod families;
mod hypothesis;
mod initial;
mod model;
mod published;
mod read;
mod reasoning_loop;
mod save;
mod self_check;
mod state;

pub use block::{Block, RecurrentBlock};
pub use build::{ParameterSource, Parameters, RandomParameters};
pub use cache::{Phase, Place, SequenceCache, SequenceOptions, SlotKind};
pub use calibrated::EXIT_FILE;
pub use convert::WEIGHTS_FILE;
pub use decoder::{GateUnit, RecurrentDecoder, SharedKv};
pub use error::{DecoderError, Result};
pub use exit::{ExitCriterion, ExitRule, StepView};
pub use generate::{GenerateOptions, GenerateOutput, GeneratedToken, Generation, Request, StopReason, generate};
pub use hypothesis::{Hypothesis, Reasoned};
pub use initial::{InitialDraw, InitialParameters, Initialisation};
pub use mixer::{BuiltinMixer, Mixer};
pub use model::ModelDirectory;
pub use published::Published;
pub use reasoning_loop::{Reasoning, ReasoningLoop};
pub use run::{
    BlockContext, Feed, FeedOutput, HeadShape, LogitRows, Prefill, RunOptions, RunOutput, StepObserver, UnrollOptions,
    Unrolled,
};
pub use save::SaveOptions;
