//! Trains a small looped model on boolean expressions, and shows its accuracy at every depth.
//!
//! `cargo run -p depthscale-examples --example train` takes some seconds, in which little is learnt: more `schedule.steps`
//! make it better. `depthscale train` does the same from a recipe in a file.

use std::path::Path;

use depthscale::backends::Flex;
use depthscale::burn::backend::Autodiff;
use depthscale::decoder::RecurrentDecoder;
use depthscale_train::run::{EvaluationMetrics, StepMetrics};
use depthscale_train::{Evaluator, RunObserver, Start, StepRecord, TrainConfig, TrainingRun};

type B = Autodiff<Flex>;

const RECIPE: &str = include_str!("training/recipe.toml");

/// Prints what a run tells.
struct Printed(Option<Evaluator>);

impl RunObserver<B> for Printed {
    fn stepped(&mut self, _: &StepRecord) {}

    fn logged(&mut self, metrics: &StepMetrics) {
        let loss = metrics.loss.unwrap_or(f64::NAN);
        println!("step {:3}  loss {loss:.4}  {:.0} tokens/s", metrics.step, metrics.tokens_per_second);
    }

    fn saved(&mut self, path: &Path) {
        println!("saved {}", path.file_name().unwrap_or_default().display());
    }

    fn evaluate(
        &mut self,
        step: usize,
        weights: RecurrentDecoder<Flex>,
    ) -> depthscale_train::Result<Option<EvaluationMetrics>> {
        let Some(evaluator) = &self.0 else { return Ok(None) };
        let metrics = evaluator.evaluate(step, &weights)?;
        for task in &metrics.tasks {
            let shares: Vec<String> = task.accuracy.iter().map(|share| format!("{:.0}%", 100.0 * share)).collect();
            println!("{} held-out problems of {}, right by depth: {}", task.problems, task.task, shares.join(" "));
        }
        Ok(Some(metrics))
    }

    fn is_interrupted(&self) -> bool {
        false
    }
}

fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    // Paths in a recipe are as they were written: here both lead into this example.
    let shape = Path::new(env!("CARGO_MANIFEST_DIR")).join("training/config.json");
    let overrides =
        [format!("output.directory={}", scratch.path().display()), format!("model.config={}", shape.display())];
    let config = TrainConfig::parse(RECIPE, "recipe.toml", &overrides)?;
    let mut run = TrainingRun::<B>::open(config, Start::Fresh, &Default::default(), &mut |_| {})?;
    let evaluator = Evaluator::new(&run.trainer.config, run.trainer.decoder.config())?;
    run.train(&mut Printed(evaluator))?;
    // What is written can be opened like any other model.
    let trained = RecurrentDecoder::<Flex>::open(&run.directory.model(), &Default::default())?;
    println!("{} parameters, depth {}", trained.config().parameter_count(), trained.config().depth);
    Ok(())
}
