//! Layouts that no fixture has: the tensors are named here by hand, after the published formats.

use std::path::Path;

use burn_flex::Flex;
use depthscale_checkpoint::{CheckpointWriter, Overwrite, TensorToWrite};
use depthscale_decoder::{ParameterSource, RandomParameters, RecurrentDecoder};
use depthscale_types::{DecoderConfig, ParameterSpec, QueryKey, Readout};
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
    let Readout::CrossDecoder { layers, shared_key } = &mut config.readout else { panic!("a cross-decoder") };
    assert_eq!((layers.n_layers, layers.n_heads, layers.n_kv_heads, layers.head_dim), (2, 4, 1, 8));
    assert_eq!(layers.query_key, QueryKey::Plain, "norms are in self layers only");
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
