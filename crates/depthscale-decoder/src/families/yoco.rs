//! YOCO as released in 2024 (arXiv 2405.05254): a self-decoder with sliding windows or gated retention, keys and values
//! projected once, a cross-decoder. `universal_loop` passes of the self-decoder make it a looped model.

use depthscale_types::{
    AfterStep, BlockNorms, DecoderConfig, ExitGate, ExitPolicy, Family, InitialState, Injection, MixerKind, OutputHead,
    ParameterSpec, Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};
use serde_json::{Value, json};

use super::{Location, PublishedConfig, Translated, no_such_parameter, split_path};
use crate::error::Result;
use crate::initial::Initialisation;

pub(super) const MODEL_TYPE: &str = "yoco";

pub(super) const HEAD: &str = "output_projection.weight";

/// Divisor of the log decay in gated retention.
const DECAY_TEMPERATURE: f64 = 16.0;

pub(super) fn translate(published: &mut PublishedConfig) -> Result<Translated> {
    let d_model = published.size("dim")?;
    let n_layers = published.size("n_layers")?;
    let n_self_heads = published.size("n_self_heads")?;
    let n_cross_heads = published.size("n_attn_heads")?;
    let positions = Positions::Rotary {
        theta: published.number_or("rope_theta", 10000.0)?,
        layout: RotaryLayout::Interleaved,
        frequencies: RotaryFrequencies::EndpointInclusive,
    };
    published.allow_only("rope_scaling", &[], "positions beyond those trained are not rescaled")?;
    let mixer = match published.value("sliding_window") {
        None | Some(Value::Bool(false)) => MixerKind::GatedRetention { temperature: DECAY_TEMPERATURE },
        Some(_) => MixerKind::SlidingWindow { window: published.size("sliding_window")? },
    };
    let tied = published.flag_or("share_input_output_embed", false)?;
    let core = StackConfig {
        // The release halves the layer count for both decoders, rounding down.
        n_layers: n_layers / 2,
        n_heads: n_self_heads,
        n_kv_heads: n_self_heads,
        head_dim: published.share(("dim", d_model), ("n_self_heads", n_self_heads))?,
        d_ffn: published.size("hidden_dim")?,
        mixer,
        positions,
        norms: BlockNorms::Pre,
        query_key: QueryKey::Plain,
    };
    let cross = StackConfig {
        n_heads: n_cross_heads,
        n_kv_heads: published.size_or("n_attn_kv_heads", n_cross_heads)?,
        head_dim: published.share(("dim", d_model), ("n_attn_heads", n_cross_heads))?,
        mixer: MixerKind::SharedKv,
        ..core.clone()
    };
    let config = DecoderConfig {
        family: Family::Yoco,
        vocab_size: published.size("vocab_size")?,
        d_model,
        norm_eps: published.number_or("norm_eps", 1e-5)?,
        embedding_scale: (d_model as f64).sqrt(),
        max_positions: max_positions(published)?,
        depth: published.size_or("universal_loop", 1)?,
        initial_state: InitialState::Embedding,
        injection: Injection::None,
        prelude: None,
        core,
        after_step: AfterStep::Keep,
        readout: Readout::CrossDecoder { layers: cross, shared_key: QueryKey::Plain },
        head: if tied { OutputHead::Tied } else { OutputHead::Separate },
        exit_gate: ExitGate::None,
    };
    Ok(Translated { config, exit: ExitPolicy::default(), initialisation: Initialisation::UniformByFan })
}

/// `max_seq_len`; the release's default of -1 sets no limit of its own.
pub(super) fn max_positions(published: &mut PublishedConfig) -> Result<usize> {
    const NO_LIMIT: usize = 1 << 20;
    match published.value("max_seq_len") {
        None => Ok(NO_LIMIT),
        Some(value) if value == json!(-1) => Ok(NO_LIMIT),
        Some(_) => published.size("max_seq_len"),
    }
}

pub(super) fn locate(spec: &ParameterSpec) -> Location {
    let (stack, layer, rest) = split_path(&spec.path);
    let Some(layer) = layer else {
        let name = match spec.path.as_str() {
            "embedding" => "embed_tokens.weight",
            "shared.norm" => "cross_decoder.kv_layer_norm.weight",
            "shared.key" => "cross_decoder.k_proj.weight",
            "shared.value" => "cross_decoder.v_proj.weight",
            "final_norm" => "layer_norm.weight",
            "head" => HEAD,
            _ => no_such_parameter(Family::Yoco, &spec.path),
        };
        return Location::whole(name, spec);
    };
    let stack = if stack == "core" { "self_decoder" } else { "cross_decoder" };
    let part = match rest {
        "norm_mixer" => "mixer_layer_norm",
        "norm_ffn" => "final_layer_norm",
        "mixer.query" => "mixer.q_proj",
        "mixer.key" => "mixer.k_proj",
        "mixer.value" => "mixer.v_proj",
        "mixer.output" => "mixer.out_proj",
        "mixer.gate" => "mixer.g_proj",
        "mixer.decay" => "mixer.gt_proj",
        // In the release fc1 is the branch that passes silu, and gate the linear one.
        "ffn.gate" => "ffn.fc1",
        "ffn.up" => "ffn.gate",
        "ffn.down" => "ffn.fc2",
        _ => no_such_parameter(Family::Yoco, &spec.path),
    };
    Location::whole(format!("{stack}.layers.{layer}.{part}.weight"), spec)
}
