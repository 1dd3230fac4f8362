//! Runs: they reproduce, resume, keep what was there, and do not grow with depth.

use std::path::Path;

use burn::backend::Autodiff;
use burn_flex::Flex;
use depthscale_decoder::{ModelDirectory, RecurrentDecoder};
use depthscale_train::run::{EvaluationMetrics, MetricsRecord, StepMetrics, read_metrics};
use depthscale_train::{RunDirectory, RunEnd, RunObserver, Start, StepRecord, TrainConfig, TrainError, TrainingRun};

type B = Autodiff<Flex>;

/// A small model of Ouro's family on one-digit sums.
fn recipe(directory: &Path, overrides: &[&str]) -> TrainConfig {
    let config = directory.join("config.json");
    let shape = r#"{"model_type": "ouro", "vocab_size": 56, "hidden_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64, "total_ut_steps": 3}"#;
    std::fs::write(&config, shape).expect("written");
    let text = format!(
        r#"
        seed = 3
        averaging = {{ exponential = {{ decay = 0.5 }} }}
        [output]
        directory = {:?}
        checkpoint_every = 2
        keep = 2
        log_every = 1
        [model]
        config = {config:?}
        [data]
        tasks = [{{ task = "addition", min = 1, max = 2 }}, {{ task = "boolean", min = 1, max = 2 }}]
        sequence = 64
        [batch]
        sequences = 6
        accumulate = 2
        [depth]
        distribution = "poisson"
        mean = 3
        max = 6
        per = "sequence"
        backprop = 2
        [loss]
        kind = "expected-exit"
        [optimizer]
        learning_rate = 3e-3
        muon = {{ learning_rate = 0.01 }}
        [schedule]
        steps = 6
        warmup = 2
        kind = "cosine"
        [evaluation]
        every = 0
        "#,
        directory.join("run")
    );
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    TrainConfig::parse(&text, "recipe.toml", &overrides).expect("a recipe")
}

/// Notes steps, and stops after one of them.
#[derive(Default)]
struct Watch {
    records: Vec<StepRecord>,
    stop_after: Option<usize>,
}

impl RunObserver<B> for Watch {
    fn stepped(&mut self, record: &StepRecord) {
        self.records.push(record.clone());
    }

    fn logged(&mut self, _: &StepMetrics) {}

    fn saved(&mut self, _: &Path) {}

    fn evaluate(&mut self, _: usize, _: RecurrentDecoder<Flex>) -> depthscale_train::Result<Option<EvaluationMetrics>> {
        Ok(None)
    }

    fn is_interrupted(&self) -> bool {
        self.stop_after.is_some_and(|step| self.records.last().is_some_and(|last| last.step >= step))
    }
}

fn open(config: TrainConfig, start: Start) -> depthscale_train::Result<TrainingRun<B>> {
    TrainingRun::open(config, start, &Default::default(), &mut |_| {})
}

/// Runs a recipe and gives the losses of its steps.
fn train(config: TrainConfig, start: Start, stop_after: Option<usize>) -> (Vec<(usize, f64, f64)>, RunEnd) {
    let mut watch = Watch { stop_after, ..Watch::default() };
    let end = open(config, start).expect("opens").train(&mut watch).expect("trains");
    let losses = watch.records.iter().map(|record| (record.step, record.loss, record.gradient_norm));
    (losses.collect(), end)
}

#[test]
fn a_seed_gives_the_same_losses_and_another_does_not() {
    let scratch = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let one = |at: usize, overrides: &[&str]| train(recipe(scratch[at].path(), overrides), Start::Fresh, None).0;
    let first = one(0, &[]);
    assert_eq!(first.len(), 6);
    assert_eq!(one(1, &[]), first);
    assert_ne!(one(2, &["seed=4"]), first);
    assert!(first.iter().all(|(_, loss, norm)| loss.is_finite() && *norm > 0.0));
}

/// What data-parallel training rests on: gradients of parts, each prediction with its share of the whole, add up.
#[test]
fn parts_of_a_batch_add_up_to_the_whole() {
    let of = |sequences: usize, accumulate: usize| {
        let scratch = tempfile::tempdir().expect("a directory");
        let parts = [format!("batch.sequences={sequences}"), format!("batch.accumulate={accumulate}")];
        let fixed = ["depth={ mean = 3 }", "optimizer.muon=", parts[0].as_str(), parts[1].as_str()];
        train(recipe(scratch.path(), &fixed), Start::Fresh, None).0
    };
    for ((step, loss, norm), (_, same_loss, same_norm)) in of(12, 1).into_iter().zip(of(3, 4)) {
        assert!((loss - same_loss).abs() < 1e-4 * loss, "step {step}: {loss} {same_loss}");
        assert!((norm - same_norm).abs() < 1e-3 * norm, "step {step}: {norm} {same_norm}");
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_losses() {
    let (whole, parts) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (expected, end) = train(recipe(whole.path(), &[]), Start::Fresh, None);
    assert_eq!(end, RunEnd::Done);
    // Asked to stop after step 3, which is saved though no checkpoint is due.
    let (mut found, end) = train(recipe(parts.path(), &[]), Start::Fresh, Some(3));
    assert_eq!(end, RunEnd::Interrupted { step: 3 });
    // Killed in step 5: what came after the checkpoint of step 4 is lost, and done again.
    let (four, _) = train(recipe(parts.path(), &[]), Start::Resume, Some(4));
    found.extend(four);
    let directory = RunDirectory::new(parts.path().join("run"));
    std::fs::create_dir(directory.path.join("checkpoints/.partial-000005")).expect("made");
    let log = directory.metrics();
    let mut lines = std::fs::read_to_string(&log).expect("reads");
    lines.push_str("{\"steps\":{\"step\":5,\"st");
    std::fs::write(&log, lines).expect("written");
    let (rest, end) = train(recipe(parts.path(), &[]), Start::Resume, None);
    found.extend(rest);
    assert_eq!(end, RunEnd::Done);
    assert_eq!(found, expected);
    // The log has every step once, and the two newest checkpoints are there.
    let logged: Vec<usize> = read_metrics(&log).expect("reads").iter().map(MetricsRecord::step).collect();
    assert_eq!(logged, [1, 2, 3, 4, 5, 6]);
    assert_eq!(directory.steps(), [4, 6]);
    // The model to use is Ouro's own layout, and the same from both runs.
    let model = |root: &Path| {
        let path = RunDirectory::new(root.join("run")).model();
        let opened = ModelDirectory::open(&path).expect("opens");
        assert!(path.join("tokenizer.json").exists());
        assert!(opened.checkpoint().contains("model.layers.0.self_attn.q_proj.weight"));
        std::fs::read(path.join("model.safetensors")).expect("reads")
    };
    assert!(model(whole.path()) == model(parts.path()));
}

#[test]
fn another_recipe_or_a_second_beginning_is_refused() {
    let scratch = tempfile::tempdir().expect("a directory");
    train(recipe(scratch.path(), &["schedule.steps=4"]), Start::Fresh, None);
    let refused = |overrides: &[&str], start| match open(recipe(scratch.path(), overrides), start) {
        Ok(_) => panic!("refused"),
        Err(error) => error,
    };
    assert!(matches!(refused(&["schedule.steps=4"], Start::Fresh), TrainError::RunExists { .. }));
    let error = refused(&["schedule.steps=4", "optimizer.learning_rate=1"], Start::Resume);
    assert!(matches!(error, TrainError::ForeignRun { .. }), "{error}");
    // Where it writes and what it evaluates may change.
    assert!(open(recipe(scratch.path(), &["schedule.steps=4", "output.keep=1"]), Start::Resume).is_ok());
    // A damaged file is named.
    let moments = RunDirectory::new(scratch.path().join("run")).checkpoint(4).join("optimizer.bin");
    let bytes = std::fs::read(&moments).expect("reads");
    std::fs::write(&moments, &bytes[..bytes.len() / 2]).expect("written");
    let error = refused(&["schedule.steps=4"], Start::Resume).to_string();
    assert!(error.contains("optimizer.bin is damaged"), "{error}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let scratch = tempfile::tempdir().expect("a directory");
    let refused = |overrides: &[&str]| match open(recipe(scratch.path(), overrides), Start::Fresh) {
        Ok(_) => panic!("refused: {overrides:?}"),
        Err(error) => error.to_string(),
    };
    let error = refused(&["data.tasks.0.task=adition"]);
    assert!(error.contains("adition") && error.contains("addition"), "{error}");
    assert!(refused(&["model.freeze=[\"*\"]"]).contains("leaves nothing to train"));
    assert!(refused(&["depth={ mean = 1 }", "loss.kind=gate-only", "averaging=none"]).contains("reaches none"));
    assert!(refused(&["data.sequence=80"]).contains("64 positions"));
    assert!(refused(&["data.sequence=6"]).contains("data.sequence allows 6"));
    let arith = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-arith");
    assert!(refused(&[&format!("model.tokenizer={arith}")]).contains("another vocabulary than the tasks"));
    let small = scratch.path().join("small.json");
    let shape = std::fs::read_to_string(scratch.path().join("config.json")).expect("reads");
    std::fs::write(&small, shape.replace("\"vocab_size\": 56", "\"vocab_size\": 20")).expect("written");
    let error = refused(&[&format!("model.config={}", small.display())]);
    assert!(error.contains("20 token ids") && error.contains("56"), "{error}");
    assert!(refused(&["model.config=nowhere.json"]).contains("nowhere.json"));
    let text = scratch.path().join("text.txt");
    std::fs::write(&text, b"1+1=2\n\xff").expect("written");
    let error = refused(&[&format!("data.text={{ files = [{text:?}] }}")]);
    assert!(error.contains("tokenizer"), "{error}");
    let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-arith/tokenizer.json");
    let error = refused(&[&format!("data.text={{ files = [{text:?}] }}"), &format!("model.tokenizer={tokenizer}")]);
    assert!(error.contains("text.txt") && error.contains('6'), "{error}");
    assert!(!scratch.path().join("run/recipe.toml").exists(), "nothing was begun");
}

#[test]
fn frozen_parameters_stay_as_they_are() {
    let scratch = tempfile::tempdir().expect("a directory");
    let config = recipe(scratch.path(), &["model.freeze=[\"core.*\", \"embedding\"]"]);
    let mut run = open(config, Start::Fresh).expect("opens");
    let weights = |run: &TrainingRun<B>| {
        let scratch = tempfile::tempdir().expect("a directory");
        let overwrite = depthscale_checkpoint::Overwrite::Yes;
        // Their average: frozen weights must not drift in it either.
        run.published.save(&run.trainer.weights(), scratch.path(), overwrite).expect("saved");
        let directory = ModelDirectory::open(scratch.path()).expect("opens");
        let read = |name: &str| {
            let shape = directory.checkpoint().info(name).expect("there").shape;
            directory.checkpoint().read_f32(name, &shape).expect("reads")
        };
        ["model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight", "lm_head.weight"].map(read)
    };
    let before = weights(&run);
    run.train(&mut Watch::default()).expect("trains");
    let after = weights(&run);
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2], after[2]);
}

#[test]
fn what_is_not_finite_is_skipped_and_then_stops_the_run() {
    let scratch = tempfile::tempdir().expect("a directory");
    let overrides =
        ["optimizer.learning_rate=1e30", "optimizer.muon=", "guard.most_skipped_in_a_row=2", "schedule.warmup=0"];
    let mut run = open(recipe(scratch.path(), &overrides), Start::Fresh).expect("opens");
    let mut watch = Watch::default();
    let error = run.train(&mut watch).expect_err("nothing can be learnt so");
    assert!(matches!(error, TrainError::Stopped { in_a_row: 3, .. }), "{error}");
    assert!(watch.records.iter().filter(|record| record.skipped.is_some()).count() == 2);
    // The log says so, and can be read.
    let log = read_metrics(&run.directory.metrics()).expect("reads");
    assert!(log.iter().any(|line| matches!(line, MetricsRecord::Steps(steps) if steps.skip_reason.is_some())));
}

#[test]
fn difficulties_follow_the_curriculum_or_are_all_there_from_the_start() {
    let hardest = |overrides: &[&str]| {
        let scratch = tempfile::tempdir().expect("a directory");
        let data = r#"data.tasks=[{ task = "reverse", min = 2, max = 12 }]"#;
        let config = recipe(scratch.path(), &[&[data, "averaging=none"], overrides].concat());
        let mut run = open(config, Start::Fresh).expect("opens");
        let mut watch = Watch { stop_after: Some(1), ..Watch::default() };
        run.train(&mut watch).expect("trains");
        // "rev:", the letters, "=", the letters; all but the last token of each is read.
        watch.records[0].tokens
    };
    let (eased, all) = (hardest(&["data.difficulty_curriculum=1.0"]), hardest(&[]));
    assert!(eased < all, "{eased} {all}");
}
