//! What can go wrong between a checkpoint and its tokens.

use std::path::PathBuf;

use depthscale_checkpoint::CheckpointError;
use depthscale_types::{CacheDtype, ComputeDtype, Family, WeightFormat};

/// Result of this crate.
pub type Result<T, E = DecoderError> = std::result::Result<T, E>;

/// What can go wrong between a checkpoint and its tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderError {
    /// A config, policy or parameter holds a value that is not allowed.
    #[error(transparent)]
    Invalid(#[from] depthscale_types::Error),
    /// The checkpoint could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A config.json that is not what its family writes.
    #[error("{path}: {message}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        message: String,
    },
    /// A config.json of an architecture this crate does not know.
    #[error("{path}: model_type {found:?} is not a known family; known are {known}", path = path.display())]
    UnknownFamily {
        /// The file.
        path: PathBuf,
        /// Its `model_type`.
        found: String,
        /// The families that are known.
        known: String,
    },
    /// A config.json that asks for something that is not implemented, and would be computed wrongly if ignored.
    #[error("{path}: {key} is {value}, which is not implemented: {why}", path = path.display())]
    NotImplemented {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What is implemented.
        why: String,
    },
    /// Tensors in the checkpoint that the model does not use.
    #[error("{path}: tensors that this model does not use: {names}", path = path.display())]
    UnusedTensors {
        /// The model directory.
        path: PathBuf,
        /// Their names.
        names: String,
    },
    /// A decoder to be saved in the layout of another.
    #[error("the decoder was built from another config than that of {path}", path = path.display())]
    ForeignConfig {
        /// The model directory whose layout was to be used.
        path: PathBuf,
    },
    /// A decoder to be saved as a model whose config is another.
    #[error("the decoder was built from another config than that of the {family} model it is to be saved as")]
    ForeignDecoder {
        /// The model's family.
        family: Family,
    },
    /// A config.json that asks for initial parameters drawn in a way that is not implemented.
    #[error(
        "{key} is {value}: initial parameters are not drawn in that way, so the model cannot be begun from scratch"
    )]
    InitialisationNotImplemented {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A copy of a tied weight that is another.
    #[error("tensor {copy} is not the copy of {original} that the config says it is: they differ from row {row} on")]
    TiedWeightsDiffer {
        /// The copy.
        copy: String,
        /// What it should repeat.
        original: String,
        /// The first row that differs, to the nearest thousand below.
        row: usize,
    },
    /// A decoder that lacks a parameter of its config, as one does whose blocks were not made from its parameters.
    #[error("the decoder has no parameter {path}, which its config implies")]
    ParameterMissing {
        /// The parameter.
        path: String,
    },
    /// A dtype that the device does not compute in.
    #[error("{backend} does not compute in {dtype} on this device; f32 works on every one")]
    UnsupportedDtype {
        /// The dtype asked for.
        dtype: ComputeDtype,
        /// The backend, as burn names it.
        backend: String,
    },
    /// A weight format that a backend does not keep.
    #[error("{backend} does not keep weights in {weights}; flex does")]
    UnsupportedWeights {
        /// The format asked for.
        weights: WeightFormat,
        /// The backend, as burn names it.
        backend: String,
    },
    /// A weight that a format cannot hold.
    #[error("tensor {tensor}: element {index} is {value}, too large for {weights}")]
    WeightTooLarge {
        /// The tensor, by its name in the file or in the decoder.
        tensor: String,
        /// Index of the element.
        index: usize,
        /// Its value.
        value: f32,
        /// The format asked for.
        weights: WeightFormat,
    },
    /// The device failed while it computed or while a result was read back.
    #[error("the device failed: {message}")]
    Device {
        /// What the backend says.
        message: String,
    },
    /// A weight that is not a finite number.
    #[error("tensor {tensor}: element {index} is {value}, not a finite number")]
    NonFiniteWeight {
        /// The tensor, by its name in the file or in the decoder.
        tensor: String,
        /// Index of the first such element.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The hidden state stopped being finite.
    #[error("the hidden state is not finite from step {step} on: the weights or the injected state overflow")]
    NonFiniteState {
        /// The first step whose state is not finite; 0 is the initial state.
        step: usize,
    },
    /// The readout of a finite state is not finite.
    #[error("the logits are not finite: the readout of a finite state overflows")]
    NonFiniteLogits,
    /// A token id outside the vocabulary.
    #[error("token id {token} at position {position} is outside the vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// Its position in the sequence.
        position: usize,
        /// Number of ids.
        vocab_size: usize,
    },
    /// A prompt without tokens.
    #[error("the prompt is empty: at least one token is needed to predict the next")]
    EmptyPrompt,
    /// More positions than the model was made for.
    #[error("{needed} positions are needed, but the model has {limit}")]
    PositionLimit {
        /// Positions asked for.
        needed: usize,
        /// Positions there are.
        limit: usize,
    },
    /// More tokens than the cache was opened for.
    #[error("{needed} tokens do not fit the cache's capacity of {capacity}")]
    CacheFull {
        /// Tokens asked for.
        needed: usize,
        /// Tokens it was opened for.
        capacity: usize,
    },
    /// A cache in a dtype that the device does not have.
    #[error("the device keeps no keys and values in {dtype}: name another dtype for them, or none")]
    CacheDtype {
        /// The dtype.
        dtype: CacheDtype,
    },
    /// A cache made for another decoder.
    #[error("the sequence's cache was made for another decoder: {message}")]
    ForeignCache {
        /// What differs.
        message: String,
    },
    /// A criterion that needs what the model does not have.
    #[error("exit criterion {criterion} needs {needs}, which this model does not have")]
    CriterionNotApplicable {
        /// The criterion.
        criterion: String,
        /// What it needs.
        needs: &'static str,
    },
    /// A backend whose cached decoding is wrong.
    #[error(
        "the backend gives other logits with a cache than without: {difference:.1e} of their size apart, where rounding \
         explains {tolerance:.0e}; text from it would be wrong"
    )]
    CachedDecodingDiffers {
        /// The largest difference, over one more than the largest logit.
        difference: f64,
        /// What rounding may do.
        tolerance: f64,
    },
    /// An expected file that cannot be compared with.
    #[error("{path}: {message}", path = path.display())]
    Expected {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        message: String,
    },
    /// A manifest of converted weights that is none, of another version, or of another model.
    #[error("{path}: {message}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        message: String,
    },
    /// A model that was to be converted into its own directory.
    #[error("{path}: the converted model would take the place of the model itself; name another directory", path = path.display())]
    ConvertedInPlace {
        /// The directory.
        path: PathBuf,
    },
    /// A decoder to be saved whose weights are packed: what they were packed from is not there any more.
    #[error(
        "the decoder's weights are kept in {weights}, which is not what they were; load it in f32 to save it, or convert it"
    )]
    PackedNotSaved {
        /// The format.
        weights: WeightFormat,
    },
    /// The exit beside a model is none.
    #[error("{path}: {message}, expected a calibrated exit; delete the file to do without", path = path.display())]
    CalibratedExit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A tensor given by the caller whose shape does not fit.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// What was given.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape needed.
        expected: Vec<usize>,
    },
}
