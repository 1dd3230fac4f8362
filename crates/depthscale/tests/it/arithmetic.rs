//! A small Ouro model, trained with the published implementation, answers as well here as its authors' code measured,
//! and exits early for real.

use std::fs;
use std::ops::ControlFlow;

use depthscale::prelude::*;
use serde_json::Value;

use crate::{TestBackend, arith, fixture};

/// Problems whose answer may differ from the published implementation's.
const MAY_DIFFER: f64 = 2.0;

fn json(name: &str) -> Value {
    let text = fs::read_to_string(fixture("ouro-arith").join(name)).expect("the fixture is there");
    serde_json::from_str(&text).expect("it is JSON")
}

/// The share of the problems answered exactly, as the published implementation measured it.
fn recorded(key: &str) -> f64 {
    json("meta.json")["accuracy"]["add"][key].as_f64().expect("it was recorded")
}

struct Measured {
    n_problems: usize,
    accuracy: f64,
    mean_depth: f64,
}

fn measure(model: &LanguageModel<TestBackend>, exit: ExitPolicy) -> Measured {
    let problems = json("eval.json")["add"].as_array().expect("a list of problems").clone();
    let text = |problem: &Value, key: &str| problem[key].as_str().expect("a string").to_owned();
    let requests: Vec<CompletionRequest> = problems.iter().map(|problem| text(problem, "prompt").into()).collect();
    let options = CompletionOptions { exit: Some(exit), max_new_tokens: 8, ..CompletionOptions::default() };
    let completions =
        model.complete_all(&requests, &options, |_| ControlFlow::Continue(())).expect("all problems are answered");
    let right = completions.iter().zip(&problems).filter(|(found, problem)| found.text == text(problem, "answer"));
    // The tokens of the answers and their end tokens.
    let depth = DepthTrace { tokens: completions.iter().flat_map(|found| found.depth.tokens.clone()).collect() };
    Measured {
        n_problems: problems.len(),
        accuracy: right.count() as f64 / problems.len() as f64,
        mean_depth: depth.mean_depth(),
    }
}

#[test]
fn accuracy_at_every_depth_is_the_published_one() {
    let model = arith();
    for depth in 1..=4 {
        let measured = measure(&model, ExitPolicy::fixed(depth));
        let recorded = recorded(&format!("loops_{depth}"));
        println!("{depth} loops: accuracy {:.4}, recorded {recorded:.4}", measured.accuracy);
        assert_eq!(measured.n_problems, 300);
        assert_eq!(measured.mean_depth, depth as f64);
        let differ = (measured.accuracy - recorded).abs() * measured.n_problems as f64;
        assert!(differ <= MAY_DIFFER + 1e-6, "{differ} problems differ");
    }
}

#[test]
fn the_gate_exits_early_at_the_published_accuracy() {
    let model = arith();
    // At 0.9 this model runs to full depth.
    for (threshold, bound) in [(0.3, Some(2.5)), (0.5, Some(3.2)), (0.7, Some(3.8)), (0.9, None)] {
        let measured = measure(&model, ExitPolicy { threshold, ..ExitPolicy::new(Criterion::QExit) });
        let recorded = recorded(&format!("q_{threshold}"));
        println!(
            "q-exit at {threshold}: accuracy {:.4}, recorded {recorded:.4}, mean depth {:.4}",
            measured.accuracy, measured.mean_depth
        );
        assert!((measured.accuracy - recorded).abs() <= 0.03);
        assert!(bound.is_none_or(|bound| measured.mean_depth < bound), "mean depth {}", measured.mean_depth);
    }
}
