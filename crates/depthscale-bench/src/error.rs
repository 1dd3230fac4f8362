//! What can go wrong.

use std::path::PathBuf;

use depthscale_backends::BackendError;
use depthscale_decoder::DecoderError;
use depthscale_report::ReportError;

/// A result of this crate.
pub type Result<T, E = BenchError> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A preset that there is not.
    #[error("preset {name:?} is not known: must be one of {known}")]
    UnknownPreset {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A list of settings with nothing in it, or a setting out of range.
    #[error("{setting} is {found}: {expected}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it was.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// The backend or its device cannot be used for this.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The model could not be built, loaded or run.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// The device failed while it was timed.
    #[error("the device failed: {message}")]
    Device {
        /// What it said.
        message: String,
    },
    /// A file of results that cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// A file without a single result.
    #[error("{path}: holds no benchmark results")]
    NoResults {
        /// The file.
        path: PathBuf,
    },
    /// A line of a file of results that is not one.
    #[error("{path}: line {line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Whoever is told what happens asked to stop.
    #[error("stopped before the end")]
    Stopped,
    /// The report could not be drawn.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl BenchError {
    /// Whether what was asked for is at fault, a device that is not there among it, rather than a file or the model.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::UnknownPreset { .. } | Self::Setting { .. } | Self::Backend(_))
    }
}
