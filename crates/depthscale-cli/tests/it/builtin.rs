//! The model that comes with the library, where none is named.

use serde_json::Value;

use super::{command, finish, run};

/// Tasks as hard as those it was trained on last.
const TASKS: &str = "modular-chain:2-6,addition:2-6,boolean:2-8,p-hop:1-5";

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&run(arguments).ok()).expect("JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn it_answers_with_its_hypotheses() {
    for (problem, answer) in
        [("47+38=", "85"), ("m7:3+5*4-2*6+1=", "6"), ("(T&(F|!F))=", "T"), ("b=c;a=3;c=a;?b=", "3")]
    {
        let solved = json(&["solve", problem, "--json"]);
        assert_eq!(solved["answer"], answer, "{problem}");
        let hypotheses = solved["hypotheses"].as_array().expect("a list");
        assert_eq!(hypotheses.last(), Some(&solved["answer"]), "{problem}");
    }
    let sum = json(&["solve", "47+38=", "--json"]);
    assert_eq!(sum["reason"], "converged");
    assert!(sum["steps"].as_u64().is_some_and(|steps| steps < 8), "{sum}");
    assert_eq!(run(&["generate", "--prompt", "47+38=", "--quiet"]).ok(), "85\n");
    let drawn = run(&["solve", "--task", "modular-chain", "--random", "5"]).ok();
    assert!(drawn.contains("5 of 5 right"), "{drawn}");
}

/// Each operation of a chain takes a step of its own.
#[test]
fn a_chain_is_solved_at_the_step_of_its_last_operation() {
    let solved = json(&["solve", "m7:3+5*4-2*6+1=", "--all-depths", "--json"]);
    let hypotheses: Vec<&str> =
        solved["hypotheses"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(hypotheses.len(), 8);
    assert!(hypotheses[5..].iter().all(|hypothesis| *hypothesis == "6"), "{hypotheses:?}");
    assert!(hypotheses[..3].iter().any(|hypothesis| *hypothesis != "6"), "{hypotheses:?}");
}

/// What its page promises, on fewer problems: accuracy rises with depth, and the exit keeps it at fewer steps.
#[test]
fn depth_buys_accuracy_and_the_exit_keeps_it() {
    let report = json(&["eval", "--tasks", TASKS, "--problems", "15", "--max-depth", "8", "--json"]);
    assert_eq!(report["model"]["name"], "the built-in model");
    let tasks = report["depths"]["tasks"].as_array().expect("tasks");
    for (task, most_at_one, least_at_eight) in
        [("modular-chain", 0.3, 0.99), ("addition", 0.6, 0.9), ("boolean", 0.7, 0.98), ("p-hop", 0.7, 0.8)]
    {
        let depths = tasks.iter().find(|entry| entry["task"] == task).expect(task);
        let accuracy = |depth: usize| number(&depths["by_depth"][depth - 1]["scores"]["accuracy"]["share"]);
        assert!(accuracy(1) < most_at_one, "{task} at one step: {}", accuracy(1));
        assert!(accuracy(8) > least_at_eight, "{task} at eight steps: {}", accuracy(8));
    }
    let full = number(&report["depths"]["overall"][7]["scores"]["accuracy"]["share"]);
    let exit = &report["calibrated"]["overall"];
    let (with_exit, mean_depth) = (number(&exit["scores"]["accuracy"]["share"]), number(&exit["mean_depth"]));
    assert!(with_exit >= full - 0.01, "{with_exit} with the exit, {full} without");
    assert!(mean_depth <= 0.6 * 8.0, "{mean_depth} steps");
}

#[test]
fn what_it_has_not_learnt_is_said() {
    let warned = |arguments: &[&str]| {
        let run = run(arguments);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stderr
    };
    assert!(warned(&["solve", "7*8="]).contains("not trained on multiplication"));
    assert!(warned(&["solve", "--task", "sudoku-4"]).contains("not trained on sudoku-4"));
    assert!(warned(&["solve", "123456789+1="]).contains("up to 6 digits, this has 9"));
    assert_eq!(warned(&["solve", "7*8=", "--quiet"]), "");
    assert_eq!(warned(&["solve", "47+38="]), "");
    for command in ["generate", "reason"] {
        run(&[command, "--prompt", "Hello"]).refused(2, &["character 1 of the text is 'H'", "--model"]);
    }
}

#[cfg(unix)]
#[test]
fn nothing_of_it_is_left_among_temporary_files() {
    let scratch = tempfile::tempdir().expect("a directory");
    let left = || std::fs::read_dir(scratch.path()).expect("is there").count();
    let in_scratch = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("TMPDIR", scratch.path());
        command
    };
    for arguments in [["solve", "47+38="], ["generate", "--prompt=Hello"]] {
        finish(in_scratch(&arguments));
        assert_eq!(left(), 0, "{arguments:?}");
    }
    let mut child = in_scratch(&["eval", "--problems", "10000"]).spawn().expect("it starts");
    // It listens a little after the directory is there.
    for _ in 0..1000 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        if left() > 0 {
            break;
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill is there").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert_eq!(left(), 0);
}

#[test]
fn no_exit_is_written_beside_it() {
    run(&["calibrate", "--tasks", "addition:2"]).refused(2, &["--model", "--dry-run"]);
}
