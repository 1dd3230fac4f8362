//! What can go wrong in training.

use std::path::{Path, PathBuf};

use depthscale_checkpoint::CheckpointError;
use depthscale_corpus::CorpusError;
use depthscale_decoder::DecoderError;
use depthscale_tasks::TaskError;

use crate::recipe::{RecipeError, SkipReason};

/// A result of this crate.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The text or its tokens.
    #[error(transparent)]
    Corpus(Box<CorpusError>),
    /// A task or one of its problems.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// A tokenizer's end tokens.
    #[error(transparent)]
    Text(#[from] depthscale_text::TextError),
    /// The model.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// Its files.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file or a directory.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A problem does not fit.
    #[error("the problem {prompt:?} takes {found} tokens with its answer: data.sequence allows {longest}")]
    TooLong {
        /// Its prompt.
        prompt: String,
        /// Its tokens.
        found: usize,
        /// Most tokens allowed.
        longest: usize,
    },
    /// The model's vocabulary is smaller than that of the tasks.
    #[error("the model knows {vocab_size} token ids: the tasks use {needed}")]
    TaskVocabulary {
        /// Token ids of the tasks.
        needed: usize,
        /// Token ids of the model.
        vocab_size: usize,
    },
    /// A recipe of text or lines was asked for tasks.
    #[error("the recipe names no tasks: this needs data.tasks")]
    NoTasks,
    /// Text without a tokenizer.
    #[error("text needs a tokenizer: name a tokenizer.json as model.tokenizer")]
    NoTokenizer,
    /// The loss asks for a gate that the model lacks.
    #[error("loss.kind {kind} trains an exit gate: the model has none")]
    NoExitGate {
        /// The kind of loss.
        kind: &'static str,
    },
    /// All parameters are frozen.
    #[error("model.freeze leaves nothing to train: its patterns match all {parameters} parameters")]
    NothingToTrain {
        /// Tensors the model has.
        parameters: usize,
    },
    /// The loss depends on no parameter that is trained.
    #[error(
        "the loss reaches none of the parameters that model.freeze leaves: a gate alone learns by loss.kind gate-only, \
         and from a depth of 2 on"
    )]
    NothingReached,
    /// A sequence may be longer than the model has positions.
    #[error("data.sequence is {sequence}, of which {} are read: the model has {positions} positions", sequence - 1)]
    SequenceTooLong {
        /// Most tokens of a sequence.
        sequence: usize,
        /// Positions of the model.
        positions: usize,
    },
    /// The model's tokenizer is not that of the tasks.
    #[error(
        "{} has another vocabulary than the tasks, in which {character:?} is token {id}: train on data.lines instead",
        path.display()
    )]
    TaskTokenizer {
        /// The tokenizer.
        path: PathBuf,
        /// A character that it encodes in another way.
        character: char,
        /// The character's token in the tasks' vocabulary.
        id: u32,
    },
    /// A line of the log cannot be read.
    #[error("{}: line {line}: {message}", path.display())]
    MalformedLog {
        /// The log.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The directory holds another run.
    #[error(
        "{} was trained by another recipe (fingerprint {found:016x}, this one is {expected:016x}): \
         choose another output.directory, or resume with the recipe in it", path.display()
    )]
    ForeignRun {
        /// The checkpoint.
        path: PathBuf,
        /// The fingerprint in it.
        found: u64,
        /// The recipe's.
        expected: u64,
    },
    /// The directory holds a run and this one was to begin.
    #[error("{} holds a run already: resume it, or choose another output.directory", path.display())]
    RunExists {
        /// The directory.
        path: PathBuf,
    },
    /// A checkpoint cannot be read back.
    #[error("the checkpoint {} is damaged: {message}", path.display())]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The guard gave up.
    #[error("training stopped at step {step}, {in_a_row} steps in a row were skipped: {reason}")]
    Stopped {
        /// The last step.
        step: usize,
        /// Skipped steps in a row.
        in_a_row: usize,
        /// Why the last one was.
        reason: SkipReason,
    },
    /// There is no held-out problem to measure on.
    #[error(
        "no held-out problem is left to evaluate on: hold out a larger share, or ask for other tasks or difficulties"
    )]
    NothingToEvaluate,
    /// A setting of an evaluation or a calibration.
    #[error(transparent)]
    Evaluation(depthscale_types::Error),
    /// The file beside a model that holds its exit policy.
    #[error("{} is no calibration: {message}", path.display())]
    MalformedCalibration {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The page of a report.
    #[error(transparent)]
    Page(#[from] depthscale_report::ReportError),
}

impl From<CorpusError> for TrainError {
    fn from(error: CorpusError) -> Self {
        Self::Corpus(Box::new(error))
    }
}

impl TrainError {
    /// Whether what was asked for is at fault, rather than a file, the model or its state.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Recipe(error) => error.is_usage(),
            Self::Task(_) | Self::RunExists { .. } | Self::ForeignRun { .. } | Self::Evaluation(_) => true,
            Self::TooLong { .. } | Self::TaskVocabulary { .. } | Self::NoTasks | Self::NoTokenizer => true,
            Self::NoExitGate { .. } | Self::NothingToTrain { .. } | Self::NothingReached => true,
            Self::SequenceTooLong { .. } | Self::TaskTokenizer { .. } => true,
            _ => false,
        }
    }

    /// What went wrong with a file, for `map_err`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, action, source }
    }
}
