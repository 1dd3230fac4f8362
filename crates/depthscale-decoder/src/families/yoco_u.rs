//! YOCO-U (arXiv 2604.01220) in its authors' layout: a looped self-decoder with sliding windows and grouped heads, and a
//! cross-decoder without positions.

use depthscale_types::{
    AfterStep, BlockNorms, DecoderConfig, ExitGate, ExitPolicy, Family, InitialState, Injection, MixerKind, OutputHead,
    ParameterSpec, Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};
use serde_json::json;

use super::yoco::max_positions;
use super::{Location, PublishedConfig, Translated, no_such_parameter, split_path};
use crate::error::Result;
use crate::initial::Initialisation;

pub(super) const MODEL_TYPE: &str = "yoco_u";

pub(super) const HEAD: &str = "output.weight";

const SHARED_KEY_NORM: &str = "k_norm.weight";

pub(super) fn translate(published: &mut PublishedConfig, holds: &dyn Fn(&str) -> bool) -> Result<Translated> {
    let d_model = published.size("d_model")?;
    let n_heads = published.size("head")?;
    let n_kv_heads = published.size_or("kv_head", n_heads)?;
    let head_dim = match published.value("head_dim") {
        Some(_) => published.size("head_dim")?,
        None => published.share(("d_model", d_model), ("head", n_heads))?,
    };
    let n_layers = published.size("n_layers")?;
    let n_cross = published.size_or("yoco_cross_layers", n_layers / 2)?;
    if n_cross == 0 || n_cross >= n_layers {
        let message =
            format!("yoco_cross_layers is {n_cross}, expected at least 1 and fewer than n_layers, {n_layers}");
        return Err(published.error(message));
    }
    for key in ["diff_v2", "diff_v3"] {
        published.allow_only(key, &[json!(false)], "differential attention is not")?;
    }
    published.allow_only("qk_rms_clip", &[json!(false)], "queries and keys are not clipped")?;
    published.allow_only("rope_scaling", &[], "positions beyond those trained are not rescaled")?;
    // Settings of the clip that is refused when it is on.
    published.without_influence(&["qk_rms_limit", "qk_rms_gamma"]);
    let window = published.size_or("yoco_window_size", 512)?;
    let core = StackConfig {
        n_layers: n_layers - n_cross,
        n_heads,
        n_kv_heads,
        head_dim,
        d_ffn: published.size("d_ffn")?,
        // The size counts the keys before the query's own.
        mixer: MixerKind::SlidingWindow { window: window + 1 },
        positions: Positions::Rotary {
            theta: published.number_or("rope_theta", 10000.0)?,
            layout: RotaryLayout::SplitHalf,
            frequencies: RotaryFrequencies::Standard,
        },
        norms: BlockNorms::Pre,
        query_key: if published.flag_or("qk_norm", false)? { QueryKey::Norm } else { QueryKey::Plain },
    };
    let cross = StackConfig {
        n_layers: n_cross,
        n_heads: published.size_or("cross_head", n_heads)?,
        n_kv_heads: published.size_or("cross_kv_head", n_kv_heads)?,
        mixer: MixerKind::SharedKv,
        positions: Positions::None,
        query_key: QueryKey::Plain,
        ..core.clone()
    };
    let config = DecoderConfig {
        family: Family::YocoU,
        vocab_size: published.size("vocab_size")?,
        d_model,
        norm_eps: published.number_or("norm_eps", 1e-6)?,
        embedding_scale: 1.0,
        max_positions: max_positions(published)?,
        depth: published.size_or("universal_loop", 1)?,
        initial_state: InitialState::Embedding,
        injection: Injection::None,
        prelude: None,
        core,
        after_step: AfterStep::Keep,
        readout: Readout::CrossDecoder {
            layers: cross,
            shared_key: if holds(SHARED_KEY_NORM) { QueryKey::Norm } else { QueryKey::Plain },
        },
        head: if published.flag_or("weight_tying", false)? { OutputHead::Tied } else { OutputHead::Separate },
        exit_gate: ExitGate::None,
    };
    // How the authors draw initial parameters is not published; YOCO's way is taken.
    Ok(Translated { config, exit: ExitPolicy::default(), initialisation: Initialisation::UniformByFan })
}

pub(super) fn locate(config: &DecoderConfig, spec: &ParameterSpec) -> Location {
    let (stack, layer, rest) = split_path(&spec.path);
    let Some(layer) = layer else {
        let name = match spec.path.as_str() {
            "embedding" => "tok_embeddings.weight",
            "shared.norm" => "yoco_norm.weight",
            "shared.key" => "k_proj.weight",
            "shared.value" => "v_proj.weight",
            "shared.key_norm" => SHARED_KEY_NORM,
            "final_norm" => "norm.weight",
            "head" => HEAD,
            _ => no_such_parameter(Family::YocoU, &spec.path),
        };
        return Location::whole(name, spec);
    };
    // Cross layers are counted on from the self layers.
    let layer = if stack == "core" { layer } else { config.core.n_layers + layer };
    let part = match rest {
        "norm_mixer" => "input_layernorm",
        "norm_ffn" => "post_attention_layernorm",
        "mixer.query" => "self_attn.q_proj",
        "mixer.key" => "self_attn.k_proj",
        "mixer.value" => "self_attn.v_proj",
        "mixer.output" => "self_attn.o_proj",
        "mixer.query_norm" => "self_attn.q_norm",
        "mixer.key_norm" => "self_attn.k_norm",
        "ffn.gate" => "mlp.gate_proj",
        "ffn.up" => "mlp.up_proj",
        "ffn.down" => "mlp.down_proj",
        _ => no_such_parameter(Family::YocoU, &spec.path),
    };
    Location::whole(format!("layers.{layer}.{part}.weight"), spec)
}
