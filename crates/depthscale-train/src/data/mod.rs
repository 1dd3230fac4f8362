//! What is learnt from: tasks, text, or prompts with answers, as token sequences by index.

mod batch;
mod hints;
mod source;

pub use batch::{Batch, Example};
pub use source::Examples;
pub(crate) use source::{check_task_tokenizer, held_out, mixture, sequence_of, text_files};
