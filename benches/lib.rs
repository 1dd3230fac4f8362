//! What the benchmarks share.

use burn::tensor::backend::Backend;
use depthscale_decoder::RecurrentDecoder;
use depthscale_types::DecoderConfig;

/// Random weights for a config, the same on every backend.
///
/// # Panics
/// If the config is not valid.
pub fn random<B: Backend>(config: DecoderConfig, device: &B::Device) -> RecurrentDecoder<B> {
    RecurrentDecoder::random(config, 0, device).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits for the device.
///
/// # Panics
/// If it failed.
pub fn sync<B: Backend>(device: &B::Device) {
    B::sync(device).unwrap_or_else(|error| panic!("{error}"));
}
