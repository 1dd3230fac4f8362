//! The log of a run.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use depthscale_checkpoint::{Overwrite, write_atomically};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};
use crate::learn::StepRecord;

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsRecord {
    /// Some steps.
    Steps(StepMetrics),
    /// An evaluation.
    Evaluation(EvaluationMetrics),
}

/// Some steps together: those since the line before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// The last of them, counted from 1.
    pub step: usize,
    /// How many they are.
    pub steps: usize,
    /// The mean objective per prediction of the steps that were applied; `None` where none was.
    pub loss: Option<f64>,
    /// The objective of the last of these alone.
    pub last_loss: Option<f64>,
    /// The mean cross entropy read out at each depth, in nats; steps in which a depth occurs count alike.
    pub loss_by_depth: BTreeMap<usize, f64>,
    /// The mean global norm of their gradients before clipping.
    pub gradient_norm: Option<f64>,
    /// The factor of the schedule on every learning rate, at the last step.
    pub learning_rate_factor: f64,
    /// Sequences by their depth.
    pub depths: BTreeMap<usize, usize>,
    /// Tokens read.
    pub tokens: usize,
    /// Tokens read per second.
    pub tokens_per_second: f64,
    /// Token recurrences per second.
    pub recurrences_per_second: f64,
    /// Floating-point operations per second, as [`training_flops`](crate::learn::training_flops) counts them.
    pub flops_per_second: f64,
    /// Steps left out.
    pub skipped: usize,
    /// Why the last of those was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
}

/// How right the model was on held-out problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationMetrics {
    /// Steps taken before.
    pub step: usize,
    /// By task.
    pub tasks: Vec<TaskMetrics>,
}

/// How right the model was on a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskMetrics {
    /// Its name.
    pub task: String,
    /// Problems.
    pub problems: usize,
    /// The share answered exactly at each depth, from 1 on.
    pub accuracy: Vec<f64>,
    /// The mean cross entropy at each depth, in nats; `None` where logits were not finite.
    pub loss: Vec<Option<f64>>,
}

impl StepMetrics {
    /// Some steps together.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(records: &[StepRecord]) -> Self {
        let Some(last) = records.last() else { panic!("at least one step") };
        // What is left out may not be finite.
        let applied: Vec<_> = records.iter().filter(|record| record.skipped.is_none()).collect();
        let mean = |value: fn(&StepRecord) -> f64| {
            let sum: f64 = applied.iter().map(|record| value(record)).sum();
            (!applied.is_empty()).then(|| sum / applied.len() as f64)
        };
        let seconds: f64 = records.iter().map(|record| record.seconds).sum();
        let per_second =
            |value: fn(&StepRecord) -> f64| records.iter().map(value).sum::<f64>() / seconds.max(f64::MIN_POSITIVE);
        let mut depths = BTreeMap::new();
        let mut losses: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for record in records {
            record.depths.iter().for_each(|(&depth, n)| *depths.entry(depth).or_default() += n);
            for (&depth, loss) in record.loss_by_depth.iter().filter(|_| record.skipped.is_none()) {
                let (sum, n) = losses.entry(depth).or_default();
                (*sum, *n) = (*sum + loss, *n + 1);
            }
        }
        Self {
            step: last.step,
            steps: records.len(),
            loss: mean(|record| record.loss),
            last_loss: applied.last().map(|record| record.loss),
            loss_by_depth: losses.into_iter().map(|(depth, (sum, n))| (depth, sum / n as f64)).collect(),
            gradient_norm: mean(|record| record.gradient_norm),
            learning_rate_factor: last.learning_rate_factor,
            depths,
            tokens: records.iter().map(|record| record.tokens).sum(),
            tokens_per_second: per_second(|record| record.tokens as f64),
            recurrences_per_second: per_second(|record| record.recurrences as f64),
            flops_per_second: per_second(|record| record.flops as f64),
            skipped: records.iter().filter(|record| record.skipped.is_some()).count(),
            skip_reason: records.iter().rev().find_map(|record| record.skipped.clone()),
        }
    }
}

impl MetricsRecord {
    /// The last step it speaks of.
    pub fn step(&self) -> usize {
        match self {
            Self::Steps(steps) => steps.step,
            Self::Evaluation(evaluation) => evaluation.step,
        }
    }
}

/// Appends to the log.
#[derive(Debug)]
pub(super) struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the log of a run that is at `step`: what was logged of later steps, before the run was killed, is forgotten.
    pub(super) fn open(path: &Path, step: usize) -> Result<Self> {
        let lines = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(TrainError::io(path, "read")(error)),
        };
        let of_past = |line: &&str| serde_json::from_str::<MetricsRecord>(line).is_ok_and(|line| line.step() <= step);
        let kept: String = lines.lines().filter(of_past).flat_map(|line| [line, "\n"]).collect();
        write_atomically(path, kept.as_bytes(), Overwrite::Yes)?;
        let file = OpenOptions::new().append(true).open(path).map_err(TrainError::io(path, "open"))?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    pub(super) fn append(&mut self, record: &MetricsRecord) -> Result<()> {
        let mut line = serde_json::to_string(record).unwrap_or_else(|error| unreachable!("plain JSON: {error}"));
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(TrainError::io(&self.path, "write"))
    }
}

/// The lines of a log.
///
/// # Errors
/// If it cannot be read, or a line is malformed.
pub fn read_metrics(path: &Path) -> Result<Vec<MetricsRecord>> {
    let text = fs::read_to_string(path).map_err(TrainError::io(path, "read"))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| TrainError::MalformedLog {
            path: path.to_path_buf(),
            line: number + 1,
            message: error.to_string(),
        })
    };
    text.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: usize, loss: f64) -> StepRecord {
        StepRecord {
            step,
            loss,
            loss_by_depth: BTreeMap::from([(step, loss)]),
            gradient_norm: 2.0 * loss,
            learning_rate_factor: 0.5,
            depths: BTreeMap::from([(4, 3)]),
            tokens: 10,
            recurrences: 40,
            flops: 100,
            skipped: None,
            seconds: 0.5,
        }
    }

    #[test]
    fn steps_are_summed_up_by_hand() {
        let metrics = StepMetrics::of(&[record(1, 1.0), record(2, 3.0)]);
        assert_eq!((metrics.step, metrics.steps, metrics.loss, metrics.last_loss), (2, 2, Some(2.0), Some(3.0)));
        assert_eq!((metrics.gradient_norm, metrics.tokens), (Some(4.0), 20));
        assert_eq!((metrics.tokens_per_second, metrics.recurrences_per_second), (20.0, 80.0));
        assert_eq!(metrics.depths, BTreeMap::from([(4, 6)]));
        assert_eq!(metrics.loss_by_depth, BTreeMap::from([(1, 1.0), (2, 3.0)]));
    }

    #[test]
    fn what_was_left_out_is_counted_and_not_averaged() {
        let bad = StepRecord { skipped: Some("not finite".into()), ..record(2, f64::NAN) };
        let metrics = StepMetrics::of(&[record(1, 1.0), bad.clone()]);
        assert_eq!((metrics.step, metrics.loss, metrics.last_loss, metrics.skipped), (2, Some(1.0), Some(1.0), 1));
        let alone = MetricsRecord::Steps(StepMetrics::of(&[bad]));
        let text = serde_json::to_string(&alone).expect("plain JSON");
        assert_eq!(serde_json::from_str::<MetricsRecord>(&text).expect("reads"), alone);
    }

    #[test]
    fn a_resumed_log_goes_on_where_the_checkpoint_is() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("metrics.jsonl");
        let line = |step| MetricsRecord::Steps(StepMetrics::of(&[record(step, 1.0)]));
        let mut log = MetricsLog::open(&path, 0).expect("opens");
        (1..=4).for_each(|step| log.append(&line(step)).expect("written"));
        // Killed in the middle of a line.
        log.file.write_all(b"{\"steps\":{\"st").expect("written");
        let mut log = MetricsLog::open(&path, 2).expect("opens");
        log.append(&line(3)).expect("written");
        assert_eq!(read_metrics(&path).expect("reads"), [line(1), line(2), line(3)]);
    }
}
