//! Weights in fewer bits: converted directories, what they load as, and what is refused.

use std::ops::ControlFlow;
use std::path::Path;

use burn_flex::Flex;
use depthscale_checkpoint::Overwrite;
use depthscale_conformance::fixture;
use depthscale_decoder::{DecoderError, ModelDirectory, RecurrentDecoder, SaveOptions, WEIGHTS_FILE};
use depthscale_types::{ComputeDtype, WeightFormat};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checkpoints::{MODELS, logits};

fn convert(from: &Path, to: &Path, weights: WeightFormat) -> Result<ControlFlow<()>, DecoderError> {
    ModelDirectory::open(from)?.convert(to, weights, Overwrite::No, &mut |_| ControlFlow::Continue(()))
}

fn converted(name: &str, weights: WeightFormat) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(convert(&fixture(name), directory.path(), weights).expect("converts"), ControlFlow::Continue(()));
    directory
}

fn load(directory: ModelDirectory) -> RecurrentDecoder<Flex> {
    directory.load(&Default::default(), &mut |_| {}).expect("loads")
}

fn open(path: &Path) -> ModelDirectory {
    ModelDirectory::open(path).expect("opens")
}

#[test]
fn a_converted_model_is_the_one_that_is_packed_when_it_is_loaded() {
    for name in MODELS {
        for weights in WeightFormat::ALL {
            let directory = converted(name, weights);
            let stored = load(open(directory.path()));
            assert_eq!(stored.weights(), weights, "{name}");
            let packed = load(open(&fixture(name)).with_weights(weights));
            assert_eq!(logits(&stored), logits(&packed), "{name} {weights}");
        }
    }
}

#[test]
fn what_is_stored_in_sixteen_bits_is_kept_as_it_lies() {
    let directory = tempfile::tempdir().expect("a directory");
    let original = open(&fixture("huginn-111"));
    let options = SaveOptions { dtype: ComputeDtype::Bf16, ..SaveOptions::default() };
    original.save(&load(open(&fixture("huginn-111"))), directory.path(), options).expect("saves");
    let as_f32 = logits(&load(open(directory.path())));
    let as_stored = logits(&load(open(directory.path()).with_weights(WeightFormat::Bf16)));
    for (a, b) in as_f32.iter().zip(&as_stored) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn converted_models_are_loaded_in_other_formats() {
    let q8 = converted("ouro-arith", WeightFormat::Q8);
    let from_blocks = load(open(q8.path()).with_weights(WeightFormat::F32));
    assert_eq!(from_blocks.weights(), WeightFormat::F32);
    let again = load(open(q8.path()));
    for (a, b) in logits(&from_blocks).iter().zip(&logits(&again)) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    // In 16 bits everything is: there is one format beside the dtype.
    assert_eq!(load(open(q8.path()).with_dtype(ComputeDtype::F16)).weights(), WeightFormat::F16);
    // From blocks to blocks.
    let q4 = tempfile::tempdir().expect("a directory");
    assert!(convert(q8.path(), q4.path(), WeightFormat::Q4).expect("converts").is_continue());
    assert_eq!(load(open(q4.path())).weights(), WeightFormat::Q4);
    // An f32 model that was packed and unpacked can be saved, a packed one cannot.
    let saved = tempfile::tempdir().expect("a directory");
    let error = again.save_native(saved.path(), Overwrite::No).expect_err("packed").to_string();
    assert!(error.contains("kept in q8"), "{error}");
    from_blocks.save_native(saved.path(), Overwrite::No).expect("saves");
}

#[test]
fn what_lies_beside_a_model_comes_along() {
    let directory = converted("ouro-arith", WeightFormat::Q4);
    let read = |path: &Path, name: &str| std::fs::read(path.join(name)).expect("is there");
    assert_eq!(read(directory.path(), "tokenizer.json"), read(&fixture("ouro-arith"), "tokenizer.json"));
    let config = |path: &Path| serde_json::from_slice::<Value>(&read(path, "config.json")).expect("JSON");
    assert_eq!(config(directory.path()), config(&fixture("ouro-arith")));
    let bytes = |path: &Path| std::fs::metadata(path.join("model.safetensors")).expect("is there").len();
    assert!(bytes(directory.path()) * 6 < bytes(&fixture("ouro-arith")), "4.5 bits of 32, norms aside");
}

#[test]
fn a_trained_model_keeps_its_logits() {
    let exact = logits(&load(open(&fixture("ouro-arith"))));
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>().sqrt();
    for (weights, most) in [(WeightFormat::F16, 1e-3), (WeightFormat::Q8, 0.02), (WeightFormat::Q4, 0.08)] {
        let found = logits(&load(open(&fixture("ouro-arith")).with_weights(weights)));
        let error = norm(&mut found.iter().zip(&exact).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
        println!("{weights}: {error:.4}");
        assert!(error < most, "{weights}: {error}");
    }
}

#[test]
fn a_manifest_that_is_none_is_refused() {
    let directory = converted("ouro-mha", WeightFormat::Q8);
    let path = directory.path().join(WEIGHTS_FILE);
    let original: Value = serde_json::from_slice(&std::fs::read(&path).expect("is there")).expect("JSON");
    let refused = |text: String, parts: &[&str]| {
        std::fs::write(&path, text).expect("written");
        let error = ModelDirectory::open(directory.path()).map(drop).expect_err("refused").to_string();
        for part in parts {
            assert!(error.contains(part), "{error} names {part}");
        }
    };
    let changed = |pointer: &str, value: Value| {
        let mut manifest = original.clone();
        *manifest.pointer_mut(pointer).expect("is there") = value;
        manifest.to_string()
    };
    refused(
        // The first had its blocks row by row.
        changed("/format", json!("depthscale-weights/1")),
        &["depthscale-weights/1", "reads \"depthscale-weights/2\""],
    );
    refused("{\"metadata\": {}}".into(), &["no manifest of converted weights", "format"]);
    refused(original.to_string()[..60].into(), &["no manifest"]);
    refused(changed("/weights", json!("q5")), &["q5"]);
    refused(changed("/tensors/lm_head.weight", json!("q4")), &["lm_head.weight", "q4", "I8"]);
    let mut foreign = original.clone();
    foreign["tensors"]["somewhere.else"] = json!("q8");
    refused(foreign.to_string(), &["somewhere.else", "do not hold"]);
    std::fs::remove_file(&path).expect("removed");
    let error = ModelDirectory::open(directory.path()).map(drop).expect_err("codes without a manifest").to_string();
    assert!(error.contains("I8"), "{error}");
}

#[test]
fn a_truncated_file_is_refused() {
    let directory = converted("ouro-mha", WeightFormat::Q4);
    let path = directory.path().join("model.safetensors");
    let bytes = std::fs::read(&path).expect("is there");
    std::fs::write(&path, &bytes[..bytes.len() - 100]).expect("written");
    let error = ModelDirectory::open(directory.path()).map(drop).expect_err("refused").to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}

#[test]
fn nothing_is_written_over_or_half() {
    let directory = converted("ouro-mha", WeightFormat::Q8);
    let error = convert(&fixture("ouro-mha"), directory.path(), WeightFormat::Q4).expect_err("is there").to_string();
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(open(directory.path()).converted_to(), Some(WeightFormat::Q8));
    let error = convert(directory.path(), directory.path(), WeightFormat::Q4).expect_err("in place").to_string();
    assert!(error.contains("another directory"), "{error}");

    let empty = tempfile::tempdir().expect("a directory");
    let stopped = open(&fixture("ouro-mha"));
    let stopped =
        stopped.convert(empty.path(), WeightFormat::Q8, Overwrite::No, &mut |_| ControlFlow::Break(())).expect("stops");
    assert_eq!(stopped, ControlFlow::Break(()));
    assert_eq!(std::fs::read_dir(empty.path()).expect("is there").count(), 0);
}

#[test]
fn formats_that_contradict_one_another_are_refused() {
    let directory = open(&fixture("ouro-mha")).with_dtype(ComputeDtype::F16).with_weights(WeightFormat::Q8);
    let error = directory.load::<Flex>(&Default::default(), &mut |_| {}).map(drop).expect_err("refused").to_string();
    assert!(error.contains("weights q8 does not go with dtype f16"), "{error}");
}

#[test]
fn a_scale_that_is_not_finite_is_refused_however_it_is_loaded() {
    let directory = converted("ouro-mha", WeightFormat::Q8);
    let path = directory.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).expect("is there");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let names: Value = serde_json::from_slice(&bytes[8..8 + header]).expect("JSON");
    let scales = &names["lm_head.weight.scales"];
    let start = scales["data_offsets"][0].as_u64().expect("an offset") as usize;
    let second_row = 32 * scales["shape"][1].as_u64().expect("a number");
    bytes[8 + header + start + 2..][..2].copy_from_slice(&0x7c00_u16.to_le_bytes());
    std::fs::write(&path, bytes).expect("written");
    for weights in [WeightFormat::Q8, WeightFormat::F32, WeightFormat::Q4] {
        let loaded = open(directory.path()).with_weights(weights).load::<Flex>(&Default::default(), &mut |_| {});
        let error = loaded.map(drop).expect_err("not finite").to_string();
        let element = format!("lm_head.weight: element {second_row} is inf");
        assert!(error.contains(&element), "{weights}: {error}");
    }
}

#[test]
fn saving_over_a_converted_model_leaves_one_that_opens() {
    let directory = converted("ouro-mha", WeightFormat::Q8);
    let original = open(&fixture("ouro-mha"));
    let decoder = load(open(&fixture("ouro-mha")));
    let error = original.save(&decoder, directory.path(), Overwrite::No).expect_err("is there").to_string();
    assert!(error.contains("exists already"), "{error}");
    original.save(&decoder, directory.path(), Overwrite::Yes).expect("saves");
    assert_eq!(open(directory.path()).converted_to(), None);
    assert_eq!(logits(&load(open(directory.path()))), logits(&decoder));
}

#[test]
fn nothing_of_a_replaced_model_stays_beside_a_converted_one() {
    let directory = converted("ouro-mha", WeightFormat::Q8);
    assert!(directory.path().join("expected.safetensors").exists());
    let other = open(&fixture("ouro-arith"));
    let converted =
        other.convert(directory.path(), WeightFormat::Q4, Overwrite::Yes, &mut |_| ControlFlow::Continue(()));
    assert!(converted.expect("converts").is_continue());
    assert!(!directory.path().join("expected.safetensors").exists());
    // Refused before anything is written.
    let empty = tempfile::tempdir().expect("a directory");
    std::fs::write(empty.path().join("tokenizer.json"), "another").expect("written");
    let error = convert(&fixture("ouro-arith"), empty.path(), WeightFormat::Q8).expect_err("is there").to_string();
    assert!(error.contains("tokenizer.json") && error.contains("exists already"), "{error}");
    assert_eq!(std::fs::read_dir(empty.path()).expect("is there").count(), 1);
}
