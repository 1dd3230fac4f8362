//! `depthscale generate`

use std::fs;
use std::io::Read;

use serde_json::Value;

use crate::{command, fixture, run, run_with_stdin, text_of};

fn arith() -> String {
    text_of(fixture("ouro-arith"))
}

#[test]
fn the_first_command_of_the_readme_adds() {
    let run = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--trace"]);
    assert!(run.stderr.contains("mean depth 4.00 of 4"), "{}", run.stderr);
    assert!(run.stderr.contains("tokens/s") && run.stderr.contains("steps saved"));
    let stdout = run.ok();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..2], ["85", ""]);
    assert!(lines[2].starts_with("token  depth  q-exit"));
    assert!(lines[3].starts_with("8        4/4  ") && lines[4].starts_with("5        4/4  "), "{stdout}");
    assert!(lines[5].starts_with("\\n") && lines[5].ends_with("full depth, end of text"), "{stdout}");
    // Piped, so without colours.
    assert!(!stdout.contains('\u{1b}'));
}

#[test]
fn colours_follow_the_depth_where_they_are_asked_for() {
    let mut shown =
        command(&["generate", "--model", &arith(), "--prompt", "47+38=", "--trace", "--exit", "q-exit:0.5"]);
    let stdout = crate::finish({
        shown.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        shown
    });
    let stdout = stdout.ok();
    // Three of four steps for the digits, two for the end.
    assert!(
        stdout.contains("\u{1b}[38;5;215m8\u{1b}[0m") && stdout.contains("\u{1b}[38;5;107m2/4\u{1b}[0m"),
        "{stdout}"
    );
}

#[test]
fn an_exit_saves_steps_and_keeps_the_answer() {
    let run = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--exit", "q-exit:0.5"]);
    assert!(run.stderr.contains("mean depth 2.67 of 4 · 33.3% of steps saved"), "{}", run.stderr);
    assert_eq!(run.ok(), "85\n");
}

#[test]
fn a_last_step_alone_is_a_fixed_depth() {
    let run = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--max-steps", "2"]);
    assert!(run.stderr.contains("mean depth 2.00 of 2"), "{}", run.stderr);
    assert_eq!(run.ok(), "85\n");
}

#[test]
fn quiet_leaves_the_text_alone() {
    let run = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--quiet"]);
    assert_eq!(run.stderr, "");
    assert_eq!(run.ok(), "85\n");
}

#[test]
fn json_holds_everything() {
    let run = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--json", "--exit", "q-exit:0.5"]);
    let report: Value = serde_json::from_str(&run.ok()).expect("one JSON object");
    assert_eq!(report["text"], "85");
    assert_eq!(report["stop"], "end-token");
    assert_eq!(report["end_token"]["id"], 1);
    assert_eq!(report["max_depth"], 4);
    let tokens = report["tokens"].as_array().expect("a list");
    assert_eq!((tokens[0]["text"].as_str(), tokens[1]["text"].as_str()), (Some("8"), Some("5")));
    assert_eq!((&tokens[0]["steps"], &tokens[0]["reason"]), (&3.into(), &"converged".into()));
    assert_eq!(tokens[0]["values"].as_array().map(Vec::len), Some(3));
    assert!((report["mean_depth"].as_f64().expect("a number") - 8.0 / 3.0).abs() < 1e-9);
    assert!(report["steps_saved"].as_f64().is_some_and(|saved| saved > 0.3));
    assert!(report["block_evaluations"]["core"].as_u64().is_some_and(|blocks| blocks > 0));
    assert_eq!(report["timings"]["prompt_tokens"], 7);
}

#[test]
fn a_prompt_comes_from_a_file_or_stdin_without_its_last_newline() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("prompt.txt");
    fs::write(&file, "47+38=\r\n").expect("written");
    let from_file = run(&["generate", "--model", &arith(), "--prompt-file", &text_of(file)]);
    assert_eq!(from_file.ok(), "85\n");
    let from_stdin = run_with_stdin(&["generate", "--model", &arith(), "--prompt", "-"], b"47+38=\n");
    assert_eq!(from_stdin.ok(), "85\n");
}

#[test]
fn stop_strings_and_lengths_end_the_text() {
    let stopped = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--stop", "5"]);
    assert!(stopped.stderr.contains("ended at the stop string \"5\""), "{}", stopped.stderr);
    assert_eq!(stopped.ok(), "8\n");
    let short = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--max-new-tokens", "1"]);
    assert!(short.stderr.contains("ended after as many tokens as asked for"), "{}", short.stderr);
    assert_eq!(short.ok(), "8\n");
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let draw = |seed: &str| {
        let model = arith();
        run(&["generate", "--model", &model, "--prompt", "1+", "--temperature", "3", "--seed", seed, "-q"]).ok()
    };
    assert_eq!(draw("1"), draw("1"));
    assert!((2..8).any(|seed| draw(&seed.to_string()) != draw("1")));
}

#[test]
fn every_retention_policy_runs() {
    for policy in ["per-step", "shared", "first-then-shared", "last-step-after-prefill"] {
        let arguments =
            ["generate", "--model", &arith(), "--prompt", "47+38=", "--max-new-tokens", "3", "--kv", policy];
        run(&arguments).ok();
    }
    let options = ["--kv", "shared", "--approximate-prefill", "--zero-init", "--chunk", "2", "--max-new-tokens", "3"];
    run(&[&["generate", "--model", &arith(), "--prompt", "47+38="], options.as_slice()].concat()).ok();
    // With one step there is nothing to share.
    let one = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--max-steps", "1", "--kv", "shared"]).ok();
    let other = run(&["generate", "--model", &arith(), "--prompt", "47+38=", "--max-steps", "1"]).ok();
    assert_eq!(one, other);
}

#[test]
fn a_reader_who_goes_away_ends_it_quietly() {
    let arguments = ["generate", "--model", &arith(), "--prompt", "1+", "--temperature", "9", "--trace", "-q"];
    let mut child = command(&arguments).spawn().expect("the binary starts");
    let mut first = [0];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut first).expect("something is printed");
    drop(stdout);
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
