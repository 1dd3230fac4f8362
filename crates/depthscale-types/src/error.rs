//! The one error type of this crate: a value that is not allowed.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A value that a config, a policy or a parameter does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field holds a value outside what is allowed.
    #[error("{field} is {value}: {allowed}")]
    InvalidField {
        /// Path of the field, `core.n_heads` for instance.
        field: String,
        /// The value found, as text.
        value: String,
        /// What would be allowed.
        allowed: String,
    },
    /// A text that names no known value.
    #[error("{what} {value:?} is not known; known are: {allowed}")]
    UnknownName {
        /// What was to be named, `exit criterion` for instance.
        what: &'static str,
        /// The text found.
        value: String,
        /// The names that exist.
        allowed: String,
    },
    /// Two choices that exclude each other.
    #[error("{first} does not go with {second}: {why}")]
    Conflict {
        /// The one choice.
        first: String,
        /// The other choice.
        second: String,
        /// Why they exclude each other.
        why: String,
    },
}

impl Error {
    /// An [`Error::InvalidField`] from anything that prints.
    pub fn invalid(field: impl Into<String>, value: impl ToString, allowed: impl Into<String>) -> Self {
        Self::InvalidField { field: field.into(), value: value.to_string(), allowed: allowed.into() }
    }
}

/// Checks one condition on a field.
pub(crate) fn require(
    holds: bool,
    field: impl Into<String>,
    value: impl ToString,
    allowed: impl Into<String>,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(field, value, allowed)) }
}
