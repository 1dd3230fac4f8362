//! What a run shows: a line that changes in a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::path::Path;

use depthscale::burn::tensor::backend::AutodiffBackend;
use depthscale::decoder::RecurrentDecoder;
use depthscale_train::run::{EvaluationMetrics, StepMetrics};
use depthscale_train::{Evaluator, RunObserver, StepRecord, Trainer};

use crate::progress::{Shown, Verbosity, steps};
use crate::stop;

/// How often accuracy is shown over depths in one line.
const MOST_COLUMNS: usize = 12;

pub(super) struct Progress {
    bar: Shown,
    evaluator: Option<Evaluator>,
    verbosity: Verbosity,
    /// Whether every line of the log is shown as a line.
    lines: bool,
    loss: f64,
    recurrences_per_second: f64,
}

impl Progress {
    pub(super) fn new<B: AutodiffBackend>(trainer: &Trainer<B>, verbosity: Verbosity) -> anyhow::Result<Self> {
        let bar = steps(trainer.config.schedule.steps as u64, verbosity);
        bar.position(trainer.state.step as u64);
        let evaluator = Evaluator::new(&trainer.config, trainer.decoder.config())?;
        let lines = !verbosity.is_quiet() && !std::io::stderr().is_terminal();
        Ok(Self { bar, evaluator, verbosity, lines, loss: f64::NAN, recurrences_per_second: 0.0 })
    }

    fn say(&self, line: &str) {
        if self.lines {
            // A reader who has gone away is told nothing more.
            let _ = writeln!(std::io::stdout(), "{line}");
        } else if !self.verbosity.is_quiet() {
            self.bar.say(line);
        }
    }
}

impl<B: AutodiffBackend> RunObserver<B> for Progress {
    fn stepped(&mut self, record: &StepRecord) {
        let smooth = |old: f64, new: f64| if old.is_nan() { new } else { 0.95 * old + 0.05 * new };
        self.loss = smooth(self.loss, record.loss);
        self.recurrences_per_second =
            smooth(self.recurrences_per_second, record.recurrences as f64 / record.seconds.max(f64::MIN_POSITIVE));
        let deepest = record.depths.keys().last().copied().unwrap_or_default();
        self.bar.position(record.step as u64);
        self.bar.message(format!(
            "loss {:.4}  gradient {:.2}  depth {deepest}  {:.1}k recurrences/s",
            self.loss,
            record.gradient_norm,
            self.recurrences_per_second / 1e3
        ));
        if let Some(reason) = &record.skipped {
            self.say(&format!("step {} left out: {reason}", record.step));
        }
    }

    fn logged(&mut self, metrics: &StepMetrics) {
        if self.lines {
            self.say(&format!(
                "step {}  loss {:.4}  gradient {:.2}  learning rate {:.3} of its peak  {:.0} tokens/s",
                metrics.step,
                metrics.loss.unwrap_or(f64::NAN),
                metrics.gradient_norm.unwrap_or(f64::NAN),
                metrics.learning_rate_factor,
                metrics.tokens_per_second
            ));
        }
    }

    fn saved(&mut self, path: &Path) {
        if self.lines {
            self.say(&format!("saved {}", path.display()));
        }
    }

    fn evaluate(
        &mut self,
        step: usize,
        weights: RecurrentDecoder<B::InnerBackend>,
    ) -> depthscale_train::Result<Option<EvaluationMetrics>> {
        let Some(evaluator) = &self.evaluator else { return Ok(None) };
        let metrics = evaluator.evaluate(step, &weights)?;
        for task in &metrics.tasks {
            let percent = |accuracy: &f64| format!("{:3.0}", 100.0 * accuracy);
            let columns = task.accuracy.len();
            let shown = task.accuracy.iter().skip(columns.saturating_sub(MOST_COLUMNS)).map(percent);
            let first = columns.saturating_sub(MOST_COLUMNS) + 1;
            let shown: Vec<String> = shown.collect();
            self.say(&format!(
                "step {step}  {:<14} % right at depth {first} to {columns}: {}",
                task.task,
                shown.join(" ")
            ));
        }
        Ok(Some(metrics))
    }

    fn is_interrupted(&self) -> bool {
        stop::was_asked()
    }
}
