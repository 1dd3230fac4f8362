//! Model directories: what loads, what is refused, what is written back.

use std::path::Path;

use burn_flex::Flex;
use depthscale_checkpoint::{Checkpoint, CheckpointWriter, Overwrite, TensorToWrite};
use depthscale_decoder::{
    ExitRule, Feed, LogitRows, ModelDirectory, Phase, RecurrentDecoder, RunOptions, SequenceOptions,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use depthscale_conformance::{fixture, models};

pub(crate) const MODELS: [&str; 8] =
    ["ouro-mha", "ouro-gqa", "ouro-arith", "huginn-111", "huginn-242", "yoco-swa", "yoco-gret", "yoco-u-gqa"];

/// A copy of a fixture whose config was changed.
fn with_config(name: &str, change: impl Fn(&mut Value)) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let text = std::fs::read(fixture(name).join("config.json")).expect("a config");
    let mut config = serde_json::from_slice(&text).expect("JSON");
    change(&mut config);
    std::fs::write(directory.path().join("config.json"), config.to_string()).expect("written");
    std::fs::copy(fixture(name).join("model.safetensors"), directory.path().join("model.safetensors")).expect("copied");
    directory
}

fn refusal(directory: &Path) -> String {
    ModelDirectory::open(directory).map(|_| ()).expect_err("refused").to_string()
}

pub(crate) fn tensors(directory: &Path) -> Vec<TensorToWrite<'static>> {
    let checkpoint = Checkpoint::open(directory).expect("opens");
    let tensor = |name: &str| {
        let shape = checkpoint.info(name).expect("is there").shape;
        TensorToWrite::new(name, shape.clone(), checkpoint.read_f32(name, &shape).expect("reads"))
    };
    checkpoint.names().map(tensor).collect()
}

pub(crate) fn logits(decoder: &RecurrentDecoder<Flex>) -> Vec<f32> {
    let rule = ExitRule::fixed(2);
    let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
    let mut feeds = [Feed {
        cache: &mut cache,
        tokens: &[1, 2, 3],
        phase: Phase::Prompt,
        logits: LogitRows::All,
        initial_state: None,
    }];
    let output = decoder.run(&mut feeds, &mut RunOptions::new(&rule)).expect("runs");
    output.feeds[0].logits.clone().expect("asked for").into_data().iter::<f32>().collect()
}

#[test]
fn saving_writes_the_same_tensors_bit_for_bit() {
    for name in MODELS {
        let original = ModelDirectory::open(&fixture(name)).expect("opens");
        let decoder = original.load::<Flex>(&Default::default(), &mut |_| {}).expect("loads");
        let copy = tempfile::tempdir().expect("a directory");
        original.save(&decoder, copy.path(), Overwrite::No).expect("saves");
        let (before, after) = (tensors(&fixture(name)), tensors(copy.path()));
        assert_eq!(before.len(), after.len(), "{name}");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((&before.name, &before.shape), (&after.name, &after.shape), "{name}");
            let bits = |tensor: &TensorToWrite<'_>| tensor.data.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(before), bits(after), "{name} {}", before.name);
        }
        let config = |at: &Path| -> Value {
            serde_json::from_slice(&std::fs::read(at.join("config.json")).expect("there")).expect("JSON")
        };
        assert_eq!(config(&fixture(name)), config(copy.path()));
        assert!(original.save(&decoder, copy.path(), Overwrite::No).is_err(), "nothing is overwritten unasked");
    }
}

#[test]
fn decoders_of_no_family_save_and_open() {
    for (name, config) in models::every_kind() {
        let decoder = RecurrentDecoder::<Flex>::random(config, 1, &Default::default()).expect("builds");
        let directory = tempfile::tempdir().expect("a directory");
        decoder.save_native(directory.path(), Overwrite::No).expect("saves");
        let opened = RecurrentDecoder::<Flex>::open(directory.path(), &Default::default()).expect("opens");
        assert_eq!(logits(&decoder), logits(&opened), "{name}");
    }
}

#[test]
fn shards_load_like_a_single_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let name = "huginn-242";
    std::fs::copy(fixture(name).join("config.json"), directory.path().join("config.json")).expect("copied");
    CheckpointWriter::new(directory.path(), Overwrite::No)
        .write_sharded(&tensors(&fixture(name)), 100_000)
        .expect("writes");
    let sharded = RecurrentDecoder::<Flex>::open(directory.path(), &Default::default()).expect("opens");
    let single = RecurrentDecoder::<Flex>::open(&fixture(name), &Default::default()).expect("opens");
    assert_eq!(logits(&sharded), logits(&single));
    // And are saved as shards.
    let copy = tempfile::tempdir().expect("a directory");
    ModelDirectory::open(directory.path()).expect("opens").save(&sharded, copy.path(), Overwrite::No).expect("saves");
    assert!(copy.path().join("model.safetensors.index.json").exists());
    let again = RecurrentDecoder::<Flex>::open(copy.path(), &Default::default()).expect("opens");
    assert_eq!(logits(&again), logits(&single));
}

#[test]
fn the_family_is_told_from_the_config_and_copies_of_tied_weights_are_known() {
    for (name, family, stored) in [
        ("ouro-mha", "ouro", 0),
        ("huginn-242", "huginn", 113 * 48), // lm_head.weight repeats transformer.wte.weight
        ("yoco-swa", "yoco", 0),
        ("yoco-u-gqa", "yoco_u", 0),
    ] {
        let directory = ModelDirectory::open(&fixture(name)).expect("opens");
        assert_eq!(directory.config().family.name(), family);
        assert_eq!(directory.stored_parameters() - directory.config().parameter_count(), stored, "{name}");
    }
}

#[test]
fn a_head_that_is_not_the_copy_it_should_be_is_refused() {
    let directory = with_config("huginn-111", |_| {});
    let mut other = tensors(&fixture("huginn-111"));
    let head = other.iter_mut().find(|tensor| tensor.name == "lm_head.weight").expect("is there");
    head.data.to_mut()[32 * 40] += 1.0;
    CheckpointWriter::new(directory.path(), Overwrite::Yes).write_single(&other).expect("writes");
    let opened = RecurrentDecoder::<Flex>::open(directory.path(), &Default::default());
    let message = opened.map(|_| ()).expect_err("refused").to_string();
    assert!(message.contains("lm_head.weight is not the copy of transformer.wte.weight"), "{message}");
}

#[test]
fn nothing_is_written_beside_a_foreign_config() {
    let original = ModelDirectory::open(&fixture("ouro-mha")).expect("opens");
    let decoder = original.load::<Flex>(&Default::default(), &mut |_| {}).expect("loads");
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("config.json"), "{}").expect("written");
    assert!(original.save(&decoder, directory.path(), Overwrite::No).is_err());
    assert!(!directory.path().join("model.safetensors").exists());
}

#[test]
fn a_rotary_buffer_is_recognised() {
    let directory = with_config("huginn-111", |_| {});
    let mut with_buffer = tensors(&fixture("huginn-111"));
    with_buffer.push(TensorToWrite::new("freqs_cis", vec![1, 256, 1, 8, 2], vec![0.0; 256 * 16]));
    CheckpointWriter::new(directory.path(), Overwrite::Yes).write_single(&with_buffer).expect("writes");
    let decoder = RecurrentDecoder::<Flex>::open(directory.path(), &Default::default()).expect("opens");
    let plain = RecurrentDecoder::<Flex>::open(&fixture("huginn-111"), &Default::default()).expect("opens");
    assert_eq!(logits(&decoder), logits(&plain));
}

#[test]
fn features_that_are_not_implemented_are_refused_by_name() {
    let cases: [(&str, &str, Value); 20] = [
        ("ouro-mha", "rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("ouro-mha", "use_sliding_window", json!(true)),
        ("ouro-mha", "layer_types", json!(["full_attention", "sliding_attention", "full_attention"])),
        ("ouro-mha", "hidden_act", json!("gelu")),
        ("ouro-mha", "ngram_embedding", json!(true)),
        ("ouro-mha", "n_gram_vocab_size", json!(1000)),
        ("ouro-mha", "hyper_connections", json!({"rate": 4})),
        ("ouro-mha", "attention_bias", json!(true)),
        ("ouro-mha", "quantization_config", json!({"bits": 4})),
        ("ouro-mha", "rope_parameters", json!({"rope_type": "yarn", "factor": 4.0})),
        ("huginn-111", "block_class_name", json!("TransformerPreNormBlock")),
        ("huginn-111", "injection_type", json!("add")),
        ("huginn-111", "test_time_noise", json!(0.1)),
        ("huginn-111", "n_layers", json!(7)),
        ("huginn-111", "hyper_connections", json!(2)),
        ("yoco-swa", "rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("yoco-swa", "moe_freq", json!(2)),
        ("yoco-u-gqa", "diff_v2", json!(true)),
        ("yoco-u-gqa", "qk_rms_clip", json!(true)),
        ("yoco-u-gqa", "swiglu_limit", json!(10)),
    ];
    for (name, key, value) in cases {
        let directory = with_config(name, |config| config[key] = value.clone());
        let message = refusal(directory.path());
        assert!(message.contains(key) && message.contains("not implemented"), "{name} {key}: {message}");
    }
    // What is off asks for nothing.
    let directory = with_config("ouro-mha", |config| {
        config["rope_scaling"] = Value::Null;
        config["hyper_connections"] = json!(false);
        config["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 1e6});
    });
    ModelDirectory::open(directory.path()).expect("opens");
}

#[test]
fn malformed_configs_say_what_is_wrong() {
    let cases: [(&str, Value, &str); 8] = [
        ("model_type", json!("llama"), "\"llama\" is not a known family"),
        ("model_type", Value::Null, "model_type is missing"),
        ("hidden_size", json!("64"), "hidden_size is \"64\", expected a whole number"),
        ("hidden_size", json!(-64), "hidden_size is -64, expected a whole number"),
        ("num_attention_heads", json!(0), "core.n_heads is 0: must be at least 1"),
        ("num_key_value_heads", json!(3), "core.n_kv_heads is 3: must divide n_heads, which is 4"),
        ("head_dim", json!(15), "core.head_dim is 15: must be even"),
        ("total_ut_steps", json!(0), "depth is 0: must be at least 1"),
    ];
    for (key, value, expected) in cases {
        let directory = with_config("ouro-mha", |config| config[key] = value.clone());
        let message = refusal(directory.path());
        assert!(message.contains(expected), "{key}: {message}");
    }
    let directory = with_config("ouro-mha", |_| {});
    std::fs::write(directory.path().join("config.json"), "{").expect("written");
    assert!(refusal(directory.path()).contains("not valid JSON"));
    std::fs::remove_file(directory.path().join("config.json")).expect("removed");
    assert!(refusal(directory.path()).contains("config.json"));
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let directory = with_config("ouro-mha", |config| config["intermediate_size"] = json!(177));
    let message = refusal(directory.path());
    assert!(message.contains("mlp.gate_proj") && message.contains("177") && message.contains("176"), "{message}");

    let directory = with_config("ouro-mha", |config| config["num_hidden_layers"] = json!(4));
    assert!(refusal(directory.path()).contains("model.layers.3"));

    let directory = with_config("ouro-mha", |config| config["num_hidden_layers"] = json!(2));
    let message = refusal(directory.path());
    assert!(message.contains("does not use") && message.contains("model.layers.2.mlp.up_proj.weight"), "{message}");

    let directory = with_config("ouro-mha", |_| {});
    let mut broken = tensors(&fixture("ouro-mha"));
    broken[5].data.to_mut()[3] = f32::NAN;
    CheckpointWriter::new(directory.path(), Overwrite::Yes).write_single(&broken).expect("writes");
    let opened = RecurrentDecoder::<Flex>::open(directory.path(), &Default::default());
    let message = opened.map(|_| ()).expect_err("refused").to_string();
    assert!(message.contains(&broken[5].name) && message.contains("element 3 is NaN"), "{message}");
}

#[test]
fn half_precision_files_are_cast_while_loading() {
    // Every value of a bf16 or f16 file is an f32 value: rounding the weights first gives the same model.
    for (dtype, round) in [("F16", half_round as fn(f32) -> (u16, f32)), ("BF16", bfloat_round)] {
        let name = "ouro-gqa";
        let (stored, rounded) = (with_config(name, |_| {}), with_config(name, |_| {}));
        let mut header = serde_json::Map::new();
        let (mut bytes, mut as_f32) = (Vec::<u8>::new(), Vec::new());
        for tensor in tensors(&fixture(name)) {
            let start = bytes.len();
            let pairs: Vec<_> = tensor.data.iter().map(|&value| round(value)).collect();
            pairs.iter().for_each(|(bits, _)| bytes.extend(bits.to_le_bytes()));
            header.insert(
                tensor.name.clone(),
                json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, bytes.len()]}),
            );
            as_f32.push(TensorToWrite::new(
                tensor.name,
                tensor.shape,
                pairs.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            ));
        }
        let header = Value::Object(header).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes());
        file.extend(bytes);
        std::fs::write(stored.path().join("model.safetensors"), file).expect("written");
        CheckpointWriter::new(rounded.path(), Overwrite::Yes).write_single(&as_f32).expect("writes");
        let open = |at: &TempDir| RecurrentDecoder::<Flex>::open(at.path(), &Default::default()).expect("opens");
        assert_eq!(logits(&open(&stored)), logits(&open(&rounded)), "{dtype}");
    }
}

fn half_round(value: f32) -> (u16, f32) {
    let half = burn::tensor::f16::from_f32(value);
    (half.to_bits(), half.to_f32())
}

fn bfloat_round(value: f32) -> (u16, f32) {
    let half = burn::tensor::bf16::from_f32(value);
    (half.to_bits(), half.to_f32())
}

/// Any JSON value, shallow.
fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..70).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!(["full_attention", 3])),
        Just(json!({"std": "x", "rope_type": "default"})),
    ]
}

proptest::proptest! {
    /// A published config with any key set to anything is read or refused, never a panic.
    #[test]
    fn any_change_of_a_config_is_read_or_refused(model in 0..MODELS.len(), key in 0usize..40, value in any_json()) {
        let text = std::fs::read(fixture(MODELS[model]).join("config.json")).expect("a config");
        let mut config: Value = serde_json::from_slice(&text).expect("JSON");
        let keys: Vec<String> = config.as_object().expect("an object").keys().cloned().collect();
        config[&keys[key % keys.len()]] = value;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.json");
        std::fs::write(&path, config.to_string()).expect("written");
        match depthscale_decoder::Published::read(&path) {
            Ok(published) => proptest::prop_assert!(published.config.validate().is_ok()),
            Err(error) => proptest::prop_assert!(!error.to_string().is_empty()),
        }
    }
}
