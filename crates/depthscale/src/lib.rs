//! DepthScale runs looped language models: transformers that apply one set of weights again and again, and stop when
//! the answer has converged.
//!
//! ```text
//! text -> tokens -> embed -> prelude -> [ inject -> core blocks -> norm? ] x depth -> readout -> token -> text
//!                                        \__ state fed back, K/V per step __/
//! ```
//!
//! [`LanguageModel`] takes text and gives text. It opens a directory as it was published (config.json, safetensors,
//! tokenizer.json) and answers with a [`Completion`], in which every token carries the record of its recurrences: how
//! many steps it took, the exit value after each, and why it stopped.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use depthscale::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-arith"));
//! // A small Ouro model that has learned to add.
//! # #[cfg(feature = "flex")] {
//! let model = LanguageModel::<Flex>::open(dir, &Default::default())?;
//! assert_eq!(model.process_input("47+38=")?.text, "85");
//!
//! // The same, each token leaving the loop as soon as the model's own gate is half sure, and streamed.
//! let options = CompletionOptions { exit: Some("q-exit:0.5".parse()?), ..CompletionOptions::default() };
//! let completion = model.complete("47+38=", &options, |piece| {
//!     print!("{}", piece.text);
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(completion.text, "85");
//! assert!(completion.depth.mean_depth() < 4.0 && completion.steps_saved() > 0.0);
//! for token in &completion.tokens {
//!     println!("{}: {} steps, {:?}", token.text, token.trace.steps, token.trace.reason);
//! }
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! | module | crate | what it holds |
//! |---|---|---|
//! | [`types`] | depthscale-types | configs, exit and retention policies, traces, memory reports: plain data |
//! | [`text`] | depthscale-text | tokenizer, end tokens, chat template, streaming, stop strings |
//! | [`checkpoint`] | depthscale-checkpoint | safetensors, one file or sharded |
//! | [`decoder`] | depthscale-decoder | the generic recurrent decoder: families, caches, exits, generation, `verify` |
//! | [`backends`] | depthscale-backends | the backends compiled in, and the choice among them at run time |
//! | [`burn`] | burn | the tensor library, in the version all of this is written against |
//!
//! | feature | what it adds |
//! |---|---|
//! | `flex` (default) | the backend burn-flex: the CPU |
//! | `ndarray` | the backend burn-ndarray: the CPU |
//! | `wgpu` | the backend burn-wgpu: Vulkan, Metal, DX12 |
//! | `cuda` | the backend burn-cuda: NVIDIA |
//! | `fusion`, `autotune` | how WGPU and CUDA run; see [`LanguageModel::check_backend`] |
//!
//! Below text, [`decoder::RecurrentDecoder`] takes token ids and gives logits, and [`decoder::ReasoningLoop`] refines a
//! state of one's own with a block of one's own.

mod builtin;
mod complete;
mod completion;
mod error;
mod model;
mod options;
pub mod prelude;

pub use burn;
pub use depthscale_backends as backends;
pub use depthscale_checkpoint as checkpoint;
pub use depthscale_decoder as decoder;
pub use depthscale_text as text;
pub use depthscale_types as types;

pub use builtin::BuiltinModel;
pub use completion::{Completion, CompletionToken, Cost, Piece, Stop};
pub use error::{Error, Result};
pub use model::LanguageModel;
pub use options::{CompletionOptions, CompletionRequest, Prompt};
