//! Huginn-0125, `huginn_raven` (arXiv 2502.05171): prelude, a core into which the input is injected at every step from a
//! random state, coda.

use depthscale_checkpoint::TensorToWrite;
use depthscale_types::{
    AfterStep, BlockNorms, DecoderConfig, ExitGate, ExitPolicy, Family, InitialState, Injection, MixerKind, OutputHead,
    ParameterSpec, Positions, QueryKey, Readout, RotaryFrequencies, RotaryLayout, StackConfig,
};
use serde_json::{Value, json};

use super::{Location, PublishedConfig, Translated, no_such_parameter, split_path};
use crate::error::Result;
use crate::initial::Initialisation;

pub(super) const MODEL_TYPE: &str = "huginn_raven";

pub(super) const HEAD: &str = "lm_head.weight";

/// The one way of drawing initial parameters that is implemented.
const INIT_STRATEGY: &str = "takase";

/// The rotary table, which published files carry as a buffer.
pub(super) const BUFFERS: [&str; 2] = ["freqs_cis", "transformer.freqs_cis"];

pub(super) fn translate(published: &mut PublishedConfig) -> Result<Translated> {
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
    // How it was trained; padding of the vocabulary is in padded_vocab_size.
    published.without_influence(&[
        "effective_expected_depth",
        "mean_backprop_depth",
        "padding_multiple",
        "sampling_scheme",
        "test_time_noise_type",
        "tie_word_embeddings",
    ]);
    let std = initial_value(published, "std", derived_std(d_model))?;
    let scale = initial_value(published, "embed_scale", (d_model as f64).sqrt())?;
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
    let initialisation = initialisation(published, &config)?;
    Ok(Translated { config, exit: ExitPolicy::default(), initialisation })
}

/// `sqrt(2 / (5 d_model))`, the deviation of states and matrices that the published code derives.
fn derived_std(d_model: usize) -> f64 {
    (2.0 / (5.0 * d_model as f64)).sqrt()
}

/// A number of `init_values`: given, or the one the published code derives.
fn initial_value(published: &mut PublishedConfig, key: &str, derived: f64) -> Result<f64> {
    let values = published.value("init_values");
    match values.as_ref().and_then(|values| values.get(key)) {
        None | Some(Value::Null) => Ok(derived),
        Some(value) => {
            value.as_f64().ok_or_else(|| published.error(format!("init_values.{key} is {value}, expected a number")))
        }
    }
}

/// The way "takase": deviations of `init_values`, or those derived from the width and from the blocks a token passes at
/// the mean recurrence.
fn initialisation(published: &mut PublishedConfig, config: &DecoderConfig) -> Result<Initialisation> {
    let mut given = |key: &str, derived: f64| match initial_value(published, key, derived)? {
        value if value < 0.0 => Err(published.error(format!("init_values.{key} is {value}, must not be negative"))),
        value => Ok(value),
    };
    let std = derived_std(config.d_model);
    let blocks = config.blocks_passed(config.depth);
    let takase = Initialisation::TruncatedNormal {
        std: given("std", std)?,
        embedding: given("embedding", std)?,
        branch_output: given("out_proj", std / (2.0 * blocks as f64).sqrt())?,
    };
    let not_implemented =
        |key: &str, value: Value| Initialisation::NotImplemented { key: key.into(), value: value.to_string() };
    let orthogonal = published.flag_or("init_orthogonal", false)?;
    match published.value("init_strategy") {
        Some(strategy) if strategy != INIT_STRATEGY => Ok(not_implemented("init_strategy", strategy)),
        _ if orthogonal => Ok(not_implemented("init_orthogonal", json!(true))),
        _ => Ok(takase),
    }
}

/// The rotary table as the published model keeps it, `[1, max_positions, 1, head_dim / 2, 2]`: cosine and sine of position
/// times frequency, formed in f32.
pub(super) fn rotary_table(config: &DecoderConfig, name: &str) -> TensorToWrite<'static> {
    let Positions::Rotary { theta, .. } = config.core.positions else { unreachable!("Huginn's positions are rotary") };
    let half = config.core.head_dim / 2;
    let frequency = |i: usize| theta.powf(-(i as f64) / half as f64) as f32;
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let mut values = Vec::with_capacity(config.max_positions * half * 2);
    for position in 0..config.max_positions {
        for frequency in &frequencies {
            let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
            values.extend([cos as f32, sin as f32]);
        }
    }
    TensorToWrite::new(name, [1, config.max_positions, 1, half, 2], values)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rotary_table_holds_cosines_and_sines() {
        let text = r#"{"model_type": "huginn_raven", "n_embd": 8, "n_heads": 2, "intermediate_size": 4, "vocab_size": 3,
            "block_size": 3, "n_layers_in_prelude": 0, "n_layers_in_recurrent_block": 1, "n_layers_in_coda": 1,
            "mean_recurrence": 1, "rope_base": 10000}"#;
        let mut published = PublishedConfig::parse(text.as_bytes(), "x".as_ref()).expect("parses");
        let table = rotary_table(&translate(&mut published).expect("translates").config, "freqs_cis");
        // Heads of 4: frequencies 1 and 10000^-0.5 = 0.01.
        assert_eq!(table.shape, [1, 3, 1, 2, 2]);
        let expected = [
            [1.0, 0.0, 1.0, 0.0],
            [0.540_302_3, 0.841_471, 0.999_95, 0.009_999_833],
            [-0.416_146_84, 0.909_297_4, 0.999_8, 0.019_998_667],
        ];
        for (value, expected) in table.data.iter().zip(expected.as_flattened()) {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
    }
}
