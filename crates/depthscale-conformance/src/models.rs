//! Small decoders of every kind the engine treats differently.

use depthscale_types::{
    AfterStep, AttentionConfig, BlockNorms, DecoderConfig, ExitGate, Family, InitialState, Injection, MixerKind,
    OutputHead, Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};

/// Tokens that every one of them knows.
pub const VOCAB: usize = 29;
/// Width of the hidden stream of every one.
pub const D_MODEL: usize = 16;

fn rotary(layout: RotaryLayout, frequencies: RotaryFrequencies) -> Positions {
    Positions::Rotary { theta: 100.0, layout, frequencies }
}

/// Ouro's parts: sandwich on the branch, grouped heads, norm fed back, exit gate.
pub fn ouro_like() -> DecoderConfig {
    DecoderConfig {
        family: Family::Native,
        vocab_size: VOCAB,
        d_model: D_MODEL,
        norm_eps: 1e-6,
        embedding_scale: 2.0,
        max_positions: 64,
        depth: 4,
        initial_state: InitialState::Embedding,
        injection: Injection::None,
        prelude: None,
        core: StackConfig {
            n_layers: 2,
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 6,
            d_ffn: 24,
            mixer: MixerKind::FullAttention,
            positions: rotary(RotaryLayout::SplitHalf, RotaryFrequencies::Standard),
            norms: BlockNorms::SandwichBranch,
            query_key: QueryKey::Plain,
        },
        after_step: AfterStep::FinalNorm,
        readout: Readout::Head,
        head: OutputHead::Separate,
        exit_gate: ExitGate::Linear,
    }
}

/// Huginn's parts: prelude, injection, sandwich on the sum, biases, coda; begins from zeros unless states are given.
pub fn huginn_like() -> DecoderConfig {
    let base = ouro_like();
    let stack = StackConfig {
        n_layers: 1,
        n_heads: 2,
        n_kv_heads: 2,
        head_dim: 8,
        positions: rotary(RotaryLayout::Interleaved, RotaryFrequencies::Standard),
        norms: BlockNorms::SandwichSum,
        query_key: QueryKey::Bias,
        ..base.core.clone()
    };
    DecoderConfig {
        initial_state: InitialState::TruncatedNormal { std: 0.2, scale: 4.0 },
        injection: Injection::Linear,
        prelude: Some(StackConfig { n_layers: 1, ..stack.clone() }),
        core: StackConfig { n_layers: 2, ..stack.clone() },
        after_step: AfterStep::Keep,
        readout: Readout::Coda(StackConfig { n_layers: 2, ..stack }),
        head: OutputHead::Tied,
        exit_gate: ExitGate::None,
        ..base
    }
}

/// YOCO's parts with a window: cross-decoder over shared keys, endpoint-inclusive rotary.
pub fn window_like(window: usize) -> DecoderConfig {
    let base = ouro_like();
    let core = StackConfig {
        mixer: MixerKind::SlidingWindow { window },
        positions: rotary(RotaryLayout::Interleaved, RotaryFrequencies::EndpointInclusive),
        norms: BlockNorms::Pre,
        ..base.core.clone()
    };
    let cross = StackConfig {
        n_layers: 2,
        n_heads: 2,
        n_kv_heads: 1,
        head_dim: 10,
        mixer: MixerKind::SharedKv,
        ..core.clone()
    };
    DecoderConfig {
        core,
        after_step: AfterStep::Keep,
        readout: Readout::CrossDecoder { layers: cross, shared_key: QueryKey::Plain },
        exit_gate: ExitGate::None,
        ..base
    }
}

/// YOCO-U's parts: query and key norms, no positions in the cross-decoder, uneven split, tied head.
pub fn window_norm_like() -> DecoderConfig {
    let base = window_like(4);
    let core = StackConfig { n_layers: 3, query_key: QueryKey::Norm, ..base.core.clone() };
    let cross = StackConfig {
        n_layers: 1,
        mixer: MixerKind::SharedKv,
        positions: Positions::None,
        query_key: QueryKey::Plain,
        ..core.clone()
    };
    DecoderConfig {
        core,
        readout: Readout::CrossDecoder { layers: cross, shared_key: QueryKey::Norm },
        head: OutputHead::Tied,
        ..base
    }
}

/// YOCO's parts with gated retention.
pub fn retention_like() -> DecoderConfig {
    let base = window_like(4);
    let mixer = MixerKind::GatedRetention { temperature: 2.0 };
    let core = StackConfig { n_heads: 2, n_kv_heads: 2, head_dim: 8, mixer, ..base.core.clone() };
    DecoderConfig { core, ..base }
}

/// The memory-gated mixer of the first documents.
pub fn memory_like() -> DecoderConfig {
    let base = ouro_like();
    let mixer = MixerKind::MemoryGated(AttentionConfig { memory_decay_rate: 0.7, context_window_size: 3 });
    DecoderConfig {
        core: StackConfig { mixer, norms: BlockNorms::Pre, ..base.core.clone() },
        after_step: AfterStep::Keep,
        readout: Readout::NormHead,
        ..base
    }
}

/// All of them, with names for messages.
pub fn every_kind() -> Vec<(&'static str, DecoderConfig)> {
    vec![
        ("ouro-like", ouro_like()),
        ("huginn-like", huginn_like()),
        ("window", window_like(4)),
        ("window of one", window_like(1)),
        ("window with norms", window_norm_like()),
        ("retention", retention_like()),
        ("memory-gated", memory_like()),
    ]
}
