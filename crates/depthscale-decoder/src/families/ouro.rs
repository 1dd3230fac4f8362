//! Ouro (arXiv 2510.25741): a transformer looped as a whole, with a learned exit gate.

use depthscale_types::{
    AfterStep, BlockNorms, Criterion, DecoderConfig, ExitGate, ExitPolicy, Family, InitialState, Injection, MixerKind,
    OutputHead, ParameterSpec, Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};
use serde_json::{Value, json};

use super::{Location, PublishedConfig, Translated, no_such_parameter, split_path};
use crate::error::Result;
use crate::initial::Initialisation;

pub(super) const MODEL_TYPE: &str = "ouro";

pub(super) const HEAD: &str = "lm_head.weight";

/// The deviation of initial parameters where the config names none.
const INITIALIZER_RANGE: f64 = 0.02;

pub(super) fn translate(published: &mut PublishedConfig) -> Result<Translated> {
    let d_model = published.size("hidden_size")?;
    let n_heads = published.size("num_attention_heads")?;
    let head_dim = match published.value("head_dim") {
        Some(_) => published.size("head_dim")?,
        None => published.share(("hidden_size", d_model), ("num_attention_heads", n_heads))?,
    };
    published.allow_only(
        "hidden_act",
        &[json!("silu"), json!("swish")],
        "the feed-forward part is SwiGLU with silu",
    )?;
    published.allow_only("rope_scaling", &[], "positions beyond those trained are not rescaled")?;
    published.allow_only("use_sliding_window", &[json!(false)], "Ouro's attention is over everything")?;
    published.allow_only("attention_bias", &[json!(false)], "Ouro's projections have no biases")?;
    published.allow_only("mlp_bias", &[json!(false)], "Ouro's projections have no biases")?;
    published.allow_only("early_exit_step", &[], "choose a depth with a fixed exit instead")?;
    let full_attention = |kind: &Value| kind == "full_attention";
    if let Some(kinds) = published.value("layer_types")
        && !kinds.as_array().is_some_and(|kinds| kinds.iter().all(full_attention))
    {
        return Err(published.not_implemented("layer_types", &kinds, "every layer is full_attention"));
    }
    // Without use_sliding_window these say nothing; chunk_size is how the published code splits its loss.
    published.without_influence(&["sliding_window", "max_window_layers", "chunk_size"]);
    let theta = rope_theta(published)?;
    // At the published threshold of 1 the gate is watched and every token takes the full depth.
    let threshold = published.number_or("early_exit_threshold", 1.0)?.min(1.0);
    let exit = ExitPolicy { threshold, ..ExitPolicy::new(Criterion::QExit) };
    exit.validate().map_err(|error| published.error(format!("early_exit_threshold: {error}")))?;
    let initialisation =
        Initialisation::Normal { std: published.deviation_or("initializer_range", INITIALIZER_RANGE)? };
    let config = DecoderConfig {
        family: Family::Ouro,
        vocab_size: published.size("vocab_size")?,
        d_model,
        norm_eps: published.number_or("rms_norm_eps", 1e-6)?,
        embedding_scale: 1.0,
        max_positions: published.size("max_position_embeddings")?,
        depth: published.size_or("total_ut_steps", 4)?,
        initial_state: InitialState::Embedding,
        injection: Injection::None,
        prelude: None,
        core: StackConfig {
            n_layers: published.size("num_hidden_layers")?,
            n_heads,
            n_kv_heads: published.size_or("num_key_value_heads", n_heads)?,
            head_dim,
            d_ffn: published.size("intermediate_size")?,
            mixer: MixerKind::FullAttention,
            positions: Positions::Rotary {
                theta,
                layout: RotaryLayout::SplitHalf,
                frequencies: RotaryFrequencies::Standard,
            },
            norms: BlockNorms::SandwichBranch,
            query_key: QueryKey::Plain,
        },
        after_step: AfterStep::FinalNorm,
        readout: Readout::Head,
        head: if published.flag_or("tie_word_embeddings", false)? { OutputHead::Tied } else { OutputHead::Separate },
        exit_gate: ExitGate::Linear,
    };
    Ok(Translated { config, exit, initialisation })
}

/// `rope_theta`, or the same inside `rope_parameters`, where newer versions of the published format put it.
fn rope_theta(published: &mut PublishedConfig) -> Result<f64> {
    let outer = published.value("rope_theta");
    let theta = published.number_or("rope_theta", 1e6)?;
    let Some(parameters) = published.value("rope_parameters") else { return Ok(theta) };
    let rescaled = parameters.get("rope_type").is_some_and(|kind| kind != "default");
    let others =
        parameters.as_object().is_none_or(|keys| keys.keys().any(|key| key != "rope_type" && key != "rope_theta"));
    if rescaled || others {
        return Err(published.not_implemented(
            "rope_parameters",
            &parameters,
            "only rope_type default with a rope_theta",
        ));
    }
    let Some(inner) = parameters.get("rope_theta") else { return Ok(theta) };
    match (inner.as_f64(), outer) {
        (Some(inner), None) => Ok(inner),
        (Some(inner), Some(_)) if inner == theta => Ok(inner),
        _ => Err(published.error(format!("rope_parameters.rope_theta is {inner}, expected the number rope_theta is"))),
    }
}

pub(super) fn locate(spec: &ParameterSpec) -> Location {
    let name = match split_path(&spec.path) {
        ("core", Some(layer), rest) => {
            let part = match rest {
                "norm_mixer" => "input_layernorm",
                "norm_mixer_after" => "input_layernorm_2",
                "norm_ffn" => "post_attention_layernorm",
                "norm_ffn_after" => "post_attention_layernorm_2",
                "mixer.query" => "self_attn.q_proj",
                "mixer.key" => "self_attn.k_proj",
                "mixer.value" => "self_attn.v_proj",
                "mixer.output" => "self_attn.o_proj",
                "ffn.gate" => "mlp.gate_proj",
                "ffn.up" => "mlp.up_proj",
                "ffn.down" => "mlp.down_proj",
                _ => no_such_parameter(Family::Ouro, &spec.path),
            };
            format!("model.layers.{layer}.{part}.weight")
        }
        ("embedding", ..) => "model.embed_tokens.weight".into(),
        ("final_norm", ..) => "model.norm.weight".into(),
        ("head", ..) => HEAD.into(),
        ("exit_gate.weight", ..) => "model.early_exit_gate.weight".into(),
        ("exit_gate.bias", ..) => "model.early_exit_gate.bias".into(),
        _ => no_such_parameter(Family::Ouro, &spec.path),
    };
    Location::whole(name, spec)
}
