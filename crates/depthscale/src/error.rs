//! What can go wrong between a text and its continuation.

use std::path::PathBuf;

use depthscale_backends::BackendError;
use depthscale_checkpoint::CheckpointError;
use depthscale_decoder::DecoderError;
use depthscale_text::TextError;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a text and its continuation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backend or its device cannot be used for this.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The model could not be opened or run.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// Text could not be turned into tokens or back, or a chat template failed.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The tokenizer has ids that the model has not.
    #[error(
        "{path}: the tokenizer's ids go up to {highest}, but the model's vocabulary has {vocab_size} ids (0 to {})",
        .vocab_size.saturating_sub(1),
        path = path.display()
    )]
    VocabularyMismatch {
        /// The model directory.
        path: PathBuf,
        /// The tokenizer's highest id.
        highest: usize,
        /// Number of ids the model has.
        vocab_size: usize,
    },
    /// The model that comes with this crate could not be written to a temporary directory.
    #[error("the built-in model cannot be unpacked to {}: {source}", path.display())]
    Unpack {
        /// The file or directory that cannot be written.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A backend of which wrong results are reported, and which gives them.
    #[error(
        "{source}; {what} (burn issue {issue}): build without the features \"fusion\" and \"autotune\", or choose another \
         backend"
    )]
    FaultyBackend {
        /// The number of the issue at `github.com/tracel-ai/burn`.
        issue: u32,
        /// What it says.
        what: &'static str,
        /// What was found here.
        source: DecoderError,
    },
    /// One request of several cannot be run; nothing was run.
    #[error("request {index}: {source}")]
    Request {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        source: Box<Error>,
    },
}

impl From<depthscale_types::Error> for Error {
    fn from(error: depthscale_types::Error) -> Self {
        Self::Decoder(error.into())
    }
}

impl From<CheckpointError> for Error {
    fn from(error: CheckpointError) -> Self {
        Self::Decoder(error.into())
    }
}

impl Error {
    /// Whether what was asked for is at fault (a value out of range, an empty prompt, a criterion the model cannot
    /// follow), rather than a file, the model or its state.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Decoder(error) => matches!(
                error,
                DecoderError::Invalid(_)
                    | DecoderError::EmptyPrompt
                    | DecoderError::PositionLimit { .. }
                    | DecoderError::CriterionNotApplicable { .. }
                    | DecoderError::UnsupportedDtype { .. }
            ),
            Self::Backend(_) => true,
            Self::Text(error) => matches!(error, TextError::EmptyStopString { .. }),
            Self::VocabularyMismatch { .. } | Self::Unpack { .. } | Self::FaultyBackend { .. } => false,
            Self::Request { source, .. } => source.is_usage(),
        }
    }
}
