//! Models that the benchmarks run, with random weights.

use burn::tensor::backend::Backend;
use depthscale_decoder::RecurrentDecoder;
use depthscale_types::{
    AfterStep, BlockNorms, DecoderConfig, ExitGate, Family, InitialState, Injection, MixerKind, OutputHead, Positions,
    QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};

/// An Ouro-shaped model of 160M parameters: width 768, 12 heads, 12 layers, feed-forward 2048, vocabulary 49,152, 4 loops.
pub fn ouro_160m() -> DecoderConfig {
    ouro_shaped(768, 12, 12, 2048, 49152)
}

/// An Ouro-shaped model of 21M parameters: width 384, 6 heads, 8 layers, feed-forward 1024, vocabulary 8192, 4 loops.
pub fn ouro_21m() -> DecoderConfig {
    ouro_shaped(384, 6, 8, 1024, 8192)
}

/// Random weights for a config, the same on every backend.
///
/// # Panics
/// If the config is not valid.
pub fn random<B: Backend>(config: DecoderConfig, device: &B::Device) -> RecurrentDecoder<B> {
    RecurrentDecoder::random(config, 0, device).unwrap_or_else(|error| panic!("{error}"))
}

fn ouro_shaped(d_model: usize, n_heads: usize, n_layers: usize, d_ffn: usize, vocab_size: usize) -> DecoderConfig {
    DecoderConfig {
        family: Family::Ouro,
        vocab_size,
        d_model,
        norm_eps: 1e-6,
        embedding_scale: 1.0,
        max_positions: 4096,
        depth: 4,
        initial_state: InitialState::Embedding,
        injection: Injection::None,
        prelude: None,
        core: StackConfig {
            n_layers,
            n_heads,
            n_kv_heads: n_heads,
            head_dim: d_model / n_heads,
            d_ffn,
            mixer: MixerKind::FullAttention,
            positions: Positions::Rotary {
                theta: 1e6,
                layout: RotaryLayout::SplitHalf,
                frequencies: RotaryFrequencies::Standard,
            },
            norms: BlockNorms::SandwichBranch,
            query_key: QueryKey::Plain,
        },
        after_step: AfterStep::FinalNorm,
        readout: Readout::Head,
        head: OutputHead::Separate,
        exit_gate: ExitGate::Linear,
    }
}
