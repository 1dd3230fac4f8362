//! Arguments that several commands share.

mod cache;
mod exit;
mod model;
mod problems;
mod prompt;
mod sampling;

pub(crate) use cache::CacheArguments;
pub(crate) use exit::ExitArguments;
pub(crate) use model::{BackendArguments, ModelArguments, OpenedModel, run_on};
pub(crate) use problems::{Part, ProblemArguments, calibration_set, held_out_of, tasks_of};
pub(crate) use prompt::{read_prompt, read_text};
pub(crate) use sampling::SamplingArguments;
