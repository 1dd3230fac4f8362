//! Why a backend cannot be used, and what to do about it.

use depthscale_types::{CacheDtype, ComputeDtype, WeightFormat};

use crate::BackendKind;

/// Why a backend cannot be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// This build does not hold it.
    #[error("backend {} is not compiled in; build with the cargo feature {feature:?}{}", kind.name(), alternatives())]
    NotCompiledIn {
        /// The backend asked for.
        kind: BackendKind,
        /// The cargo feature to add.
        feature: &'static str,
    },
    /// This build holds no backend at all.
    #[error(
        "no backend is compiled in; build with one of the cargo features \"flex\", \"ndarray\", \"wgpu\", \"cuda\""
    )]
    NothingCompiledIn,
    /// The backend has no device here: no adapter, no driver.
    #[error("backend {} has no device here: {why}; {advice}", kind.name())]
    NoDevice {
        /// The backend.
        kind: BackendKind,
        /// What was looked for and not found.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// A device index past the last.
    #[error("there is no {kind}; found {found}")]
    NoSuchDevice {
        /// The backend and the device asked for.
        kind: BackendKind,
        /// The devices there are.
        found: String,
    },
    /// A device that was found but could not multiply two small matrices.
    #[error("{kind} ({name}) does not compute: {message}")]
    ProbeFailed {
        /// The backend and device.
        kind: BackendKind,
        /// The name of the device.
        name: String,
        /// What happened.
        message: String,
    },
    /// A dtype that the device does not compute in.
    #[error("{kind} ({name}) does not compute in {dtype}; it does in {}", list(works))]
    UnsupportedDtype {
        /// The backend and device.
        kind: BackendKind,
        /// The name of the device.
        name: String,
        /// The dtype asked for.
        dtype: ComputeDtype,
        /// The dtypes that work.
        works: Vec<ComputeDtype>,
    },
    /// A weight format that the backend does not keep.
    #[error("{kind} ({name}) does not keep weights in {weights}; flex does")]
    UnsupportedWeights {
        /// The backend and device.
        kind: BackendKind,
        /// The name of the device.
        name: String,
        /// The format asked for.
        weights: WeightFormat,
    },
    /// A dtype that the backend keeps no keys and values in.
    #[error("{kind} ({name}) keeps no keys and values in {dtype}: name another --cache-dtype, or none")]
    UnsupportedCaches {
        /// The backend and device.
        kind: BackendKind,
        /// The name of the device.
        name: String,
        /// The dtype asked for.
        dtype: CacheDtype,
    },
    /// Choices that do not go together.
    #[error(transparent)]
    Invalid(#[from] depthscale_types::Error),
    /// More memory than is free.
    #[error(
        "{kind} ({name}) has {} MiB free, and the run is predicted to need {} MiB: {}; \
         choose a shorter context, a smaller batch, fewer steps or --kv shared, or fewer bits (--cache-dtype, --dtype)",
        free >> 20, needed.div_ceil(1 << 20), terms
    )]
    NotEnoughMemory {
        /// The backend and device.
        kind: BackendKind,
        /// The name of the device.
        name: String,
        /// Bytes needed.
        needed: u64,
        /// The terms of it, in words.
        terms: String,
        /// Bytes free.
        free: u64,
    },
    /// A single tensor that no buffer of the device can hold.
    #[error(
        "{kind} ({name}) holds at most {} MiB in one buffer, and {tensor} needs {} MiB; \
         choose a 16-bit dtype or another backend",
        limit >> 20, needed.div_ceil(1 << 20)
    )]
    BufferTooLarge {
        /// The backend and device.
        kind: BackendKind,
        /// The name of the device.
        name: String,
        /// The tensor.
        tensor: String,
        /// Its bytes.
        needed: u64,
        /// The most bytes a buffer holds.
        limit: u64,
    },
}

fn alternatives() -> String {
    match BackendKind::compiled_in().as_slice() {
        [] => String::new(),
        kinds => format!(", or choose {}", kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ")),
    }
}

fn list(dtypes: &[ComputeDtype]) -> String {
    dtypes.iter().map(|dtype| dtype.name()).collect::<Vec<_>>().join(", ")
}
