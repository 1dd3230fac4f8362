//! What is wrong with a model: one message that names it, exit code 1.

use std::fs;

use serde_json::{Value, json};

use crate::broken::{Copy, offset};
use crate::{fixture, run, text_of};

/// Every command that opens a model refuses it alike.
#[track_caller]
fn refused(model: &str, parts: &[&str]) {
    run(&["generate", "--model", model, "--prompt", "1+2=", "--json"]).failed(parts);
}

#[track_caller]
fn refused_by_all(model: &str, parts: &[&str]) {
    refused(model, parts);
    run(&["inspect", model]).failed(parts);
    run(&["verify", model]).failed(parts);
}

#[test]
fn directories_that_are_none() {
    refused_by_all("nowhere/at/all", &["nowhere/at/all: no such directory"]);
    let file = text_of(fixture("ouro-arith").join("model.safetensors"));
    refused_by_all(&file, &["model.safetensors: expected a model directory, found a file"]);
    let empty = tempfile::tempdir().expect("a directory");
    refused_by_all(&text_of(empty.path()), &["no checkpoint found"]);
}

#[test]
fn files_that_are_missing() {
    for (name, message) in [
        ("model.safetensors", "no checkpoint found"),
        ("config.json", "config.json: cannot be read: No such file"),
        ("tokenizer.json", "tokenizer.json: no such file"),
    ] {
        let copy = Copy::of("ouro-arith");
        fs::remove_file(copy.file(name)).expect("removed");
        refused(&copy.arg(), &[message]);
    }
}

#[test]
fn weights_that_are_no_safetensors() {
    let copy = Copy::of("ouro-arith");
    copy.edit_weights(|bytes| bytes.truncate(bytes.len() - 5));
    refused_by_all(&copy.arg(), &["model.safetensors: truncated, expected 902836 bytes, found 902831"]);
    copy.edit_weights(|bytes| bytes.truncate(4));
    refused_by_all(&copy.arg(), &["model.safetensors: truncated"]);
    copy.edit_weights(Vec::clear);
    refused_by_all(&copy.arg(), &["model.safetensors: the file is empty"]);

    let zip = Copy::of("ouro-arith");
    zip.edit_weights(|bytes| bytes[..8].copy_from_slice(b"PK\x03\x04\0\0\x08\x08"));
    refused_by_all(&zip.arg(), &["expected a safetensors file, found"]);
    let noise = Copy::of("ouro-arith");
    noise.edit_weights(|bytes| bytes[8..16].fill(b'x'));
    refused_by_all(&noise.arg(), &["model.safetensors:", "header"]);
}

#[test]
fn weights_that_are_not_finite() {
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let copy = Copy::of("ouro-arith");
        copy.edit_tensors(|header, data| {
            let at = offset(header, "model.layers.1.mlp.up_proj.weight") + 4 * 7;
            data[at..at + 4].copy_from_slice(&value.to_le_bytes());
        });
        refused(&copy.arg(), &[&format!("element 7 is {shown}, not a finite number"), "tensor "]);
    }
}

#[test]
fn a_state_that_overflows_names_the_step() {
    let copy = Copy::of("ouro-arith");
    copy.edit_tensors(|header, data| {
        let at = offset(header, "model.layers.0.input_layernorm_2.weight");
        data[at..at + 4 * 96].chunks_exact_mut(4).for_each(|value| value.copy_from_slice(&f32::MAX.to_le_bytes()));
    });
    refused(&copy.arg(), &["the hidden state is not finite from step 1 on"]);
}

#[test]
fn tensors_that_do_not_fit() {
    let name = "model.layers.0.self_attn.q_proj.weight";
    let missing = Copy::of("ouro-arith");
    missing.edit_tensors(|header, _| {
        let tensor = header.remove(name).expect("it was there");
        header.insert("model.layers.0.self_attn.qq_proj.weight".into(), tensor);
    });
    refused_by_all(&missing.arg(), &["no tensor \"model.layers.0.self_attn.q_proj.weight\"", "did you mean"]);

    let unused = Copy::of("ouro-arith");
    unused.edit_tensors(|header, data| {
        header.insert(
            "extra.weight".into(),
            json!({
                "dtype": "F32", "shape": [1], "data_offsets": [data.len(), data.len() + 4]
            }),
        );
        data.extend([0; 4]);
    });
    refused_by_all(&unused.arg(), &["tensors that this model does not use: extra.weight"]);

    let shape = Copy::of("ouro-arith");
    shape.edit_tensors(|header, _| header[name]["shape"] = json!([48, 192]));
    refused_by_all(&shape.arg(), &[name, "expected shape [96, 96], found [48, 192]"]);

    let dtype = Copy::of("ouro-arith");
    dtype.edit_tensors(|header, _| header[name]["dtype"] = "I32".into());
    refused_by_all(&dtype.arg(), &[name, "expected dtype", "found I32"]);
}

#[test]
fn configs_that_are_not_understood() {
    let with = |key: &str, value: Value, parts: &[&str]| {
        let copy = Copy::of("ouro-arith");
        copy.edit_json("config.json", |config| config[key] = value);
        refused_by_all(&copy.arg(), parts);
    };
    with("model_type", "llama".into(), &["config.json: model_type \"llama\" is not a known family", "ouro"]);
    with("rope_scaling", json!({"type": "yarn", "factor": 4.0}), &["rope_scaling", "not implemented"]);
    with("ngram_embedding_size", 3.into(), &["ngram_embedding_size is 3, which is not implemented"]);
    with("hyper_connections", true.into(), &["hyper_connections is true, which is not implemented"]);
    with("hidden_size", "wide".into(), &["hidden_size is \"wide\", expected a whole number"]);
    with("num_attention_heads", 0.into(), &["config.json", "n_heads is 0"]);
    with("hidden_size", Value::Null, &["hidden_size is missing"]);

    let copy = Copy::of("ouro-arith");
    fs::write(copy.file("config.json"), "{").expect("written");
    refused_by_all(&copy.arg(), &["config.json: not valid JSON"]);
}

#[test]
fn a_tokenizer_with_more_ids_than_the_model() {
    let copy = Copy::of("ouro-arith");
    copy.edit_json("tokenizer.json", |tokenizer| {
        tokenizer["added_tokens"] = json!([{
            "id": 15, "content": "<more>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }]);
    });
    refused(&copy.arg(), &["the tokenizer's ids go up to 15, but the model's vocabulary has 15 ids"]);
}

#[test]
fn shards_stay_inside_the_directory() {
    let copy = Copy::of("ouro-arith");
    fs::remove_file(copy.file("model.safetensors")).expect("removed");
    for shard in ["../model.safetensors", "/etc/passwd"] {
        let index = json!({ "metadata": {}, "weight_map": { "model.norm.weight": shard } });
        fs::write(copy.file("model.safetensors.index.json"), index.to_string()).expect("written");
        refused_by_all(&copy.arg(), &[shard, "not a plain relative path inside the checkpoint's directory"]);
    }
    let index = json!({ "metadata": {}, "weight_map": { "model.norm.weight": "model-00001-of-00002.safetensors" } });
    fs::write(copy.file("model.safetensors.index.json"), index.to_string()).expect("written");
    refused_by_all(&copy.arg(), &["named in the index but missing"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;

    let copy = Copy::of("ouro-arith");
    for name in ["model.safetensors", "tokenizer.json", "config.json"] {
        let set = |mode| fs::set_permissions(copy.file(name), fs::Permissions::from_mode(mode)).expect("set");
        set(0o000);
        // The superuser may read everything.
        if fs::read(copy.file(name)).is_err() {
            refused(&copy.arg(), &[name, "ermission denied"]);
        }
        set(0o644);
    }
}

#[test]
fn a_criterion_the_model_cannot_follow() {
    let copy = Copy::of("yoco-gret");
    // A tokenizer that fits is all that is missing.
    fs::copy(fixture("ouro-arith").join("tokenizer.json"), copy.file("tokenizer.json")).expect("copied");
    let generate = ["generate", "--model", &copy.arg(), "--prompt", "1+2="];
    run(&[&generate[..], &["--exit", "q-exit:0.5"]].concat())
        .refused(2, &["q-exit does not go with family yoco: the model has no exit gate"]);
    run(&[&generate[..], &["--kv", "shared"]].concat()).refused(2, &["shared does not go with gated retention"]);
    run(&[&generate[..], &["--max-new-tokens", "2", "--exit", "latent-diff:0.5", "--trace"]].concat()).ok();
}
