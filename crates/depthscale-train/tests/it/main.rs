//! Tests of training as a whole.

mod eval;
mod published;
mod runs;
