//! Tests of the decoder as a whole, each generic over the backend.

mod parity;
