//! `depthscale generate --batch`

use std::fs;

use serde_json::Value;

use crate::{fixture, run, run_with_stdin, text_of};

fn batch(lines: &str) -> crate::Run {
    let model = text_of(fixture("ouro-arith"));
    run_with_stdin(&["generate", "--model", &model, "--batch", "-"], lines.as_bytes())
}

#[test]
fn answers_come_in_the_order_of_the_prompts() {
    let run = batch(concat!(
        r#"{"prompt": "47+38=", "id": "first"}"#,
        "\n\n",
        r#"{"prompt": "1+2=", "id": 2, "seed": 3, "temperature": 0.1, "top_k": 4, "top_p": 0.9, "min_p": 0.1}"#,
        "\n",
        r#"{"prompt": "99+99=", "max_new_tokens": 1, "stop": ["+"], "repetition_penalty": 1}"#,
        "\n",
    ));
    assert!(run.stderr.contains("3 prompts"), "{}", run.stderr);
    let stdout = run.ok();
    let answers: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let field = |key: &str| answers.iter().map(|answer| answer[key].clone()).collect::<Vec<_>>();
    assert_eq!(field("text"), ["85", "3", "1"]);
    assert_eq!(field("id"), [Value::from("first"), 2.into(), Value::Null]);
    assert_eq!(field("stop"), ["end-token", "end-token", "max-new-tokens"]);
    assert_eq!(answers[0]["tokens"][0]["steps"], 4);
}

#[test]
fn a_line_that_is_wrong_is_named_and_nothing_is_answered() {
    let good = r#"{"prompt": "1+2="}"#;
    let with = |line: &str| batch(&format!("{good}\n\n{line}\n"));
    with(r#"{"prompt": "1+2=", "topk": 3}"#).refused(2, &["-, line 3: unknown field `topk`", "`top_k`", "column"]);
    with(r#"{"prompt": 3}"#).refused(2, &["line 3: invalid type"]);
    with("1+2=").refused(2, &["line 3:"]);
    with(r#"{"prompt": ""}"#).refused(2, &["line 3: the prompt is empty"]);
    with(r#"{"prompt": "1", "temperature": -1}"#).refused(2, &["line 3: temperature is -1"]);
    let long = "1".repeat(64);
    with(&format!(r#"{{"prompt": "{long}"}}"#)).refused(2, &["line 3: 65 positions are needed, but the model has 64"]);
    batch("").refused(2, &["no prompts"]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_failure() {
    let model = text_of(fixture("ouro-arith"));
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("prompts.jsonl");
    run(&["generate", "--model", &model, "--batch", &text_of(&file)]).failed(&["prompts.jsonl: cannot be read"]);
    fs::write(&file, b"{\"prompt\": \"\xff\"}").expect("written");
    run(&["generate", "--model", &model, "--batch", &text_of(&file)])
        .failed(&["prompts.jsonl: not UTF-8: unexpected byte 0xff at offset 12"]);
}
