//! The decoder described as data.
//!
//! Every published looped model is the same machine with different parts:
//!
//! ```text
//! tokens -> embed -> prelude -> [ inject -> core blocks -> norm? ] x depth -> readout -> logits
//! ```
//!
//! A [`DecoderConfig`] names the parts; each enum here is one choice that published models make differently.

mod decoder;
mod stack;

pub use decoder::{AfterStep, DecoderConfig, ExitGate, Family, InitialState, Injection, OutputHead, Readout};
pub use stack::{
    AttentionConfig, BlockNorms, MixerKind, Positions, QueryKey, RotaryFrequencies, RotaryLayout, StackConfig,
};
