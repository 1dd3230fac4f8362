//! The parts of a block that look at one token at a time.

mod feed_forward;
mod linear;
mod norm;
mod rotary;
mod weight;

pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use norm::RmsNorm;
pub use rotary::{Rotary, RotaryAngles};
pub use weight::Weight;
