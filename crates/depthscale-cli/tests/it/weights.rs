//! `--weights` and `depthscale convert`.

use std::path::Path;

use serde_json::Value;

use crate::{fixture, run, text_of};

fn convert(name: &str, to: &Path, weights: &str, more: &[&str]) -> crate::Run {
    let (from, to) = (text_of(fixture(name)), text_of(to));
    run(&[&["convert", &from, &to, "--weights", weights], more].concat())
}

#[test]
fn a_converted_model_answers() {
    let scratch = tempfile::tempdir().expect("a directory");
    for weights in ["f16", "bf16", "q8", "q4"] {
        let to = scratch.path().join(weights);
        let report: Value = serde_json::from_str(&convert("ouro-arith", &to, weights, &["--json"]).ok()).expect("JSON");
        assert_eq!(report["weights"], weights);
        assert!(report["bytes"].as_u64() < report["bytes_before"].as_u64());
        assert_eq!(report["left_in_f32"].as_array().map(Vec::len), Some(0));
        let model = text_of(to);
        assert_eq!(run(&["generate", "--model", &model, "--prompt", "47+38=", "-q"]).ok().trim(), "85");
        // What it was is not there any more.
        run(&["verify", &model]).failed(&["its weights were converted", "--expected"]);
        let title = run(&["inspect", &model]).ok();
        assert!(title.contains(&format!("in f32 with weights in {weights}")), "{title}");
        assert!(title.contains("225,025"), "{title}");
        let at_load = text_of(fixture("ouro-arith"));
        let answer = run(&["generate", "--model", &at_load, "--weights", weights, "--prompt", "47+38=", "-q"]).ok();
        assert_eq!(answer.trim(), "85");
    }
}

#[test]
fn caches_in_fewer_bits_answer_the_same_and_are_verified() {
    let model = text_of(fixture("ouro-arith"));
    for (dtype, head_bytes) in [("f16", 48), ("bf16", 48), ("q8", 28)] {
        let answer = run(&["generate", "--model", &model, "--cache-dtype", dtype, "--prompt", "47+38=", "-q"]).ok();
        assert_eq!(answer.trim(), "85");
        // Beside weights in fewer bits, too.
        let blocks = ["--weights", "q8", "--cache-dtype", dtype, "--prompt", "47+38=", "-q"];
        assert_eq!(run(&[&["generate", "--model", &model], blocks.as_slice()].concat()).ok().trim(), "85");
        // Without outputs beside it, with itself in f32.
        let verify = ["verify", &model, "--cache-dtype", dtype, "-q"];
        let report = run(&[verify.as_slice(), &["--weights", "bf16", "--json"]].concat()).ok();
        let report: Value = serde_json::from_str(&report).expect("JSON");
        assert_eq!([&report["weights"], &report["cache_dtype"]], ["bf16", dtype]);
        run(&verify).ok();
        let strict = run(&[verify.as_slice(), &["--tolerance", "1e-6"]].concat());
        assert_eq!(strict.code, Some(1), "{}", strict.stderr);
        assert!(strict.stdout.contains("FAIL"), "{}", strict.stdout);
        let memory = |more: &[&str]| {
            let arguments = [&["inspect", &model, "--context", "32", "--json"], more].concat();
            let report: Value = serde_json::from_str(&run(&arguments).ok()).expect("JSON");
            report["memory"][0]["memory"]["per_step_kv"].as_u64().unwrap_or_else(|| panic!("{report}"))
        };
        assert_eq!(memory(&["--cache-dtype", dtype]) * 96, memory(&[]) * head_bytes);
    }
}

#[test]
fn matrices_that_are_not_whole_blocks_stay_and_are_told() {
    let scratch = tempfile::tempdir().expect("a directory");
    let converted = convert("ouro-mha", &scratch.path().join("q8"), "q8", &[]);
    assert_eq!(converted.code, Some(0), "{}", converted.stderr);
    assert!(
        converted.stderr.contains("not whole blocks of 32: core.0.ffn.down, core.1.ffn.down"),
        "{}",
        converted.stderr
    );
    let model = text_of(fixture("ouro-mha"));
    let compared = run(&["verify", &model, "--weights", "q8", "--tolerance", "0.1"]);
    assert_eq!(compared.code, Some(0), "{}", compared.stdout);
    assert!(compared.stderr.contains("core.0.ffn.down and 2 more stay f32: rows of 176"), "{}", compared.stderr);
    assert!(compared.stdout.contains("no limit"), "{}", compared.stdout);
    let quiet = run(&["verify", &model, "--weights", "q8", "--tolerance", "0.1", "-q"]);
    assert_eq!(quiet.stderr, "");
    // A model of random draws multiplies what rounding costs.
    let random = run(&["verify", &model, "--weights", "q4"]);
    assert_eq!(random.code, Some(1));
    assert!(random.stdout.contains("FAIL") && random.stderr.contains("more than the tolerance"), "{}", random.stderr);
}

#[test]
fn verify_compares_a_trained_model_with_itself_in_f32() {
    let model = text_of(fixture("ouro-arith"));
    for weights in ["f16", "bf16", "q8", "q4"] {
        let compared = run(&["verify", &model, "--weights", weights]);
        assert_eq!(compared.code, Some(0), "{weights}: {} {}", compared.stdout, compared.stderr);
        assert!(compared.stderr.contains("compared with itself in f32"), "{}", compared.stderr);
        assert!(compared.stdout.contains("logits_steps_4"), "{}", compared.stdout);
    }
}

#[test]
fn what_cannot_be_converted_is_refused() {
    let scratch = tempfile::tempdir().expect("a directory");
    let to = scratch.path().join("q8");
    let model = text_of(fixture("ouro-mha"));
    run(&["convert", &model, &text_of(&to)]).refused(2, &["--weights"]);
    convert("ouro-mha", &to, "q5", &[]).refused(2, &["\"q5\" is not known", "q8"]);
    run(&["convert", "nowhere", &text_of(&to), "--weights", "q8"]).failed(&["nowhere"]);
    run(&["convert", &model, &model, "--weights", "q8"]).failed(&["another directory"]);
    convert("ouro-mha", &to, "q8", &[]).ok();
    convert("ouro-mha", &to, "q4", &[]).failed(&["exists already"]);
    convert("ouro-mha", &to, "q4", &["--overwrite", "-q"]).ok();
    let file = scratch.path().join("a-file");
    std::fs::write(&file, "not a directory").expect("written");
    convert("ouro-mha", &file, "q8", &[]).failed(&["a-file"]);

    let manifest = to.join("weights.json");
    std::fs::write(&manifest, r#"{"format": "depthscale-weights/9"}"#).expect("written");
    run(&["inspect", &text_of(&to)]).failed(&["weights.json", "depthscale-weights/9"]);
    run(&["verify", &model, "--weights", "q8", "--dtype", "f16"]).refused(2, &["does not go with dtype f16"]);
}
