//! What can go wrong with tasks, one variant a cause.

use crate::TaskKind;

/// A failure in this crate: what was wrong, where, and what was expected instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A name that no task has.
    #[error("there is no task `{name}`{}; expected one of {}", suggestion(*.nearest), TaskKind::names())]
    UnknownTask {
        /// The name that was given.
        name: String,
        /// The task that may have been meant.
        nearest: Option<TaskKind>,
    },

    /// A difficulty that a task does not have.
    #[error("{task}: no problem has {difficulty} {unit}; expected {min} to {max}")]
    DifficultyOutOfRange {
        /// The task.
        task: TaskKind,
        /// The difficulty that was asked for or that a prompt has.
        difficulty: u32,
        /// What the difficulty counts.
        unit: &'static str,
        /// The least difficulty.
        min: u32,
        /// The greatest difficulty.
        max: u32,
    },

    /// A prompt that is not in the task's format.
    #[error("{task}: character {position} of the prompt: expected {expected}, found {found}")]
    MalformedPrompt {
        /// The task.
        task: TaskKind,
        /// The place, counted from 1 in characters.
        position: usize,
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
    },

    /// A prompt in the task's format that asks for something without an answer.
    #[error("{task}: the prompt has no answer: {reason}")]
    Unanswerable {
        /// The task.
        task: TaskKind,
        /// What is missing or contradictory, and what was expected.
        reason: String,
    },

    /// A modulus that modular chains do not have.
    #[error("modular-chain: the modulus is {modulus}; expected 2 to 10")]
    ModulusOutOfRange {
        /// The modulus that was given.
        modulus: u32,
    },

    /// Drawing gave no suitable problem.
    #[error(
        "{task}: {tries} draws at difficulty {difficulty} ({unit}) gave no problem {wanted}; too few such problems exist"
    )]
    Exhausted {
        /// The task.
        task: TaskKind,
        /// The difficulty of the draws.
        difficulty: u32,
        /// What the difficulty counts.
        unit: &'static str,
        /// How many problems were drawn.
        tries: u32,
        /// What the problem should have been.
        wanted: &'static str,
    },

    /// A mixture without tasks.
    #[error("the mixture of tasks is empty; expected at least one task")]
    EmptyMixture,

    /// A weight that says nothing about how often a task is drawn.
    #[error("{task}: the weight in the mixture is {weight}; expected a positive, finite number")]
    Weight {
        /// The task.
        task: TaskKind,
        /// Its weight.
        weight: f64,
    },

    /// A range of difficulties that ends before it begins.
    #[error("{task}: the difficulties run from {min} to {max}; expected the first not to exceed the last")]
    EmptyDifficulties {
        /// The task.
        task: TaskKind,
        /// The first difficulty.
        min: u32,
        /// The last difficulty.
        max: u32,
    },

    /// A held-out share that is not a share.
    #[error("the held-out share is {share}; expected a number from 0 to 1")]
    Share {
        /// The share that was given.
        share: f64,
    },

    /// Progress through a curriculum that is not a share.
    #[error("the progress is {progress}; expected a number from 0 to 1")]
    Progress {
        /// The progress that was given.
        progress: f64,
    },

    /// A character that the vocabulary does not have.
    #[error("character {position} of the text is {character:?}; expected one of the {n_characters} in the vocabulary")]
    UnknownCharacter {
        /// The character.
        character: char,
        /// Its place, counted from 1 in characters.
        position: usize,
        /// How many characters the vocabulary has.
        n_characters: usize,
    },

    /// An id that the vocabulary does not have.
    #[error("id {position} is {id}; expected an id below {vocab_size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// Its place, counted from 1.
        position: usize,
        /// The number of ids.
        vocab_size: usize,
    },
}

fn suggestion(nearest: Option<TaskKind>) -> String {
    nearest.map_or_else(String::new, |kind| format!(", did you mean `{kind}`?"))
}
