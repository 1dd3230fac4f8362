//! What is wrong with the request: exit code 2.

use std::fs;

use serde_json::Value;

use crate::{fixture, run, run_with_stdin, text_of};

#[track_caller]
fn refused(arguments: &[&str], parts: &[&str]) {
    let model = text_of(fixture("ouro-arith"));
    run(&[&["generate", "--model", &model, "--prompt", "1+2="], arguments].concat()).refused(2, parts);
}

#[test]
fn values_out_of_range_are_named() {
    refused(&["--exit", "q-exit:1.5"], &["threshold of q-exit is 1.5: must be in [0, 1]"]);
    refused(&["--exit", "latent-diff:-0.1"], &["threshold of latent-diff is -0.1"]);
    refused(&["--exit", "latent-diff:many"], &["must be a number"]);
    refused(&["--exit", "fixed:0"], &["max_steps is 0: must be at least 1"]);
    refused(&["--min-steps", "0"], &["min_steps is 0: must be at least 1"]);
    refused(&["--max-steps", "0"], &["max_steps is 0: must be at least 1"]);
    refused(&["--exit", "kl", "--min-steps", "5"], &["min_steps is 5: must be at most the last step, which is 4"]);
    refused(&["--exit", "kl", "--min-steps", "3", "--max-steps", "2"], &["min_steps is 3: must be at most max_steps"]);
    refused(&["--check-every", "0"], &["check_every is 0"]);
    refused(&["--patience", "0"], &["patience is 0"]);
    refused(&["--temperature", "-1"], &["temperature is -1"]);
    refused(&["--temperature", "NaN"], &["temperature is NaN"]);
    refused(&["--top-k", "0"], &["top_k is 0"]);
    refused(&["--top-p", "0"], &["top_p is 0"]);
    refused(&["--min-p", "1.5"], &["min_p is 1.5"]);
    refused(&["--repetition-penalty", "0"], &["repetition_penalty is 0"]);
    refused(&["--chunk", "0"], &["--chunk"]);
    refused(&["--stop", ""], &["stop string 0 is empty"]);
}

#[test]
fn names_that_are_not_known_are_answered_with_those_that_are() {
    refused(&["--exit", "latent"], &["\"latent\" is not known", "latent-diff"]);
    refused(&["--kv", "all"], &["\"all\" is not known", "first-then-shared"]);
    refused(&["--cache-dtype", "q4"], &["\"q4\" is not known", "f32, f16, bf16, q8"]);
    refused(&["--backend", "tpu"], &["\"tpu\" is not known", "flex, ndarray"]);
    refused(&["--tracing"], &["unexpected argument"]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    refused(&["--exit", "fixed:2", "--max-steps", "3"], &["name two depths"]);
    refused(&["--batch", "x.jsonl"], &["cannot be used with"]);
    refused(&["--prompt-file", "x.txt"], &["cannot be used with"]);
    run(&["generate", "--model", &text_of(fixture("ouro-arith"))]).refused(2, &["--prompt"]);
}

#[test]
fn a_backend_that_is_not_compiled_in_names_its_feature() {
    // What is compiled in depends on what is tested beside the binary, so the binary is asked.
    let report: Value = serde_json::from_str(&run(&["backends", "--json"]).ok()).expect("JSON");
    for missing in report["not_compiled_in"].as_array().expect("a list").iter().filter_map(Value::as_str) {
        let (not_there, feature) = (format!("backend {missing} is not"), format!("cargo feature \"{missing}\""));
        refused(&["--backend", missing], &[&not_there, "compiled in", &feature, "flex"]);
    }
}

#[test]
fn prompts_must_have_something_and_fit() {
    let model = text_of(fixture("ouro-arith"));
    let generate = ["generate", "--model", &model, "--prompt"];
    run(&[&generate[..], &[""]].concat()).refused(2, &["the prompt is empty"]);
    run_with_stdin(&[&generate[..], &["-"]].concat(), b"\n").refused(2, &["the prompt is empty"]);
    let long = "1".repeat(64);
    run(&[&generate[..], &[&long]].concat()).refused(2, &["65 positions are needed, but the model has 64"]);
    run(&[&generate[..], &["1+2=", "--chat"]].concat()).failed(&["has no chat template"]);
}

#[test]
fn a_prompt_file_must_be_text() {
    let model = text_of(fixture("ouro-arith"));
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("prompt.txt");
    let arguments = ["generate", "--model", &model, "--prompt-file", &text_of(&file)];
    run(&arguments).failed(&["prompt.txt: cannot be read"]);
    fs::write(&file, b"47+\xc3(38=").expect("written");
    run(&arguments).failed(&["prompt.txt: not UTF-8: unexpected byte 0xc3 at offset 3"]);
    run_with_stdin(&["generate", "--model", &model, "--prompt", "-"], b"\xff")
        .failed(&["stdin: not UTF-8", "offset 0"]);
}

#[test]
fn what_does_not_fit_is_refused_before_it_runs() {
    let model = text_of(fixture("ouro-arith"));
    // A million steps of 10,000 sequences: two layers of keys and values of width 96, seven tokens and 40 more each.
    let lines = "{\"prompt\": \"47+38=\", \"max_new_tokens\": 40}\n".repeat(10_000);
    let arguments = ["generate", "--model", &model, "--batch", "-", "--exit", "fixed:1048576"];
    let refused = run_with_stdin(&arguments, lines.as_bytes());
    refused.refused(2, &["MiB free, and the run is predicted to need", "keys and values of steps", "--kv shared"]);
}
