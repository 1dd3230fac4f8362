//! Huginn-0125, `huginn_raven` (arXiv 2502.05171): prelude, a core into which the input is injected at every step from a
//! random state, coda.

use depthscale_types::{
    AfterStep, BlockNorms, DecoderConfig, ExitGate, ExitPolicy, Family, InitialState, Injection, MixerKind, OutputHead,
    ParameterSpec, Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};
use serde_json::{Value, json};

use super::{Location, Published, PublishedConfig, no_such_parameter, split_path};
use crate::error::Result;

pub(super) const MODEL_TYPE: &str = "huginn_raven";

pub(super) const HEAD: &str = "lm_head.weight";

/// The rotary table, which published files carry as a buffer.
pub(super) const BUFFERS: [&str; 2] = ["freqs_cis", "transformer.freqs_cis"];

pub(super) fn translate(published: &mut PublishedConfig) -> Result<Published> {
    let d_model = published.size("n_embd")?;
    let n_heads = match published.value("n_heads") {
        Some(_) => published.size("n_heads")?,
        None => published.size("num_attention_heads")?,
    };
    let same = |published: &mut PublishedConfig, key: &str, size: usize| {
        published.allow_only(key, &[json!(size)], "it is given twice and must be the same")
    };
    same(published, "num_attention_heads", n_heads)?;
    let head_dim = published.share(("n_embd", d_model), ("n_heads", n_heads))?;
    same(published, "head_dim", head_dim)?;
    let n_kv_heads = published.size_or("num_key_value_heads", n_heads)?;
    let qk_bias = published.flag_or("qk_bias", true)?;
    if qk_bias && n_kv_heads != n_heads {
        let why = format!("with qk_bias there must be as many key heads as heads, {n_heads}");
        return Err(published.not_implemented("num_key_value_heads", &json!(n_kv_heads), &why));
    }
    let parts = [
        ("block_class_name", "SandwichBlock"),
        ("norm_class_name", "RMSNorm_llama"),
        ("mlp_class_name", "GatedMLP"),
        ("nonlin_name", "SiLU"),
        ("injection_type", "linear"),
        ("state_init", "like-init"),
    ];
    for (key, part) in parts {
        published.allow_only(key, &[json!(part)], &format!("only {part} is"))?;
    }
    published.allow_only("bias", &[json!(false)], "Huginn's projections have no biases")?;
    published.allow_only("test_time_noise", &[json!(0), json!(0.0)], "the state gets no noise")?;
    published.allow_only("rope_scaling", &[], "positions beyond those trained are not rescaled")?;
    let [prelude, core, coda] = ["prelude", "recurrent_block", "coda"].map(|part| format!("n_layers_in_{part}"));
    let (prelude, core, coda) = (published.size(&prelude)?, published.size(&core)?, published.size(&coda)?);
    same(published, "n_layers", prelude + core + coda)?;
    // How it was trained and initialised; padding of the vocabulary is in padded_vocab_size.
    published.without_influence(&[
        "effective_expected_depth",
        "init_orthogonal",
        "init_strategy",
        "mean_backprop_depth",
        "padding_multiple",
        "sampling_scheme",
        "test_time_noise_type",
        "tie_word_embeddings",
    ]);
    let (std, scale) = initial_values(published, d_model)?;
    let stack = StackConfig {
        n_layers: core,
        n_heads,
        n_kv_heads,
        head_dim,
        d_ffn: published.size("intermediate_size")?,
        mixer: MixerKind::FullAttention,
        positions: Positions::Rotary {
            theta: published.number_or("rope_base", 50000.0)?,
            layout: RotaryLayout::Interleaved,
            frequencies: RotaryFrequencies::Standard,
        },
        norms: BlockNorms::SandwichSum,
        query_key: if qk_bias { QueryKey::Bias } else { QueryKey::Plain },
    };
    let vocab_size = published.size("vocab_size")?;
    let config = DecoderConfig {
        family: Family::Huginn,
        vocab_size: published.size_or("padded_vocab_size", vocab_size)?,
        d_model,
        norm_eps: published.number_or("norm_eps", 1e-6)?,
        embedding_scale: scale,
        max_positions: published.size("block_size")?,
        depth: published.size("mean_recurrence")?,
        initial_state: InitialState::TruncatedNormal { std, scale },
        injection: Injection::Linear,
        prelude: (prelude > 0).then(|| StackConfig { n_layers: prelude, ..stack.clone() }),
        readout: match coda {
            // The final norm is applied before and after the coda, however many blocks that has.
            0 => {
                return Err(published.not_implemented(
                    "n_layers_in_coda",
                    &json!(0),
                    "the coda has at least one block",
                ));
            }
            coda => Readout::Coda(StackConfig { n_layers: coda, ..stack.clone() }),
        },
        core: stack,
        after_step: AfterStep::Keep,
        head: if published.flag_or("tie_embeddings", true)? { OutputHead::Tied } else { OutputHead::Separate },
        exit_gate: ExitGate::None,
    };
    Ok(Published { config, exit: ExitPolicy::default() })
}

/// Deviation of the initial state and the factor on embeddings and states: given, or those the published code derives.
fn initial_values(published: &mut PublishedConfig, d_model: usize) -> Result<(f64, f64)> {
    let derived = ((2.0 / (5.0 * d_model as f64)).sqrt(), (d_model as f64).sqrt());
    let Some(values) = published.value("init_values") else { return Ok(derived) };
    let number = |key: &str, default: f64| match values.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            value.as_f64().ok_or_else(|| published.error(format!("init_values.{key} is {value}, expected a number")))
        }
    };
    Ok((number("std", derived.0)?, number("embed_scale", derived.1)?))
}

pub(super) fn locate(config: &DecoderConfig, spec: &ParameterSpec) -> Location {
    let (stack, layer, rest) = split_path(&spec.path);
    let Some(layer) = layer else {
        let name = match spec.path.as_str() {
            "embedding" => "transformer.wte.weight",
            "injection" => "transformer.adapter.weight",
            "final_norm" => "transformer.ln_f.weight",
            "head" => HEAD,
            _ => no_such_parameter(Family::Huginn, &spec.path),
        };
        return Location::whole(name, spec);
    };
    let stack = if stack == "core" { "core_block" } else { stack };
    let tensor = |part: &str| format!("transformer.{stack}.{layer}.{part}");
    let (d_model, heads) = (config.d_model, &config.core);
    let (d_query, d_kv, d_ffn) = (heads.d_query(), heads.d_kv(), heads.d_ffn);
    // Queries, keys and values are rows of one tensor, and so are the two halves of the feed-forward part.
    let qkv = |rows| Location { tensor: tensor("attn.Wqkv.weight"), shape: vec![d_query + 2 * d_kv, d_model], rows };
    let fc = |rows| Location { tensor: tensor("mlp.fc.weight"), shape: vec![2 * d_ffn, d_model], rows };
    let bias =
        |rows| Location { tensor: tensor("attn.qk_bias"), shape: vec![2, 1, heads.n_heads, heads.head_dim], rows };
    match rest {
        "norm_mixer" => Location::whole(tensor("norm_1.weight"), spec),
        "norm_mixer_after" => Location::whole(tensor("norm_2.weight"), spec),
        "norm_ffn" => Location::whole(tensor("norm_3.weight"), spec),
        "norm_ffn_after" => Location::whole(tensor("norm_4.weight"), spec),
        "mixer.query" => qkv(0..d_query),
        "mixer.key" => qkv(d_query..d_query + d_kv),
        "mixer.value" => qkv(d_query + d_kv..d_query + 2 * d_kv),
        "mixer.query_bias" => bias(0..1),
        "mixer.key_bias" => bias(1..2),
        "mixer.output" => Location::whole(tensor("attn.proj.weight"), spec),
        "ffn.gate" => fc(0..d_ffn),
        "ffn.up" => fc(d_ffn..2 * d_ffn),
        "ffn.down" => Location::whole(tensor("mlp.proj.weight"), spec),
        _ => no_such_parameter(Family::Huginn, &spec.path),
    }
}
