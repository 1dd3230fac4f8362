//! Layouts that no fixture has: the tensors are named here by hand, after the published formats.

use std::path::Path;

use burn_flex::Flex;
use depthscale_checkpoint::{CheckpointWriter, Overwrite, TensorToWrite};
use depthscale_decoder::{ParameterSource, RandomParameters, RecurrentDecoder};
use depthscale_types::{
    BlockNorms, DecoderConfig, MixerKind, OutputHead, ParameterSpec, Positions, QueryKey, Readout, RotaryFrequencies,
    RotaryLayout,
};
use serde_json::{Value, json};

use crate::checkpoints::logits;

/// A parameter of the decoder and the tensor that holds it, layer by layer: (`core.0.ffn.up`, `layers.0.mlp.up_proj.weight`).
type Names = Vec<(String, String)>;

/// Random values, different for every norm and bias.
struct Source(RandomParameters);

impl ParameterSource for Source {
    fn values(&mut self, parameter: &ParameterSpec) -> depthscale_decoder::Result<Vec<f32>> {
        let mut values = self.0.values(parameter)?;
        let salt = parameter.path.len() % 7;
        if parameter.shape.len() == 1 {
            values.iter_mut().enumerate().for_each(|(i, value)| *value += 0.05 * ((i * 5 + salt) % 7) as f32);
        }
        Ok(values)
    }
}

fn write(directory: &Path, config_json: &Value, config: &DecoderConfig, names: &Names) {
    let mut source = Source(RandomParameters::new(config, 8));
    let specs = config.parameters();
    assert_eq!(specs.len(), names.len(), "every parameter has a name");
    let tensor = |(path, name): &(String, String)| {
        let spec = specs.iter().find(|spec| spec.path == *path).unwrap_or_else(|| panic!("no parameter {path}"));
        TensorToWrite::new(name.clone(), spec.shape.clone(), source.values(spec).expect("values"))
    };
    let tensors: Vec<_> = names.iter().map(tensor).collect();
    CheckpointWriter::new(directory, Overwrite::No).write_single(&tensors).expect("writes");
    std::fs::write(directory.join("config.json"), config_json.to_string()).expect("written");
}

/// Loads what was written and compares with the decoder built from the same values.
fn loads(config_json: &Value, config: &DecoderConfig, names: &Names) {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), config_json, config, names);
    let opened = RecurrentDecoder::<Flex>::open(directory.path(), &Default::default()).expect("opens");
    assert_eq!(opened.config(), config);
    let mut source = Source(RandomParameters::new(config, 8));
    let built = RecurrentDecoder::<Flex>::build(config.clone(), &mut source, &Default::default()).expect("builds");
    assert_eq!(logits(&opened), logits(&built));
}

fn translated(config_json: &Value) -> DecoderConfig {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    std::fs::write(&path, config_json.to_string()).expect("written");
    depthscale_decoder::Published::read(&path).expect("a published config").config
}

fn named(list: &[(&str, &str)]) -> Names {
    list.iter().map(|&(path, name)| (path.to_owned(), name.to_owned())).collect()
}

#[test]
fn yoco_u_with_norms_uneven_layers_other_cross_heads_and_a_tied_head() {
    let config_json = json!({
        "model_type": "yoco_u", "d_model": 24, "d_ffn": 40, "head": 6, "kv_head": 2, "head_dim": 8, "cross_head": 4,
        "cross_kv_head": 1, "n_layers": 5, "yoco_cross_layers": 2, "yoco_window_size": 3, "universal_loop": 2,
        "qk_norm": true, "weight_tying": true, "vocab_size": 17, "max_seq_len": 32, "norm_eps": 1e-5, "rope_theta": 500.0
    });
    let mut config = translated(&config_json);
    assert_eq!((config.core.n_layers, config.depth), (3, 2));
    // A window of 3 keys before the query's own; split halves in self layers, no positions in cross layers.
    assert_eq!(config.core.mixer, MixerKind::SlidingWindow { window: 4 });
    let rotary =
        Positions::Rotary { theta: 500.0, layout: RotaryLayout::SplitHalf, frequencies: RotaryFrequencies::Standard };
    assert_eq!((config.core.positions, config.core.norms), (rotary, BlockNorms::Pre));
    assert_eq!((config.norm_eps, config.embedding_scale, config.head), (1e-5, 1.0, OutputHead::Tied));
    let Readout::CrossDecoder { layers, shared_key } = &mut config.readout else { panic!("a cross-decoder") };
    assert_eq!((layers.n_layers, layers.n_heads, layers.n_kv_heads, layers.head_dim), (2, 4, 1, 8));
    assert_eq!(
        (layers.query_key, layers.positions),
        (QueryKey::Plain, Positions::None),
        "norms are in self layers only"
    );
    // The shared keys' norm is told from the checkpoint.
    *shared_key = QueryKey::Norm;
    let mut names = named(&[
        ("embedding", "tok_embeddings.weight"),
        ("final_norm", "norm.weight"),
        ("shared.norm", "yoco_norm.weight"),
        ("shared.key", "k_proj.weight"),
        ("shared.value", "v_proj.weight"),
        ("shared.key_norm", "k_norm.weight"),
    ]);
    for layer in 0..5 {
        let path = if layer < 3 { format!("core.{layer}") } else { format!("cross.{}", layer - 3) };
        let mut parts = vec![
            ("norm_mixer", "input_layernorm"),
            ("norm_ffn", "post_attention_layernorm"),
            ("mixer.query", "self_attn.q_proj"),
            ("mixer.output", "self_attn.o_proj"),
            ("ffn.gate", "mlp.gate_proj"),
            ("ffn.up", "mlp.up_proj"),
            ("ffn.down", "mlp.down_proj"),
        ];
        if layer < 3 {
            parts.extend([
                ("mixer.key", "self_attn.k_proj"),
                ("mixer.value", "self_attn.v_proj"),
                ("mixer.query_norm", "self_attn.q_norm"),
                ("mixer.key_norm", "self_attn.k_norm"),
            ]);
        }
        names.extend(
            parts.iter().map(|(part, name)| (format!("{path}.{part}"), format!("layers.{layer}.{name}.weight"))),
        );
    }
    loads(&config_json, &config, &names);
}

#[test]
fn ouro_with_a_tied_head_and_heads_wider_than_the_stream() {
    let config_json = json!({
        "model_type": "ouro", "vocab_size": 19, "hidden_size": 20, "intermediate_size": 36, "num_hidden_layers": 1,
        "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 10, "max_position_embeddings": 64,
        "rope_theta": 100.0, "tie_word_embeddings": true, "total_ut_steps": 5, "early_exit_threshold": 0.4
    });
    let config = translated(&config_json);
    let mut names = named(&[
        ("embedding", "model.embed_tokens.weight"),
        ("final_norm", "model.norm.weight"),
        ("exit_gate.weight", "model.early_exit_gate.weight"),
        ("exit_gate.bias", "model.early_exit_gate.bias"),
    ]);
    let parts = [
        ("norm_mixer", "input_layernorm"),
        ("norm_mixer_after", "input_layernorm_2"),
        ("norm_ffn", "post_attention_layernorm"),
        ("norm_ffn_after", "post_attention_layernorm_2"),
        ("mixer.query", "self_attn.q_proj"),
        ("mixer.key", "self_attn.k_proj"),
        ("mixer.value", "self_attn.v_proj"),
        ("mixer.output", "self_attn.o_proj"),
        ("ffn.gate", "mlp.gate_proj"),
        ("ffn.up", "mlp.up_proj"),
        ("ffn.down", "mlp.down_proj"),
    ];
    names.extend(parts.iter().map(|(part, name)| (format!("core.0.{part}"), format!("model.layers.0.{name}.weight"))));
    loads(&config_json, &config, &names);
    // The published format may store the tied head again.
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), &config_json, &config, &names);
    let mut tensors = crate::checkpoints::tensors(directory.path());
    let embedding = tensors.iter().find(|tensor| tensor.name == "model.embed_tokens.weight").expect("is there");
    tensors.push(TensorToWrite::new("lm_head.weight", embedding.shape.clone(), embedding.data.to_vec()));
    CheckpointWriter::new(directory.path(), Overwrite::Yes).write_single(&tensors).expect("writes");
    RecurrentDecoder::<Flex>::open(directory.path(), &Default::default()).expect("opens");
}

#[test]
fn yoco_with_an_odd_number_of_layers_and_a_tied_head() {
    let config_json = json!({
        "model_type": "yoco", "dim": 16, "hidden_dim": 24, "n_layers": 5, "n_self_heads": 2, "n_attn_heads": 4,
        "n_attn_kv_heads": 2, "vocab_size": 11, "max_seq_len": -1, "sliding_window": 3, "universal_loop": 2,
        "share_input_output_embed": true
    });
    let config = translated(&config_json);
    // The release halves the layers of both decoders, rounding down; its window counts the query's own key.
    assert_eq!((config.core.n_layers, config.core.head_dim, config.core.n_kv_heads), (2, 8, 2));
    assert_eq!(config.core.mixer, MixerKind::SlidingWindow { window: 3 });
    assert_eq!((config.norm_eps, config.embedding_scale, config.head), (1e-5, 4.0, OutputHead::Tied));
    let mut names = named(&[
        ("embedding", "embed_tokens.weight"),
        ("final_norm", "layer_norm.weight"),
        ("shared.norm", "cross_decoder.kv_layer_norm.weight"),
        ("shared.key", "cross_decoder.k_proj.weight"),
        ("shared.value", "cross_decoder.v_proj.weight"),
    ]);
    for (stack, decoder) in [("core", "self_decoder"), ("cross", "cross_decoder")] {
        for layer in 0..2 {
            let mut parts = vec![
                ("norm_mixer", "mixer_layer_norm"),
                ("norm_ffn", "final_layer_norm"),
                ("mixer.query", "mixer.q_proj"),
                ("mixer.output", "mixer.out_proj"),
                ("ffn.gate", "ffn.fc1"),
                ("ffn.up", "ffn.gate"),
                ("ffn.down", "ffn.fc2"),
            ];
            if stack == "core" {
                parts.extend([("mixer.key", "mixer.k_proj"), ("mixer.value", "mixer.v_proj")]);
            }
            let name = |(part, name): &(&str, &str)| {
                (format!("{stack}.{layer}.{part}"), format!("{decoder}.layers.{layer}.{name}.weight"))
            };
            names.extend(parts.iter().map(name));
        }
    }
    loads(&config_json, &config, &names);
}

#[test]
fn huginn_without_biases_and_with_a_head_of_its_own() {
    let text = std::fs::read(depthscale_conformance::fixture("huginn-111").join("config.json")).expect("a config");
    let mut config_json: Value = serde_json::from_slice(&text).expect("JSON");
    config_json["tie_embeddings"] = json!(false);
    config_json["qk_bias"] = json!(false);
    let config = translated(&config_json);
    assert_eq!((config.head, config.core.query_key), (OutputHead::Separate, QueryKey::Plain));
    // The same tensors without the biases; the head's copy of the embedding is now a head.
    let directory = tempfile::tempdir().expect("a directory");
    let mut tensors = crate::checkpoints::tensors(&depthscale_conformance::fixture("huginn-111"));
    tensors.retain(|tensor| !tensor.name.ends_with("qk_bias"));
    let head = tensors.iter_mut().find(|tensor| tensor.name == "lm_head.weight").expect("is there");
    head.data.to_mut().iter_mut().for_each(|value| *value *= 2.0);
    CheckpointWriter::new(directory.path(), Overwrite::No).write_single(&tensors).expect("writes");
    let open = || {
        std::fs::write(directory.path().join("config.json"), config_json.to_string()).expect("written");
        RecurrentDecoder::<Flex>::open(directory.path(), &Default::default()).expect("opens")
    };
    let doubled = logits(&open());
    // Half the head, half the logits.
    let head = tensors.iter_mut().find(|tensor| tensor.name == "lm_head.weight").expect("is there");
    head.data.to_mut().iter_mut().for_each(|value| *value /= 2.0);
    CheckpointWriter::new(directory.path(), Overwrite::Yes).write_single(&tensors).expect("writes");
    for (doubled, single) in doubled.iter().zip(logits(&open())) {
        assert!((doubled - 2.0 * single).abs() < 1e-4, "{doubled} {single}");
    }
}
