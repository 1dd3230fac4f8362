//! Some steps that leave nothing behind.

use burn::tensor::backend::AutodiffBackend;
use depthscale_types::ParameterSpec;

use super::trainer::Trainer;
use crate::error::Result;
use crate::recipe::{AveragingConfig, LossKind, Method, TrainConfig};
use crate::run::TrainingRun;

/// What some steps of a recipe took, with nothing written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rehearsal {
    /// Parameters of the model.
    pub parameters: u64,
    /// Those that are trained.
    pub trained: u64,
    /// Bytes of weights, gradients, moments and average, in f32.
    pub state_bytes: u64,
    /// The mean number of tokens read in a step.
    pub tokens_per_step: f64,
    /// The mean time of a step but the first.
    pub seconds_per_step: f64,
    /// Floating-point operations a second in these steps; see [`training_flops`](super::training_flops).
    pub flops_per_second: f64,
}

impl Rehearsal {
    /// Takes some steps, at least two, at full depth and difficulty: those from the end of the run.
    ///
    /// # Errors
    /// As [`TrainingRun::open`] and [`Trainer::step`].
    pub fn take<B: AutodiffBackend>(config: &TrainConfig, steps: usize, device: &B::Device) -> Result<Self> {
        let (mut trainer, examples) = TrainingRun::<B>::rehearse(config.clone(), device)?;
        trainer.state.step = config.schedule.steps.saturating_sub(steps.max(2));
        let mut records = Vec::new();
        while !trainer.is_done() {
            records.push(trainer.step(&examples)?);
        }
        let timed = &records[records.len().min(2) - 1..];
        let trained: Vec<ParameterSpec> = trained(&trainer);
        let count = |specs: &[ParameterSpec]| specs.iter().map(ParameterSpec::count).sum::<u64>();
        let parameters = trainer.decoder.config().parameter_count();
        let averaged = if config.averaging == AveragingConfig::None { 0 } else { parameters };
        let moments: u64 = trained.iter().map(|spec| moments(config, spec) * spec.count()).sum();
        Ok(Self {
            parameters,
            trained: count(&trained),
            state_bytes: 4 * (parameters + count(&trained) + moments + averaged),
            tokens_per_step: records.iter().map(|record| record.tokens as f64).sum::<f64>() / records.len() as f64,
            flops_per_second: timed.iter().map(|record| record.flops as f64).sum::<f64>()
                / timed.iter().map(|record| record.seconds).sum::<f64>(),
            seconds_per_step: timed.iter().map(|record| record.seconds).sum::<f64>() / timed.len() as f64,
        })
    }
}

fn trained<B: AutodiffBackend>(trainer: &Trainer<B>) -> Vec<ParameterSpec> {
    let config = &trainer.config;
    let gate_only = matches!(config.loss.kind, LossKind::GateOnly(_));
    let is_trained = |spec: &ParameterSpec| {
        !config.model.is_frozen(&spec.path) && (!gate_only || spec.path.starts_with("exit_gate."))
    };
    trainer.decoder.config().parameters().into_iter().filter(is_trained).collect()
}

/// Running means that its rule keeps of each element.
fn moments(config: &TrainConfig, spec: &ParameterSpec) -> u64 {
    match config.optimizer.plan(&spec.path, spec.shape.len()).method {
        Method::AdamW => 2,
        Method::Muon => 1,
    }
}
