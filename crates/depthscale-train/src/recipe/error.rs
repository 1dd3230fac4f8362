//! What can be wrong with a recipe.

use std::path::PathBuf;

/// A result of reading or checking a recipe.
pub type Result<T, E = RecipeError> = std::result::Result<T, E>;

/// What can be wrong with a recipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A file that cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// A text that is no TOML, an unknown key, or a value of the wrong type.
    #[error("{name}: line {line}, column {column}: {}{message}", prefix(key))]
    Malformed {
        /// The file, or what the text is called.
        name: String,
        /// The line, counted from 1.
        line: usize,
        /// The character of the line, counted from 1.
        column: usize,
        /// Path of the key, `schedule.steps` for instance; empty where there is none.
        key: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// An override that is none, that names no key, or whose value has the wrong type.
    #[error("override {text:?}: {message}")]
    Override {
        /// The override as it was given.
        text: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A value outside what is allowed.
    #[error("{key} is {value}: {allowed}")]
    Setting {
        /// Path of the key, `schedule.steps` for instance.
        key: String,
        /// The value found, as text.
        value: String,
        /// What would be allowed.
        allowed: String,
    },
    /// A recipe that cannot be written as text, for instance because a path is not Unicode.
    #[error("the recipe cannot be written: {message}")]
    Unwritable {
        /// What is in the way.
        message: String,
    },
}

impl RecipeError {
    /// Whether what was asked for is at fault, rather than a file that cannot be read.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::File { .. })
    }
}

fn prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// Counts (steps, sequences, tokens) are no larger.
pub(crate) const MOST_COUNT: usize = 1 << 30;

/// Checks one condition on a key.
pub(crate) fn require(
    holds: bool,
    key: impl Into<String>,
    value: impl ToString,
    allowed: impl Into<String>,
) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(RecipeError::Setting { key: key.into(), value: value.to_string(), allowed: allowed.into() })
}

/// Checks that a count is at least `least` and not absurd.
pub(crate) fn require_count(key: impl Into<String>, value: usize, least: usize) -> Result<()> {
    let allowed = format!("must be from {least} to {MOST_COUNT}");
    require((least..=MOST_COUNT).contains(&value), key, value, allowed)
}

/// Checks that a number is finite and more than 0.
pub(crate) fn require_positive(key: impl Into<String>, value: f64) -> Result<()> {
    require(value.is_finite() && value > 0.0, key, value, "must be finite and more than 0")
}

/// Checks that a number is finite and not negative.
pub(crate) fn require_not_negative(key: impl Into<String>, value: f64) -> Result<()> {
    require(value.is_finite() && value >= 0.0, key, value, "must be finite and not negative")
}

/// Checks that a number is in [0, 1).
pub(crate) fn require_below_one(key: impl Into<String>, value: f64) -> Result<()> {
    require((0.0..1.0).contains(&value), key, value, "must be in [0, 1)")
}

/// Checks that a number is in (0, 1].
pub(crate) fn require_share(key: impl Into<String>, value: f64) -> Result<()> {
    require(value > 0.0 && value <= 1.0, key, value, "must be in (0, 1]")
}
