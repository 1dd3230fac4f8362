//! Training, evaluating and calibrating a model as a user would.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{command, fixture, run, text_of};

/// A recipe for a tiny model of Ouro's family in a directory of its own.
struct Recipe {
    scratch: tempfile::TempDir,
}

impl Recipe {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let shape = r#"{"model_type": "ouro", "vocab_size": 56, "hidden_size": 24, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64, "total_ut_steps": 3}"#;
        std::fs::write(scratch.path().join("config.json"), shape).expect("written");
        let text = format!(
            "seed = 1\n[output]\ndirectory = {:?}\ncheckpoint_every = 5\nlog_every = 5\n[model]\nconfig = {:?}\n\
             [data]\ntasks = [{{ task = \"addition\", min = 1, max = 3 }}, {{ task = \"boolean\", min = 2, max = 3 }}]\n\
             sequence = 64\n[batch]\nsequences = 4\n[depth]\nmean = 3\n[optimizer]\nlearning_rate = 1e-3\n\
             [schedule]\nsteps = 10\n[evaluation]\nevery = 5\nproblems = 5\n",
            scratch.path().join("run"),
            scratch.path().join("config.json"),
        );
        std::fs::write(scratch.path().join("recipe.toml"), text).expect("written");
        Self { scratch }
    }

    fn file(&self) -> String {
        text_of(self.scratch.path().join("recipe.toml"))
    }

    fn out(&self, name: &str) -> PathBuf {
        self.scratch.path().join("run").join(name)
    }
}

fn exists(path: &Path) -> bool {
    path.exists()
}

#[test]
fn a_model_is_trained_evaluated_calibrated_and_used() {
    let recipe = Recipe::new();
    let trained = run(&["train", &recipe.file()]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    assert!(trained.stdout.contains("step 10  loss") && trained.stdout.contains("saved"), "{}", trained.stdout);
    assert!(trained.stdout.contains("addition       % right at depth 1 to 3"), "{}", trained.stdout);
    for name in ["report.html", "metrics.jsonl", "recipe.toml", "model/model.safetensors", "model/tokenizer.json"] {
        assert!(exists(&recipe.out(name)), "{name}");
    }
    let model = text_of(recipe.out("model"));
    let page = text_of(recipe.out("eval.html"));
    let evaluated = run(&[
        "eval",
        "--model",
        &model,
        "--problems",
        "10",
        "--max-depth",
        "4",
        "--exits",
        "q-exit",
        "--report",
        &page,
        "--json",
    ]);
    assert_eq!(evaluated.code, Some(0), "{}", evaluated.stderr);
    let report: serde_json::Value = serde_json::from_str(&evaluated.stdout).expect("JSON");
    assert_eq!(report["depths"]["max_depth"], 4);
    assert!(report["exits"].as_array().is_some_and(|exits| exits.len() > 5));
    assert!(std::fs::read_to_string(&page).expect("a page").contains("addition"));
    // Every wrong answer is as wrong at any depth: the cheapest exit is within the tolerance.
    let calibrated = run(&["calibrate", "--model", &model, "--problems", "10", "--tolerated-loss", "100"]);
    assert_eq!(calibrated.code, Some(0), "{}", calibrated.stderr);
    assert!(calibrated.stdout.contains("is the cheapest of"), "{}", calibrated.stdout);
    assert!(exists(&recipe.out("model/exit.json")));
    let generated = run(&["generate", "--model", &model, "--prompt", "1+2=", "--max-new-tokens", "3", "--json"]);
    let generated: serde_json::Value = serde_json::from_str(&generated.stdout).expect("JSON");
    // The model of this family asks for full depth by itself.
    assert!(generated["steps_saved"].as_f64().is_some_and(|saved| saved > 0.0), "{generated}");
}

#[test]
fn an_interrupt_finishes_the_step_saves_and_exits_130() {
    let recipe = Recipe::new();
    let mut child = command(&["train", &recipe.file(), "schedule.steps=100000", "evaluation.every=0"])
        .spawn()
        .expect("the binary starts");
    let begun = Instant::now();
    while !exists(&recipe.out("checkpoints/step-000005")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    let code = child.wait().expect("it ends").code();
    assert_eq!(code, Some(130));
    let again = run(&["train", &recipe.file(), "schedule.steps=100000", "evaluation.every=0"]);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("holds a run already"), "{}", again.stderr);
    // Another recipe is not resumed.
    let foreign = run(&["train", &recipe.file(), "--resume"]);
    assert_eq!(foreign.code, Some(2));
    assert!(foreign.stderr.contains("another recipe"), "{}", foreign.stderr);
}

#[test]
fn a_dry_run_says_what_a_run_would_take_and_writes_nothing() {
    let recipe = Recipe::new();
    let dry = run(&["train", &recipe.file(), "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    for line in ["parameters", "most memory held in a step", "tokens per step", "steps", "time for all, estimated"] {
        assert!(dry.stdout.contains(line), "{line}: {}", dry.stdout);
    }
    assert!(!exists(&recipe.out("")));
}

#[test]
fn what_is_wrong_with_a_recipe_is_said_with_its_place() {
    let recipe = Recipe::new();
    let refused = |arguments: &[&str]| {
        let run = run(arguments);
        assert!(run.code.is_some_and(|code| code != 0), "{}", run.stdout);
        (run.code, run.stderr)
    };
    let text = std::fs::read_to_string(recipe.file()).expect("reads");
    std::fs::write(recipe.file(), text.replace("steps = 10", "stepz = 10")).expect("written");
    let (code, error) = refused(&["train", &recipe.file()]);
    assert_eq!(code, Some(2));
    assert!(error.contains("recipe.toml: line 18, column 1") && error.contains("did you mean `steps`"), "{error}");
    std::fs::write(recipe.file(), &text).expect("written");
    let (code, error) = refused(&["train", &recipe.file(), "data.tasks.0.task=sodoku-4"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("did you mean `sudoku-4`"), "{error}");
    let (code, error) = refused(&["train", "nowhere.toml"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("nowhere.toml"), "{error}");
    let lines = recipe.scratch.path().join("lines.jsonl");
    std::fs::write(&lines, "{\"prompt\": \"1+1=\", \"answer\": \"2\"}\n{\"prompt\": \"1+2=\"}\n").expect("written");
    let tokenizer = text_of(fixture("ouro-arith").join("tokenizer.json"));
    let data = format!("data.lines={{ files = [{lines:?}] }}");
    let (code, error) = refused(&["train", &recipe.file(), &data, &format!("model.tokenizer={tokenizer}")]);
    assert_eq!(code, Some(1));
    assert!(error.contains("lines.jsonl") && error.contains("line 2"), "{error}");
}

#[test]
fn an_evaluation_needs_to_know_its_tasks() {
    let model = text_of(fixture("ouro-arith"));
    let unknown = run(&["eval", "--model", &model]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("--tasks"), "{}", unknown.stderr);
    // This checkpoint has learned two-digit sums: one step is too few, two are enough.
    let known =
        run(&["eval", "--model", &model, "--tasks", "addition:2", "--problems", "60", "--max-depth", "2", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&known.stdout).expect("JSON");
    let share = |at: usize| report["depths"]["overall"][at]["scores"]["accuracy"]["share"].as_f64().expect("a share");
    assert!(share(0) < 0.6 && share(1) > 0.95, "{} {}", share(0), share(1));
}

#[test]
fn what_a_recipe_holds_out_of_text_and_lines_is_measured() {
    let recipe = Recipe::new();
    let lines: String = (0..40).map(|i| format!("{{\"prompt\": \"{i}+1=\", \"answer\": \"{}\"}}\n", i + 1)).collect();
    let tokenizer = format!("model.tokenizer={}", text_of(fixture("ouro-arith").join("tokenizer.json")));
    for (kind, text) in [("lines", lines), ("text", "1+1=2 ".repeat(2000))] {
        let file = recipe.scratch.path().join(kind);
        std::fs::write(&file, text).expect("written");
        let (data, output) = (
            format!("data.{kind}={{ files = [{file:?}], held_out = 0.5 }}"),
            recipe.scratch.path().join(format!("run-{kind}")),
        );
        let output_key = format!("output.directory={}", text_of(&output));
        let trained =
            run(&["train", &recipe.file(), &data, "data.tasks=", &output_key, &tokenizer, "evaluation.every=0"]);
        assert_eq!(trained.code, Some(0), "{}", trained.stderr);
        let model = text_of(output.join("model"));
        let evaluated = run(&["eval", "--model", &model, "--max-depth", "2", "--problems", "8", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&evaluated.stdout).expect("JSON");
        assert_eq!(report["depths"]["tasks"][0]["task"], kind, "{}", evaluated.stdout);
        let calibrated =
            run(&["calibrate", "--model", &model, "--problems", "8", "--tolerated-loss", "100", "--dry-run"]);
        assert_eq!(calibrated.code, Some(0), "{}", calibrated.stderr);
    }
}

#[test]
fn a_problem_is_solved_with_what_the_answer_would_have_been() {
    let model = text_of(fixture("ouro-arith"));
    let solved = run(&["solve", "--model", &model, "47+38=", "--exit", "q-exit:0.5", "--json"]);
    assert_eq!(solved.code, Some(0), "{}", solved.stderr);
    let answer: serde_json::Value = serde_json::from_str(&solved.stdout).expect("JSON");
    assert_eq!(
        (&answer["answer"], &answer["right"], &answer["reason"]),
        (&"85".into(), &true.into(), &"converged".into())
    );
    let hypotheses = answer["hypotheses"].as_array().expect("a list");
    assert_eq!(hypotheses.len() as u64, answer["steps"].as_u64().expect("a number"));
    assert!(hypotheses.first() != Some(&"85".into()) && hypotheses.last() == Some(&"85".into()), "{answer}");
    assert_eq!(answer["values"].as_array().map(Vec::len), Some(hypotheses.len()));
    let many =
        run(&["solve", "--model", &model, "--task", "addition", "--difficulty", "2", "--random", "3", "--all-depths"]);
    assert!(many.stdout.contains("3 of 3 right") && many.stdout.contains("4.00 of 4 steps"), "{}", many.stdout);
    let unknown = run(&["solve", "--model", &model, "--task", "adition"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("did you mean `addition`"), "{}", unknown.stderr);
    assert_eq!(run(&["solve", "--model", &model, "1+1=", "--random", "2"]).code, Some(2));
}
