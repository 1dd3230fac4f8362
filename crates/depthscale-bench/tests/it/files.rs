//! Files of results.

use std::fs;
use std::path::Path;

use depthscale_bench::{BenchError, ResultsWriter, read_results};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{at_depth, record};

/// The message for a file of such lines.
fn refused(lines: &[u8]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("results.jsonl");
    fs::write(&path, lines).expect("written");
    let error = read_results(&path).expect_err("refused").to_string();
    // Nothing is added to what cannot be read, and nothing of it is lost.
    assert_eq!(ResultsWriter::append(&path).expect_err("refused").to_string(), error);
    assert_eq!(fs::read(&path).expect("still there"), lines);
    error
}

/// A record as JSON with one value replaced.
fn with(pointer: &str, value: Value) -> String {
    let mut json = serde_json::to_value(record()).expect("plain data");
    *json.pointer_mut(pointer).expect("it is there") = value;
    json.to_string()
}

#[test]
fn what_is_written_is_read_back_and_added_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("results.jsonl");
    let (first, second) = (record(), at_depth(8, 0.5));
    ResultsWriter::append(&path).expect("made").write(&first).expect("written");
    ResultsWriter::append(&path).expect("opened again").write(&second).expect("added");
    assert_eq!(read_results(&path).expect("reads"), [first, second]);
    assert_eq!(fs::read_to_string(&path).expect("text").lines().count(), 2);
}

#[test]
fn a_last_line_without_an_end_gets_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("results.jsonl");
    fs::write(&path, serde_json::to_string(&record()).expect("plain data")).expect("written");
    ResultsWriter::append(&path).expect("opened").write(&at_depth(8, 0.5)).expect("added");
    assert_eq!(read_results(&path).expect("reads"), [record(), at_depth(8, 0.5)]);
}

#[test]
fn files_that_are_not_there_or_empty_are_told() {
    let error = read_results(Path::new("nowhere.jsonl")).expect_err("no such file");
    assert!(matches!(error, BenchError::File { .. }) && error.to_string().starts_with("nowhere.jsonl: "), "{error}");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("empty.jsonl");
    fs::write(&path, "\n\n").expect("written");
    assert!(matches!(read_results(&path), Err(BenchError::NoResults { .. })));
    ResultsWriter::append(&path).expect("an empty file can be added to");
}

#[test]
fn lines_that_are_no_results_are_told_by_number() {
    let good = serde_json::to_string(&record()).expect("plain data");
    let second = |line: &str| refused(format!("{good}\n{line}\n").as_bytes());
    let cases = [
        ("{\"a\": 1}", "line 2: not a benchmark result: no \"format\""),
        ("[1, 2]", "line 2: not a benchmark result: no \"format\""),
        ("not json", "line 2: not JSON"),
        (&good[..good.len() / 2], "line 2: not JSON"),
    ];
    for (line, expected) in cases {
        let error = second(line);
        assert!(error.contains(expected), "{error}");
    }
    let values = [
        ("/format", json!("depthscale-bench/1"), "format is \"depthscale-bench/1\", and this build reads"),
        ("/seconds", json!([]), "seconds holds no samples"),
        ("/seconds/0", json!(-1.0), "seconds holds -1"),
        ("/seconds/0", json!("fast"), "invalid type"),
        ("/ceiling/bytes_per_second", json!(0.0), "a ceiling is 0"),
        ("/case/depth", json!(0), "must be at least 1"),
        ("/case/dtype", json!("f8"), "unknown variant `f8`"),
        ("/work/tokens", json!(0), "must be at least 1"),
        ("/model/config/core/n_heads", json!(0), "model.config.core.n_heads is 0"),
        ("/model/config/core/mixer", json!({"sliding-window": {"window": 0}}), "window is 0"),
    ];
    for (pointer, value, expected) in values {
        let error = second(&with(pointer, value));
        assert!(error.contains("line 2: ") && error.contains(expected), "{pointer}: {error}");
    }
    let mut more = serde_json::to_value(record()).expect("plain data");
    more["surprise"] = json!(1);
    assert!(second(&more.to_string()).contains("unknown field `surprise`"));
    assert!(refused(b"\xff\xfe\n").contains("line 1: not JSON"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("results.jsonl");
        fs::write(&path, &bytes).expect("written");
        prop_assert!(read_results(&path).is_err());
    }
}
