//! A run from its recipe to its last step.

use std::path::{Path, PathBuf};

use burn::tensor::backend::AutodiffBackend;
use depthscale_checkpoint::{Overwrite, write_atomically};
use depthscale_corpus::Progress;
use depthscale_decoder::{EXIT_FILE, InitialParameters, ModelDirectory, Published, RecurrentDecoder};

use super::checkpoint::{RunCheckpoint, TextFiles, write_model};
use super::directory::{RECIPE_FILE, RunDirectory};
use super::metrics::{EvaluationMetrics, MetricsLog, MetricsRecord, StepMetrics};
use crate::data::{Examples, text_files};
use crate::error::{Result, TrainError};
use crate::learn::{StepRecord, Trainer};
use crate::recipe::{ModelSource, TrainConfig};

/// Whether a run begins or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It begins; its directory must not hold a run.
    Fresh,
    /// It goes on from its newest checkpoint, or begins where there is none.
    Resume,
}

/// A run under way.
pub struct TrainingRun<B: AutodiffBackend> {
    /// The model in training.
    pub trainer: Trainer<B>,
    /// Where it writes.
    pub directory: RunDirectory,
    /// How its model is saved.
    pub published: Published,
    examples: Examples,
    /// What goes beside the model, by its name.
    text: TextFiles,
    log: MetricsLog,
    /// Steps not logged yet.
    unlogged: Vec<StepRecord>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// All steps are taken, and the model is written.
    Done,
    /// It was asked to stop after a step, of which a checkpoint was written.
    Interrupted {
        /// The step.
        step: usize,
    },
}

/// Sees a run.
pub trait RunObserver<B: AutodiffBackend> {
    /// After every step.
    fn stepped(&mut self, record: &StepRecord);

    /// After every line of the log.
    fn logged(&mut self, metrics: &StepMetrics);

    /// After a checkpoint was written.
    fn saved(&mut self, path: &Path);

    /// When an evaluation is due: evaluates the weights to use.
    ///
    /// # Errors
    /// What the evaluation gives.
    fn evaluate(
        &mut self,
        step: usize,
        weights: RecurrentDecoder<B::InnerBackend>,
    ) -> Result<Option<EvaluationMetrics>>;

    /// Asked after every step.
    fn is_interrupted(&self) -> bool;
}

impl<B: AutodiffBackend> TrainingRun<B> {
    /// Opens what a recipe names: model, data, directory. `progress` is told how far text is tokenised.
    ///
    /// # Errors
    /// If the model or the data cannot be opened or do not go together, or the directory holds another run, or a run that was
    /// not to be resumed.
    pub fn open(
        config: TrainConfig,
        start: Start,
        device: &B::Device,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self> {
        let directory = RunDirectory::new(&config.output.directory);
        if start == Start::Fresh && directory.holds_a_run() {
            return Err(TrainError::RunExists { path: directory.path });
        }
        let source = Source::open(&config)?;
        let examples = Examples::open(&config, source.directory.as_deref(), &directory.text(), progress)?;
        source.check(&examples, &config)?;
        let mut text = text_files(&config, source.directory.as_deref())?;
        // Beside every model, so that what it must not be measured on is known.
        text.push((RECIPE_FILE, config.to_toml()?.into_bytes()));
        let trainer = match RunCheckpoint::newest(&directory, &config)? {
            Some(checkpoint) => checkpoint.resume(config, device)?,
            None => Trainer::new(config.clone(), source.load(config.seed, device)?)?,
        };
        directory.prepare()?;
        let recipe = trainer.config.to_toml()?;
        write_atomically(&directory.recipe(), recipe.as_bytes(), Overwrite::Yes)?;
        let log = MetricsLog::open(&directory.metrics(), trainer.state.step)?;
        let published = source.published;
        Ok(Self { trainer, directory, published, examples, text, log, unlogged: Vec::new() })
    }

    /// What a run begins with, and nothing written but tokenised text, which goes to the system's directory for temporary
    /// files.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn rehearse(config: TrainConfig, device: &B::Device) -> Result<(Trainer<B>, Examples)> {
        let source = Source::open(&config)?;
        let examples = Examples::open(&config, source.directory.as_deref(), &std::env::temp_dir(), &mut |_| {})?;
        source.check(&examples, &config)?;
        let decoder = source.load(config.seed, device)?;
        Ok((Trainer::new(config, decoder)?, examples))
    }

    /// Trains to the last step, or until the observer asks to stop; then the step under way is finished and saved.
    ///
    /// # Errors
    /// If a step fails or something cannot be written. Checkpoints there were stay.
    pub fn train(&mut self, observer: &mut dyn RunObserver<B>) -> Result<RunEnd> {
        while !self.trainer.is_done() {
            if let Err(error) = self.step(observer) {
                // The steps that led there are worth most now; the error that ended the run is told either way.
                let _ = self.log_steps(observer);
                return Err(error);
            }
            if observer.is_interrupted() && !self.trainer.is_done() {
                self.log_steps(observer)?;
                self.save(observer)?;
                return Ok(RunEnd::Interrupted { step: self.trainer.state.step });
            }
        }
        self.log_steps(observer)?;
        let model = self.directory.model();
        write_model(&self.trainer.weights(), &self.published, &self.text, &model)?;
        // An exit found for other weights.
        remove_if_there(&model.join(EXIT_FILE))?;
        Ok(RunEnd::Done)
    }

    fn step(&mut self, observer: &mut dyn RunObserver<B>) -> Result<()> {
        let record = self.trainer.step(&self.examples)?;
        observer.stepped(&record);
        let step = record.step;
        self.unlogged.push(record);
        let config = &self.trainer.config;
        let (log_due, save_due) =
            (step.is_multiple_of(config.output.log_every), step.is_multiple_of(config.output.checkpoint_every));
        let last = self.trainer.is_done();
        let evaluation_due = config.evaluation.is_due(step) || (last && config.evaluation.every > 0);
        // What a checkpoint has seen is in the log, and an evaluation that fails loses no step.
        if log_due || save_due || last {
            self.log_steps(observer)?;
        }
        if save_due || last {
            self.save(observer)?;
        }
        if evaluation_due && let Some(metrics) = observer.evaluate(step, self.trainer.weights())? {
            self.log.append(&MetricsRecord::Evaluation(metrics))?;
        }
        Ok(())
    }

    fn log_steps(&mut self, observer: &mut dyn RunObserver<B>) -> Result<()> {
        if self.unlogged.is_empty() {
            return Ok(());
        }
        let metrics = StepMetrics::of(&std::mem::take(&mut self.unlogged));
        observer.logged(&metrics);
        self.log.append(&MetricsRecord::Steps(metrics))
    }

    fn save(&mut self, observer: &mut dyn RunObserver<B>) -> Result<()> {
        let path = RunCheckpoint::write(&self.directory, &self.trainer, &self.published, &self.text)?;
        observer.saved(&path);
        Ok(())
    }
}

/// Where a recipe's model comes from.
struct Source {
    published: Published,
    /// The checkpoint's directory, where there is one.
    directory: Option<PathBuf>,
    checkpoint: Option<ModelDirectory>,
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrainError::io(path, "remove")(error)),
        _ => Ok(()),
    }
}

impl Source {
    /// That model and data go together.
    fn check(&self, examples: &Examples, config: &TrainConfig) -> Result<()> {
        let decoder = &self.published.config;
        examples.check_vocabulary(decoder.vocab_size)?;
        let (sequence, positions) = (config.data.sequence, decoder.max_positions);
        if sequence > positions.saturating_add(1) {
            return Err(TrainError::SequenceTooLong { sequence, positions });
        }
        examples.check_lengths()
    }

    fn open(config: &TrainConfig) -> Result<Self> {
        match &config.model.source {
            ModelSource::Fresh(path) => {
                Ok(Self { published: Published::read(path)?, directory: None, checkpoint: None })
            }
            ModelSource::Checkpoint(path) => {
                let checkpoint = ModelDirectory::open(path)?;
                let published = checkpoint.published().clone();
                Ok(Self { published, directory: Some(path.clone()), checkpoint: Some(checkpoint) })
            }
        }
    }

    fn load<B: AutodiffBackend>(&self, seed: u64, device: &B::Device) -> Result<RecurrentDecoder<B>> {
        match &self.checkpoint {
            Some(checkpoint) => Ok(checkpoint.load(device, &mut |_| {})?),
            None => {
                let mut parameters = InitialParameters::new(&self.published, seed)?;
                Ok(RecurrentDecoder::build(self.published.config.clone(), &mut parameters, device)?)
            }
        }
    }
}
