//! `depthscale generate`

mod batch;
mod report;
mod single;
mod summary;
mod task;
mod trace;

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use depthscale::decoder::ModelDirectory;
use depthscale::prelude::*;
use depthscale::text::StopStrings;
use depthscale::types::ExitGate;

use crate::arguments::{CacheArguments, ExitArguments, ModelArguments, SamplingArguments};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").required(true))]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// What to continue; - reads it from stdin
    #[arg(long, value_name = "TEXT", group = "input", allow_hyphen_values = true)]
    prompt: Option<String>,

    /// A file with what to continue; - is stdin
    #[arg(long, value_name = "FILE", group = "input")]
    prompt_file: Option<PathBuf>,

    /// A file of prompts to run together, one JSON object a line: {"prompt": "..."} and, where they differ, "id",
    /// "max_new_tokens", "stop", "seed", "temperature", "top_k", "top_p", "min_p", "repetition_penalty". Answers are JSON
    /// lines in the same order; - is stdin
    #[arg(long, value_name = "FILE", group = "input", conflicts_with_all = ["json", "trace"])]
    batch: Option<PathBuf>,

    /// Put the prompt through the model's chat template, as a user's message
    #[arg(long)]
    chat: bool,

    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = CompletionOptions::default().max_new_tokens)]
    max_new_tokens: usize,

    /// End the text before this string; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,

    /// Print one JSON object with everything that is known
    #[arg(long)]
    json: bool,

    /// Print each token with its depth and exit values
    #[arg(long)]
    trace: bool,

    #[command(flatten)]
    exit: ExitArguments,

    #[command(flatten)]
    cache: CacheArguments,

    #[command(flatten)]
    sampling: SamplingArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // What the arguments alone can tell to be wrong comes before anything is read.
    arguments.exit.check()?;
    let options = arguments.options()?;
    match &arguments.batch {
        Some(file) => batch::run(arguments, options, file),
        None => single::run(arguments, options),
    }
}

impl Arguments {
    fn options(&self) -> anyhow::Result<CompletionOptions> {
        StopStrings::new(self.stop.clone()).map_err(depthscale::Error::from)?;
        Ok(CompletionOptions {
            max_new_tokens: self.max_new_tokens,
            sampling: self.sampling.params()?,
            stop: self.stop.clone(),
            ..self.cache.options()
        })
    }

    /// The policy for a model, checked against it.
    fn exit_policy(&self, directory: &ModelDirectory) -> anyhow::Result<ExitPolicy> {
        let policy = self.exit.resolve(directory.exit())?;
        policy.validate_for(directory.config())?;
        self.cache.kv.validate(directory.config())?;
        Ok(if self.trace { watched(policy, directory) } else { policy })
    }

    fn prompt_of(&self, text: String) -> Prompt {
        if self.chat { Prompt::Chat(vec![ChatMessage::new("user", text)]) } else { Prompt::Text(text) }
    }
}

/// A fixed depth looks at nothing, and its trace would be empty. The same depth under a criterion that is never satisfied
/// shows what an exit would have seen.
fn watched(policy: ExitPolicy, directory: &ModelDirectory) -> ExitPolicy {
    if policy.criterion != Criterion::Fixed {
        return policy;
    }
    let (criterion, never) = match directory.config().exit_gate {
        ExitGate::Linear => (Criterion::QExit, 1.0),
        ExitGate::None => (Criterion::LatentDiff, 0.0),
    };
    ExitPolicy { threshold: never, max_steps: policy.max_steps, ..ExitPolicy::new(criterion) }
}
