//! One forward call: chunks of token rows through the decoder.

mod context;
mod engine;
mod feed;
mod keys;
mod live;
mod pass;
mod rows;
mod unroll;
mod wave;

pub(crate) use keys::Keys;
pub(crate) use live::History;
pub(crate) use rows::{RowSet, index_tensor};

pub use context::BlockContext;
pub use depthscale_kernels::HeadShape;
pub use feed::{Feed, FeedOutput, LogitRows, Prefill, RunOptions, RunOutput, StepObserver};
pub use unroll::{UnrollOptions, Unrolled};

pub use crate::cache::Place;
