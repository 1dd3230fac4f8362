//! One forward call: chunks of token rows through the decoder.

mod context;
mod engine;
mod feed;
mod live;
mod rows;
mod wave;

pub(crate) use live::History;
pub(crate) use rows::RowSet;

pub use context::{BlockContext, HeadShape};
pub use feed::{Feed, FeedOutput, LogitRows, Prefill, RunOptions, RunOutput, StepObserver};

pub use crate::cache::Place;
