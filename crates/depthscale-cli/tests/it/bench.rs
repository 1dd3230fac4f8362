//! `depthscale bench` and `depthscale backends`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Run, command, finish, fixture, run, text_of};

/// A folder for results, and the arguments of a benchmark that takes no time.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let model = text_of(fixture("ouro-arith"));
        let quick =
            ["bench", "--model", &model, "--context", "16", "--samples", "3", "--warm-up", "0", "--backends", "flex"];
        let mut command = command(&[&quick, arguments].concat());
        finish({
            command.current_dir(self.folder.path());
            command
        })
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).expect("results are there");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

#[test]
fn a_benchmark_leaves_a_table_results_and_a_page() {
    let bench = Bench::new();
    let table = bench.run(&["--depths", "1,4", "--batch", "1,2"]).ok();
    let lines: Vec<&str> = table.lines().collect();
    // What is the same in all is told once; then headings and eight cases.
    assert_eq!(lines[0], "ouro-arith, flex, f32, weights in f32, caches in f32, per-step, context 16");
    assert_eq!(lines.len(), 2 + 8, "{table}");
    assert!(lines[1].trim_start().starts_with("phase"), "{table}");
    let results = bench.lines("results.jsonl");
    assert_eq!(results.len(), 8);
    assert_eq!(results[0]["device"]["backend"], "flex");
    assert_eq!(results[0]["seconds"].as_array().map(Vec::len), Some(3));
    assert!(results[0]["memory"]["measured"]["weights"].as_u64().expect("counted") > 900_000);
    let page = fs::read_to_string(bench.path("report.html")).expect("a page");
    assert!(page.contains("<svg") && page.contains("ouro-arith") && page.ends_with("</html>"), "{}", page.len());

    // A second run adds to the file, and compares with what was in it.
    let more = bench.run(&["--depths", "1,2", "--compare", "results.jsonl", "--report", "second.html"]).ok();
    assert!(more.contains("times as fast") && more.contains("6 measured only before, 2 only now"), "{more}");
    assert_eq!(bench.lines("results.jsonl").len(), 12);
    assert!(fs::read_to_string(bench.path("second.html")).expect("a page").contains("Compared with earlier results"));
    assert_eq!(fs::read_to_string(bench.path("report.html")).expect("still there"), page);

    // What is in the file can be shown without measuring.
    let shown = bench.run(&["--no-run", "--report", "third.html"]);
    assert!(shown.stderr.contains("results.jsonl holds 12 results, third.html shows them."), "{}", shown.stderr);
    assert_eq!(shown.ok().lines().count(), 2 + 12);
    assert_eq!(bench.lines("results.jsonl").len(), 12);
}

#[test]
fn a_shape_without_weights_is_measured_with_random_ones() {
    let bench = Bench::new();
    let config = text_of(fixture("huginn-242").join("config.json"));
    let mut command = command(&["bench", "--model", &config, "--context", "8", "--depths", "2", "--samples", "3"]);
    command.args(["--warm-up", "0", "--backends", "flex", "--phases", "decode"]).current_dir(bench.folder.path());
    finish(command).ok();
    let results = bench.lines("results.jsonl");
    assert_eq!(results.len(), 1);
    assert_eq!((&results[0]["model"]["name"], &results[0]["model"]["random"]), (&config.into(), &true.into()));
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is() {
    let bench = Bench::new();
    let refused = |arguments: &[&str], parts: &[&str]| bench.run(arguments).refused(2, parts);
    refused(&["--context", "0"], &["contexts is 0: must be from 1 to 62"]);
    refused(&["--context", "63"], &["contexts is 63: must be from 1 to 62"]);
    refused(&["--depths", "1,0"], &["depths is 0"]);
    refused(&["--batch", "two"], &["--batch"]);
    refused(&["--dtype", "f8"], &["\"f8\" is not known", "bf16"]);
    refused(&["--preset", "small-20m"], &["cannot be used with"]);
    refused(&["--backends", "tpu"], &["\"tpu\" is not known"]);
    refused(&["--warm-up=-1"], &["--warm-up"]);
    run(&["bench", "--preset", "huge"]).refused(2, &["\"huge\" is not known", "ouro-1.4b"]);
    run(&["bench", "--model", "nowhere"]).failed(&["nowhere: no such directory"]);
    bench.run(&["--compare", "nowhere.jsonl"]).failed(&["nowhere.jsonl: "]);
    bench.run(&["--no-run"]).failed(&["results.jsonl: "]);
    bench.run(&["--results", "no/such/folder.jsonl"]).failed(&["no/such/folder.jsonl: "]);
    assert!(!bench.path("report.html").exists());
}

#[test]
fn foreign_files_are_refused_by_line_and_left_alone() {
    let bench = Bench::new();
    bench.run(&["--depths", "1"]).ok();
    let good = fs::read(bench.path("results.jsonl")).expect("results");
    let spoilt = [good.as_slice(), b"{\"name\": \"another benchmark\"}\n"].concat();
    fs::write(bench.path("results.jsonl"), &spoilt).expect("written");
    for arguments in [&["--depths", "2"][..], &["--no-run"], &["--results", "new.jsonl", "--compare", "results.jsonl"]]
    {
        bench.run(arguments).failed(&["results.jsonl: line 3: not a benchmark result"]);
    }
    assert_eq!(fs::read(bench.path("results.jsonl")).expect("still there"), spoilt);
    assert!(!bench.path("new.jsonl").exists());
}

#[test]
fn every_dtype_is_measured_in_its_own_right() {
    let bench = Bench::new();
    bench.run(&["--dtype", "f32,f16", "--depths", "1", "--phases", "decode"]).ok();
    let dtypes: Vec<Value> = bench.lines("results.jsonl").iter().map(|line| line["case"]["dtype"].clone()).collect();
    assert_eq!(dtypes, ["f32", "f16"]);
}

#[cfg(feature = "ndarray")]
#[test]
fn a_dtype_that_a_device_has_not_is_skipped_and_told() {
    let bench = Bench::new();
    let model = text_of(fixture("ouro-arith"));
    let arguments =
        ["bench", "--model", &model, "--context", "16", "--depths", "1", "--samples", "1", "--warm-up", "0"];
    let measure = |backends: &str| {
        let mut command = command(&[&arguments[..], &["--dtype", "f16", "--backends", backends]].concat());
        command.current_dir(bench.folder.path());
        finish(command)
    };
    let none = measure("ndarray");
    assert_eq!((none.code, none.stdout.as_str()), (Some(2), ""));
    assert!(none.stderr.contains("nothing could be measured: skipped f16 on ndarray"), "{}", none.stderr);
    assert!(none.stderr.contains("does not compute in f16; it does in f32"), "{}", none.stderr);
    assert!(!bench.path("results.jsonl").exists(), "no empty file is left");
    let both = measure("flex,ndarray");
    assert!(both.stderr.contains("skipped f16 on ndarray"), "{}", both.stderr);
    both.ok();
    assert_eq!(bench.lines("results.jsonl").len(), 2);
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_was_measured() {
    use std::time::{Duration, Instant};

    let bench = Bench::new();
    let model = text_of(fixture("ouro-arith"));
    let mut command = command(&["bench", "--model", &model, "--context", "16", "--depths", "1,2,3,4,5,6,7,8"]);
    command.args(["--backends", "flex", "--warm-up", "0.5"]).current_dir(bench.folder.path());
    let child = command.spawn().expect("the binary starts");
    let results = bench.path("results.jsonl");
    let some = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.lines().count() >= 2);
    let begun = Instant::now();
    while !some(&results) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is measured");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill is there").success());
    let stopped = child.wait_with_output().expect("it ends");
    assert_eq!(stopped.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&stopped.stderr).contains("stopped before the end"));
    let n = bench.lines("results.jsonl").len();
    // The two that were there and the one under way, at the least.
    assert!((3..16).contains(&n), "{n}");
    assert!(bench.path("report.html").exists());
}

#[test]
fn backends_are_listed_with_what_works_and_what_is_missing() {
    let listing = run(&["backends"]).ok();
    assert!(
        listing.contains("flex") && listing.contains("f32") && listing.contains("--backend auto chooses"),
        "{listing}"
    );
    let report: Value = serde_json::from_str(&run(&["backends", "--json"]).ok()).expect("JSON");
    let compiled_in = report["compiled_in"].as_array().expect("a list");
    let flex = compiled_in.iter().find(|backend| backend["backend"] == "flex").expect("it is the default");
    assert_eq!(flex["devices"][0]["class"], "cpu");
    let missing = report["not_compiled_in"].as_array().expect("a list");
    assert_eq!(compiled_in.len() + missing.len(), 4);
    for feature in missing.iter().filter_map(Value::as_str) {
        assert!(listing.contains(feature), "{feature} is not in {listing}");
    }
}

#[test]
fn the_environment_names_a_backend_and_the_argument_another() {
    let model = text_of(fixture("ouro-arith"));
    let generate = |variable: &str, arguments: &[&str]| {
        let mut command = command(&[&["generate", "--model", &model, "--prompt", "47+38="], arguments].concat());
        finish({
            command.env("DEPTHSCALE_BACKEND", variable);
            command
        })
    };
    assert_eq!(generate("flex", &[]).ok(), "85\n");
    generate("tpu", &[]).refused(2, &["\"tpu\" is not known"]);
    assert_eq!(generate("tpu", &["--backend", "flex"]).ok(), "85\n");
}

/// With a device, the same answer as on the processor; without one, what to install.
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_answers_or_says_what_to_install() {
    let model = text_of(fixture("ouro-arith"));
    let answer = run(&["generate", "--model", &model, "--prompt", "47+38=", "--backend", "wgpu"]);
    match answer.code {
        Some(0) => {
            assert_eq!(answer.stdout, "85\n");
            let generate = ["generate", "--model", &model, "--prompt", "47+38=", "--backend"];
            run(&[&generate[..], &["wgpu:99"]].concat()).refused(2, &["there is no wgpu:99; found wgpu:0 ("]);
            run(&[&generate[..], &["wgpu", "--dtype", "bf16"]].concat()).refused(2, &["does not compute in bf16"]);
        }
        _ => answer.refused(2, &["backend wgpu has no device here", "install"]),
    }
}
