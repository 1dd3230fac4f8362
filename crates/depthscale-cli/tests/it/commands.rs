//! The commands beside `generate`.

use serde_json::Value;

use crate::broken::Copy;
use crate::{fixture, run, text_of};

const WITH_EXPECTED: [&str; 7] =
    ["huginn-111", "huginn-242", "ouro-gqa", "ouro-mha", "yoco-gret", "yoco-swa", "yoco-u-gqa"];

#[test]
fn no_arguments_show_examples() {
    let help = run(&[]).ok();
    let first = help.find("depthscale solve \"47+38=\"").expect("an example with no model");
    let second = help.find("depthscale generate --model fixtures/ouro-arith --prompt \"47+38=\" --trace");
    assert!(second.is_some_and(|second| first < second), "{help}");
}

#[test]
fn verify_passes_on_every_fixture() {
    for name in WITH_EXPECTED {
        let table = run(&["verify", &text_of(fixture(name))]).ok();
        assert!(table.lines().next().is_some_and(|line| line.contains("exact") && line.contains("cached")));
        assert!(!table.contains("FAIL") && table.contains(" ok"), "{name}: {table}");
    }
}

#[test]
fn verify_compares_the_path_asked_for() {
    let model = text_of(fixture("ouro-gqa"));
    for (flag, path) in [("--exact-forward", "exact"), ("--cached", "cached")] {
        let report: Value = serde_json::from_str(&run(&["verify", &model, flag, "--json"]).ok()).expect("JSON");
        assert_eq!(report["passes"], true);
        let comparisons = report["comparisons"].as_array().expect("a list");
        assert!(!comparisons.is_empty() && comparisons.iter().all(|comparison| comparison["path"] == path));
    }
}

#[test]
fn verify_fails_beyond_the_tolerance_and_without_expected_outputs() {
    let model = text_of(fixture("ouro-gqa"));
    let strict = run(&["verify", &model, "--tolerance", "1e-12"]);
    assert_eq!(strict.code, Some(1));
    assert!(strict.stdout.contains("FAIL") && strict.stdout.contains("greedy"), "{}", strict.stdout);
    assert!(strict.stderr.contains("differ by more than the tolerance"), "{}", strict.stderr);

    let copy = Copy::of("ouro-gqa");
    copy.edit_tensors(|header, data| {
        let at = crate::broken::offset(header, "model.norm.weight");
        data[at..at + 4].copy_from_slice(&1.5_f32.to_le_bytes());
    });
    let changed = run(&["verify", &copy.arg(), "--cached"]);
    assert_eq!(changed.code, Some(1));
    assert!(changed.stdout.contains("FAIL"), "{}", changed.stdout);

    let without = text_of(fixture("ouro-arith"));
    run(&["verify", &without]).failed(&["no expected.safetensors beside the model"]);
    let other = text_of(fixture("ouro-mha").join("expected.safetensors"));
    run(&["verify", &without, "--expected", &other]).failed(&["outside the vocabulary of 15"]);
    run(&["verify", &without, "--expected", "nowhere"]).failed(&["nowhere: no such file"]);
    run(&["verify", &model, "--tolerance", "-1"]).refused(2, &["tolerance is -1"]);
}

#[test]
fn inspect_tells_what_a_model_is() {
    let report = run(&["inspect", &text_of(fixture("huginn-242"))]).ok();
    let parts = [
        "initial state",
        "injection",
        "prelude",
        "core",
        "after step",
        "readout",
        "head",
        "gate",
        "positions",
        "mixer",
        "norms",
        "unique",
        "stored",
        "per-step K/V",
        "last-step-after-prefill",
    ];
    for part in parts {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    let retention = run(&["inspect", &text_of(fixture("yoco-gret"))]).ok();
    assert_eq!(retention.matches("not possible: gated retention").count(), 3, "{retention}");
}

#[test]
fn inspect_counts_memory_term_by_term() {
    let arguments = ["inspect", &text_of(fixture("ouro-arith")), "--context", "64", "--depth", "8", "--batch", "2"];
    let report = run(&[arguments.as_slice(), &["--json"]].concat()).ok();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["family"], "ouro");
    assert_eq!(report["parameters"]["unique"], report["parameters"]["stored"]);
    let memory = &report["memory"][0];
    // Keys and values, two layers of width 96, four bytes, eight steps; two sequences of 64 tokens.
    assert_eq!(memory["retention"], "per-step");
    assert_eq!(memory["kv_bytes_per_token"], 2 * 2 * 96 * 4 * 8);
    assert_eq!(memory["memory"]["per_step_kv"], 2 * 2 * 96 * 4 * 8 * 2 * 64);
    assert_eq!(report["memory"][1]["memory"]["per_step_kv"], 2 * 2 * 96 * 4 * 2 * 64);
    for (flag, value) in [("--context", "65"), ("--context", "0"), ("--depth", "0"), ("--batch", "0")] {
        let refused = run(&["inspect", &text_of(fixture("ouro-arith")), flag, value]);
        refused.refused(2, &[&format!("{} is {value}: must be from 1 to", &flag[2..])]);
    }
}

#[test]
fn reason_shows_a_hypothesis_a_step() {
    let model = text_of(fixture("ouro-arith"));
    let shown = run(&["reason", "--model", &model, "--prompt", "47+38=", "--exit", "q-exit:0.4"]).ok();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 5, "{shown}");
    assert!(lines[1].starts_with("   1  8 ") && lines[3].starts_with("   3  8 "), "{shown}");
    assert_eq!(lines[4], "converged after 3 of 4 steps");
    let full = run(&["reason", "--model", &model, "--prompt", "47+38="]).ok();
    assert!(full.ends_with("went to the full depth of 4 steps\n"), "{full}");
    run(&["reason", "--model", &model, "--prompt", ""]).refused(2, &["the prompt is empty"]);
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(run(&["completions", shell]).ok().contains("depthscale"));
    }
}
