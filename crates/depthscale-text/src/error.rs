//! What can go wrong with text, one variant a cause.

use std::io;
use std::path::PathBuf;

/// A failure in this crate: what was wrong, where, and what was expected instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A file that the checkpoint directory must hold is not there.
    #[error("{}: no such file; expected {expected}", path.display())]
    MissingFile {
        /// Where it was looked for.
        path: PathBuf,
        /// What the file should hold.
        expected: &'static str,
    },

    /// A file is there and cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A file was read and does not have the format it should have.
    #[error("{}: malformed, expected {expected}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format the file should have.
        expected: &'static str,
        /// What the parser said.
        message: String,
    },

    /// A key of a JSON file holds a value of another type than the published one.
    #[error("{}: key `{key}`: expected {expected}, found {found}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The key inside the file.
        key: String,
        /// The types that are accepted.
        expected: &'static str,
        /// The value in the file, shortened.
        found: String,
    },

    /// A checkpoint names an end token that its tokenizer does not have.
    #[error("{}: key `{key}`: the tokenizer has no token {id}; expected an id below {id_bound} that is in its vocabulary", path.display())]
    UnknownEndToken {
        /// The file that names the token.
        path: PathBuf,
        /// The key inside the file.
        key: String,
        /// The id it gives.
        id: u64,
        /// The tokenizer's highest id plus one.
        id_bound: usize,
    },

    /// A text cannot be turned into ids, for example because it needs an unknown token that the vocabulary lacks.
    #[error("the text cannot be tokenized: {message}")]
    Encode {
        /// What the tokenizer said.
        message: String,
    },

    /// Ids cannot be turned into text.
    #[error("the {n_ids} ids cannot be turned into text: {message}")]
    Decode {
        /// How many ids were given.
        n_ids: usize,
        /// What the tokenizer said.
        message: String,
    },

    /// The checkpoint has no chat template, so it takes plain prompts only.
    #[error(
        "{}: the checkpoint has no chat template; expected a file chat_template.jinja or a key `chat_template` in tokenizer_config.json",
        dir.display()
    )]
    NoChatTemplate {
        /// The checkpoint directory in which both places were looked at.
        dir: PathBuf,
    },

    /// The chat template is not a valid template.
    #[error("{}: the chat template does not parse: {message}", path.display())]
    TemplateSyntax {
        /// The file that holds the template.
        path: PathBuf,
        /// What is wrong, with the template's line.
        message: String,
    },

    /// The chat template failed on these messages.
    #[error("{}: the chat template failed: {message}", path.display())]
    TemplateRender {
        /// The file that holds the template.
        path: PathBuf,
        /// What went wrong, with the template's line.
        message: String,
    },

    /// The chat template refused these messages by calling `raise_exception`.
    #[error("{}: the chat template refused the messages: {message}", path.display())]
    TemplateRefused {
        /// The file that holds the template.
        path: PathBuf,
        /// The template's own words.
        message: String,
    },

    /// A stop string is empty, which would stop before the first character.
    #[error("stop string {index} is empty; expected at least one character")]
    EmptyStopString {
        /// Its position in the given list, from 0.
        index: usize,
    },
}
