//! The training step.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::module::{AutodiffModule, Module, ModuleMapper, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use depthscale_decoder::build::param_id;
use depthscale_decoder::{RecurrentDecoder, UnrollOptions};
use depthscale_types::ExitGate;
use serde::{Deserialize, Serialize};

use super::average::WeightAverage;
use super::gradients::{global_norm, scale};
use super::objective::{Learner, LossByDepth};
use super::optimizer::Optimizers;
use super::reach::Reach;
use super::work::training_flops;
use crate::data::{Batch, Examples};
use crate::error::{Result, TrainError};
use crate::recipe::{AveragingConfig, DepthDraw, DepthKey, LossGuard, LossKind, TrainConfig, Verdict};

/// A model in training: weights, moments, average, guard and position. [`Self::step`] takes one training step.
pub struct Trainer<B: AutodiffBackend> {
    /// The recipe.
    pub config: TrainConfig,
    /// The model.
    pub decoder: RecurrentDecoder<B>,
    /// What trains its parameters.
    pub optimizers: Optimizers<B>,
    /// The average of its weights, where the recipe asks for one.
    pub average: Option<WeightAverage<B::InnerBackend>>,
    /// Where it is.
    pub state: TrainerState,
    reach: Reach,
}

/// Where training is, beside weights and moments. Everything drawn follows from the recipe and the step, so that this is
/// all that a resumed run needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerState {
    /// Steps taken.
    pub step: usize,
    /// Tokens read by the model so far, each once however deep it went.
    pub tokens: u64,
    /// What was accepted and skipped.
    pub guard: LossGuard,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// The step, counted from 1.
    pub step: usize,
    /// The objective per prediction, in nats where it is a cross entropy.
    pub loss: f64,
    /// The cross entropy read out at each depth: its mean in nats.
    pub loss_by_depth: BTreeMap<usize, f64>,
    /// The global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The factor of the schedule on every learning rate.
    pub learning_rate_factor: f64,
    /// Sequences by their depth.
    pub depths: BTreeMap<usize, usize>,
    /// Tokens the model read.
    pub tokens: usize,
    /// Token recurrences computed: each token as often as it took a step.
    pub recurrences: usize,
    /// Floating-point operations, as [`training_flops`] counts them.
    pub flops: u64,
    /// Why the step was left out, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

impl<B: AutodiffBackend> Trainer<B> {
    /// A model at the beginning of its training.
    ///
    /// # Errors
    /// If the loss needs an exit gate and the model has none, or every parameter is frozen.
    pub fn new(config: TrainConfig, decoder: RecurrentDecoder<B>) -> Result<Self> {
        let gate_kind = match &config.loss.kind {
            LossKind::ExpectedExit(_) => Some("expected-exit"),
            LossKind::GateOnly(_) => Some("gate-only"),
            LossKind::LastStep | LossKind::EveryStep(_) => None,
        };
        if let (Some(kind), ExitGate::None) = (gate_kind, decoder.config().exit_gate) {
            return Err(TrainError::NoExitGate { kind });
        }
        let decoder = freeze(&config, decoder)?;
        let reach = Reach::of(&config, decoder.config());
        let deepest = DepthDraw { free: 0, tracked: config.depth.most_depth() };
        if !reach.is_reached(&[deepest]) {
            return Err(TrainError::NothingReached);
        }
        let optimizers = Optimizers::new(&config.optimizer, &decoder);
        let average = match config.averaging {
            AveragingConfig::None => None,
            AveragingConfig::Exponential(_) => Some(WeightAverage { decoder: decoder.valid() }),
        };
        let state = TrainerState { step: 0, tokens: 0, guard: LossGuard::new(config.guard.clone()) };
        Ok(Self { config, decoder, optimizers, average, state, reach })
    }

    /// The weights to use: their average where there is one.
    pub fn weights(&self) -> RecurrentDecoder<B::InnerBackend> {
        match &self.average {
            Some(average) => average.decoder.clone(),
            None => self.decoder.valid(),
        }
    }

    /// Whether all steps of the recipe are taken.
    pub fn is_done(&self) -> bool {
        self.state.step >= self.config.schedule.steps
    }

    /// Takes one step: draws sequences and depths, sums gradients over the micro-batches, clips, applies.
    ///
    /// # Errors
    /// If a sequence cannot be drawn or does not fit the model, or the guard gives up.
    pub fn step(&mut self, examples: &Examples) -> Result<StepRecord> {
        let begun = Instant::now();
        let step = self.state.step + 1;
        let progress = self.config.schedule.progress(step);
        let batches = self.batches(examples, step, progress)?;
        let share = 1.0 / batches.iter().map(Batch::predictions).sum::<usize>() as f64;
        let valid = self.decoder.valid();
        let learner = Learner { decoder: &self.decoder, valid: &valid };
        let mut gradients = GradientsAccumulator::new();
        let mut record = StepRecord::empty(step, self.config.schedule.factor(step));
        let mut by_depth = LossByDepth::new();
        for (micro_batch, batch) in batches.iter().enumerate() {
            let draws = self.draws(step, micro_batch, batch.len(), progress);
            record.count(batch, &draws);
            record.flops += training_flops(self.decoder.config(), batch, &draws, &self.config.loss.kind);
            let options = UnrollOptions {
                seed: self.config.seed ^ (step as u64).rotate_left(32),
                first_id: (micro_batch * batch.len()) as u64,
                ..UnrollOptions::default()
            };
            let objective = learner.objective(batch, &draws, &self.config.loss, options, share)?;
            // burn panics where nothing was recorded.
            if self.reach.is_reached(&draws) {
                let own = GradientsParams::from_grads(objective.loss.backward(), &self.decoder);
                gradients.accumulate(&self.decoder, own);
            }
            let (loss, seen) = objective.read();
            record.loss += loss;
            for (depth, (sum, n)) in seen {
                let entry = by_depth.entry(depth).or_default();
                *entry = (entry.0 + sum, entry.1 + n);
            }
        }
        record.loss_by_depth = by_depth.into_iter().map(|(depth, (sum, n))| (depth, sum / n as f64)).collect();
        let gradients = gradients.grads();
        record.gradient_norm = global_norm::<B>(&self.decoder, &gradients);
        self.state.step = step;
        self.state.tokens += record.tokens as u64;
        match self.state.guard.judge(record.loss, record.gradient_norm) {
            Verdict::Apply => self.apply(gradients, &record),
            Verdict::Skip(reason) => record.skipped = Some(reason.to_string()),
            Verdict::Stop(reason) => {
                let in_a_row = self.state.guard.skipped_in_a_row;
                return Err(TrainError::Stopped { step, in_a_row, reason });
            }
        }
        record.seconds = begun.elapsed().as_secs_f64();
        Ok(record)
    }

    fn apply(&mut self, gradients: GradientsParams, record: &StepRecord) {
        let clip = self.config.optimizer.clip_factor(record.gradient_norm);
        let gradients = scale::<B>(&self.decoder, gradients, clip);
        self.decoder = self.optimizers.step(record.learning_rate_factor, self.decoder.clone(), gradients);
        if let AveragingConfig::Exponential(settings) = &self.config.averaging {
            let kept = settings.kept(record.step);
            let weights = self.decoder.valid();
            self.average = self.average.take().map(|average| average.update(&weights, kept));
        }
    }

    fn batches(&self, examples: &Examples, step: usize, progress: f64) -> Result<Vec<Batch>> {
        let batch = &self.config.batch;
        let first = (step - 1) as u64 * batch.sequences_per_step() as u64;
        let micro_batch = |at: usize| {
            let from = first + (at * batch.sequences) as u64;
            let numbers = from..from + batch.sequences as u64;
            let drawn: Result<Vec<_>> = numbers.map(|index| examples.example(index, progress)).collect();
            Ok(Batch::new(drawn?))
        };
        (0..batch.accumulate).map(micro_batch).collect()
    }

    fn draws(&self, step: usize, micro_batch: usize, sequences: usize, progress: f64) -> Vec<DepthDraw> {
        let key = DepthKey { seed: self.config.seed, step: step as u64, micro_batch: micro_batch as u64 };
        self.config.depth.draw(key, sequences, progress)
    }
}

impl StepRecord {
    fn empty(step: usize, learning_rate_factor: f64) -> Self {
        Self {
            step,
            loss: 0.0,
            loss_by_depth: BTreeMap::new(),
            gradient_norm: 0.0,
            learning_rate_factor,
            depths: BTreeMap::new(),
            tokens: 0,
            recurrences: 0,
            flops: 0,
            skipped: None,
            seconds: 0.0,
        }
    }

    fn count(&mut self, batch: &Batch, draws: &[DepthDraw]) {
        self.tokens += batch.tokens();
        for (input, draw) in batch.inputs.iter().zip(draws) {
            *self.depths.entry(draw.depth()).or_default() += 1;
            self.recurrences += input.len() * draw.depth();
        }
    }
}

/// Leaves frozen parameters without gradients; the stage that trains only the gate freezes all others.
fn freeze<B: AutodiffBackend>(config: &TrainConfig, decoder: RecurrentDecoder<B>) -> Result<RecurrentDecoder<B>> {
    let gate_only = matches!(config.loss.kind, LossKind::GateOnly(_));
    let is_frozen = |name: &str| config.model.is_frozen(name) || (gate_only && !name.starts_with("exit_gate."));
    let parameters = decoder.config().parameters();
    let frozen: Vec<ParamId> =
        parameters.iter().filter(|spec| is_frozen(&spec.path)).map(|spec| param_id(&spec.path)).collect();
    if frozen.len() == parameters.len() {
        return Err(TrainError::NothingToTrain { parameters: parameters.len() });
    }
    Ok(decoder.map(&mut Freeze { frozen }))
}

struct Freeze {
    frozen: Vec<ParamId>,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Freeze {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let is_frozen = self.frozen.contains(&param.id);
        param.set_require_grad(!is_frozen)
    }
}
