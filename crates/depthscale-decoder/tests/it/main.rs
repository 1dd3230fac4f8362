//! Tests of the decoder as a whole, each generic over the backend.

mod exits;
mod models;
mod oracle;
mod parity;
