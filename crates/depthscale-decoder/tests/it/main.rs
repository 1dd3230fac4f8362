//! Tests of the decoder as a whole, each generic over the backend.

mod batches;
mod checkpoints;
mod exits;
mod models;
mod oracle;
mod parity;
mod published;
mod reasoning;
